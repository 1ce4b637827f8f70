"""LateLabels: labels of a live source that come from outside, before, while or after their segment passes."""

from __future__ import annotations

import logging
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import zmq

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import LEFT_OUT, Counts, State
from stream_infomax.frames.frame import Frame, FrameError
from stream_infomax.state.kept import counted, text
from stream_infomax.transport.guard import Limits
from stream_infomax.transport.keys import LOCAL, Access
from stream_infomax.transport.sockets import Bound, set_options, without_heartbeats

# Segments that are remembered, over all streams; a label for an older one comes too late.
SEGMENTS = 4096
# Labels that wait for a frame that has not come yet.
WAITING = 1000
# A label is a header without arrays; a longer message is none.
MAX_LABEL_BYTES = 1 << 16
# Labels of one segment.
MAX_LABELS = 64
# Messages taken in one go; the others wait for the next.
MAX_MESSAGES = 64
LIMITS = Limits(connections=64, unfinished=4 * MAX_LABEL_BYTES, rate=128, spared=MAX_LABEL_BYTES)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Segment:
    """Which offsets and seconds belong to a segment; `labels` are those that its next frames are to have."""

    name: str
    first: int
    last: int
    begin: float
    end: float
    open: bool = True
    labels: dict[str, str] = field(default_factory=dict)


class LateLabels:
    """Labels from outside.

    A message is a frame without arrays that has `labels`, and `segment`, or `offset`, or `time`: the segment of its
    stream in which that lies is meant; where `stream` is empty, of the only one that is open. While a segment is open
    its labels go into its next frames; after that they make a frame without arrays. Labels of what is still to come
    wait for it.

    Parameters
    ----------
    context
        Makes the socket.
    address
        Where the messages come to, a PULL socket.
    access
        Who gets in where others can reach the address.

    Raises
    ------
    StreamError
        Where the address is in use or cannot be bound.
    """

    def __init__(self, context: zmq.Context[Any], address: str, access: Access = LOCAL) -> None:
        socket: zmq.Socket[bytes] = context.socket(zmq.PULL)
        set_options(socket, MAX_LABEL_BYTES)
        without_heartbeats(socket)
        self._bound = Bound(socket, address, access, LIMITS)
        self.socket = socket
        self.address = self._bound.address
        self._streams: dict[str, dict[str, _Segment]] = {}
        self._open: set[str] = set()  # streams that have begun and have not ended
        self._order: deque[tuple[str, str]] = deque()
        self._waiting: dict[str, list[Frame]] = {}
        self._ready: deque[Frame] = deque()
        self._counts: Counter[str] = Counter()

    def note(self, frame: Frame) -> Frame:
        """Remember where a frame of the source stands, and return it with the labels that came for its segment."""
        self._follow(frame)
        if not frame.arrays:
            return frame
        segments = self._streams.setdefault(frame.stream, {})
        segment = segments.get(frame.segment)
        until = frame.time + frame.seconds
        if segment is None or not segment.open:
            self._close(frame.stream, segments)
            segment = _Segment(frame.segment, frame.offset, frame.offset, frame.time, until)
            segments.pop(frame.segment, None)
            segments[frame.segment] = segment
            self._order.append((frame.stream, frame.segment))
            self._forget()
        segment.last, segment.end = frame.offset, max(segment.end, until)
        if frame.stream in self._waiting:
            for label in self._waiting.pop(frame.stream):
                self.place(label)
        labels = {**frame.labels, **segment.labels}
        segment.open = not (frame.last or frame.end)
        if not segment.open:
            segment.labels = {}
        return msgspec.structs.replace(frame, labels=labels) if len(labels) > len(frame.labels) else frame

    @property
    def ready(self) -> bool:
        """Whether `receive` has something already."""
        return bool(self._ready)

    def receive(self) -> Frame | None:
        """Return a frame without arrays that labels a segment which is over, None where there is none yet."""
        for _ in range(MAX_MESSAGES):
            if self._ready:
                return self._ready.popleft()
            try:
                parts, key, connection = self._bound.receive_whose()
            except zmq.Again:
                return None
            if self._bound.keys is not None and self._bound.keys.owner(key) is None:
                self._refuse("labels with a key that is not allowed", "its key was taken away")
                continue
            try:
                label = wire.decode_label(parts)
            except FrameError as error:
                self._refuse("messages that are no labels", str(error))
                if self._bound.guard is not None:
                    self._bound.guard.strike(connection)
                continue
            if connection is not None:
                connection.known = True
            self.place(label)
        return self._ready.popleft() if self._ready else None

    def place(self, label: Frame) -> None:
        """Find the segment that a label means, or let the label wait for it."""
        if not label.stream:
            if len(self._open) != 1:
                self._refuse_unnamed(label)
                return
            label = msgspec.structs.replace(label, stream=next(iter(self._open)))
        segments = self._streams.get(label.stream, {})
        segment = _find(label, segments)
        newest = next(reversed(segments.values()), None)
        if segment is None and (newest is None or _is_ahead(label, newest)):
            self._wait(label)
        elif segment is None:
            self._refuse("labels of no known segment", _described(label))
        else:
            if len(segment.labels.keys() | label.labels.keys()) > MAX_LABELS:
                self._refuse(f"labels beyond {MAX_LABELS} of a segment", _described(label))
                return
            self._counts["labels"] += 1
            if segment.open:
                segment.labels |= label.labels
            else:
                self._ready.append(Frame(label.stream, segment=segment.name, labels=dict(label.labels)))

    def counts(self) -> Counts:
        """Return how many labels found their segment, wait, and were refused."""
        waiting = sum(map(len, self._waiting.values()))
        return {**self._counts, "labels that wait": waiting}

    def refusals(self) -> dict[str, int]:
        """Return the connections that were cut off, by reason."""
        return self._bound.refusals("labels: ")

    def state(self) -> State:
        """Return the segments that are remembered, and the labels that wait."""
        return {
            "segments": [
                [stream, *_plain(segment)] for stream, own in self._streams.items() for segment in own.values()
            ],
            "open": sorted(self._open),
            "waiting": [_packed(label) for own in self._waiting.values() for label in own],
            "ready": [_packed(label) for label in self._ready],
            "counts": dict(self._counts),
        }

    def restore(self, state: State) -> None:
        """Take over what `state` returned."""
        for stream, *values in state["segments"]:
            segment = _Segment(*values)
            self._streams.setdefault(stream, {})[segment.name] = segment
            self._order.append((stream, segment.name))
        self._open = {text(stream, "open") for stream in state.get("open", ())}
        for message in state["waiting"]:
            label = _unpacked(message)
            self._waiting.setdefault(label.stream, []).append(label)
        self._ready.extend(map(_unpacked, state["ready"]))
        self._counts = Counter(counted(state["counts"]))

    def again(self, frame: Frame) -> None:
        """Take in a frame that was given after the state that was restored: its labels are known."""
        if frame.arrays:
            self.note(frame)
            return
        self._follow(frame)
        for label in self._ready:
            same = (label.stream, label.segment) == (frame.stream, frame.segment)
            if same and label.labels.items() <= frame.labels.items():  # somebody may have marked the frame
                self._ready.remove(label)
                return

    def interrupt(self) -> None:
        """Open segments are over: what follows a restart is another one."""
        for stream, segments in self._streams.items():
            self._close(stream, segments)

    def close(self) -> None:
        """Close the socket and give its address free."""
        self._bound.close()
        self._bound.release()

    def _follow(self, frame: Frame) -> None:
        """Take note of whether the stream of a frame of the source is open after it."""
        if frame.end:
            self._open.discard(frame.stream)
        elif frame.arrays:
            self._open.add(frame.stream)

    def _close(self, stream: str, segments: dict[str, _Segment]) -> None:
        """The newest segment gets no frame any more; what its frames were to have goes out alone."""
        newest = next(reversed(segments.values()), None) if segments else None
        if newest is not None and newest.open:
            newest.open = False
            if newest.labels:
                self._ready.append(Frame(stream, segment=newest.name, labels=newest.labels))
                newest.labels = {}

    def _forget(self) -> None:
        """Forget the oldest segments beyond the limit, and streams of which none is left."""
        while len(self._order) > SEGMENTS:
            stream, name = self._order.popleft()
            segments = self._streams.get(stream, {})
            segments.pop(name, None)
            if not segments:
                self._streams.pop(stream, None)
                self._open.discard(stream)

    def _wait(self, label: Frame) -> None:
        self._waiting.setdefault(label.stream, []).append(label)
        if sum(map(len, self._waiting.values())) > WAITING:
            stream = next(iter(self._waiting))
            oldest = self._waiting[stream].pop(0)
            if not self._waiting[stream]:
                del self._waiting[stream]
            self._refuse("labels of no known segment", _described(oldest))

    def _refuse_unnamed(self, label: Frame) -> None:
        streams = "several were" if self._open else "none was"
        text = f"{dict(label.labels)} names no stream, and {len(self._open)} are open; --stream says which"
        self._refuse(f"labels without a stream while {streams} open", text)

    def _refuse(self, what: str, text: str) -> None:
        if not self._counts[LEFT_OUT + what]:  # the count says the rest
            log.warning("label refused: %s", text)
        self._counts[LEFT_OUT + what] += 1


