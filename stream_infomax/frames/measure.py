"""Measure: one figure that is followed over a run. How a kind is shown stands in watch/, not in its name."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["objective", "entropy", "information", "score", "accuracy", "baseline"]


class Measure(msgspec.Struct, frozen=True, order=False):
    """A figure of a stage at a position of the stream.

    Attributes
    ----------
    stage
        The stage's name.
    level
        What of the stage it is about: the array that a classifier reads, the name of a baseline; empty where there is
        only one.
    kind
        What is measured: ``objective`` and ``score`` in nats, ``entropy`` and ``information`` in bits, ``accuracy``
        and ``baseline`` as shares.
    value
        The figure; finite.
    position
        How much of the stream is behind it: rows for ``objective``, ``entropy`` and ``information``, frames for the
        others.
    """

    stage: str
    level: str
    kind: Kind
    value: float
    position: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

    @property
    def curve(self) -> tuple[str, str, Kind]:
        """What tells its curve from others: stage, level, kind."""
        return self.stage, self.level, self.kind
