"""Gains: after channels have become larger or smaller by factors, the factors are found ever more exactly."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

# What is missing is told when so many times the rows that the factors were taken from have come, and so many times in
# all, each time from twice as many.
FIRST, TIMES = 4, 5
# Steps of Newton's method, and the most that a factor's logarithm moves in one.
STEPS, LONGEST_STEP = 12, 0.5


class Gains(Kept):
    """Compares the covariance of rows whose channels have another gain with that of the learner, which stays.

    Factors from some hundred rows are off by several percent. The covariance knows all else much better than these
    rows do; it is left as it is, and what the factors lack is put into the unit of the channels as rows come in.

    Attributes
    ----------
    left
        How many times still; 0 where nothing is to be found out.
    """

    kept: ClassVar[tuple[str, ...]] = ("left", "_length", "_changed", "_n", "_sum", "_scatter")

    def __init__(self, n_features: int) -> None:
        self.left = 0
        self._length = 0
        self._n = 0
        self._changed: Floats = np.zeros(n_features)
        self._sum: Floats = np.zeros(n_features)
        self._scatter: Floats = np.zeros((n_features, n_features))

    def begin(self, factors: Floats, rows: int) -> None:
        """Set out from factors (K,) that so many rows have given; 1 for channels that have not changed."""
        self.left, self._length = TIMES, FIRST * rows
        self._changed[:] = factors != 1
        self._n = 0
        self._sum[:] = 0
        self._scatter[:] = 0

    def end(self) -> None:
        """Find out nothing more: the stream has changed again."""
        self.left = 0

    def add(self, rows: Floats, whitener: StreamingWhitener) -> Floats | None:
        """Take in rows (n, K) as they are learnt from; return the factors (K,) that are missing where that is told."""
        self._sum += rows.sum(axis=0, dtype=np.float64)
        self._scatter += rows.T @ rows
        self._n += len(rows)
        if self._n < self._length:
            return None
        mean = self._sum / self._n
        scatter, precision = self._scatter / self._n - np.outer(mean, mean), whitener.whiten @ whitener.whiten.T
        if self._changed.all():  # by one factor
            power = float(np.vdot(precision, scatter)) / whitener.n_rank
            factors = np.full(len(mean), math.sqrt(max(power, 1e-30)))
        else:
            factors = 1 / missing_gains(precision, scatter, self._changed > 0)
        self.left, self._length = self.left - 1, 2 * self._length
        self._sum /= factors
        self._scatter /= np.multiply.outer(factors, factors)
        return np.asarray(factors)


def missing_gains(precision: Floats, scatter: Floats, changed: NDArray[np.bool_]) -> Floats:
    """Return by what g (K,) channels are to be multiplied, 1 for those that have not changed.

    The most likely for normal rows, tr(P G S G)/2 - ln|G| at its minimum, G = diag(g): P (K, K) is the inverse of the
    covariance that they should have, S (K, K) the one that they have. It is convex; steps are Newton's, in ln g.
    """
    gains = np.ones(len(scatter))
    if not changed.any():
        return gains
    product = precision * scatter
    for _ in range(STEPS):
        terms = product[changed] * gains[changed, None] * gains
        slope = terms.sum(axis=1) - 1
        curvature = terms[:, changed] + np.diag(np.maximum(slope + 1, 1e-12))
        step = np.linalg.lstsq(curvature, -slope, rcond=None)[0]
        gains[changed] *= np.exp(np.clip(step, -LONGEST_STEP, LONGEST_STEP))
        if np.abs(step).max() < 1e-9:
            break
    return gains
