"""MqttSource: messages of an MQTT broker, as rows."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from stream_infomax.frames.contracts import LEFT_OUT, Counts, State
from stream_infomax.frames.frame import Frame
from stream_infomax.settings.broker import (
    ClientId,
    Connection,
    Duties,
    Host,
    KeepAlive,
    PasswordFrom,
    Port,
    Qos,
    Tls,
    UserFrom,
    check_names,
)
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import make
from stream_infomax.settings.types import Doc, NotNegativeFloat, Positive
from stream_infomax.settings.words import one_of
from stream_infomax.sources.arrivals import Arrivals
from stream_infomax.sources.live import Cutter, LiveSettings
from stream_infomax.sources.payloads import COUNTERS, Form, Payload, PayloadError, reader
from stream_infomax.sources.sample_clock import SampleClock
from stream_infomax.state.kept import counted

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

# Topics that are told apart; a wildcard lets in as many as somebody likes.
MAX_TOPICS = 1024
# Characters of a stream's name on the wire.
MAX_TOPIC = 1024
# Messages of a topic among which one that came twice is found.
REMEMBERED = 64
# A counter that is so far ahead of the one before has begun elsewhere.
LARGEST_JUMP = 10**9
NO_NAME, RETAINED = LEFT_OUT + "messages of topics that are no names", LEFT_OUT + "retained messages"


class MqttSettings(LiveSettings, frozen=True, kw_only=True):
    """Messages of an MQTT broker, as rows."""

    host: Host
    port: Port = 1883
    topics: Annotated[
        tuple[str, ...], Meta(min_length=1), Doc("What is subscribed to; `+` stands for a level, `#` for all below.")
    ]
    qos: Qos = 1
    stream: Annotated[
        Literal["topic", "one"], Doc("`topic`: each topic is a stream, called like it. `one`: all of them are one.")
    ] = "topic"
    payload: Annotated[
        Form, Doc("`raw`: little-endian numbers. `csv`: a row a line. `json`: a number, a list, or a list of rows.")
    ] = "json"
    channels: Annotated[Positive, Doc("Numbers of a row; a message has one row or more.")] = 1
    dtype: Annotated[
        Literal["float32", "float64", "int16", "int32", "int64", "uint8"],
        Doc("Type of the numbers: as they are in `raw`, and what text is read as."),
    ] = "float32"
    fields: Annotated[
        tuple[str, ...],
        Doc(
            "Keys of a JSON object that hold the numbers: one holds all channels, several hold one each. Empty: the "
            "message is the numbers."
        ),
    ] = ()
    counter: Annotated[
        str,
        Doc(
            "Where the device's own counter is, by which losses are found: a JSON key, the number of a CSV column "
            "(from 0), or the type of the number (`uint32`) that a raw message begins with. Empty: there is none."
        ),
    ] = ""
    rate: Annotated[NotNegativeFloat, Doc("Rows a second; 0: they come irregularly, and have the time of arrival.")] = (
        0.0
    )
    retained: Annotated[
        bool, Doc("Whether messages that the broker kept from earlier are taken; otherwise they are counted only.")
    ] = False
    largest: Annotated[Memory, Doc("Size of a message above which it is left out.")] = Memory("1 MiB")
    queue: Annotated[Positive, Doc("Messages that wait at most; the oldest give way, and are counted.")] = 1024
    keepalive: KeepAlive = 15
    client_id: ClientId = ""
    username_from: UserFrom = ""
    password_from: PasswordFrom = ""
    tls: Tls = ""

    def __post_init__(self) -> None:
        check_names(self)
        if self.payload != "raw" and not self.dtype.startswith("float"):
            raise SettingError("dtype", self.dtype, "float32, float64", f'payload = "{self.payload}"')
        if self.fields and self.payload != "json":
            raise SettingError("fields", list(self.fields), 'nothing, or payload = "json"')
        if len(self.fields) > 1 and len(self.fields) != self.channels:
            raise SettingError("fields", list(self.fields), "one key, or one for each channel")
        self._check_counter()
        for topic in self.topics:
            if not _is_filter(topic):
                raise SettingError("topics", topic, "levels with / between; + is a whole level, # the whole last one")

    def _check_counter(self) -> None:
        if not self.counter:
            return
        if self.payload == "raw" and self.counter not in COUNTERS:
            raise SettingError("counter", self.counter, one_of(COUNTERS))
        if self.payload == "csv" and not (self.counter.isdecimal() and int(self.counter) <= self.channels):
            raise SettingError("counter", self.counter, f"a column from 0 to {self.channels}")
        if self.payload == "json" and (not self.fields or self.counter in self.fields):
            raise SettingError("counter", self.counter, "a key beside those of `fields`")

    def needs(self) -> tuple[str, ...]:
        """Return paho."""
        return ("paho",)


class _Message(NamedTuple):
    """What paho's thread hands over."""

    topic: str
    payload: bytes | None  # None: it is too large
    time: float
    connection: int
    again: bool


