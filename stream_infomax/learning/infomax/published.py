"""Published: a basis as the world sees it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.matrices import nearer_rotation, nearest_rotation
from stream_infomax.state.file import copied
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
    def of(cls, whitener: StreamingWhitener, rule: Rule, rotation: Floats | None = None) -> Self:
        """Return the averaged basis in the whitening as it stands, with C (K0, K1) where that is known by now."""
        amplitude = math.sqrt(rule.n_components / rule.n_rank)
        if rotation is None:
            rotation = nearest_rotation(rule.averaged())
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

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Return the basis of a state. Raises KeyError or ValueError, which names the key, where it is none."""
        made = cls(**copied({name: state[name] for name in cls.kept}))
        K1, K = np.shape(made.filters) if np.ndim(made.filters) == 2 else (0, 0)
        K0 = len(made.rotation) if np.ndim(made.rotation) == 2 else 0
        shapes = {
            "filters": (K1, K),
            "rotation": (K0, K1),
            "basis": (K, K1),
            "mean": (K,),
            "beta": (K1,),
            "bias": (K1,),
        }
        for name, shape in shapes.items():
            array = getattr(made, name)
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.shape != shape or not all(shape):
                found = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else f"{array!r:.80}"
                raise ValueError(f"{name}: {found}; accepted are floats that fit the other arrays")
        if not isinstance(made.amplitude, int | float) or not 0 < made.amplitude < math.inf:
            raise ValueError(f"amplitude: {made.amplitude!r:.80}; accepted is a number above 0")
        return made

    def state(self) -> dict[str, Any]:
        """Return what `Kept` does, with the arrays themselves, which nobody can write to there."""
        return {name: _lent(getattr(self, name)) for name in self.kept}

    def version(self, output: str) -> str:
        """Return 12 hexadecimal digits that stand for this basis and what its outputs are.

        They begin the SHA-256 of the bytes of mean, filters, basis, beta and bias and of the output's name.
        """
        known: dict[str, str] = vars(self).setdefault("_versions", {})
        if output not in known:
            known[output] = version_of((self.mean, self.filters, self.basis, self.beta, self.bias), output)
        return known[output]


class Publication(Kept):
    """The way to the next published basis, in pieces of two products.

    Attributes
    ----------
    rotation
        What the average of C has become, (K0, K1) float32; (0, 0) where no publication is under way.
    exact
        Whether that is its nearest admissible C.
    """

    kept = ("rotation", "exact")
    free: ClassVar = {"rotation": (0, 1)}

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Give up what is under way."""
        self.rotation: Floats = np.zeros((0, 0), np.float32)
        self.exact = False

    @property
    def under_way(self) -> bool:
        """Whether there is more to do."""
        return bool(self.rotation.size)

    def step(self, whitener: StreamingWhitener, rule: Rule) -> Published | None:
        """Do the next piece; return the basis with the last one. The whitening stays what it is meanwhile."""
        if not self.under_way:
            if not np.isfinite(rule.averaged()).all():
                rule.recover()
            self.rotation = np.array(rule.averaged())
            return None
        if not self.exact:
            self.rotation, self.exact = nearer_rotation(self.rotation)
            return None
        published = Published.of(whitener, rule, self.rotation)
        self.clear()
        return published


def _lent(value: Floats | float) -> Floats | float:
    if not isinstance(value, np.ndarray):
        return value
    lent = value.view()
    lent.flags.writeable = False
    return lent


def version_of(arrays: Iterable[Floats], output: str) -> str:
    """Return the version of mean, filters, basis, beta and bias with an output; little-endian, in C order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    digest.update(output.encode())
    return digest.hexdigest()[:12]
