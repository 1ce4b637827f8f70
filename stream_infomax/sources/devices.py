"""DevicesSource: frames that devices push, each with a counter of its own, over ZeroMQ."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import LEFT_OUT, Counts, State
from stream_infomax.frames.frame import Array, Frame, FrameError
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.reach import check_reach
from stream_infomax.settings.record import Settings, make
from stream_infomax.settings.types import (
    Doc,
    Insecure,
    KeysFolder,
    NotNegative,
    NotNegativeFloat,
    Positive,
    PositiveFloat,
)
from stream_infomax.sources.device_form import Form, check_settings
from stream_infomax.sources.device_stream import DeviceStream
from stream_infomax.sources.teller import Teller
from stream_infomax.state.kept import counted
from stream_infomax.transport.pull import Access, Pull, StreamError

# Seconds between two looks for streams that have become idle.
LOOK = 0.5
# Messages that may be refused one behind the other before the loop is asked whether it has something else to do.
PATIENCE = 64
NEVER, RESTART = "never arrived", "perhaps lost in a restart"

_log = logging.getLogger(__name__)


class DevicesSettings(Settings, frozen=True, kw_only=True):
    """Frames that devices push, over ZeroMQ; `docs/protocol.md` says how."""

    bind: Annotated[
        str,
        Doc("Where devices push to, for example `tcp://127.0.0.1:5600`; empty: `NAME.devices` in the run folder."),
    ] = ""
    axes: Annotated[
        tuple[str, ...],
        Doc('Axes of what a device sends, for example ["time", "channel"]; empty: those of the first frame.'),
    ] = ()
    row: Annotated[tuple[Positive, ...], Doc("Shape of one row; empty: that of the first frame.")] = ()
    rate: Annotated[NotNegativeFloat, Doc("Rows a second; 0: as the first frame says.")] = 0.0
    frame: Annotated[
        NotNegative,
        Doc("Rows of a frame at least: messages of a stream are put together until it has them; 0: as they are sent."),
    ] = 0
    segment_seconds: Annotated[
        PositiveFloat,
        Doc("Seconds after which a segment ends and the next begins, where a device does not name its segments."),
    ] = 10.0
    streams: Annotated[Positive, Doc("Streams that are open at once; frames of more are refused.")] = 4096
    idle_seconds: Annotated[PositiveFloat, Doc("Seconds of silence after which a stream is ended.")] = 60.0
    session_seconds: Annotated[
        PositiveFloat,
        Doc("Seconds of silence after which another process may go on under a stream's name; before, it is refused."),
    ] = 2.0
    queue: Annotated[Positive, Doc("Messages of one device that wait here; then they wait with the device.")] = 1000
    largest: Annotated[Memory, Doc("The most bytes of a message's part; who sends a longer one is cut off.")] = Memory(
        "16 MiB"
    )
    duration: Annotated[NotNegativeFloat, Doc("Seconds after the first frame at which the source ends; 0: never.")] = (
        0.0
    )
    ends: Annotated[bool, Doc("Whether the source ends when every stream that has come has ended.")] = False
    keys: KeysFolder = ""
    insecure: Insecure = False

    def __post_init__(self) -> None:
        check_settings(self.axes, self.row)
        check_reach("bind", self.bind, self.keys, self.insecure)

    def placed(self, folder: Path, name: str) -> Self:
        """Return the settings with an address in the run's folder where there is none."""
        return msgspec.structs.replace(self, bind=self.bind or f"ipc://{folder}/{name}.devices")


