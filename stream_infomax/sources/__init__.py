"""Sensors to frames: seekable iterables over recordings, pictures and synthetic signals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from stream_infomax.frames.contracts import Metrics, State
from stream_infomax.frames.frame import Frame


class Source(Protocol):
    """Frames with offsets, the same ones at every reading."""

    name: str

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from offset `start` on; the last of each stream has `end`."""
        ...

    def state(self) -> State:
        """Return what tells whether the same offsets still mean the same data."""
        ...

    def restore(self, state: State) -> None:
        """Give the frames that the source of this state gave. Raises ValueError where they are not there any more."""
        ...

    def metrics(self) -> Metrics:
        """Return what is worth watching while it runs."""
        ...
