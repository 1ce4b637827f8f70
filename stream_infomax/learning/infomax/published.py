"""Published: a basis as the world sees it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from stream_infomax.state.kept import Kept

if TYPE_CHECKING:  # who only encodes needs no kernels
    from stream_infomax.learning.infomax.rules import Rule
    from stream_infomax.learning.infomax.whitening import StreamingWhitener

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Published(Kept):
    """A basis that is never changed, only replaced.

    Attributes
    ----------
    mean
        μ, (K,) float64.
    rotation
        C, (K0, K1) float32.
    filters
        Wᵀ, (K1, K) float32: y = Wᵀ (x - μ).
    basis
        B, (K, K1) float32: x ≈ μ + B y.
    amplitude
        a = sqrt(K1/K0) of y = a ŷ.
    beta, bias
        Of the neurons' g = σ(β ŷ + b), (K1,) float32.
    """

    kept: ClassVar[tuple[str, ...]] = ("mean", "rotation", "filters", "basis", "amplitude", "beta", "bias")

    mean: Floats
    rotation: Floats
    filters: Floats
    basis: Floats
    amplitude: float
    beta: Floats
    bias: Floats

    @classmethod
    def of(cls, whitener: StreamingWhitener, rule: Rule) -> Self:
        """Return the averaged basis in the whitening as it stands."""
        amplitude = math.sqrt(rule.n_components / rule.n_rank)
        rotation = rule.published()
        filters = (amplitude * (whitener.scale[:, None] * whitener.whiten).T).astype(np.float32)
        basis = (whitener.dewhiten / (amplitude * whitener.scale[:, None])).astype(np.float32)
        return cls(
            mean=whitener.reference.copy(),
            rotation=rotation,
            filters=rotation.T @ filters,
            basis=basis @ rotation,
            amplitude=amplitude,
            beta=rule.tuning.beta.astype(np.float32),
            bias=rule.tuning.bias.astype(np.float32),
        )

    def version(self, output: str) -> str:
        """Return 12 hexadecimal digits that stand for this basis and what its outputs are.

        They begin the SHA-256 of the bytes of mean, filters, basis, beta and bias and of the output's name.
        """
        known: dict[str, str] = vars(self).setdefault("_versions", {})
        if output not in known:
            known[output] = version_of((self.mean, self.filters, self.basis, self.beta, self.bias), output)
        return known[output]


def version_of(arrays: Iterable[Floats], output: str) -> str:
    """Return the version of mean, filters, basis, beta and bias with an output; little-endian, in C order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    digest.update(output.encode())
    return digest.hexdigest()[:12]
