"""Sensors to frames: seekable iterables over recordings, pictures and synthetic signals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from stream_infomax.frames.contracts import Metrics
from stream_infomax.frames.frame import Frame


class Source(Protocol):
    """Frames with offsets, the same ones at every reading."""

    name: str

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from offset `start` on; the last of each stream has `end`."""
        ...

    def metrics(self) -> Metrics:
        """Return what is worth watching while it runs."""
        ...
