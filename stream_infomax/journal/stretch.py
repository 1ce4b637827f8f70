"""Frames over the parts of a journal, and how far they follow one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from stream_infomax.frames.frame import Frame
from stream_infomax.journal.reading import PartReader


def frames_of(parts: Sequence[Path], start: int) -> Iterator[Frame]:
    """Yield the frames of the parts, oldest first, from the offset `start` on; what is damaged is missing."""
    for path in parts:
        for entry in PartReader(path).entries(start):
            yield entry.frame


def newest_stretch(parts: Sequence[Path]) -> int:
    """Return the offset from which on no frame is missing between the parts, oldest first."""
    begin = _span(parts[-1])[0]
    for path in reversed(parts[:-1]):
        first, following = _span(path)
        if following != begin:
            break
        begin = first
    return begin


def _span(path: Path) -> tuple[int, int]:
    """Return the first offset in a part, and the one after its last."""
    reader = PartReader(path)
    found = reader.summary()
    if found is not None and found.statistics is not None:
        return reader.first, reader.first + found.statistics.message_count
    last = reader.first - 1
    for place in reader.places():
        last = place.offset
    return reader.first, last + 1
