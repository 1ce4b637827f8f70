"""Basis: what a stage encodes with, for those who read its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import msgspec
import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]


class Basis(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A basis, and from where on it holds.

    Attributes
    ----------
    stage, encoder
        The learner's stage, and the id on its frames.
    version, previous
        Of this basis, and of the one that it takes the place of; empty where that is not known.
    offset
        The first frame that is encoded with it, in the stage's life.
    output
        What the rows are: ``potential``, ``halves``, ``rate``, ``poisson`` or ``log``.
    amplitude
        a = sqrt(K1/K0) of y = a ŷ.
    mean
        μ, (K,) float64.
    components
        Wᵀ, (K1, K) float32: y = Wᵀ (x - μ).
    mixing
        B, (K, K1) float32: x ≈ μ + B y.
    beta, bias
        Of the neurons' g = σ(β ŷ + b), (K1,) float32.
    seed
        Of the spikes, where they are drawn.
    stream
        The one stream that it is of; empty where the learner serves all.
    axes, shape
        The geometry of one row of its input: names and lengths of its axes; empty where that is not known.
    """

    stage: str
    encoder: str
    version: str
    previous: str = ""
    offset: int = 0
    output: str
    amplitude: float
    mean: Floats
    components: Floats
    mixing: Floats
    beta: Floats
    bias: Floats
    seed: int | None = None
    stream: str = ""
    axes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """What tells the learner from others of the service: its stage and, where it has one, its stream."""
        return f"{self.stage}/{self.stream}" if self.stream else self.stage


@runtime_checkable
class HasBasis(Protocol):
    """A stage that encodes with a basis."""

    def bases(self) -> Sequence[Basis]:
        """Return those that the next frame may be encoded with, as far as the newest frame may have changed them."""
        ...


def joined(before: str, version: str) -> str:
    """Return a frame's `basis` behind a stage of this version: one a learner, the newest last."""
    return f"{before}/{version}" if before else version
