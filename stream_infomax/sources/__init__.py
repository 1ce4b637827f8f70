"""Sensors to frames: seekable iterables over recordings, pictures and synthetic signals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from stream_infomax.streaming.frames import Frame
from stream_infomax.streaming.stage import Metrics


class Source(Protocol):
    """Frames with offsets, the same ones at every reading."""

    name: str

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from offset `start` on; the last of each stream has `end`."""
        ...

    def metrics(self) -> Metrics:
        """Return what is worth watching while it runs."""
        ...


def build(kind: str, **settings: Any) -> Source:
    """Return the source of that kind: ``audio``, ``images`` or ``synthetic``; `settings` are its own."""
    if kind == "audio":
        from stream_infomax.sources.audio import AudioSource

        return AudioSource(**settings)
    if kind == "images":
        from stream_infomax.sources.images import ImageSource

        return ImageSource(**settings)
    if kind == "synthetic":
        from stream_infomax.sources.synthetic import SyntheticSource

        return SyntheticSource(**settings)
    raise ValueError(f"no source of kind {kind!r}; there are audio, images and synthetic")
