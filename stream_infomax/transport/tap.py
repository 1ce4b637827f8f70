"""Tap: a service's frames and its status for any observer, lossy by nature. TapReader: such an observer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import zmq

from stream_infomax.frames import wire
from stream_infomax.frames.basis import Basis
from stream_infomax.frames.contracts import Output
from stream_infomax.frames.frame import Frame, FrameError
from stream_infomax.transport import bases, messages
from stream_infomax.transport.guard import Connection, Limits
from stream_infomax.transport.keys import LOCAL, Access, KeysError, show
from stream_infomax.transport.messages import Status
from stream_infomax.transport.monitor import Monitor
from stream_infomax.transport.observer import Observer
from stream_infomax.transport.sampler import Sampler
from stream_infomax.transport.sockets import Bound, StreamError, send, set_options, wait, without_heartbeats

FRAME = b"frame"
SAMPLED = b"sampled"
INPUT = b"input"
STATUS = b"status"
BASIS = b"basis"
TOPICS = (FRAME, SAMPLED, INPUT, BASIS, STATUS)

# What viewers are sent of a stream, at most: frames and bytes a second.
SAMPLED_FRAMES, SAMPLED_BYTES = 100, 1 << 20
# Seconds between two times that observers who come are sent the newest bases.
BETWEEN = 0.2
# Changes of what is listened to that are taken in one go; the others wait for the next.
MAX_CHANGES = 256
# Bytes of a subscription: topics are short, but a handshake with keys is not. And how many wait with each observer.
MAX_CHANGE_BYTES = 1024
MAX_WAITING = 16
# Milliseconds after which the kernel gives an observer up that takes nothing.
PATIENCE_MS = 30_000
# All that an observer says is what it listens to; those of other programs send heartbeats.
LIMITS = Limits(connections=64, unfinished=16 << 10, rate=128, spared=64 << 10, behind=64 << 20)
# The longest that an observer waits without looking whether Ctrl-C was pressed.
WAKE_MS = 500


class Tap(Bound, Observer):
    """A publishing socket; it never waits for anyone.

    Its topics are ``frame``; ``sampled``, which is some of the same frames, as many as a viewer needs, with what the
    modules within the service made beside them; ``input``, some of what came; ``basis`` and ``status``.

    It is an XPUB, which to subscribers is a PUB, but hears of them: frames nobody listens to cost nothing, and whoever
    comes is sent the newest basis of each stage.

    Raises
    ------
    StreamError
        Where the address is in use or cannot be bound.
    """

    def __init__(self, context: zmq.Context[Any], address: str, access: Access = LOCAL) -> None:
        publisher: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        set_options(publisher, MAX_CHANGE_BYTES)
        without_heartbeats(publisher)
        publisher.setsockopt(zmq.RCVHWM, MAX_WAITING)
        publisher.setsockopt(zmq.TCP_MAXRT, PATIENCE_MS)
        # Or only the first observer of a topic is heard of. With a guard each one is known, and what it cancels.
        publisher.setsockopt(zmq.XPUB_VERBOSER if address.startswith("tcp://") else zmq.XPUB_VERBOSE, 1)
        super().__init__(publisher, address, access, LIMITS)
        self.sockets = (self.socket,)
        # Who listens to what begins so; nobody in particular where there is no guard.
        self._topics: dict[bytes, set[Connection | None]] = {}
        self._listeners: dict[bytes, set[Connection | None]] = {topic: set() for topic in TOPICS}
        self._samplers = {topic: Sampler(SAMPLED_FRAMES, SAMPLED_BYTES) for topic in (SAMPLED, INPUT)}
        self._bases: dict[str, Basis] = {}
        self._newcomers = False
        self._sent = -math.inf

    def attend(self) -> None:
        """Take note of observers that come and go, and send the newest bases to those that came for them."""
        for _ in range(MAX_CHANGES):
            try:
                self._take(self.socket.recv(zmq.NOBLOCK, copy=False))
            except zmq.Again:
                break
        if self.guard is not None:
            for topic, listeners in list(self._topics.items()):
                listeners &= self.guard.alive
                if not listeners:
                    del self._topics[topic]
        for topic in self._listeners:
            self._listeners[topic] = set().union(*(who for own, who in self._topics.items() if topic.startswith(own)))
        if self._newcomers and time.monotonic() >= self._sent + BETWEEN:
            self._newcomers, self._sent = False, time.monotonic()
            for basis in self._bases.values():
                self._send(BASIS, *bases.encode(basis))

    def _take(self, part: zmq.Frame) -> None:
        """Take a change of what is listened to: whether there is a listener now, and the beginning of a topic."""
        change = part.bytes
        yes, topic = change[:1], change[1:]
        who = self.guard.whose(part) if self.guard is not None else None
        if yes == b"\x01" and any(own.startswith(topic) for own in self._listeners):
            if who is not None:
                who.known = True
            if who is not None or self.guard is None:
                self._topics.setdefault(topic, set()).add(who)
                self._newcomers |= BASIS.startswith(topic)
        elif yes == b"\x00":
            self._topics.get(topic, set()).discard(who)
            if not self._topics.get(topic):
                self._topics.pop(topic, None)
        elif self.guard is not None:
            self.guard.strike(who)

    def frame(self, output: Output) -> None:
        """Publish a frame, if anyone listens."""
        if self._listeners[FRAME]:
            self._send(FRAME, _head(output), *output.parts)
        self._sample(SAMPLED, output)

    def input(self, arrived: Output) -> None:
        """Publish a frame that has come, if anyone listens and there is room."""
        self._sample(INPUT, arrived)

    def _sample(self, topic: bytes, output: Output) -> None:
        """Publish a frame for viewers, as far as it is not too much."""
        sampler = self._samplers[topic]
        if self._listeners[topic] and sampler.admits(time.monotonic()):
            parts = output.for_viewers()
            sampler.take(sum(map(len, parts)))
            self._send(topic, _head(output), *parts)

    def basis(self, basis: Basis) -> None:
        """Publish what the next frames will be encoded with."""
        self._bases[basis.key] = basis
        if self._listeners[BASIS]:
            self._send(BASIS, *bases.encode(basis))

    def status(self, status: Status) -> None:
        """Publish numbers for people who watch, with those of the tap itself."""
        if self.refused:
            status = msgspec.structs.replace(status, refused={**status.refused, **self.refusals("tap: ")})
        self._send(STATUS, messages.encode(status))

    def _send(self, topic: bytes, *parts: bytes) -> None:
        """Publish a message under a topic."""
        send(self.socket, (topic, *parts))
        if self.guard is not None:
            self.guard.note_sent(self._listeners[topic], sum(map(len, parts)))


def _head(output: Output) -> bytes:
    return messages.encode(messages.Sent(output.log, output.frame.offset, time.time(), output.origin))


class TapReader:
    """What a tap publishes, from now on: iterate for its frames, until the stream has ended.

    >>> for frame in TapReader("ipc:///runs/speech/learner.tap"):  # doctest: +SKIP
    ...     print(frame.offset, frame.arrays["learner"].data.mean())

    A frame that an observer is too slow for is missed and counted in `missed`. After a restart of the service an offset
    can come twice, with the same bytes.

    Attributes
    ----------
    sent, origin
        When the newest frame was sent, and when the source first had it, in seconds of the wall clock of the machine
        that says so; 0 where that is not known. ``time.time() - tap.origin`` is a frame's latency.
    status
        The newest status, None before the first.
    bases
        The newest basis of each learner's stage, by its name, where ``basis`` is listened to.
    missed, refused
        Frames that were missed, and messages that were none.

    Parameters
    ----------
    address
        The tap's address; it need not be there yet.
    topics
        What to listen to, of ``frame``, ``sampled``, ``input``, ``basis`` and ``status``.
    keys, server
        The folder of one's own keys (``stream-infomax keys new``) and the file with the public key of the run, where
        that has keys; without `server` the run has the keys of the same folder.

    Raises
    ------
    StreamError
        Where that is no address.
    KeysError
        Where the keys cannot be used.
    """

    def __init__(
        self,
        address: str,
        topics: Sequence[bytes] = (FRAME, STATUS),
        *,
        keys: str | Path = "",
        server: str | Path = "",
    ) -> None:
        self.address = address
        self.status: Status | None = None
        self.bases: dict[str, Basis] = {}
        self.sent = self.origin = 0.0
        self.missed = 0
        self.refused = 0
        self._newest: int | None = None
        self._context: zmq.Context[Any] = zmq.Context()
        self.socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        set_options(self.socket)
        without_heartbeats(self.socket)
        for topic in topics:
            self.socket.subscribe(topic)
        self._monitor = Monitor(self.socket)
        try:
            show(self.socket, address, keys, server)
            self.socket.connect(address)
        except KeysError:
            self.close()
            raise
        except zmq.ZMQError as error:
            self.close()
            raise StreamError(
                f"cannot listen to {address}: {error.strerror}; accepted are ipc://PATH and tcp://HOST:PORT"
            ) from error

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames as they come, until the service says that its log has ended."""
        while True:
            received = self.receive()
            if isinstance(received, Frame):
                yield received
            elif isinstance(received, Status) and received.finished:  # the frames came before it
                self._jump(received.newest + 1)
                return

    def receive(self) -> Frame | Status | Basis | None:
        """Wait for the next message and return its frame, status or basis; None for one that was refused.

        Raises
        ------
        RefusedError
            Where the service lets this observer not in.
        """
        while not self.poll(WAKE_MS):  # a signal that came just before the wait is seen after it
            pass
        topic, *parts = self.socket.recv_multipart()
        try:
            if topic == STATUS and len(parts) == 1:
                self.status = messages.decode_status(parts[0])
                return self.status
            if topic == BASIS:
                basis = bases.decode(parts)
                self.bases[basis.key] = basis
                return basis
            head = messages.decode_sent(parts[0])
            frame = wire.decode(parts[1:])
        except (FrameError, messages.MessageError, IndexError):
            self.refused += 1
            return None
        self.sent, self.origin = head.sent, head.origin
        self._jump(frame.offset)
        self._newest = frame.offset if self._newest is None else max(self._newest, frame.offset)
        return frame

    def poll(self, milliseconds: int) -> bool:
        """Return whether there is a message, after so long a wait at most. Raises RefusedError as `receive` does."""
        return wait(self.socket, self._monitor, zmq.POLLIN, milliseconds, self.address)

    def close(self) -> None:
        """Stop listening."""
        self._context.destroy(linger=0)

    def __enter__(self) -> TapReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _jump(self, offset: int) -> None:
        if self._newest is not None:
            self.missed += max(0, offset - self._newest - 1)
