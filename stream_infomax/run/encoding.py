"""The stages of a run that only encode, so that what each of them makes of other data can be read."""

from __future__ import annotations

from collections.abc import Iterable

from stream_infomax.frames.contracts import Encoder


def start_encoding(stages: Iterable[Encoder], *, untrained: bool = False) -> None:
    """Let stages, in their order, learn nothing and pass on what all before them make; see `Encoder`."""
    before: tuple[str, ...] = ()
    for stage in stages:
        stage.start_encoding(before, untrained=untrained)
        before = (*before, stage.name, f"{stage.name}.context")