def _find(label: Frame, segments: dict[str, _Segment]) -> _Segment | None:
    """Return the segment that a label means, None where it is not known."""
    if label.segment:
        return segments.get(label.segment)
    for segment in reversed(segments.values()):
        if label.offset >= 0:
            if segment.first <= label.offset <= segment.last:
                return segment
        elif segment.begin <= label.time < segment.end or label.time == segment.begin:
            return segment
    return None


def _is_ahead(label: Frame, newest: _Segment) -> bool:
    """Return whether a label means something that is still to come."""
    if label.segment:
        return False
    return label.offset > newest.last if label.offset >= 0 else label.time >= newest.end


def _packed(label: Frame) -> np.ndarray[Any, Any]:
    """Return a label as a state can hold it."""
    return np.frombuffer(wire.encode(label)[0], np.uint8)


def _unpacked(packed: np.ndarray[Any, Any]) -> Frame:
    return wire.decode([packed.tobytes()])


def _described(label: Frame) -> str:
    at = label.segment or (f"offset {label.offset}" if label.offset >= 0 else f"time {label.time:.3f}")
    return f"{dict(label.labels)} at {at!r} of stream {label.stream!r} fits no segment that is remembered"


def _plain(segment: _Segment) -> list[Any]:
    return [
        *(segment.name, segment.first, segment.last, segment.begin, segment.end),
        *(segment.open, dict(segment.labels)),
    ]
