"""Borders: where the parts of a stream of frames end. Only the frames decide, never a clock or a restart."""

from __future__ import annotations

from typing import NamedTuple

from stream_infomax.frames.frame import Frame
from stream_infomax.sinks.columns import Columns


class Part(NamedTuple):
    """A part that is complete.

    Attributes
    ----------
    first, next
        The offset of its first frame, and the one after its last.
    seconds
        Of data that it holds.
    columns
        Of its arrays.
    """

    first: int
    next: int
    seconds: float
    columns: Columns


class Borders:
    """The end of each part: after the frame with which it has enough bytes or seconds.

    A part waits until the widths of all its arrays are known, and ends before a frame whose rows cannot stand below
    its own.

    Parameters
    ----------
    n_bytes, seconds
        With which a part is complete; 0 seconds: bytes alone say.

    Attributes
    ----------
    complete
        Parts that nobody has taken yet.
    before
        The columns when the part began that is not complete: whoever is given its frames again goes on from there.
    """

    def __init__(self, n_bytes: int, seconds: float) -> None:
        self.n_bytes, self.seconds = n_bytes, seconds
        self.complete: list[Part] = []
        self.columns, self.before = Columns(), Columns()
        self._first, self._next = -1, 0
        self._bytes = 0
        self._clock = _Clock()

    def add(self, frame: Frame, n_bytes: int) -> None:
        """Take in the next frame, and what it takes."""
        if self.columns.misfit(frame):
            self.end()
            self.columns.replace(frame)
        if self._first < 0:
            self._first = frame.offset
        self.columns.add(frame)
        self._clock.add(frame)
        self._bytes += n_bytes
        self._next = frame.offset + 1
        enough = self._bytes >= self.n_bytes or 0 < self.seconds <= self._clock.seconds
        if enough and self.columns.settled:
            self.end()

    def end(self) -> None:
        """End the part that has begun, if one has."""
        if self._first >= 0:
            self.complete.append(Part(self._first, self._next, self._clock.seconds, Columns(self.columns.of)))
        self._first, self._bytes, self._clock = -1, 0, _Clock()
        self.before = Columns(self.columns.of)

    def begin(self, columns: Columns) -> None:
        """Begin a part behind others that had these columns."""
        self.columns, self.before = columns, Columns(columns.of)


class _Clock:
    """Seconds of data: as many as the stream has brought that brought most.

    Rows with a rate are counted; of others the times say how far they went. What a clock does between two rows of a
    rate changes nothing.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._streams: dict[str, tuple[float, float]] = {}  # time of the newest frame, and seconds so far

    def add(self, frame: Frame) -> None:
        if not frame.arrays:
            return
        timed = [array.n_rows for array in frame.arrays.values() if "time" in array.axes]
        length = timed[-1] / frame.rate if timed and frame.rate else 0.0
        if frame.stream in self._streams:
            time, seconds = self._streams[frame.stream]
            seconds += length or max(0.0, frame.time - time)
        else:
            seconds = max(length, self.seconds)
        self._streams[frame.stream] = (frame.time, seconds)
        self.seconds = max(self.seconds, seconds)
