"""Examination: after an alarm rows are gathered, and of several explanations the best is found."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.basis import Basis
from stream_infomax.learning.infomax.gains import missing_gains
from stream_infomax.learning.infomax.outliers import shorten_first
from stream_infomax.learning.infomax.warm_up import Unit, unit_of
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]
Kind: TypeAlias = Literal["none", "level", "channels", "new", "earlier"]

# Rows that are gathered for each dimension, and at least.
ROWS_A_FEATURE, LEAST_ROWS = 10, 256
# A new unit is taken where rows lie so many spreads from its origin, or are so many times longer or shorter.
FAR, OTHER = 64.0, 16.0
# What an explanation has to gain: standard errors, and nats for each dimension.
ERRORS, LEAST_GAIN = 3.0, 0.02
# What another covariance has to gain a dimension: that of a few seconds always differs from that of hours.
LEAST_GAIN_OF_NEW = 1.0
# The least change of a level, as a factor's logarithm, that is one; and of the mean, as a length r.
LEAST_LEVEL, LEAST_OFFSET = 0.7, 1.0


class Verdict(NamedTuple):
    """What the rows after an alarm say.

    Attributes
    ----------
    kind
        ``none``: the basis fits as it did. ``level``: all rows are larger or smaller by a factor, or lie elsewhere.
        ``channels``: single channels are. ``new``: another covariance. ``earlier``: an earlier basis fits again.
    basis
        The basis that explains them best.
    gain
        Nats a row over the present basis.
    factors
        Of the channels, (K,).
    which
        Number of the earlier basis.
    rows
        The rows, outlying ones shortened, (n, K) float64.
    """

    kind: Kind
    basis: Basis
    gain: float
    factors: Floats
    which: int
    rows: Floats


class Examination(Kept):
    """Gathers rows after an alarm, in a unit that fits them.

    Parameters
    ----------
    n_features
        K.
    unit
        In which rows are gathered at first.
    about
        What raised the alarm.
    pauses
        Whether learning waits for the verdict, and rows come in this unit.
    follows
        Whether the verdict is acted upon; else learning is held.

    Attributes
    ----------
    origin, scale
        The unit of the rows.
    rows
        (n, K) float32.
    """

    kept: ClassVar[tuple[str, ...]] = ("origin", "scale", "rows", "about", "pauses", "follows")
    free: ClassVar = {"rows": (0,)}

    def __init__(self, n_features: int, unit: Unit, about: str, pauses: bool, follows: bool) -> None:
        self.origin: Floats = np.array(unit.origin, np.float64)
        self.scale: Floats = np.array(unit.scale)
        self.rows: Floats = np.zeros((0, n_features), np.float32)
        self.about = about
        self.pauses = pauses
        self.follows = follows

    @property
    def unit(self) -> Unit:
        """How the rows are counted."""
        return Unit(self.origin, self.scale)

    def absolute(self) -> Floats:
        """Return the rows (n, K) float64 in their own units."""
        return self.unit.absolute(self.rows)

    @property
    def over(self) -> bool:
        """Whether enough rows are there."""
        return bool(len(self.rows) >= max(LEAST_ROWS, ROWS_A_FEATURE * self.rows.shape[1]))

    def add(self, rows: Floats) -> None:
        """Gather rows (n, K) float64, in their own units; where they do not fit the unit, a new one is taken."""
        unit = unit_of(rows)
        old, new = 1 / self.scale, 1 / unit.scale
        spread = float(np.linalg.norm(old) + np.linalg.norm(new))
        away = float(np.linalg.norm(unit.origin - self.origin))
        ratio = float(np.linalg.norm(new) / np.linalg.norm(old))
        if away > FAR * spread or not 1 / OTHER < ratio < OTHER:
            self.origin, self.scale = np.array(unit.origin), np.array(unit.scale)
            self.rows = self.rows[:0]
            return
        self.rows = np.concatenate([self.rows, self.unit.rows(rows)])


class Explanation(NamedTuple):
    """A way in which rows may have come about.

    Attributes
    ----------
    kind, factors, which
        As in a verdict.
    basis
        The basis that they then have.
    numbers
        How many were taken from the rows.
    """

    kind: Kind
    basis: Basis
    numbers: float
    factors: Floats
    which: int = 0


def judge(gathered: Floats, present: Basis, earlier: list[Basis], usual: float | None) -> Verdict:
    """Find the best explanation of rows (n, K) float64.

    Likelihoods are compared on the same rows; an explanation that was fitted to them pays for its numbers (Akaike).

    Parameters
    ----------
    gathered
        The rows.
    present
        The basis of the learner.
    earlier
        Of the worlds before.
    usual
        The mean of ln r that the learner is used to; None where it is not known.
    """
    n, K = gathered.shape
    same, unit = np.ones(K), unit_of(gathered)
    shortened = unit.absolute(shorten_first(unit.rows(gathered))[0])
    best = Verdict("none", present, 0.0, same, 0, shortened)
    if not np.isfinite(gathered).all() or not np.any(shortened.std(axis=0) > 0):
        return best
    mean = shortened.mean(axis=0)
    level = level_of(present, gathered, mean, usual)
    channels = channels_of(present, shortened, level)
    explanations = [Explanation("earlier", basis, 0.0, same, i) for i, basis in enumerate(earlier)]
    found: list[tuple[Kind, Floats]] = [("level", np.full(K, level)), ("channels", channels)]
    for kind, factors in found:
        changed = float(np.count_nonzero(factors != 1)) if kind == "channels" else float(level != 1)
        if changed:  # a gain of the sensor is one of its offset, too
            explanations.append(Explanation(kind, present.moved(present.mean * factors, factors), changed, factors))
        explanations.append(Explanation(kind, present.moved(mean, factors), changed + K, factors))
    base = present.surprise(shortened)
    for kind, basis, numbers, factors, which in explanations:
        differences = base - basis.surprise(shortened)
        gain = float(differences.mean()) - numbers / n
        error = float(differences.std()) / math.sqrt(n)
        if gain > max(best.gain, LEAST_GAIN * present.whiten.shape[1], ERRORS * error):
            best = Verdict(kind, basis, gain, factors, which, shortened)
    if best.kind in ("level", "channels") and np.all(best.factors == 1) and offset(present, mean) < LEAST_OFFSET:
        best = Verdict("none", present, 0.0, same, 0, shortened)
    # Another covariance is judged on rows that it was not taken from. What the basis leaves out is no reason for one:
    # it has so little variance that a little more would count as much as all the rest.
    differences = best.basis.with_rest_of(shortened).surprise(shortened) - surprise_anew(present, shortened)
    gain, error = float(differences.mean()), float(differences.std()) / math.sqrt(n)
    least = LEAST_GAIN_OF_NEW if best.kind == "none" else LEAST_GAIN
    if gain > max(least * present.whiten.shape[1], ERRORS * error):
        return Verdict("new", whitened_anew(present, shortened, mean), best.gain + gain, same, 0, shortened)
    return best


def surprise_anew(present: Basis, rows: Floats) -> Floats:
    """Return minus the log likelihood of each row (n,) under the covariance of rows of the other half."""
    even = np.arange(len(rows)) % 2 == 0
    nats = np.empty(len(rows))
    for half in (even, ~even):
        nats[half] = whitened_anew(present, rows[~half], rows[~half].mean(axis=0)).surprise(rows[half])
    return nats


def offset(present: Basis, mean: Floats) -> float:
    """Return how far a mean (K,) is from that of the basis, as a length r."""
    return float(np.linalg.norm((mean - present.mean) @ present.whiten)) / math.sqrt(present.whiten.shape[1])


def level_of(present: Basis, rows: Floats, mean: Floats, usual: float | None) -> float:
    """Return by what factor all rows (n, K) of this mean (K,) are larger than usual; 1 where it is near that.

    Like is compared with like: the usual mean of ln r is one of rows as they come.
    """
    lengths = np.sqrt(np.mean(np.square((rows - mean) @ present.whiten), axis=1))
    level = float(np.mean(np.log(np.maximum(lengths, 1e-300)))) - usual if usual is not None else 0.0
    if usual is None:
        level = math.log(max(present.level(rows, mean), 1e-300))
    return math.exp(level) if abs(level) > LEAST_LEVEL else 1.0


def channels_of(present: Basis, rows: Floats, level: float) -> Floats:
    """Return by what factor each channel (K,) is larger; that of all, or 1, where it is near that.

    How much smaller deviations are for being those of shortened rows is told from the channels in the middle.
    """
    ratios = np.log(np.maximum(rows.std(axis=0), 1e-300) / np.maximum(present.deviations(), 1e-300))
    middle = float(np.median(ratios))
    alike = np.abs(ratios - middle) <= LEAST_LEVEL
    common = math.log(level) if alike.all() else middle if abs(middle) > LEAST_LEVEL else 0.0
    if alike.all():
        return np.full(len(ratios), math.exp(common))
    start = np.where(alike, common, ratios - middle + common)
    # What tells a gain most exactly is how channels cancel each other in the whitened rows.
    centred = (rows - rows.mean(axis=0)) / np.exp(start + middle - common)
    scatter = centred.T @ centred / len(rows)
    return np.asarray(np.exp(start) / missing_gains(present.whiten @ present.whiten.T, scatter, ~alike))


def whitened_anew(present: Basis, rows: Floats, mean: Floats) -> Basis:
    """Return the basis with the covariance of rows (n, K), its whitening as near to the present one as may be."""
    K, n_rank = present.whiten.shape
    centred = rows - mean
    # Where all directions are kept, in no unit; the leading ones are those of the units that the rows have.
    deviation = rows.std(axis=0)
    unit = np.where(deviation > 0, deviation, deviation.mean()) if n_rank == K and deviation.any() else np.ones(K)
    centred = centred / unit
    values, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
    values = np.maximum(values[::-1], 1e-8 * max(values.sum(), 1e-300))
    vectors = vectors[:, ::-1][:, :n_rank]
    whiten = vectors / np.sqrt(values[:n_rank]) / unit[:, None]
    dewhiten = vectors * np.sqrt(values[:n_rank]) * unit[:, None]
    # The nearest in the measure of the rows.
    left, _, right = np.linalg.svd(dewhiten.T @ present.whiten)
    turn = left @ right
    rest = float(values[n_rank:].mean()) if n_rank < K else 0.0
    return Basis(mean, whiten @ turn, dewhiten @ turn, present.rotation, rest)
