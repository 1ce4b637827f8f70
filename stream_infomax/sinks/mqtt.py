"""Mqtt: what is published goes to a topic of an MQTT broker, frame by frame."""

from __future__ import annotations

import socket
import struct
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from stream_infomax.frames.contracts import Held, Mark, Output, Sink, State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.ledger import Account
from stream_infomax.settings.broker import (
    ClientId,
    Connection,
    Duties,
    Host,
    KeepAlive,
    PasswordFrom,
    Port,
    Tls,
    UserFrom,
    check_names,
    try_out,
)
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.record import make
from stream_infomax.settings.sink import SinkSettings
from stream_infomax.settings.types import Doc, Positive
from stream_infomax.transport.log import pack, unpack

# What a raw payload begins with: offset, time, number of rows, numbers of a row.
HEAD = struct.Struct("<qdII")
STREAM = "{stream}"


class MqttSettings(SinkSettings, frozen=True, kw_only=True):
    """Publishes frames to a topic of an MQTT broker, each at least once."""

    host: Host
    port: Port = 1883
    topic: Annotated[str, Doc("Where to; `{stream}` in it stands for the name of the frame's stream.")] = (
        "stream_infomax/{stream}"
    )
    payload: Annotated[
        Literal["json", "raw"],
        Doc(
            "`json`: an object with stream, segment, offset, time, rate, labels and rows. `raw`: offset (int64), time "
            "(float64), number of rows and of their numbers (uint32 each), then the rows in float32; all little-endian."
        ),
    ] = "json"
    array: Annotated[str, Doc("The array that is published; empty: that of the last stage.")] = ""
    in_flight: Annotated[
        Positive, Doc("Messages that the broker may owe an answer to; with so many the sink waits for it.")
    ] = 64
    keepalive: KeepAlive = 15
    client_id: ClientId = ""
    username_from: UserFrom = ""
    password_from: PasswordFrom = ""
    tls: Tls = ""

    def __post_init__(self) -> None:
        check_names(self)
        plain = self.topic.replace(STREAM, "")
        if not self.topic or set(plain) & set("+#\0{}"):
            raise SettingError("topic", self.topic, "levels with / between, without + and #; {stream} is the only name")

    def wants(self, kept: Sequence[str]) -> tuple[str, ...]:
        """Return the array that is published."""
        return (self.array,) if self.array else ()

    def needs(self) -> tuple[str, ...]:
        """Return paho."""
        return ("paho",)

    def try_out(self) -> None:
        """Check that the broker is there."""
        try_out(self)


class _Published(msgspec.Struct):
    """What is waited for: the message of a frame that the broker has not acknowledged."""

    offset: int
    topic: str
    payload: bytes
    stream: str


