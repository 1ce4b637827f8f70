"""What the benchmarks of streams that change share: rooms, how well sources are unmixed, and what a basis is worth.

Separation is 1 - d / d0, d the Amari distance of filters times mixing matrix and d0 its mean for random rotations of
white rows: 0 knows nothing, 1 has found the sources. The gain of a basis is the mean ln |det W| + Σ ln φ(w_k (x - μ))
of held-out rows, less what random rotations in the rows' own whitening have: mean and lengths of filters are judged as
well. One common scale of the filters is that which suited the settled learner.
"""

import common  # isort: skip  # noqa: F401  (pins threads)
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from unittest import mock

import numpy as np

from stream_infomax.learning.infomax.archive import Archive
from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.matrices import polar
from stream_infomax.learning.infomax.neurons import minus_log_density, start_beta
from stream_infomax.learning.measures.information import amari_distance

SEEDS = range(5)
OTHER_SEEDS = range(100, 103)  # on which constants are chosen
FRAME = 64


def room(K: int, seed: int, number: int = 0) -> np.ndarray:
    """A mixing matrix (K, K)."""
    return np.random.default_rng([seed, K, number]).standard_normal((K, K))


def laplace(n: int, mixing: np.ndarray, seed: int, part: int = 0) -> np.ndarray:
    """Rows (n, K) of Laplace sources in a room, float32."""
    sources = np.random.default_rng([seed, part, 77]).laplace(size=(n, mixing.shape[1])).astype(np.float32)
    return sources @ mixing.T.astype(np.float32)


@cache
def random_distance(K: int) -> float:
    """The mean Amari distance of random rotations."""
    rng = np.random.default_rng(0)
    return float(np.mean([amari_distance(polar(rng.standard_normal((K, K)))) for _ in range(20)]))


def separation(learner, mixing: np.ndarray) -> float:
    """How well a learner's filters unmix a room; 0 before it has any."""
    try:
        filters = np.asarray(learner.components_, np.float64)
    except AttributeError:
        return 0.0
    if len(filters) != len(mixing) or not np.isfinite(filters).all():
        return 0.0
    return 1 - amari_distance(filters @ mixing) / random_distance(len(mixing))


def feed(learner, rows: np.ndarray, look: Callable[[int], None] | None = None, frame: int = FRAME):
    """Learn in frames, and look after each with the rows so far; returns the learner."""
    for first in range(0, len(rows), frame):
        learner.partial_fit(rows[first : first + frame])
        if look is not None:
            look(min(first + frame, len(rows)))
    return learner


def rows_until(learner, rows: np.ndarray, good: Callable[[], bool]) -> float:
    """Learn from all rows; return after how many it was good for the first time, infinite where never."""
    found = np.inf

    def look(n: int) -> None:
        nonlocal found
        if np.isinf(found) and good():
            found = n

    feed(learner, rows, look)
    return found


def log_likelihood(filters: np.ndarray, mean: np.ndarray, rows: np.ndarray, scale: float) -> float:
    """Mean ln |det W| + Σ ln φ(y_k) in nats of filters times a scale, for as many filters as features."""
    y = scale * ((rows - mean) @ filters.T)
    volume = len(filters) * np.log(scale) + np.linalg.slogdet(filters)[1]
    return float(volume - minus_log_density(y, start_beta(1, 1)).sum(axis=1).mean())


def best_scale(filters: np.ndarray, mean: np.ndarray, rows: np.ndarray) -> float:
    """The scale with the largest likelihood on the first 2000 rows, to a hundredth."""
    scales = np.exp(np.arange(-0.7, 0.71, 0.02))
    return float(max(scales, key=lambda scale: log_likelihood(filters, mean, rows[:2000], scale)))


class Judge:
    """The gain of bases on held-out rows (n, K): nats a row above random rotations of them."""

    def __init__(self, learner, rows: np.ndarray) -> None:
        self.rows = np.asarray(rows, np.float64)
        self.scale = best_scale(np.asarray(learner.components_, np.float64), learner.mean_, self.rows)
        self.random = random_likelihood(self.rows)

    def gain(self, learner) -> float:
        """Of a learner, with the scale that suited the one that the judge was made for."""
        filters = np.asarray(learner.components_, np.float64)
        if len(filters) != self.rows.shape[1]:
            return -np.inf
        return log_likelihood(filters, learner.mean_, self.rows, self.scale) - self.random


def random_likelihood(rows: np.ndarray) -> float:
    """What random rotations in the rows' own whitening have, with the scale that suits each, the mean of three."""
    mean, (values, vectors) = rows.mean(axis=0), np.linalg.eigh(np.cov(rows.T))
    rng = np.random.default_rng(0)
    whiten = vectors / np.sqrt(values)
    starts = [(whiten @ polar(rng.standard_normal(whiten.shape))).T for _ in range(3)]
    return float(np.mean([log_likelihood(start, mean, rows, best_scale(start, mean, rows)) for start in starts]))


class Restarted:
    """The control that always fires: every so many rows a fresh learner, whose basis counts as soon as it has one."""

    def __init__(self, every: int, **settings) -> None:
        self.every, self.settings, self.learner, self.n = every, settings, OnlineInfomax(**settings), 0
        self._before: OnlineInfomax | None = None

    def partial_fit(self, rows: np.ndarray) -> "Restarted":
        """Learn from rows."""
        if self.n and self.n // self.every != (self.n + len(rows)) // self.every:
            self._before, self.learner = self.learner, OnlineInfomax(**self.settings)
        self.n += len(rows)
        self.learner.partial_fit(rows)
        return self

    @property
    def components_(self) -> np.ndarray:
        """Of the newest learner that has a basis."""
        return self._newest().components_

    @property
    def mean_(self) -> np.ndarray:
        """Of the newest learner that has a basis."""
        return self._newest().mean_

    def _newest(self) -> OnlineInfomax:
        return self.learner if self._before is None or hasattr(self.learner, "components_") else self._before


@contextmanager
def without_undo() -> Iterator[None]:
    """Learners that never go back to an earlier basis."""
    with mock.patch.object(Archive, "earlier", property(lambda _: [])):
        yield


def middle(values: Iterable[float], written: str = "{:,.0f}", never: str = "never") -> str:
    """Return median (least … most); infinite values are written as `never`."""
    found = sorted(values)

    def word(value: float) -> str:
        return written.format(value) if np.isfinite(value) else never

    return f"{word(float(np.median(found)))} ({word(found[0])} … {word(found[-1])})"


class Clock:
    """CPU seconds since it was made."""

    def __init__(self) -> None:
        self._since = time.process_time()

    def __str__(self) -> str:
        return f"{time.process_time() - self._since:.0f} CPU s in all"