@dataclass
class _Stream:
    """What makes frames of a stream, and times of the rows that come at a rate: they are counted from a gap on."""

    cutter: Cutter
    clock: SampleClock | None = None
    n_rows: int = 0
    until: float = 0.0

    def gap(self) -> None:
        """Rows are missing after those that came."""
        self.cutter.gap()
        self.clock = None

    def add(self, rows: npt.NDArray[Any], arrived: float) -> None:
        """Take the rows of a message that arrived then: by the wall clock, at a rate by the monotonic one."""
        rate = self.cutter.rate
        if not rate:
            self.cutter.add(rows, arrived)
            return
        if self.clock is None:
            self.clock, self.n_rows = SampleClock(rate, self.until), 0
        time = self.clock.time_of(self.n_rows, len(rows), arrived)
        self.cutter.add(rows, time)
        self.n_rows += len(rows)
        self.until = time + len(rows) / rate


@dataclass
class _Topic:
    """What is known of a topic: its stream, the last number of its counter, and its newest messages."""

    stream: _Stream
    last: int | None = None
    restored: bool = False
    newest: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


@configured_by(MqttSettings)
class MqttSource:
    """Messages of an MQTT broker, as rows.

    Frames that never came are in `lost`: ``counter``, jumps of the device's own counter; ``queue``, what gave way to
    newer messages; ``restart (at most)``, jumps of the counter over a time in which this process was not there.
    Messages that came and could not be used are counted by reason. After each of these, and after a break of the
    connection, a segment begins.

    Parameters
    ----------
    name
        Name of the array: shape (rows, channels).
    """

    def __init__(self, *, name: str = "source", **settings: Any) -> None:
        self.name = name
        self.given = make(MqttSettings, settings)
        self.lost: Counter[str] = Counter()
        given = self.given
        self._read = reader(given.payload, given.channels, given.dtype, given.fields, given.counter)
        self._around = 2 ** (8 * np.dtype(given.counter).itemsize) if given.counter in COUNTERS else 0
        duties = Duties(topics=given.topics, qos=given.qos, message=self._arrived)
        self._connection = Connection(given, duties, keeps=True)
        self._arrivals: Arrivals[_Message]  # from `open` on
        self.sockets: Sequence[Any] = ()
        self._missed = 0
        self._number = 1  # of the connection that the last message came through
        self._counts: Counter[str] = Counter()
        # Paho's thread adds to these: there are all keys from the beginning.
        self._ignored = Counter(dict.fromkeys((NO_NAME, RETAINED), 0))
        self._topics: dict[str, _Topic] = {}
        self._streams: dict[str, _Stream] = {}
        self._frames: deque[Frame] = deque()
        self._newest = ""  # the stream of the frame that was given last
        self._goes_on = False

    def open(self) -> None:
        """Connect; a source that goes on from a checkpoint waits for a broker that is not there."""
        self._arrivals = Arrivals(self.given.queue)
        self.sockets = (self._arrivals.socket,)
        if self._goes_on:
            self._connection.open_later()
        else:
            self._connection.open()

    @property
    def finished(self) -> bool:
        """Whether all streams have had their duration."""
        return bool(self._streams) and not self._frames and all(one.cutter.ended for one in self._streams.values())

    def receive(self) -> Frame | None:
        """Return the next frame, None where none is there yet."""
        while not self._frames:
            message = self._arrivals.get()
            if message is None:
                self._connection.check()
                return None
            self._take(message)
        frame = self._frames.popleft()
        self._newest = frame.stream
        return frame

    def due(self) -> float:
        """Only messages bring frames."""
        return float("inf")

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()
        if self.sockets:
            self._arrivals.close()

    def outline(self) -> Outline:
        """Return what its frames look like."""
        topics = one_of(self.given.topics)
        return Outline(
            frames=0,
            segments={},
            row=(self.given.channels,),
            live=True,
            rate=self.given.rate,
            about=f"MQTT topics {topics} at {self.given.host}:{self.given.port}",
        )

    def state(self) -> State:
        """Return how far each stream and each counter is."""
        return {
            "given": {name: one.cutter.given for name, one in self._streams.items()},
            "counters": {name: topic.last for name, topic in self._topics.items() if topic.last is not None},
            "counts": dict(self._counts + self._ignored),
            "breaks": self._connection.breaks,
        }

    def restore(self, state: State) -> None:
        """Go on with these counters."""
        self._goes_on = True
        for name, given in state["given"].items():
            self._stream(name).cutter.given = float(given)
        for name, last in state["counters"].items():
            self._topics[name] = _Topic(self._stream(name), int(last), restored=True)
        self._counts.update(counted(state["counts"]))
        self._connection.breaks = int(state["breaks"])

    def note(self) -> bytes:
        """Return how far the stream of the newest frame and the counters are, where all of it has been given."""
        if self._frames:
            return b""
        counters = {name: topic.last for name, topic in self._topics.items() if topic.last is not None}
        return msgspec.msgpack.encode([self._streams[self._newest].cutter.given, counters])

    def recall(self, frame: Frame, note: bytes) -> None:
        """Count what came in a frame, and go on with its counters."""
        self._goes_on = True
        cutter = self._stream(frame.stream).cutter
        if not note:
            cutter.given += frame.seconds
            return
        cutter.given, counters = msgspec.msgpack.decode(note, type=tuple[float, dict[str, int]])
        for name, last in counters.items():
            self._topics[name] = _Topic(self._stream(name), last, restored=True)

    def counts(self) -> Counts:
        """Return messages, breaks of the connection, and what could not be used, by reason."""
        return {**(self._counts + self._ignored), "connection breaks": self._connection.breaks}

    def _arrived(self, message: MQTTMessage) -> None:
        """Hand a message over to the loop, as far as it may be used; called by paho's thread."""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        if not topic or len(topic) > MAX_TOPIC:
            self._ignored[NO_NAME] += 1
        elif message.retain and not self.given.retained:
            self._ignored[RETAINED] += 1
        else:
            payload = bytes(message.payload) if len(message.payload) <= self.given.largest else None
            arrived = time.monotonic() if self.given.rate else time.time()
            self._arrivals.put(_Message(topic, payload, arrived, self._connection.number, message.dup))

    def _take(self, message: _Message) -> None:
        """Make frames of a message."""
        self._notice_gaps(message)
        topic = self._topic(message.topic)
        if topic is None:
            return
        try:
            if message.payload is None:
                raise PayloadError("messages that are too large")
            payload = self._read(message.payload)
            if self._is_repeated(topic, message, payload.first):
                return
            self._follow(topic, payload)
        except PayloadError as error:
            self._counts[LEFT_OUT + str(error)] += 1
            topic.stream.gap()
        else:
            self._counts["messages"] += 1
            topic.stream.add(payload.rows, message.time)
        self._collect(topic.stream.cutter)

    def _notice_gaps(self, message: _Message) -> None:
        """End the segments of all streams where messages may be missing before this one."""
        missed, self._missed = self._arrivals.missed - self._missed, self._arrivals.missed
        if self.given.counter:  # that finds these as well
            self._counts["gave way in the queue"] += missed
        elif missed:
            self.lost["queue"] += missed
        if missed or message.connection != self._number:
            for stream in self._streams.values():
                stream.gap()
                self._collect(stream.cutter)
        self._number = message.connection

    def _is_repeated(self, topic: _Topic, message: _Message, first: int | None) -> bool:
        """Return whether a message was there already: without a counter only one that says so can be."""
        key = hash(message.payload)
        seen = key in topic.newest
        behind = first is not None and topic.last is not None and first <= topic.last
        repeated = (seen or behind) if message.again else (seen and bool(self.given.counter))
        if repeated:
            self._counts["repeated messages"] += 1
        else:
            topic.newest.append(key)
        return repeated

    def _follow(self, topic: _Topic, payload: Payload) -> None:
        """Count what is missing before a message by the device's own counter."""
        first, last = payload.first, topic.last
        if first is None:
            return
        topic.last, restored, topic.restored = payload.last, topic.restored, False
        if last is None:
            return
        missing = first - last - 1
        if self._around:
            missing %= self._around
            missing -= self._around * (missing >= self._around // 2)  # the shorter way
        if missing:
            topic.stream.gap()
        if 0 < missing <= LARGEST_JUMP:
            self.lost["restart (at most)" if restored else "counter"] += missing
        elif missing:
            self._counts["counters that began again"] += 1

    def _topic(self, name: str) -> _Topic | None:
        """Return what is known of a topic; None where there are too many."""
        if name not in self._topics:
            if len(self._topics) >= MAX_TOPICS:
                self._counts[LEFT_OUT + f"messages of more than {MAX_TOPICS} topics"] += 1
                return None
            self._topics[name] = _Topic(self._stream(name))
        return self._topics[name]

    def _stream(self, name: str) -> _Stream:
        """Return the stream that a topic, or a stream, is."""
        stream = self.name if self.given.stream == "one" else name
        if stream not in self._streams:
            axes = ("time", "channel")
            self._streams[stream] = _Stream(Cutter(stream, axes, self.given.rate, self.given, array=self.name))
        return self._streams[stream]

    def _collect(self, cutter: Cutter) -> None:
        while (frame := cutter.take()) is not None:
            self._frames.append(frame)


def _is_filter(topic: str) -> bool:
    """Return whether a broker takes a text as what is subscribed to."""
    *levels, last = topic.split("/")
    if "\0" in topic or not 0 < len(topic.encode()) <= 65535:
        return False
    return all(level == "+" or not set(level) & set("+#") for level in levels) and (
        last in ("+", "#") or not set(last) & set("+#")
    )
