"""Affine: what an encoder computes in few steps, with the mean where float32 loses least by it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import neurons
from stream_infomax.learning.infomax.encoder import Encoder

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Affine:
    """z = bias + Q P (x - mean), and of z the output: z itself, its halves, ln(|z| + 0.1), or σ(z)²/4.

    Amplitude, and slope and offset of the neurons, are in the products already.

    Attributes
    ----------
    first
        P, (K0, K) float64 where Q is there, else all of it, (K1, K).
    second
        Q, (K1, K0) float64; None where one product is not more work than two.
    mean
        What is taken from a row first, (K,) float32; None where the bias has it.
    bias
        What is added behind P, float64.
    deviations
        Standard deviations of a row's numbers, as the basis has them, (K,) float64.
    """

    first: Doubles
    second: Doubles | None
    mean: Floats | None
    bias: Doubles
    deviations: Doubles

    @classmethod
    def of(cls, encoder: Encoder, *, thin: bool = True, subtract: bool = False) -> Self:
        """Return the steps of an encoder.

        Parameters
        ----------
        encoder
            The basis.
        thin
            Allow two thin products.
        subtract
            Always take the mean from a row first.
        """
        filters, offset = _of_output(encoder)
        mean = encoder.mean.astype(np.float64)
        deviations = _deviations(encoder)
        subtracted = mean.astype(np.float32) if subtract or costs_digits(filters, mean, deviations) else None
        rest = mean if subtracted is None else mean - subtracted
        one = cls(filters, None, subtracted, offset - filters @ rest, deviations)
        n_outputs, n_inputs = filters.shape
        n_rank = encoder.n_rank
        # An offset of the neurons has no place before the second product.
        if thin and not offset.any() and 2 * n_rank < n_inputs and n_rank * (n_inputs + n_outputs) < filters.size:
            left, values, right = np.linalg.svd(filters, full_matrices=False)
            first = values[:n_rank, None] * right[:n_rank]
            one = replace(one, first=first, second=left[:, :n_rank], bias=-first @ rest)
        return one

    @property
    def n_multiplications(self) -> int:
        """Of a row."""
        return self.first.size + (0 if self.second is None else self.second.size)

    def __call__(self, rows: NDArray[Any]) -> Doubles:
        """Return z of rows (n, K), in float64."""
        z = (rows if self.mean is None else rows - self.mean.astype(np.float64)) @ self.first.T + self.bias
        return np.asarray(z if self.second is None else z @ self.second.T)

    def rounded(self, rows: NDArray[Any]) -> Floats:
        """Return z of rows (n, K), in float32."""
        taken = (rows if self.mean is None else rows - self.mean.astype(np.float64)).astype(np.float32)
        z = taken @ self.first.T.astype(np.float32) + self.bias.astype(np.float32)
        return np.asarray(z if self.second is None else z @ self.second.T.astype(np.float32), np.float32)


def costs_digits(filters: Doubles, mean: Doubles, deviations: Doubles) -> bool:
    """Return whether the mean, as a part of the bias, would more than double what float32 rounds.

    A product's rounding grows with the sum of its terms' magnitudes: of rows about their mean with the deviations, of
    rows as they are with the mean too.
    """
    return bool((np.abs(filters) @ np.abs(mean) > np.abs(filters) @ deviations).any())


def output_of(z: Doubles, output: str) -> Doubles:
    """Return the output (n, width) for z."""
    if output == "halves":
        return np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], axis=1)
    if output == "log":
        return np.asarray(np.log(np.abs(z) + neurons.LOG_FLOOR))
    if output == "rate":
        return np.asarray(neurons.gain(z) ** 2 / 4)
    return z


def _of_output(encoder: Encoder) -> tuple[Doubles, Doubles]:
    """Return the filters (K1, K) that give z, and what is added to it."""
    filters = encoder.components.astype(np.float64)
    if encoder.output in ("potential", "halves"):
        return filters, np.zeros(len(filters))
    raw = filters / encoder.amplitude
    if encoder.output == "log":
        return raw, np.zeros(len(filters))
    return encoder.beta.astype(np.float64)[:, None] * raw, encoder.bias.astype(np.float64)


def _deviations(encoder: Encoder) -> Doubles:
    """Return the standard deviations of a row's numbers: x ≈ μ + B y with a covariance a² B Bᵀ."""
    mixing = encoder.mixing.astype(np.float64)
    return np.asarray(encoder.amplitude * np.sqrt(np.einsum("ij,ij->i", mixing, mixing)))
