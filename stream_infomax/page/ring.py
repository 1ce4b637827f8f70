"""Ring: the last seconds of one array of one stream, in bounded memory."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.frame import Array, Frame

Floats = npt.NDArray[np.float32]

# What a ring holds: seconds of the stream, and bytes.
SECONDS = 5.0
MOST_BYTES = 8 << 20
# What a block takes beside its rows, and a row beside its values: its offset and its time.
BLOCK_BYTES, ROW_BYTES = 256, 16
# Seconds without a frame of its stream after which a ring turns to another one.
PATIENCE = 5.0


class Recent(NamedTuple):
    """What a ring holds.

    Attributes
    ----------
    stream, array
        Of which stream, and the name of the array.
    rows
        (n, K) float32, the newest last; a row of NaN stands where frames are missing.
    offsets
        (n,): the frame that each row is of; of a row of NaN the first one that is missing.
    seconds
        (n,): when, by the stream's own clock; rows of a stream without a rate have the time of their frame.
    rate
        Rows a second; 0 where they have none.
    axes, shape
        The geometry of one row.
    """

    stream: str
    array: str
    rows: Floats
    offsets: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]
    rate: float
    axes: tuple[str, ...]
    shape: tuple[int, ...]


class _Block(NamedTuple):
    offset: int
    rows: Floats
    time: float

    @property
    def nbytes(self) -> int:
        """What it takes."""
        return self.rows.nbytes + ROW_BYTES * len(self.rows) + BLOCK_BYTES


class Ring:
    """The last rows of a service's newest array.

    Of several streams it holds one until that ends or says nothing for a while: a picture of two in turn would show
    neither.

    Parameters
    ----------
    seconds
        Of the stream that it holds; frames without a rate are held so long after they came.
    most_bytes
        What its rows take at most.
    """

    def __init__(self, seconds: float = SECONDS, most_bytes: int = MOST_BYTES) -> None:
        self._seconds, self._most = seconds, most_bytes
        self._blocks: deque[_Block] = deque()
        self._came: deque[float] = deque()
        self._bytes = self._rows = 0
        self._stream = self._array = ""
        self._geometry: tuple[tuple[str, ...], tuple[int, ...]] = ((), ())
        self._rate = 0.0
        self._next = -1
        self._over = True
        self._recent: Recent | None = None  # for all who look at it before more comes

    def add(self, frame: Frame, now: float) -> None:
        """Take in the newest array of a frame, at `now` seconds of a clock that never goes back."""
        if not frame.arrays:
            return
        self._recent = None
        name, array = list(frame.arrays.items())[-1]
        if not math.prod(array.row_shape):  # rows without values show nothing, and there may be any number of them
            return
        late = not self._came or now - self._came[-1] > PATIENCE
        if frame.stream != self._stream and not (self._over or late):
            return
        geometry = (array.axes[array.n_row_axes :], array.row_shape)
        if (frame.stream, name, geometry, frame.rate) != (self._stream, self._array, self._geometry, self._rate):
            self._begin(frame, name, geometry)
        elif frame.offset < self._next:  # after a restart some come again
            return
        rows = self._rows_of(array)
        missing = self._next >= 0 and frame.offset > self._next
        # Other streams have offsets, too: what is missing of this one shows in its time.
        if missing and self._blocks and self._jumps(frame):
            self._push(_Block(self._next, np.full((1, rows.shape[1]), np.nan, np.float32), self._end()), now)
        self._next, self._over = frame.offset + 1, frame.end
        if len(rows):
            self._push(_Block(frame.offset, rows, frame.time), now)
        self._drop(now)

    def recent(self) -> Recent | None:
        """Return what it holds, None while that is nothing; nobody writes into it."""
        if self._recent is None and self._blocks:
            step = 1 / self._rate if self._rate else 0.0
            self._recent = Recent(
                self._stream,
                self._array,
                np.concatenate([block.rows for block in self._blocks]),
                np.concatenate([np.full(len(block.rows), block.offset, np.int64) for block in self._blocks]),
                np.concatenate([block.time + step * np.arange(len(block.rows)) for block in self._blocks]),
                self._rate,
                *self._geometry,
            )
        return self._recent

    def _begin(self, frame: Frame, name: str, geometry: tuple[Any, Any]) -> None:
        self._blocks.clear()
        self._came.clear()
        self._bytes, self._rows, self._next = 0, 0, -1
        self._stream, self._array, self._geometry, self._rate = frame.stream, name, geometry, frame.rate

    def _rows_of(self, array: Array) -> Floats:
        """Return the last rows of an array, no more than there is room for, as a copy of their own."""
        rows = array.rows()
        most = max(1, self._most // (4 * rows.shape[1] + ROW_BYTES))
        return np.array(rows[-most:], np.float32)

    def _end(self) -> float:
        last = self._blocks[-1]
        return last.time + (len(last.rows) / self._rate if self._rate else 0.0)

    def _jumps(self, frame: Frame) -> bool:
        """Return whether a frame begins later than the one before it ended, or is of another stretch of time."""
        return not self._rate or abs(frame.time - self._end()) > 0.5 / self._rate

    def _push(self, block: _Block, now: float) -> None:
        self._blocks.append(block)
        self._came.append(now)
        self._bytes += block.nbytes
        self._rows += len(block.rows)

    def _drop(self, now: float) -> None:
        while len(self._blocks) > 1 and (self._bytes > self._most or self._is_old(now)):
            oldest = self._blocks.popleft()
            self._bytes -= oldest.nbytes
            self._rows -= len(oldest.rows)
            self._came.popleft()

    def _is_old(self, now: float) -> bool:
        if not self._rate:
            return now - self._came[0] > self._seconds
        return self._rows - len(self._blocks[0].rows) >= self._seconds * self._rate
