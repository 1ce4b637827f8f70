"""Refresh: a renewal of the whitening, done in pieces of a product or two, and never without an end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.matrices import diagonal, polar
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

# The series of the inverse root is used for eigenvalues up to here; and for eigenvalues as near to 1 as this it leaves
# less than 63/256 of the fifth power, which float32 rows do not notice.
SERIES_END = 1.9
SERIES_EXACT = 0.25
# Rounds of the series after which it is given up. Each makes small eigenvalues some six times larger: 30 are enough for
# all that float64 holds.
MOST_ROUNDS = 30


class Refresh(Kept):
    """The way from a whitening V to the nearest one of another covariance Σ.

        V ← P (Pᵀ Σ P)^(-1/2),  P = V projected on the leading K0 directions of Σ

    A piece costs no more than a step of learning does, and what is whitened by V meanwhile stays as it is. Where the
    inverse root does not converge, the whitening is computed from the eigenvectors of Σ.

    Attributes
    ----------
    phase
        What comes next; empty where no refresh is under way.
    rounds
        How often the series of the inverse root was applied.
    exact
        Whether the last of them has led to the whitening.
    target, approach, moved, gram
        Σ (K, K), P (K, K0), Σ P and Pᵀ Σ P.
    correction
        (Pᵀ Σ P)^(-1/2) - I, or a part of it, float32.
    """

    kept = ("phase", "rounds", "exact", "target", "approach", "moved", "gram", "correction")
    free: ClassVar = dict.fromkeys(("target", "approach", "moved", "gram", "correction"), (0, 1))

    target: Floats
    approach: Floats
    moved: Floats
    gram: Floats
    correction: Floats

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Give up what is under way."""
        self.phase, self.rounds, self.exact = "", 0, False
        self.target, self.approach, self.moved, self.gram = (np.zeros((0, 0)) for _ in range(4))
        self.correction = np.zeros((0, 0), np.float32)

    @property
    def under_way(self) -> bool:
        """Whether there is more to do."""
        return self.phase != ""

    @property
    def done(self) -> bool:
        """Whether `approach` is the new V and `moved` is Σ V."""
        return self.phase == "done"

    def begin(self, covariance: Floats, whiten: Floats) -> None:
        """Set out from V (K, K0) to Σ (K, K)."""
        self.clear()
        self.target = covariance
        if whiten.shape[1] == len(covariance):
            self.approach, self.phase = whiten.copy(), "move"
        else:  # one subspace iteration: the span of M Σ V is nearer to the leading directions than that of V
            self.approach, self.moved, self.phase = whiten, covariance @ whiten, "span"

    def step(self, whiten: Floats, metric: Floats) -> None:
        """Do the next piece; V as for `begin`, whose directions are followed as those that M Σ V spans, M (K,)."""
        pieces: dict[str, Callable[[], str]] = {
            "span": lambda: self._span(metric),
            "project": self._project,
            "solve": self._solve,
            "return": lambda: self._return(metric),
            "move": self._move,
            "root": self._root,
            "correct": self._correct,
        }
        self.phase = pieces[self.phase]()
        if self.phase == "lost":
            self.approach = nearest_whitening(self.target, whiten, metric)
            self.moved = self.target @ self.approach
            self.phase = "done"

    def _span(self, metric: Floats) -> str:
        # The nearest to V in the measure in which the directions lead: 1/M. Then no unit of a channel matters.
        self.gram = self.moved.T @ (metric[:, None] * self.moved)
        return "project"

    def _project(self) -> str:
        self.approach = self.moved.T @ self.approach
        return "solve"

    def _solve(self) -> str:
        try:
            self.approach = np.linalg.solve(self.gram, self.approach)
        except np.linalg.LinAlgError:  # directions have died
            return "lost"
        return "return"

    def _return(self, metric: Floats) -> str:
        self.approach = metric[:, None] * (self.moved @ self.approach)
        return "move"

    def _move(self) -> str:
        self.moved = self.target @ self.approach
        self.gram = self.approach.T @ self.moved
        return "root"

    def _root(self) -> str:
        self.rounds += 1
        self.correction, self.exact = inverse_root(self.gram)
        return "correct" if self.rounds <= MOST_ROUNDS and bool(np.isfinite(self.correction).all()) else "lost"

    def _correct(self) -> str:
        # Corrections are small beside what they correct: float32 will do.
        if self.exact:
            self.moved = self.moved + self.moved.astype(np.float32) @ self.correction
        self.approach = self.approach + self.approach.astype(np.float32) @ self.correction
        return "done" if self.exact else "move"


def inverse_root(matrix: Floats) -> tuple[Floats, bool]:
    """Return M^(-1/2) - I of a symmetric positive definite M (K, K), and whether that is exact.

    The series in Δ = M/m - I up to Δ⁴, m the mean eigenvalue: two products, where eigenvectors cost as much as fifty.
    Where eigenvalues are further apart than the series bears, m grows until all of M/m lie below SERIES_END; then the
    result is no inverse root, but makes every eigenvalue of R M R nearer to 1, some six times where it is small.
    Not finite where M is not, or is far from positive definite.
    """
    mean = max(float(np.trace(matrix)) / len(matrix), np.finfo(np.float64).tiny)
    delta = matrix.copy()
    diagonal(delta)[:] -= mean
    with np.errstate(over="ignore", invalid="ignore"):
        delta = np.multiply(delta, 1 / mean).astype(np.float32)
        square = delta.T @ delta
        distance = math.sqrt(float(np.linalg.norm(square)))  # at least the largest |eigenvalue| of Δ
    if not distance < math.inf:
        return np.full(matrix.shape, np.nan, np.float32), False
    if distance > SERIES_END - 1:
        factor = (1 + distance) / SERIES_END
        square += (2 - 2 * factor) * delta
        square /= factor**2
        diagonal(square)[:] += (1 / factor - 1) ** 2
        delta /= factor
        diagonal(delta)[:] += 1 / factor - 1
        mean *= factor
    series = square * np.float32(35 / 128)
    delta *= -5 / 16
    series += delta
    root = square @ series
    square *= 3 / 8
    root += square
    delta *= 8 / 5
    root += delta
    root /= math.sqrt(mean)
    diagonal(root)[:] += 1 / math.sqrt(mean) - 1
    return root, distance < SERIES_EXACT


def nearest_whitening(covariance: Floats, whiten: Floats, metric: Floats) -> Floats:
    """Return the whitening of Σ (K, K) nearest to V (K, K0) by eigenvectors: as often as a refresh fails, never else.

    It is that of the K0 leading directions of Σ in the metric M (K,). Directions without variance get the least that
    float64 tells from none.
    """
    by = np.sqrt(metric)
    values, vectors = np.linalg.eigh(covariance * np.multiply.outer(by, by))
    values, vectors = values[::-1][: whiten.shape[1]], vectors[:, ::-1][:, : whiten.shape[1]]
    values = np.maximum(values, max(float(values[0]), 1e-300) * np.finfo(np.float64).eps)
    fresh = by[:, None] * vectors / np.sqrt(values)
    return np.asarray(fresh @ polar((covariance @ fresh).T @ whiten))