@configured_by(MqttSettings)
class MqttSink(Sink):
    """Publishes each frame as one message, with quality of service 1.

    A message that the broker has not acknowledged is in the checkpoint, and is published again after a death. So are
    the frames since the checkpoint: a reader may see an offset twice, with the same content, and none is missing. While
    the broker is away, or slow, the sink is full and waits.

    Parameters
    ----------
    name
        The name of the sink.
    folder
        A folder of its own in the run folder; it stays empty.
    """

    def __init__(self, name: str, folder: Path, **settings: Any) -> None:
        self.name = name
        self.account: Account = Account(name, "sink", "frames")
        self.given = make(MqttSettings, settings)
        self._waiting: dict[int, _Published] = {}  # by paho's number of the message
        self._acknowledged: deque[int] = deque()  # filled by paho's thread
        self._bytes = 0
        self._bell, self._ring = socket.socketpair()
        for end in (self._bell, self._ring):
            end.setblocking(False)
        self.sockets: Sequence[Any] = (self._bell,)
        self._connection = Connection(self.given, Duties(published=self._published))
        self._connection.client.max_inflight_messages_set(self.given.in_flight)
        self._connection.open_later()

    @property
    def full(self) -> bool:
        """Whether the broker owes too many answers."""
        return len(self._waiting) >= self.given.in_flight

    @property
    def drained(self) -> bool:
        """Whether the broker has everything."""
        return not self._waiting

    def accept(self, output: Output) -> None:
        """Publish a frame."""
        frame = output.frame
        payload = _raw(frame, self.given.array) if self.given.payload == "raw" else _json(frame, self.given.array)
        stream = frame.stream.translate({ord(character): "_" for character in "+#\0"})
        self._publish(_Published(frame.offset, self.given.topic.replace(STREAM, stream), payload, frame.stream))

    def save(self, mark: Mark) -> State:
        """Return the messages that the broker has not acknowledged."""
        self.attend()
        waiting = self._waiting.values()
        return {
            "waiting": pack([(one.offset, [one.topic.encode(), one.payload, one.stream.encode()]) for one in waiting])
        }

    def restore(self, state: State, mark: Mark) -> None:
        """Publish again what was not acknowledged."""
        for offset, (topic, payload, stream) in unpack(state["waiting"]):
            self._publish(_Published(offset, topic.decode(), payload, stream.decode()))

    def attend(self) -> None:
        """Take note of what the broker has acknowledged."""
        self._connection.check()
        try:
            while self._bell.recv(4096):
                pass
        except BlockingIOError:
            pass
        while self._acknowledged:
            one = self._waiting.pop(self._acknowledged.popleft(), None)
            if one is not None:
                self._bytes -= len(one.payload)
                self.account.process(one.stream)

    def in_flight(self) -> Mapping[str, int]:
        """Return the frames of each stream that the broker has not acknowledged."""
        return Counter(one.stream for one in self._waiting.values())

    def held(self) -> Held:
        """Return what the broker has not acknowledged."""
        self.attend()
        return Held(
            frames=len(self._waiting), bytes=self._bytes, fill=min(1.0, len(self._waiting) / self.given.in_flight)
        )

    def close(self) -> None:
        """Disconnect."""
        if self._bell.fileno() < 0:  # it was closed before
            return
        self._connection.close()
        self._bell.close()
        self._ring.close()

    def _publish(self, one: _Published) -> None:
        sent = self._connection.client.publish(one.topic, one.payload, qos=1)
        self._waiting[sent.mid] = one
        self._bytes += len(one.payload)

    def _published(self, number: int) -> None:
        """Take note of an acknowledgement; called by paho's thread."""
        self._acknowledged.append(number)
        try:
            self._ring.send(b"\0")
        except OSError:  # rung often enough, or closed
            return


def _chosen(frame: Frame, name: str) -> Array | None:
    """Return the array that is published; None for a late label."""
    if not frame.arrays:
        return None
    if name and name not in frame.arrays:
        raise ValueError(f"the sink publishes {name!r}, but the frame has {list(frame.arrays)}")
    return frame.arrays[name] if name else list(frame.arrays.values())[-1]


def _raw(frame: Frame, name: str) -> bytes:
    array = _chosen(frame, name)
    rows = np.zeros((0, 0), np.float32) if array is None else np.asarray(array.rows(), "<f4")
    return HEAD.pack(frame.offset, frame.time, *rows.shape) + rows.tobytes()


def _json(frame: Frame, name: str) -> bytes:
    array = _chosen(frame, name)
    said: dict[str, Any] = {
        "stream": frame.stream,
        "segment": frame.segment,
        "offset": frame.offset,
        "time": frame.time,
        "rate": frame.rate,
        "last": frame.last or frame.end,
        "end": frame.end,
        "labels": frame.labels,
    }
    if array is not None:
        rows = array.rows()
        if rows.dtype == np.float32 and rows.size:  # 0.1 and not 0.10000000149011612
            rows = rows.astype(np.str_).astype(np.float64)
        said["rows"] = rows.tolist()  # what is not finite becomes null
    return msgspec.json.encode(said)