@configured_by(DevicesSettings)
class DevicesSource:
    """Frames of many devices, as they come, each device's under a stream of its own.

    A device counts its messages: by that the source drops those that come twice and counts those that never came. All
    rows have one form, so that one basis serves them all: that of the first frame, or what the settings say. Whatever
    is no frame of this form is refused and counted by reason, and disturbs nobody else.

    Parameters
    ----------
    name
        Name of the array, whatever the device calls it.

    Attributes
    ----------
    address
        Where it listens, once it is open.
    """

    def __init__(self, *, name: str = "source", **settings: Any) -> None:
        self.name = name
        self.given = make(DevicesSettings, settings)
        self.lost: Counter[str] = Counter()
        self.address = ""
        self.sockets: Sequence[Any] = ()
        self._pull: Pull | None = None
        self._form = Form(self.given.axes, self.given.row, self.given.rate)
        self._open: dict[str, DeviceStream] = {}
        self._closed: dict[str, DeviceStream] = {}  # the oldest first
        self._ready: deque[Frame] = deque()
        self._newest = ""  # the stream of the frame that was given last
        self._counts: Counter[str] = Counter()
        self._tell = Teller(_log)
        self._elapsed = 0.0  # seconds from the first frame to the checkpoint
        self._since: float | None = None  # when it came, or the checkpoint was read
        self._emptied = 0.0  # when nothing was waiting
        self._look = 0.0
        self._over = False

    def outline(self) -> Outline:
        """Return what is known of the frames before they come."""
        about = f"waits for devices at {self.given.bind}" if self.given.bind else "waits for devices in the run folder"
        return Outline(frames=0, segments={}, row=self._form.row, live=True, rate=self.given.rate, about=about)

    def open(self) -> None:
        """Bind the socket. Raises ValueError where the address is in use or cannot be bound."""
        try:
            access = Access.of(self.given.keys, self.given.insecure)
            self._pull = Pull(self.given.bind, self.given.queue, int(self.given.largest), access)
        except StreamError as error:
            raise ValueError(f"source {self.name!r}: bind: {error}") from error
        self.address = self._pull.address
        self.sockets = (self._pull.socket,)
        now = time.monotonic()
        self._emptied = self._look = now
        for stream in self._open.values():
            stream.heard = now

    def close(self) -> None:
        """Let go of the socket."""
        if self._pull is not None:
            self._pull.close()
            self._pull = None

    @property
    def finished(self) -> bool:
        """Whether no frame will come any more."""
        return self._over and not self._ready

    def due(self) -> float:
        """Return the seconds until it looks for idle streams, or ends."""
        now = time.monotonic()
        due = self._look - now if self._open else math.inf
        return max(0.0, min(due, self._left(now)))

    def receive(self) -> Frame | None:
        """Return the next frame, None where none is there."""
        frame = self._next()
        self._newest = frame.stream if frame is not None else self._newest
        return frame

    def _next(self) -> Frame | None:
        if self._ready:
            return self._ready.popleft()
        if self._over or self._pull is None:
            return None
        if self.given.duration and self._left(time.monotonic()) <= 0:
            self._end_all()
            return self._next()
        for _ in range(PATIENCE):
            parts = self._pull.receive()
            now = time.monotonic()
            if parts is None:
                self._emptied = now
                break
            frame = self._frame_of(parts, now)
            if frame is not None:
                return frame
        if now >= self._look:
            self._look_around(now)
        if self.given.ends and self._closed and not self._open:
            self._over = True
        return self._ready.popleft() if self._ready else None

    def _left(self, now: float) -> float:
        """Return the seconds until the source ends."""
        if not self.given.duration or self._since is None:
            return math.inf
        return self.given.duration - self._elapsed - (now - self._since)

    # ---------------------------------------------------------------- a message

    def _frame_of(self, parts: Sequence[bytes], now: float) -> Frame | None:
        """Return the frame that a message becomes, None where it becomes none."""
        name = ""
        try:
            pushed = wire.decode_pushed(parts)
            name = pushed.frame.stream
            stream = self._open.get(name) or self._closed.get(name)
            if pushed.frame.arrays or pushed.frame.last:
                return self._take(pushed, stream, now)
            return self._label_of(pushed, stream, now)
        except FrameError as error:
            self._counts[f"{LEFT_OUT}messages refused ({error.reason})"] += 1
            self._tell.once(name, error.reason, str(error))
        return None

    def _take(self, pushed: wire.Pushed, stream: DeviceStream | None, now: float) -> Frame | None:
        """Return the frame with rows, or with the end of a segment or stream, that a device sent."""
        sent, count, session = pushed.frame, pushed.count, pushed.session
        if stream is None:
            if not sent.arrays:
                raise FrameError("empty", "the first message of a stream has no rows")
            array = self._array_of(sent, None)
            self._make_room()
            expected = None if count is None else count + 1
            stream = self._open[sent.stream] = DeviceStream(session, str(array.data.dtype), expected)
            self._counts["streams"] += 1
        else:
            is_next = count == stream.expected and session == stream.session and not stream.resumed
            if is_next and count is not None:
                stream.expected = count + 1
            elif not self._follows(stream, sent.stream, session, count):
                return None
            stream.heard = now
            if not sent.arrays and sent.stream in self._closed:
                return self._late(sent, stream.newest)  # the end of what has ended
            try:
                array = self._array_of(sent, stream) if sent.arrays else self._form.no_rows(stream.dtype)
            except FrameError:
                stream.broken = True  # its rows are missing
                raise
            stream.dtype = stream.dtype or str(array.data.dtype)
            if sent.stream in self._closed:
                self._make_room()
                self._open[sent.stream] = self._closed.pop(sent.stream)
        stream.heard = now
        return self._give(sent, array, stream, now)

    def _make_room(self) -> None:
        """Refuse a stream where as many are open as may be."""
        if len(self._open) >= self.given.streams:
            raise FrameError("streams", f"{self.given.streams} streams are open, and no more are accepted")

    def _follows(self, stream: DeviceStream, name: str, session: str, count: int | None) -> bool:
        """Take note of a message of a known stream; returns False where it has come before."""
        silent = self._emptied - stream.heard  # what waits may be from the first one
        if session != stream.session and name in self._open and silent < self.given.session_seconds:
            raise FrameError(
                "session", f"session {session!r}, but the stream is that of {stream.session!r}, which still sends"
            )
        verdict, missing = stream.follow(session, count)
        if verdict == "repeat":
            self._counts["repeats"] += 1
            self._tell.once(name, verdict, f"message {count} came again and is dropped")
            return False
        if verdict == "gap":
            self.lost[RESTART if stream.resumed else NEVER] += missing
            self._tell.once(name, verdict, f"{missing} messages before {count} never arrived")
        elif verdict == "restart":
            stream.dtype = ""  # it may be another program now
            self._counts["devices restarted"] += 1
            self._tell.once(name, verdict, f"the device has begun afresh, with message {count}")
        stream.resumed = False
        stream.broken = stream.broken or verdict != "follows"
        return True

    def _array_of(self, sent: Frame, stream: DeviceStream | None) -> Array:
        """Return the rows of a message. Raises FrameError where they have another form than they should."""
        arrays = sent.arrays
        array = arrays.get(self.name) if len(arrays) > 1 else next(iter(arrays.values()))
        if array is None:
            raise FrameError("arrays", f"arrays {list(arrays)}; of several the one called {self.name!r} is taken")
        if len(arrays) > 1:
            self._counts[f"{LEFT_OUT}arrays of other names"] += len(arrays) - 1
        self._form.check(array, sent.rate)
        if stream is not None and stream.dtype and array.data.dtype != stream.dtype:
            raise FrameError("dtype", f"dtype {array.data.dtype}; the stream began with {stream.dtype}")
        return array

    def _give(self, sent: Frame, array: Array, stream: DeviceStream, now: float) -> Frame | None:
        """Return the frame of these rows, in the segment that they belong to; None where they wait for more."""
        if self._since is None:
            self._since, self._look = now, now + LOOK
            self._form.fix(array, sent.rate)
        rate = self._form.rate
        n_rows = len(array.data) if self._form.n_row_axes == 1 else array.n_rows
        at = sent.time
        if not at:
            at = (stream.clock or 0.0) if not n_rows else time.time() - (n_rows / rate if rate else 0.0)
        elif n_rows and not stream.broken and stream.jumps(at, rate):
            self._counts["clock jumps"] += 1
            self._tell.once(sent.stream, "clock", f"the clock jumps from {stream.clock!r} to {at!r} s")
            stream.broken = True
        if not n_rows and not stream.segment and not sent.end:
            return self._late(sent, stream.newest)
        before = segment = stream.segment
        theirs = sent.segment if n_rows or sent.segment else stream.theirs
        if stream.broken or not before or theirs != stream.theirs:
            segment = stream.enter(theirs, at)
        last = stream.leave(n_rows, at, rate, self.given.segment_seconds) or sent.last
        if last:
            stream.segment = ""
        if sent.end:
            self._close(sent.stream)
        if self.given.frame and self._form.n_row_axes == 1:
            return self._gathered(sent, array, at, segment, before, last, stream)
        return Frame(sent.stream, -1, segment, {self.name: array}, last, sent.end, at, rate, sent.labels)

    def _gathered(
        self, sent: Frame, array: Array, at: float, segment: str, before: str, last: bool, stream: DeviceStream
    ) -> Frame | None:
        """Return the next frame when there are rows enough, or a segment is over; None before."""
        if stream.gathered and (segment != before or sent.labels != stream.gathered_labels):
            self._ready.append(self._together(sent.stream, stream, before))
        stream.gather(array.data, len(array.data), at, sent.labels)
        if last or stream.gathered_rows >= self.given.frame:
            self._ready.append(self._together(sent.stream, stream, segment, last, sent.end))
        return self._ready.popleft() if self._ready else None

    def _together(self, name: str, stream: DeviceStream, segment: str, last: bool = False, end: bool = False) -> Frame:
        """Return the rows that were gathered as a frame."""
        at, labels = stream.gathered_time, stream.gathered_labels
        array = Array(stream.gathered_together(), self._form.axes)
        return Frame(name, -1, segment, {self.name: array}, last, end, at, self._form.rate, labels)

    def _label_of(self, pushed: wire.Pushed, stream: DeviceStream | None, now: float) -> Frame | None:
        """Return the frame without arrays that a late label becomes, None where it has come before."""
        sent, count, session = pushed.frame, pushed.count, pushed.session
        if stream is not None and session == stream.session:
            stream.heard = now
            if count is not None and not self._follows(stream, sent.stream, session, count):
                return None
        if not sent.labels:
            raise FrameError("empty", "a message without rows needs labels, last or end")
        if not sent.segment and sent.offset < 0 and not sent.time:
            raise FrameError("label", "a late label needs a segment, an offset or a time")
        return self._late(sent, stream.name_of(sent.segment) if stream else sent.segment)

    def _late(self, sent: Frame, segment: str) -> Frame | None:
        """Return a frame that has only labels, None where there are none."""
        if not sent.labels:
            return None
        self._counts["late labels"] += 1
        return Frame(sent.stream, sent.offset, segment, time=sent.time, labels=sent.labels)

    # ---------------------------------------------------------------- the end of streams

    def _look_around(self, now: float) -> None:
        """Give rows that have waited for more, and end the streams of which nothing has been heard for long."""
        self._look = now + LOOK
        for name, stream in list(self._open.items()):
            silent = self._emptied - stream.heard
            if stream.gathered and silent >= LOOK:
                self._ready.append(self._together(name, stream, stream.segment))
            if silent >= self.given.idle_seconds:
                self._counts["idle streams ended"] += 1
                self._tell.once(name, "idle", f"nothing came for {self.given.idle_seconds:g} s: the stream is ended")
                self._end(name)

    def _end_all(self) -> None:
        for name in list(self._open):
            self._end(name)
        self._over = True

    def _end(self, name: str) -> None:
        """End a stream with a frame without rows."""
        stream = self._open[name]
        if stream.gathered:
            self._ready.append(self._together(name, stream, stream.segment))
        segment = stream.segment or stream.newest
        arrays = {self.name: self._form.no_rows(stream.dtype)}
        self._ready.append(Frame(name, -1, segment, arrays, True, True, stream.clock or 0.0, self._form.rate))
        stream.segment = ""
        self._close(name)

    def _close(self, name: str) -> None:
        """Keep what is known of a stream that has ended, as long as there is room: it may go on, or come twice."""
        self._closed[name] = self._open.pop(name)
        if len(self._closed) > self.given.streams:
            del self._closed[next(iter(self._closed))]

    # ---------------------------------------------------------------- what stays

    def state(self) -> State:
        """Return the form of the rows, and what is known of each stream."""
        elapsed = self._elapsed + (time.monotonic() - self._since if self._since is not None else 0.0)
        return {
            "form": self._form.state(),
            "open": [[name, *stream.state()] for name, stream in self._open.items()],
            "closed": [[name, *stream.state()] for name, stream in self._closed.items()],
            "counts": dict(self._counts),
            "elapsed": elapsed if self._since is not None else -1.0,
        }

    def restore(self, state: State) -> None:
        """Take over what `state` returned."""
        self._form.restore(state["form"])
        self._open = {name: DeviceStream.of(values) for name, *values in state["open"]}
        self._closed = {name: DeviceStream.of(values) for name, *values in state["closed"]}
        if not state["form"] and (self._open or self._closed):
            raise ValueError("form: missing, and there are streams; accepted are their axes, shape of a row and rate")
        self._counts = Counter(counted(state["counts"]))
        if state["elapsed"] >= 0:
            self._elapsed, self._since = state["elapsed"], time.monotonic()

    def note(self) -> bytes:
        """Return what is known of the stream of the newest frame, once all frames of it have been given."""
        name = self._newest
        if any(frame.stream == name for frame in self._ready):
            return b""
        is_open = name in self._open
        stream = self._open[name] if is_open else self._closed.get(name)
        return b"" if stream is None else msgspec.msgpack.encode([is_open, *stream.state()])

    def recall(self, frame: Frame, note: bytes) -> None:
        """Take over what was known of a stream after one of its frames."""
        if not note:
            return
        if self._since is None:
            self._since = time.monotonic()
            self._form.fix(frame.arrays[self.name], frame.rate)
        is_open, *state = msgspec.msgpack.decode(note)
        if self._open.pop(frame.stream, None) is None and self._closed.pop(frame.stream, None) is None:
            self._counts["streams"] += 1
        (self._open if is_open else self._closed)[frame.stream] = DeviceStream.of(state)

    def refusals(self) -> dict[str, int]:
        """Return the connections of devices that were cut off, by reason."""
        return self._pull.refusals("devices: ") if self._pull is not None else {}

    def counts(self) -> Counts:
        """Return how many streams there were and are, and what was dropped, mended and refused."""
        return {**self._counts, "streams open": len(self._open)}
