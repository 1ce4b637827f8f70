"""What live sources share: settings, and the cutting of rows that come in any portions into frames and segments."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.record import Settings
from stream_infomax.settings.types import Doc, NotNegative, NotNegativeFloat, PositiveFloat

Rows = npt.NDArray[Any]
# Seconds of a frame where no size is set.
FRAME_SECONDS = 0.02


class LiveSettings(Settings, frozen=True, kw_only=True):
    """What every live source has."""

    frame: Annotated[
        NotNegative, Doc("Rows of one frame; 0 makes it 20 ms, or as many as come at once where there is no rate.")
    ] = 0
    segment_seconds: Annotated[
        PositiveFloat, Doc("Seconds after which a segment ends and the next begins: nothing reaches across.")
    ] = 10.0
    duration: Annotated[
        NotNegativeFloat, Doc("Seconds of data after which the stream ends; 0: it goes on until somebody stops it.")
    ] = 0.0


class Cutter:
    """Frames of one stream from rows that come in any portions.

    A segment is called after the time of its first row. Where rows are missing the next one begins: so every stage
    learns that they do not follow.

    Parameters
    ----------
    stream
        Name of the stream.
    axes
        Of the rows, for example ("time", "channel").
    rate
        Rows a second; 0 where they come irregularly, and then every portion has its own time.
    settings
        Rows of a frame, seconds of a segment and of the whole.
    array
        Name of the array; empty: that of the stream.

    Attributes
    ----------
    given
        Seconds of data so far. A source saves it, and sets it when it is continued: so the stream ends when it would
        have.
    """

    def __init__(
        self, stream: str, axes: tuple[str, ...], rate: float, settings: LiveSettings, array: str = ""
    ) -> None:
        self.stream = stream
        self.array = array or stream
        self.axes = axes
        self.rate = rate
        self._over = False
        self._size = settings.frame or (max(1, round(FRAME_SECONDS * rate)) if rate else 0)
        self._segment_rows = max(1, round(settings.segment_seconds * rate))
        self._segment_seconds = settings.segment_seconds
        self._duration = settings.duration
        self._rows: deque[tuple[Rows, float]] = deque()
        self._n_rows = 0
        self._frames: deque[Frame] = deque()
        self._segment = ""
        self._begun: float | None = None  # the time of the first row of the open segment
        self._in_segment = 0
        self.given = 0.0
        self._previous: float | None = None
        self._empty: Rows | None = None  # no row, in the shape of those that came

    @property
    def size(self) -> int:
        """Rows of a frame; 0 where each has as many as come at once."""
        return self._size

    @property
    def ended(self) -> bool:
        """Whether the last frame has been taken."""
        return self._over and not self._frames

    def add(self, rows: Rows, time: float) -> None:
        """Take rows, of which the first has this time in seconds."""
        if not len(rows) or self._over:
            return
        self._rows.append((rows, time))
        self._n_rows += len(rows)
        self._empty = rows[:0]
        while self._n_rows and self._n_rows >= self._size:
            self._cut(self._size or len(self._rows[0][0]))

    def gap(self) -> None:
        """Rows are missing after those that came: give these, and begin another segment."""
        self.flush()
        self._begun = None

    def flush(self) -> None:
        """Give the rows that fill no frame as a shorter one."""
        if self._n_rows:
            self._cut(self._n_rows)

    def end(self) -> None:
        """End the stream, with a frame without rows."""
        self.flush()
        if not self._over:
            arrays = {} if self._empty is None else {self.array: Array(self._empty, self.axes)}
            self._over = True
            self._frames.append(
                Frame(self.stream, segment=self._segment, arrays=arrays, last=True, end=True, rate=self.rate)
            )

    def take(self) -> Frame | None:
        """Return the next frame, None where there is none yet."""
        return self._frames.popleft() if self._frames else None

    def _cut(self, n_rows: int) -> None:
        """Make a frame of the oldest rows."""
        rows, time = self._oldest(n_rows)
        if self._begun is None:
            self._begun, self._in_segment, self._segment = time, 0, called(time, self._segment)
        if not self.rate and self._previous is not None:
            self.given += max(0.0, time - self._previous)
        self._previous = time
        self._in_segment += n_rows
        self.given += n_rows / self.rate if self.rate else 0.0
        end = bool(self._duration and self.given >= self._duration - 1e-6)  # sums of floats
        full = self._in_segment >= self._segment_rows if self.rate else time - self._begun >= self._segment_seconds
        self._frames.append(
            Frame(
                stream=self.stream,
                segment=self._segment,
                arrays={self.array: Array(rows, self.axes)},
                last=full or end,
                end=end,
                time=time,
                rate=self.rate,
            )
        )
        if full or end:
            self._begun = None
        if end:
            self._over = True
            self._rows.clear()
            self._n_rows = 0

    def _oldest(self, n_rows: int) -> tuple[Rows, float]:
        """Return the oldest rows, and the time of the first."""
        time = self._rows[0][1]
        taken: list[Rows] = []
        missing = n_rows
        while missing:
            rows, at = self._rows.popleft()
            taken.append(rows[:missing])
            rest = rows[missing:]
            if len(rest):
                self._rows.appendleft((rest, at + missing / self.rate if self.rate else at))
            missing -= len(taken[-1])
        self._n_rows -= n_rows
        return (taken[0] if len(taken) == 1 else np.concatenate(taken)), time


def called(time: float, previous: str) -> str:
    """Return the name of a segment that begins at a time, another one than that of the segment before."""
    try:
        name = datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # the clock of a device says anything
        name = f"{time!r} s"
    base, _, number = previous.partition(" #")
    return f"{name} #{int(number or 1) + 1}" if base == name else name
