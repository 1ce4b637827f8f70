"""Tap: a service's frames and its status for any observer, lossy by nature. TapReader: such an observer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import zmq

from stream_infomax.frames import wire
from stream_infomax.frames.basis import Basis
from stream_infomax.frames.contracts import Output
from stream_infomax.frames.frame import Frame, FrameError
from stream_infomax.transport import bases, messages
from stream_infomax.transport.keys import EVENTS, LOCAL, Access, KeysError, show
from stream_infomax.transport.messages import Status
from stream_infomax.transport.sockets import Bound, StreamError, receive, send, set_options, wait, without_heartbeats

FRAME = b"frame"
STATUS = b"status"
BASIS = b"basis"

# Seconds between two times that observers who come are sent the newest bases.
BETWEEN = 0.2
# The longest that an observer waits without looking whether Ctrl-C was pressed.
WAKE_MS = 500


class Tap(Bound):
    """A publishing socket with the topics ``frame``, ``basis`` and ``status``; it never waits for anyone.

    It is an XPUB, which to subscribers is a PUB, but hears of them: frames nobody listens to cost nothing, and whoever
    comes is sent the newest basis of each stage.

    Raises
    ------
    StreamError
        Where the address is in use or cannot be bound.
    """

    def __init__(self, context: zmq.Context[Any], address: str, access: Access = LOCAL) -> None:
        publisher: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        set_options(publisher)
        without_heartbeats(publisher)
        publisher.setsockopt(zmq.XPUB_VERBOSE, 1)  # or only the first observer of a topic is heard of
        super().__init__(publisher, address, access)
        self.sockets = (self.socket,)
        self._topics: set[bytes] = set()
        self._watched = False
        self._bases: dict[str, Basis] = {}
        self._newcomers = False
        self._sent = -math.inf

    def attend(self) -> None:
        """Take note of observers that come and go, and send the newest bases to those that came for them."""
        while True:
            try:
                change = receive(self.socket)[0]
            except zmq.Again:
                break
            # The first byte says whether there is a listener now; a topic is the beginning of one, empty for all.
            if change.startswith(b"\x01"):
                self._topics.add(change[1:])
                self._newcomers |= _matches(change[1:], BASIS)
            elif change.startswith(b"\x00"):
                self._topics.discard(change[1:])
        self._watched = any(_matches(topic, FRAME) for topic in self._topics)
        if self._newcomers and time.monotonic() >= self._sent + BETWEEN:
            self._newcomers, self._sent = False, time.monotonic()
            for basis in self._bases.values():
                send(self.socket, (BASIS, *bases.encode(basis)))

    def frame(self, output: Output) -> None:
        """Publish a frame, if anyone listens."""
        if not self._watched:
            return
        head = messages.encode(messages.Sent(output.log, output.frame.offset, time.time(), output.origin))
        send(self.socket, (FRAME, head, *output.parts))

    def basis(self, basis: Basis) -> None:
        """Publish what the next frames will be encoded with."""
        self._bases[basis.key] = basis
        if any(_matches(topic, BASIS) for topic in self._topics):
            send(self.socket, (BASIS, *bases.encode(basis)))

    def status(self, status: Status) -> None:
        """Publish numbers for people who watch."""
        send(self.socket, (STATUS, messages.encode(status)))


def _matches(subscription: bytes, topic: bytes) -> bool:
    """Return whether a subscription, which is the beginning of a topic, is for this one."""
    return topic.startswith(subscription)


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
        What to listen to, of ``frame``, ``basis`` and ``status``.
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
        self._monitor = self.socket.get_monitor_socket(EVENTS)
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
