"""Lsl: what is published is a stream of the lab streaming layer, for whoever listens."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from stream_infomax.frames.contracts import Held, Mark, Output, Sink, State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.ledger import Account
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import optional
from stream_infomax.settings.record import make
from stream_infomax.settings.sink import SinkSettings
from stream_infomax.settings.types import Doc, Positive

STREAM = "{stream}"
# Streams of frames that become streams of LSL; each has threads of its own.
MAX_STREAMS = 64
# Times from here on (September 2001) are seconds since 1970; others began near 0, with the file that they are from.
SINCE_1970 = 1e9


class LslSettings(SinkSettings, frozen=True, kw_only=True):
    """Offers frames as streams of the lab streaming layer (LSL)."""

    stream: Annotated[str, Doc("Name of the LSL stream; `{stream}` in it stands for that of the frames' stream.")] = (
        "stream_infomax {stream}"
    )
    type: Annotated[str, Doc("Type of the stream.")] = "features"
    array: Annotated[str, Doc("The array that is offered; empty: that of the last stage.")] = ""
    buffer: Annotated[
        Positive, Doc("Seconds that are kept for each listener that is slow; older rows are dropped.")
    ] = 60

    def __post_init__(self) -> None:
        if not self.stream or set(self.stream.replace(STREAM, "")) & set("{}"):
            raise SettingError("stream", self.stream, "a name; {stream} is the only one that is filled in")

    def wants(self, kept: Sequence[str]) -> tuple[str, ...]:
        """Return the array that is published."""
        return (self.array,) if self.array else ()

    def needs(self) -> tuple[str, ...]:
        """Return pylsl."""
        return ("pylsl",)


class _Offered(NamedTuple):
    """A stream of LSL, and the form of its rows."""

    outlet: Any
    width: int
    rate: float


@configured_by(LslSettings)
class LslSink(Sink):
    """Offers each stream of frames as a stream of the lab streaming layer, in float32.

    It begins with the first frame that has rows of a known width. Its source id is the same in each life of a run, so
    that listeners find it again; its channels are called like the array, with a number. Times since 1970, as those of
    live sources, are those of the samples; rows of files have the time at which they are given out.

    Nobody is waited for, and nothing is kept: who comes later, or is too slow, misses rows. After a death the rows
    since the checkpoint are given out again.

    Parameters
    ----------
    name
        The name of the sink.
    folder
        A folder of its own in the run folder; it stays empty.
    """

    def __init__(self, name: str, folder: Path, **settings: Any) -> None:
        with optional():
            import pylsl
        self._lsl = pylsl
        self.name = name
        self.account: Account = Account(name, "sink", "frames")
        self.given = make(LslSettings, settings)
        self._folder = folder.absolute()
        self._streams: dict[str, _Offered] = {}
        self._refused = 0

    def accept(self, output: Output) -> None:
        """Give out the rows of a frame.

        Raises
        ------
        ValueError
            Where the frame lacks the array, or its rows have become longer or shorter.
        """
        frame = output.frame
        name, array = self._chosen(frame)
        if array is None or not array.data.size:
            self.account.set_aside(frame.stream, "no rows")
            return
        rows = np.asarray(array.rows(), np.float32)
        rate = frame.rate if "time" in array.axes else 0.0
        offered = self._streams.get(frame.stream)
        if offered is None:
            if len(self._streams) >= MAX_STREAMS:
                self._refused += 1
                self.account.drop(frame.stream, f"of more than {MAX_STREAMS} streams")
                return
            offered = self._streams[frame.stream] = self._offer(frame.stream, name, rows.shape[1], rate)
        if rows.shape[1] != offered.width:
            raise ValueError(
                f"array {name!r} has rows of {rows.shape[1]} numbers, before {offered.width}; LSL streams do not change"
            )
        offered.outlet.push_chunk(rows, self._stamps(frame.time, len(rows), rate))
        self.account.process(frame.stream)

    def save(self, mark: Mark) -> State:
        """Nothing has to be saved: what was given out is gone."""
        return {}

    def held(self) -> Held:
        """Return how many frames were of more streams than are offered."""
        return Held(dropped=self._refused)

    def close(self) -> None:
        """Take the streams back."""
        self._streams.clear()

    def _chosen(self, frame: Frame) -> tuple[str, Array | None]:
        """Return name and array of what is offered; None for a late label."""
        name = self.given.array or next(reversed(list(frame.arrays)), "")
        if frame.arrays and name not in frame.arrays:
            raise ValueError(f"the sink offers {name!r}, but the frame has {list(frame.arrays)}")
        return name, frame.arrays.get(name)

    def _offer(self, stream: str, array: str, width: int, rate: float) -> _Offered:
        """Begin a stream."""
        info = self._lsl.StreamInfo(
            name=self.given.stream.replace(STREAM, stream),
            type=self.given.type,
            channel_count=width,
            nominal_srate=rate,
            channel_format=self._lsl.cf_float32,
            source_id=f"{self._folder}/{stream}",
        )
        info.set_channel_labels([f"{array} {number}" for number in range(width)])
        seconds = self.given.buffer if rate else math.ceil(self.given.buffer / 100)  # in hundreds of samples
        return _Offered(self._lsl.StreamOutlet(info, max_buffered=seconds), width, rate)

    def _stamps(self, first: float, n_rows: int, rate: float) -> list[float]:
        """Return the time of each row by the clock of LSL."""
        if first < SINCE_1970:
            first = time.time() - (n_rows - 1) / rate if rate else time.time()
        first += self._lsl.local_clock() - time.time()
        return [first + row / rate if rate else first for row in range(n_rows)]
