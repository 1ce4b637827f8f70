"""Frames over the parts of a journal, what is missing among them, and how far they follow one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from stream_infomax.frames.frame import Frame
from stream_infomax.journal.mending import NAME
from stream_infomax.journal.reading import Entry, PartReader

# How many gaps are named.
MOST_NAMED = 5


class Gap(NamedTuple):
    """Frames that are not there, the first and the last offset; damaged: their file is there, they cannot be read."""

    first: int
    last: int
    damaged: bool


class Stretch:
    """The frames of a journal's parts from an offset on, and what is missing among them.

    Parameters
    ----------
    parts
        The files, oldest first.
    start
        The offset of the first frame.

    Attributes
    ----------
    gaps
        The frames that are missing, as far as the frames were read.
    unreadable
        Files that are no part at all, with why.
    ends
        Words on the end of the journal, where nobody knows how many frames are missing.
    """

    def __init__(self, parts: Sequence[Path], start: int = 0) -> None:
        self._parts = parts
        self._start = start
        self._clear()

    def entries(self) -> Iterator[tuple[PartReader, Entry]]:
        """Yield the frames, each with the reader of its file; what cannot be read is passed over and noted."""
        self._clear()
        for path in self._parts:
            self.ends.clear()
            try:
                reader = reader_of(path)
            except ValueError as error:
                self._pass_over(path, str(error))
                continue
            self._until(max(self._start, reader.first), damaged=False)
            yield from self._within(reader)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames; what follows missing ones is another segment, so that nothing reaches across."""
        expected = -1
        holes: dict[str, int] = {}  # of each stream, since it began
        for _, entry in self.entries():
            frame = entry.frame
            if frame.offset != expected:
                holes = {stream: n + 1 for stream, n in holes.items()}
            expected = frame.offset + 1
            segment = segment_after(frame.segment, holes.setdefault(frame.stream, 0))
            yield frame if segment == frame.segment else replace(frame, segment=segment)

    @property
    def lost(self) -> int:
        """How many frames are missing; an end of which nobody knows counts as one."""
        return sum(gap.last - gap.first + 1 for gap in self.gaps) + len(self.ends)

    def missing(self) -> str:
        """Return in words what is missing, as far as the frames were read; empty: nothing."""
        said = [
            _counted([gap for gap in self.gaps if gap.damaged is damaged], word)
            for damaged, word in ((False, "missing"), (True, "damaged"))
        ]
        return "; ".join(filter(None, [*said, *self.unreadable, *(end for end in self.ends if end)]))

    def _clear(self) -> None:
        self.gaps: list[Gap] = []
        self.unreadable: list[str] = []
        self.ends: list[str] = []
        self._expected = -1  # the offset that comes next; -1: any may

    def _pass_over(self, path: Path, why: str) -> None:
        """Note a file that is no part: its name says with which frame it begins."""
        self.unreadable.append(why)
        named = NAME.fullmatch(path.name)
        if named is not None:
            self._until(max(self._start, int(named[1])), damaged=False)
        if not path.is_file() or path.stat().st_size:  # of an empty one, no frame was ever written
            self.ends = [""]

    def _within(self, reader: PartReader) -> Iterator[tuple[PartReader, Entry]]:
        """Yield the frames of a part."""
        before = len(self.gaps)
        broken = ""
        try:
            for entry in reader.entries(self._expected):
                self._until(entry.frame.offset, damaged=bool(reader.n_damaged))
                self._expected = entry.frame.offset + 1
                yield reader, entry
        except OSError as error:
            broken = f"{reader.path}: {error.strerror}"
        found = None if broken else reader.summary()
        if found is not None and found.statistics is not None:
            self._until(reader.first + found.statistics.message_count, damaged=bool(reader.n_damaged))
        if (broken or reader.n_damaged) and len(self.gaps) == before:
            self.ends = [broken or f"{reader.path}: {reader.damage[0]}"]

    def _until(self, offset: int, *, damaged: bool) -> None:
        """Note that no frame is there from the expected one up to this offset."""
        if 0 <= self._expected < offset:
            self.gaps.append(Gap(self._expected, offset - 1, damaged))
        self._expected = max(self._expected, offset)


def segment_after(segment: str, holes: int) -> str:
    """Return the name of a segment in which frames are missing so many times before."""
    return f"{segment} (after gap {holes})" if holes else segment


def frames_of(parts: Sequence[Path], start: int) -> Iterator[Frame]:
    """Yield the frames of the parts, oldest first, from the offset `start` on; what is damaged is missing."""
    for _, entry in Stretch(parts, start).entries():
        yield entry.frame


def reader_of(path: Path) -> PartReader:
    """Return the reader of a part. Raises ValueError, with the file's name, where it is none or cannot be read."""
    try:
        return PartReader(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error


def newest_stretch(parts: Sequence[Path]) -> int:
    """Return the offset from which on no frame is missing between the parts, oldest first.

    Raises
    ------
    ValueError
        Where one cannot be read.
    """
    begin = _span(parts[-1])[0]
    for path in reversed(parts[:-1]):
        first, following = _span(path)
        if following != begin:
            break
        begin = first
    return begin


def _span(path: Path) -> tuple[int, int]:
    """Return the first offset in a part, and the one after its last."""
    reader = reader_of(path)
    found = reader.summary()
    if found is not None and found.statistics is not None:
        return reader.first, reader.first + found.statistics.message_count
    last = reader.first - 1
    for place in reader.places():
        last = place.offset
    return reader.first, last + 1


def _counted(gaps: Sequence[Gap], what: str) -> str:
    """Return how many frames are missing in gaps, and which; empty: none."""
    n = sum(gap.last - gap.first + 1 for gap in gaps)
    named = [str(gap.first) if gap.first == gap.last else f"{gap.first} to {gap.last}" for gap in gaps[:MOST_NAMED]]
    more = [f"{len(gaps) - MOST_NAMED:,} more gaps"] if len(gaps) > MOST_NAMED else []
    are = "frame is" if n == 1 else "frames are"
    return f"{n:,} {are} {what} ({', '.join(named + more)})" if n else ""
