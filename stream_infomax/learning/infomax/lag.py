"""Lag: whether what is learnt lags behind a stream that drifts, told from what is new in its rows.

What a block brings that was not expected is a surprise. Surprises of an estimate with the right horizon are
uncorrelated: with too long a horizon they point in one direction for long, with too short a one they contradict each
other (Mehra 1970, for the Kalman filter). For a horizon of h blocks, the product of a surprise with the mean of those
before, in units of a surprise's square, is about -0.2/h at rest, and grows with the cube of h under a drift.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.rules import Rule
from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

# Blocks between two that are looked at, at most, where so many count; and outputs that are.
EVERY, BLOCKS_A_LOOK, MOST_OUTPUTS = 8, 32, 32
COVARIANCE, ROTATION = 0, 1
# h times the correlation of surprises at the horizon that is best for a drift, as measured, for
# the covariance and for the rotation.
BEST = (0.6, 0.5)
# The mean surprise is one of this share of the horizon.
SHARE = 0.25
# Standard errors that end the growth of a horizon, that shorten it further, and that lengthen it; terms behind each.
END, SHORTEN, LENGTHEN, LEAST_TERMS = 4.5, 3.0, 2.0, 8
# Rows for each dimension before which what is learnt comes nearer still to where it has to be, which is no drift.
FIRST_ROWS = 500.0
# The shortest step of a horizon down, the longest, and the step up.
SHORTER, SHORTEST, LONGER = 0.9, 0.5, 1.25


class Lag(Kept):
    """Compares the second moments and scores of a few outputs with what the learner expects of them.

    Parameters
    ----------
    n_features, n_outputs
        K, and the outputs m that are looked at.
    is_complete
        Whether scores say something of the rotation: those of an overcomplete basis are correlated with its outputs
        where it rests, too.
    """

    kept: ClassVar[tuple[str, ...]] = ("_filters", "_expected", "_linear", "_mean", "_count", "_sums", "_ready")

    def __init__(self, n_features: int, n_outputs: int, is_complete: bool = True) -> None:
        self._parts = (COVARIANCE, ROTATION) if is_complete else (COVARIANCE,)
        self._filters: Floats = np.zeros((n_features, n_outputs), np.float32)
        self._expected: Floats = np.zeros((n_outputs, n_outputs), np.float32)
        self._linear: Floats = np.zeros(n_outputs, np.float32)
        self._mean: Floats = np.zeros((n_outputs, n_outputs), np.float32)
        self._count = 0
        # For covariance and rotation: products of surprises, squares, the terms that are tested, their squares, number.
        self._sums: Floats = np.zeros((2, 5))
        self._ready = False

    def every(self, blocks: float) -> int:
        """Return how many blocks are between two that are looked at, where so many count."""
        return int(min(max(blocks // BLOCKS_A_LOOK, 1), EVERY))

    def expect(self, whitener: StreamingWhitener, rule: Rule) -> None:
        """Take the outputs and their covariance as the learner has them now."""
        n = len(self._mean)
        self._filters[:] = rule.outputs(n)
        self._expected[:] = self._filters.T @ whitener.covariance() @ self._filters
        self._linear[:] = rule.linear_part(n)
        self._ready = True

    def add(self, rows: Floats, beta: float, horizon: Horizon) -> float:
        """Take in a block of rows (n, K) float32 that the learner does not know yet.

        Parameters
        ----------
        rows
            Relative to the running mean.
        beta
            Of the scores.
        horizon
            Says which rows count.

        Returns
        -------
        By what the horizon is to be multiplied; 1 where nothing is known.
        """
        if not self._ready:
            return 1.0
        surprise, blocks = self._surprise(rows, beta), max(horizon.length / len(rows), 1.0)
        if self._count:
            both, turned = float(np.vdot(self._mean, surprise)), float(np.vdot(self._mean.T, surprise))
            square, crossed = float(np.vdot(surprise, surprise)), float(np.vdot(surprise.T, surprise))
            for part, sign in ((COVARIANCE, 1), (ROTATION, -1)):
                product, size = (both + sign * turned) / 2, (square + sign * crossed) / 2
                term = product - BEST[part] / blocks * size
                self._sums[part] += (product, size, term, term * term, 1)
        self._count += 1
        self._mean += max(1 / self._count, min(1.0, self.every(blocks) / (SHARE * blocks))) * (surprise - self._mean)
        return self._step(blocks, SHORTEN if math.isfinite(horizon.bound) else END)

    def clear(self) -> None:
        """Start again after a change."""
        self._count, self._ready = 0, False
        self._sums[:] = 0

    def _surprise(self, rows: Floats, beta: float) -> Floats:
        """Return what second moments and, without their linear part, scores have beyond what is expected (m, m).

        The first is symmetric, and the second made antisymmetric: one matrix holds both.
        """
        y = rows @ self._filters
        moments = y.T @ y / np.float32(len(rows)) - self._expected
        if ROTATION not in self._parts:
            return np.asarray(moments)
        scores = np.float32(beta) * np.tanh(np.float32(beta / 2) * y) - self._linear * y
        gradient = scores.T @ y / np.float32(len(rows))
        return np.asarray(moments + gradient - gradient.T)

    def _step(self, blocks: float, shorten: float) -> float:
        """Return by what the horizon is to be multiplied: it is as short as covariance or rotation asks for."""
        products, squares, terms, sizes, n = self._sums[list(self._parts)].T
        if n[0] < LEAST_TERMS:
            return 1.0
        errors = terms / np.sqrt(np.maximum(sizes, 1e-30))
        if errors.max() > shorten:
            part = int(np.argmax(errors))
            ratio = blocks * products[part] / max(squares[part], 1e-30)
            factor = (BEST[part] / max(ratio, BEST[part])) ** (1 / 3)
            self._sums[:] = 0
            return float(min(max(factor, SHORTEST), SHORTER))
        if errors.min() < -LENGTHEN and errors.max() < 0:
            self._sums[:] = 0
            return LONGER
        return 1.0
