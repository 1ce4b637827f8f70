"""Moments: what rows add to a covariance, counted from a fixed point, so that those of several learners add up."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]


class Moments(Kept):
    """Weight, sum and products of rows, each x counted as (x - point) * scale.

    Each block comes as its mean and its products about that (Chan, Golub & LeVeque 1983); moments about the same point
    add up, in any order.

    Parameters
    ----------
    point
        From which rows are counted, (K,).

    Attributes
    ----------
    weight, sum, scatter
        Σ 1, Σ x (K,) and Σ x xᵀ (K, K); float64.
    """

    kept: ClassVar[tuple[str, ...]] = ("point", "weight", "sum", "scatter")

    def __init__(self, point: Floats) -> None:
        n_features = len(point)
        self.point: Floats = np.array(point, np.float64)
        self.weight = 0.0
        self.sum: Floats = np.zeros(n_features)
        self.scatter: Floats = np.zeros((n_features, n_features))

    def add(self, n: int, mean: Floats, gram: Floats, rest: Floats, decay: float = 1.0) -> None:
        """Take in n rows.

        Parameters
        ----------
        n
            Their number.
        mean
            m (K,) float64, near their mean.
        gram
            Σ (x - m)(x - m)ᵀ (K, K).
        rest
            Σ (x - m) (K,); 0 if m were exact.
        decay
            What the rows before count for now.
        """
        if decay < 1:
            self.weight *= decay
            self.sum *= decay
            self.scatter *= decay
        # Σ x xᵀ = Σ (x - m)(x - m)ᵀ + m Σ xᵀ + Σ (x - m) mᵀ
        total = n * mean + rest
        kernels.accumulate(self.scatter, gram, mean, total, rest)
        self.weight += n
        self.sum += total
