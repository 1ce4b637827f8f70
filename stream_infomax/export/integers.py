"""Integers: filters of 8 or 16 bits, rounded so that the errors fall where rows hardly vary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_infomax.export.affine import Affine, Doubles, Floats
from stream_infomax.learning.infomax.encoder import Encoder
from stream_infomax.learning.threads import one_thread

# A row is rounded to integers from -LARGEST to LARGEST.
LARGEST = 32767
# Where the error of rounding rows is stated: for rows whose largest number is so many deviations from the mean.
DEVIATIONS = 10


@dataclass(frozen=True)
class Integers:
    """z = scales step (weights · row) + bias, of integers row = round((x - mean) units / step).

    The step is the largest of these numbers over LARGEST: each row has its own.

    Attributes
    ----------
    weights
        (K1, K) int8 or int16.
    scales
        Of the filters, (K1,) float32.
    mean, units
        What is taken from a row, and what it is multiplied with: one over the deviations; (K,) float32.
    bias
        (K1,) float32.
    filter_error
        Root mean square of what rounding filters changes in z, on rows with the covariance of the basis, over the
        deviation of z: (K1,).
    row_error
        Likewise what rounding rows adds, where their largest number is DEVIATIONS deviations from the mean.
    """

    weights: NDArray[np.signedinteger[Any]]
    scales: Floats
    mean: Floats
    units: Floats
    bias: Floats
    filter_error: Doubles
    row_error: Doubles

    @classmethod
    def of(cls, encoder: Encoder, bits: int) -> Self:
        """Return the integers of an encoder; `bits` is 8 or 16."""
        affine = Affine.of(encoder, thin=False, subtract=True)
        assert affine.mean is not None
        moving = affine.deviations > 0
        units = np.asarray(moving / np.where(moving, affine.deviations, 1), np.float32)
        filters = affine.first * affine.deviations
        with one_thread():
            covariance = _covariance(encoder, affine.deviations)
            kind = np.int8 if bits == 8 else np.int16
            scales = (np.abs(filters).max(axis=1) / np.iinfo(kind).max).astype(np.float32)
            scales = np.where(scales > 0, scales, np.float32(1)).astype(np.float32)
            weights = _rounded(filters / scales[:, None], covariance, np.iinfo(kind).max)
            off = weights * scales[:, None].astype(np.float64) - filters
            deviation = np.maximum(_deviation(filters, covariance), np.finfo(float).tiny)
            rounding = np.sqrt((filters**2).sum(axis=1) / 12) * DEVIATIONS / LARGEST
            return cls(
                weights=weights.astype(kind),
                scales=scales,
                mean=affine.mean,
                units=units,
                bias=affine.bias.astype(np.float32),
                filter_error=_deviation(off, covariance) / deviation,
                row_error=rounding / deviation,
            )

    @property
    def is_narrow(self) -> bool:
        """Whether sums fit into 32 bits."""
        return bool(int(np.iinfo(self.weights.dtype).max) * LARGEST * self.weights.shape[1] < 2**31)

    def steps(self, rows: NDArray[Any]) -> Doubles:
        """Return the step of each row (n,)."""
        return np.asarray(np.abs((rows - self.mean) * self.units).max(axis=1) / LARGEST)

    def __call__(self, rows: NDArray[Any]) -> Doubles:
        """Return z of rows (n, K), in float64."""
        steps = np.maximum(self.steps(rows), np.finfo(np.float32).tiny)[:, None]
        integers = np.rint((rows - self.mean.astype(np.float64)) * self.units / steps)
        return np.asarray(integers @ self.weights.T.astype(np.float64) * steps * self.scales + self.bias)


def _covariance(encoder: Encoder, deviations: Doubles) -> Doubles:
    """Return the covariance of rows in units of their deviations, (K, K), of full rank.

    What the basis leaves out has the least variance of what it keeps: rows do have some there.
    """
    mixing = encoder.amplitude * encoder.mixing.astype(np.float64)
    mixing = mixing / np.where(deviations > 0, deviations, 1)[:, None]
    values, vectors = np.linalg.eigh(mixing @ mixing.T)
    values = np.maximum(values, max(values[-encoder.n_rank], values[-1] * np.finfo(np.float32).eps))
    return np.asarray(vectors * values @ vectors.T)


def _deviation(filters: Doubles, covariance: Doubles) -> Doubles:
    return np.asarray(np.sqrt(np.einsum("ki,ki->k", filters @ covariance, filters)))


def _rounded(filters: Doubles, covariance: Doubles, largest: int) -> Doubles:
    """Return whole numbers near filters (K1, K), such that the outputs of rows with this covariance change least.

    Column after column is rounded, and what that does to the output is undone in those that are left, as far as rows
    allow it (Frantar et al. 2023, GPTQ). Where neighbouring numbers of a row are alike, most of it can be.
    """
    upper = np.linalg.cholesky(np.linalg.inv(covariance)).T
    left = filters.copy()
    rounded = np.empty_like(filters)
    for column in range(filters.shape[1]):
        rounded[:, column] = np.clip(np.rint(left[:, column]), -largest, largest)
        error = (left[:, column] - rounded[:, column]) / upper[column, column]
        left[:, column + 1 :] -= error[:, None] * upper[column, column + 1 :]
    return rounded
