"""Everything in the package that reads messages from outside, each as a target for fuzzing."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq
from helpers.wire import status

from stream_infomax.frames import wire
from stream_infomax.frames.basis import Basis
from stream_infomax.frames.event import Event, event_line
from stream_infomax.frames.frame import Array, Frame, FrameError
from stream_infomax.run.taps import Taps
from stream_infomax.service.late_labels import LateLabels
from stream_infomax.settings.printable import printable
from stream_infomax.sources.devices import DevicesSource
from stream_infomax.sources.payloads import PayloadError, reader
from stream_infomax.state import file as state_file
from stream_infomax.transport import bases, messages
from stream_infomax.transport.conform.listen import Listener
from stream_infomax.transport.inlet import Inlet
from stream_infomax.transport.log import OutputLog
from stream_infomax.transport.messages import MessageError
from stream_infomax.transport.outlet import Outlet
from stream_infomax.transport.sockets import RefusedError
from stream_infomax.transport.tap import TapReader
from torture.mutations import Parts

LOG = "0011223344556677"
# Messages between two looks whether what is remembered of them can be saved.
LOOK = 500


def save(state: Any) -> None:
    """Save what is remembered of the messages, as a checkpoint does."""
    with tempfile.TemporaryDirectory() as folder:
        state_file.save(Path(folder) / "state", {"state": state})


@dataclass
class Target:
    """What takes messages.

    Attributes
    ----------
    name
        Of it.
    seeds
        Messages that it accepts.
    feed
        Gives it one. Returns the reason for which it was refused, empty where it was accepted; whatever it raises is a
        fault.
    close
        Lets it go.
    """

    name: str
    seeds: list[Parts]
    feed: Callable[[Parts], str]
    close: Callable[[], None] = field(default=lambda: None)


def frames() -> list[Parts]:
    """Return frames of all kinds."""
    audio = Array(np.arange(6, dtype=np.int16).reshape(3, 2), ("time", "channel"))
    picture = Array(np.zeros((1, 2, 2), np.float32), ("item", "y", "x"))
    features = Array(np.array([[1.5, np.nan]], np.float32), ("item", "component"))
    event = Event(stage="learner", position=640, kind="change", text="the variance doubled")
    both = {"source": picture, "ica": features}
    return [
        wire.encode(Frame("mic", 3, "a.wav", {"source": audio}, time=0.5, rate=16000.0)),
        wire.encode(Frame("camera", 300, "kodim01.png@0,12", both, True, True, 12.5, 0.25, {"texture": "brick"})),
        wire.encode(Frame("mic", 7, encoder="learner-1", update=3, basis="0123456789ab", events=(event,))),
        wire.encode(Frame("mic", 8, "a.wav", labels={"digit": "7"})),
    ]


def pushed() -> list[Parts]:
    """Return messages of devices."""
    rows = {"source": Array(np.arange(8, dtype=np.float32).reshape(4, 2), ("time", "channel"))}
    return [
        *(wire.encode_pushed(Frame(f"d{n % 3}", arrays=rows, time=n / 4, rate=16.0), n, "one") for n in range(12)),
        wire.encode_pushed(Frame("d1", segment="word", arrays=rows, rate=16.0, last=True), 12, "one"),
        wire.encode_pushed(Frame("d2", labels={"word": "yes"}, time=1.0), 13, "one"),
        wire.encode_pushed(Frame("d2", arrays=rows, rate=16.0, end=True), 14, "one"),
    ]


def basis() -> Parts:
    """Return a basis."""
    rows = np.array([[0.5, -1]], np.float32)
    one = np.ones(1, np.float32)
    plain = {"stage": "learner", "encoder": "learner-1", "version": "0123456789ab", "offset": 8, "output": "halves"}
    arrays = {"mean": np.ones(2), "components": rows, "mixing": rows.T.copy(), "beta": one, "bias": one}
    return bases.encode(Basis(**plain, **arrays, amplitude=1.0, seed=0))  # type: ignore[arg-type]


WORDS = {
    "request": [
        messages.Fetch(reader="learner", log=LOG, start=7, credit=64, committed=6),
        messages.Commit("learner", LOG, 6),
    ],
    "answer": [
        messages.Gone(LOG, 7, 9),
        messages.Full(LOG),
        messages.Alive(LOG, 9, True, 6),
        messages.Refused("reader", "unknown reader"),
    ],
    "sent": [messages.Sent(LOG, 7, 1.25, 1.125)],
    "order": [
        messages.Order("0123456789abcdef", "undo", "learner", "3f8a"),
        messages.Order("1", "mark", value="door"),
        messages.Order("2", "pause"),
    ],
    "reply": [messages.Accepted("1", 300), messages.Refused("elsewhere", "no such stage here")],
    "status": [status(9)],
}


def targets(folder: Path) -> list[Target]:
    """Return all decoders, new."""
    found = [_frames(), _pushed(), _basis(), *_words(), _inspected(), *_payloads()]
    return [*found, _tap(folder), _taps(), _devices(), _labels(folder), _outlet(folder), _inlet(folder), *_extras()]


def _frames() -> Target:
    def feed(parts: Parts) -> str:
        try:
            frame = wire.decode(parts)
        except FrameError as error:
            return error.reason
        assert wire.encode(wire.decode(wire.encode(frame))) == wire.encode(frame)
        assert all(printable(event_line(event)).isprintable() for event in frame.events)
        return ""

    return Target("frames", frames(), feed)


def _pushed() -> Target:
    def feed(parts: Parts) -> str:
        try:
            wire.encode(wire.decode_pushed(parts).frame)
        except FrameError as error:
            return error.reason
        return ""

    return Target("frames of devices", pushed(), feed)


def _basis() -> Target:
    def feed(parts: Parts) -> str:
        try:
            bases.encode(bases.decode(parts))
        except FrameError as error:
            return error.reason
        return ""

    return Target("bases", [basis()], feed)


def _words() -> list[Target]:
    decoders: dict[str, Callable[[bytes], Any]] = {name: getattr(messages, f"decode_{name}") for name in WORDS}

    def feed_to(decode: Callable[[bytes], Any]) -> Callable[[Parts], str]:
        def feed(parts: Parts) -> str:
            try:
                messages.encode(decode(parts[0] if parts else b""))
            except MessageError:
                return "no word"
            return ""

        return feed

    return [
        Target(f"the word {name}", [[messages.encode(word)] for word in WORDS[name]], feed_to(decode))
        for name, decode in decoders.items()
    ]


def _inspected() -> Target:
    """What says to people who write devices what is wrong."""
    from stream_infomax.cli.conform import _lines

    listeners = [Listener()]
    count = itertools.count(1)

    def feed(parts: Parts) -> str:
        listeners[0].take(parts, 1.0 + next(count))
        if next(count) % LOOK == 0:
            report = listeners[0].report()
            assert all(line.isprintable() for line in _lines(report))
            listeners[0] = Listener()
        return ""

    return Target("conform", pushed(), feed)


def _payloads() -> list[Target]:
    """What an MQTT message holds."""
    rows = np.arange(4, dtype="<f4").tobytes()
    forms: dict[str, tuple[tuple[Any, ...], list[bytes]]] = {
        "raw": (("raw", 2, "float32", (), ""), [rows]),
        "counted raw": (("raw", 2, "int16", (), "uint32"), [b"\1\0\0\0" + rows]),
        "csv": (("csv", 2, "float32", (), "0"), [b"1,2.5,-3e3\n2,4,5\n", b"7; 1 ;2"]),
        "json": (("json", 2, "float64", (), ""), [b"[[1, 2.5], [3, 4]]", b"[1, 2]"]),
        "fields": (("json", 2, "float32", ("x", "y"), "n"), [b'{"x": 1, "y": 2.0, "n": 3, "more": {"a": [1]}}']),
    }

    def feed_to(read: Callable[[bytes], Any]) -> Callable[[Parts], str]:
        def feed(parts: Parts) -> str:
            try:
                assert np.isfinite(read(parts[0] if parts else b"").rows).all()
            except PayloadError as error:
                return str(error)
            return ""

        return feed

    return [
        Target(f"payloads, {name}", [[payload] for payload in payloads], feed_to(reader(*settings)))
        for name, (settings, payloads) in forms.items()
    ]


class Letterbox:
    """Stands in for a socket on which messages are."""

    def __init__(self) -> None:
        self.waiting: list[Parts] = []
        self.missed = 0  # as a queue in which nothing gives way

    def poll(self, *_: object) -> int:
        """Say that there is one."""
        return 1

    def recv_multipart(self, *_: object) -> Parts:
        """Return a message."""
        if not self.waiting:
            raise zmq.Again
        return self.waiting.pop(0)

    def receive(self) -> Parts | None:
        """Return a message, None where there is none."""
        return self.waiting.pop(0) if self.waiting else None


def _tap(folder: Path) -> Target:
    observer = TapReader(f"ipc://{folder}/nobody")
    box = Letterbox()
    observer.socket.close()
    observer.socket = box  # type: ignore[assignment]
    sent = [[b"frame", messages.encode(WORDS["sent"][0]), *parts] for parts in frames()]
    seeds = [*sent, [b"status", messages.encode(WORDS["status"][0])], [b"basis", *basis()]]

    def feed(parts: Parts) -> str:
        before = observer.refused
        box.waiting.append(parts or [b""])
        received = observer.receive()
        assert (received is None) == (observer.refused == before + 1)
        return "refused" if received is None else ""

    return Target("tap readers", seeds, feed, observer.close)


def _taps() -> Target:
    taken: list[Any] = []
    taps = Taps({"learner": "ipc://learner.tap"}, "", lambda name, said: taken.append(name))

    def feed(parts: Parts) -> str:
        before = sum(taps.refused.values())
        taken.clear()
        taps.take("learner", parts)
        assert len(taken) + sum(taps.refused.values()) - before == 1
        return "" if taken else "refused"

    seeds = [[b"status", messages.encode(msgspec.structs.replace(WORDS["status"][0], run=""))]]
    return Target("the supervisor's taps", seeds, feed, lambda: taps._context.destroy(linger=0))


def _devices() -> Target:
    source = DevicesSource(bind="ipc://nowhere", streams=64)
    box = Letterbox()
    source._pull = box  # type: ignore[assignment]
    count = itertools.count(1)

    def refused() -> int:
        return int(sum(n for what, n in source.counts().items() if "refused" in what))

    def feed(parts: Parts) -> str:
        before = refused()
        box.waiting.append(parts)
        while (frame := source.receive()) is not None:
            wire.encode(frame)
        if next(count) % LOOK == 0:
            save(source.state())
        return "refused" if refused() > before else ""

    return Target("a source of devices", pushed(), feed)


def _labels(folder: Path) -> Target:
    context: zmq.Context[Any] = zmq.Context()
    labels = LateLabels(context, f"ipc://{folder}/labels")
    push = context.socket(zmq.PUSH)
    push.connect(labels.address)
    rows = {"mic": Array(np.zeros((10, 1), np.float32), ("time", "channel"))}
    count = itertools.count()
    seeds = [
        wire.encode(Frame("mic", segment="s3", labels={"digit": "7"})),
        wire.encode(Frame("mic", offset=9, labels={"digit": "7"})),
        wire.encode(Frame("mic", time=0.75, labels={"digit": "7"})),
    ]

    def refused() -> int:
        return int(sum(n for what, n in labels.counts().items() if what.startswith("left out")))

    def feed(parts: Parts) -> str:
        before, number = refused(), next(count)
        if number % 50 == 0:
            labels.note(Frame("mic", number // 50, f"s{number // 50}", rows, time=number / 500, rate=100.0))
        push.send_multipart(parts or [b""])
        labels.socket.poll(1000)
        while (label := labels.receive()) is not None:
            wire.encode(label)
        if number % LOOK == 0:
            save(labels.state())
        return "refused" if refused() > before else ""

    def close() -> None:
        labels.close()
        context.destroy(0)

    return Target("late labels", seeds, feed, close)


def _outlet(folder: Path) -> Target:
    context: zmq.Context[Any] = zmq.Context()
    log = OutputLog(["learner"])
    for offset in range(20):
        log.append(offset, frames()[0])
    outlet = Outlet(context, f"ipc://{folder}/outlet", log, LOG)
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.RCVHWM, 0)
    dealer.connect(outlet.address)

    def feed(parts: Parts) -> str:
        before = sum(outlet.refused.values())
        dealer.send_multipart(parts or [b""])
        outlet.socket.poll(1000)
        outlet.answer()
        while dealer.poll(0):
            dealer.recv_multipart()
        return "refused" if sum(outlet.refused.values()) > before else ""

    def close() -> None:
        outlet.close()
        context.destroy(0)
        outlet.release()

    return Target("outlets", [[messages.encode(word)] for word in WORDS["request"]], feed, close)


def _inlet(folder: Path) -> Target:
    context: zmq.Context[Any] = zmq.Context()

    def made() -> Inlet:
        return Inlet(context, f"ipc://{folder}/nobody", "learner", LOG)

    inlets = [made()]
    sent = [[messages.encode(messages.Sent(LOG, i, 0.0, 0.0)), *parts] for i, parts in enumerate(frames())]

    def feed(parts: Parts) -> str:
        inlet = inlets[0]
        before = sum(inlet.lost.values())
        inlet.next = 0
        try:
            inlet._take(parts)
        except RefusedError:
            inlets[0] = made()
            inlet.close()
            return "another log, or refused"
        return "refused" if sum(inlet.lost.values()) > before else ""

    def close() -> None:
        inlets[0].close()
        context.destroy(0)

    seeds = [*sent, *([messages.encode(word)] for word in WORDS["answer"])]
    return Target("inlets", seeds, feed, close)


def _extras() -> Sequence[Target]:
    """What needs packages that are not always there."""
    found = []
    try:
        found.append(_mqtt())
        found.append(_lsl())
    except ImportError:
        pass
    return found


def _mqtt() -> Target:
    from paho.mqtt.client import MQTTMessage

    from stream_infomax.sources.arrivals import Arrivals
    from stream_infomax.sources.mqtt import MqttSource

    source = MqttSource(host="localhost", topics=["#"], channels=2, fields=["x", "y"], counter="n")
    source._arrivals = Arrivals(64)
    source.sockets = (source._arrivals.socket,)
    source._connection.check = lambda: None  # type: ignore[method-assign]
    count = itertools.count(1)

    def refused() -> int:
        return int(sum(n for what, n in source.counts().items() if what.startswith("left out")))

    def feed(parts: Parts) -> str:
        before = refused()
        message = MQTTMessage(topic=parts[0] if parts else b"")
        message.payload = b"".join(parts[1:])
        source._arrived(message)
        while (frame := source.receive()) is not None:
            wire.encode(frame)
        if next(count) % LOOK == 0:
            save(source.state())
        return "refused" if refused() > before else ""

    return Target("a source of MQTT", [[b"sensors/1", b'{"x": 1, "y": 2, "n": 1}']], feed, source._arrivals.close)


def _lsl() -> Target:
    from stream_infomax.sources.lsl import LslSource
    from stream_infomax.sources.lsl_inlet import Chunk, Form

    source = LslSource(stream="EEG")

    class Stream:
        """Stands in for the listener."""

        form = Form(100.0, 2, ("a", "b"))
        wanted = "LSL stream"
        breaks = 0
        arrivals = Letterbox()

    Stream.arrivals.dropped = 0  # type: ignore[attr-defined]
    Stream.arrivals.get = lambda: None  # type: ignore[attr-defined]
    source._stream = Stream()  # type: ignore[assignment]
    dtypes = (np.float32, np.float64, np.int8, np.int16, np.int32, np.int64)

    def feed(parts: Parts) -> str:
        kind, stamps, rows, *texts = [*parts, b"", b"", b""]
        times = np.frombuffer(stamps[: len(stamps) // 8 * 8], np.float64)
        dtype = np.dtype(dtypes[len(kind) % len(dtypes)])
        wanted = 2 * len(times) * dtype.itemsize
        values = np.frombuffer((rows * (wanted // max(1, len(rows)) + 1) + bytes(wanted))[:wanted], dtype)
        source._take(Chunk(values.reshape(-1, 2), times, len(rows) % 3))
        source._mark(Chunk(np.array([[text] for text in texts] or [[b"x"]], object), np.zeros(len(texts) or 1), 1))
        while (frame := source.receive()) is not None:
            wire.encode(frame)
        return ""

    times = (np.arange(5) / 100).tobytes()
    return Target("a source of LSL", [[b"", times, b"\1\2\3\4" * 20, b"go"], [b"12", times, b"\xff" * 9]], feed)
