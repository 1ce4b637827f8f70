"""The rank of the first rows: which directions vary by more than the rounding of the numbers, and their whitening."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

# The mean square of what rounding changes, for a number of size 1 and eps = 1: ulp²/12, with x² spread over a binade.
ROUNDING = 1 / 26
# A direction counts from so many times the variance that rounding alone gives it. What has been computed from K
# numbers (a mean taken out, channels mixed) carries about K roundings.
MARGIN, MARGIN_OF_SUMS = 16.0, 64.0
# No more than this share of a channel's variance is taken for rounding, unless all of it may be.
LARGEST_SHARE, ALL = 1e-3, 8.0
# Eigenvalues that are this much smaller than the largest say nothing in float64.
RESOLUTION = 1e-13


class Precision(NamedTuple):
    """What is known of the rounding of rows.

    Attributes
    ----------
    eps
        Of the coarsest numbers that the rows came in: numpy's `finfo(dtype).eps`.
    origin
        Where rows are counted from, in their deviations from it, (K,): rounding grows with a number's size.
    """

    eps: float
    origin: Floats

    def floor(self, variance: Floats) -> Floats:
        """Return the variance below which a direction is rounding, for each channel's variance (K,); 0 where that is 0.

        Rows are kept as float32 relative to the origin, whatever they came in: that is a rounding of its own.
        """
        n_features, stored = len(variance), float(np.finfo(np.float32).eps)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            offset = np.where(variance > 0, self.origin**2 / variance, 0.0)
        came = ROUNDING * self.eps**2
        share = MARGIN_OF_SUMS * n_features * came + MARGIN * (ROUNDING * stored**2 + came * offset)
        share = np.maximum(np.minimum(share, LARGEST_SHARE), ALL * came * (1 + offset))
        return np.asarray(variance * np.minimum(share + 16 * np.finfo(np.float64).eps * n_features, 2.0))


class Directions(NamedTuple):
    """The directions that are kept.

    Attributes
    ----------
    rank
        How many directions vary by more than rounding.
    whiten
        V (K, K0): Vᵀ Σ V = I.
    metric
        M (K,), in the units of the rows: to follow these directions while Σ changes, M Σ V spans what V becomes.
    """

    rank: int
    whiten: Floats
    metric: Floats


def directions(
    covariance: Floats, floor: Floats, scale: Floats, n_rank: int | None, energy: float, n_components: int | None
) -> Directions:
    """Choose K0 directions and whiten them.

    All that vary by more than rounding are kept, each channel judged by its own rounding and in no unit. Where fewer
    are wanted, the leading ones are, in the units that the rows came in: what has most variance is for the user to say.

    Parameters
    ----------
    covariance
        Σ (K, K) of rows that were multiplied by `scale`.
    floor
        The variance of each channel below which it is rounding, (K,).
    scale
        Of each channel, (K,).
    n_rank, energy, n_components
        As for `StreamingWhitener.settle`.
    """
    inverse = np.where(floor > 0, 1 / np.sqrt(np.where(floor > 0, floor, 1.0)), 0.0)
    values, vectors = _descending(covariance * np.multiply.outer(inverse, inverse))
    rank = int(np.count_nonzero(values > 1))
    whiten = inverse[:, None] * vectors[:, :rank] / np.sqrt(values[:rank])
    metric = np.square(inverse * scale)
    everything = Directions(rank, whiten, metric / max(float(np.max(metric)), 1e-300))
    least = min(rank, n_rank or rank, n_components or rank)
    if least == rank and (n_rank is not None or energy == 1):
        return everything
    unit = np.min(scale) / scale  # rows in their own units, but for a common factor
    values, vectors = _descending(covariance * np.multiply.outer(unit, unit))
    if n_rank is None and energy < 1:
        share = np.sqrt(np.cumsum(np.maximum(values, 0)) / np.maximum(values, 0).sum())
        least = min(least, int(np.searchsorted(share, energy) + 1))
    if least == rank:
        return everything
    if not values[least - 1] > RESOLUTION * values[0]:
        return everything._replace(whiten=whiten[:, :least])
    return Directions(rank, unit[:, None] * vectors[:, :least] / np.sqrt(values[:least]), np.ones_like(scale))


def _descending(matrix: Floats) -> tuple[Floats, Floats]:
    values, vectors = np.linalg.eigh(matrix)
    return values[::-1], vectors[:, ::-1]
