"""What all sockets have in common: their limits and options, and how an address is reserved."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import zmq

from stream_infomax.settings.reach import ACCEPTED, PROBLEM, is_local
from stream_infomax.state.private import private
from stream_infomax.transport.guard import Connection, Guard, Limits, allow_files
from stream_infomax.transport.keys import LOCAL, Access
from stream_infomax.transport.monitor import Monitor

# The most frames that a request may ask for; it stays below the high-water mark, where a ROUTER would drop.
MAX_CREDIT = 1024
HIGH_WATER_MARK = 4096
MAX_PART_BYTES = 1 << 28
HEARTBEAT_MS = 1000
HEARTBEAT_TIMEOUT_MS = 5000
LINGER_MS = 2000
# Until then a connection has said what it is.
HANDSHAKE_MS = 5000
# Seconds of silence after which the kernel asks whether a TCP peer is there, seconds between its questions, questions.
KEEPALIVE = {zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 10, zmq.TCP_KEEPALIVE_INTVL: 5, zmq.TCP_KEEPALIVE_CNT: 3}
# Plain numbers: to combine the flags each time takes longer than to send.
_NOW = int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)


_log = logging.getLogger(__name__)


class StreamError(Exception):
    """An address cannot be had."""


class RefusedError(StreamError):
    """The other side of a socket refuses this one, or another process has its address; both would be so again."""


def set_options(socket: zmq.Socket[Any], max_part_bytes: int = MAX_PART_BYTES) -> None:
    """Set what all sockets have in common; a peer that sends a longer part is cut off."""
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.MAXMSGSIZE, max_part_bytes)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)


def router(context: zmq.Context[Any], max_part_bytes: int) -> zmq.Socket[bytes]:
    """Return a ROUTER socket that answers who asks, or says that it has gone."""
    made: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
    made.setsockopt(zmq.ROUTER_MANDATORY, 1)
    set_options(made, max_part_bytes)
    # A full queue and a lost connection together end the process at the next heartbeat (libzmq #4767): the queue is
    # never full. Its guard bounds it in bytes.
    made.setsockopt(zmq.RCVHWM, 0)
    return made


def without_heartbeats(socket: zmq.Socket[Any]) -> None:
    """Take heartbeats away from a socket whose peer may have to wait.

    While a receiver's queue is full libzmq reads nothing from the connection, the answers to heartbeats either: it
    takes the peer for dead, what was on its way is lost without a word, and an assertion may end the process (libzmq
    #3937, #4767). The kernel notices a peer that is gone.
    """
    socket.setsockopt(zmq.HEARTBEAT_IVL, 0)
    for option, value in KEEPALIVE.items():
        socket.setsockopt(option, value)


def send(socket: zmq.Socket[bytes], parts: Sequence[bytes]) -> None:
    """Send a message without waiting; what `send_multipart` does, without its checks of every part."""
    for part in parts[:-1]:
        socket.send(part, _MORE)
    socket.send(parts[-1], _NOW)


def receive(socket: zmq.Socket[bytes]) -> list[bytes]:
    """Return the parts of a message that is there, or raise `zmq.Again`."""
    return receive_from(socket)[0]


def receive_from(socket: zmq.Socket[bytes], guarded: bool = False) -> tuple[list[bytes], str]:
    """Return the parts of a message that is there, and of a `guarded` socket whose key it came with."""
    # A part that is asked whether there is more takes less time than asking the socket.
    part = socket.recv(_NOW, copy=False)
    parts = [part.bytes]
    while part.more:
        part = socket.recv(_NOW, copy=False)
        parts.append(part.bytes)
    return parts, str(part.get("User-Id")) if guarded else ""


def wait(socket: zmq.Socket[Any], monitor: Monitor, events: int, milliseconds: int, address: str) -> bool:
    """Return whether a socket that connects is ready for `events`, after so long a wait at most.

    Raises
    ------
    RefusedError
        Where the other side lets it not in.
    """
    poller = zmq.Poller()
    poller.register(socket, events)
    poller.register(monitor.socket, zmq.POLLIN)
    until = time.monotonic() + milliseconds / 1000
    while not socket.poll(0, events):
        monitor.look()
        if monitor.refused:
            raise RefusedError(f"{address} {monitor.refused}")
        left = round(1000 * (until - time.monotonic()))
        if left <= 0:
            return False
        poller.poll(left)
    return True


class Bound:
    """A socket at an address of its own.

    Parameters
    ----------
    socket
        With its options set.
    address
        Where to bind.
    access
        Who gets in where others can reach the address.
    limits
        What the connections of a TCP address may cost.

    Attributes
    ----------
    keys
        That guard the address; None where none do.
    guard
        That watches its connections; None where it is no TCP address.
    refused
        Connections that were cut off, and what else was refused, by reason.

    Raises
    ------
    StreamError
        Where the address is in use or cannot be bound.
    RefusedError
        Where others can reach it, there are no keys, and nobody says that this is meant.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], address: str, access: Access = LOCAL, limits: Limits | None = None
    ) -> None:
        if not access.admits(address):
            raise RefusedError(f"cannot bind {address}: {PROBLEM}; accepted: {ACCEPTED}")
        if access.keys is None and not is_local(address):
            _log.warning("%s has no keys: whoever reaches it gets in, as run.insecure says", address)
        allow_files()
        self.socket = socket
        self.refused: Counter[str] = Counter()
        self.keys = access.guard(socket, address)
        is_tcp = address.startswith("tcp://")
        self.guard = Guard(socket, limits, self.refused, self.keys) if limits and is_tcp else None
        try:
            self._lock = _bind(socket, address)
        except StreamError:
            Bound.close(self)  # a subclass has nothing to close yet
            raise
        self.address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        if self.guard is not None:
            self.guard.bound(self.address)

    def receive_whose(self) -> tuple[list[bytes], str, Connection | None]:
        """Return the parts of a message that is there, whose key it came with and by which connection, where known."""
        guarded = self.keys is not None
        if self.guard is None:
            return *receive_from(self.socket, guarded), None
        parts, part, connection = self.guard.receive()
        return parts, str(part.get("User-Id")) if guarded else "", connection

    def reply(self, peer: bytes, connection: Connection | None, *parts: bytes) -> None:
        """Answer whoever asked; where that one has gone, or takes nothing, nobody."""
        with suppress(zmq.ZMQError):
            send(self.socket, (peer, *parts))
            if self.guard is not None:
                self.guard.note_sent((connection,), sum(map(len, parts)))

    def refusals(self, prefix: str = "") -> dict[str, int]:
        """Return what was refused, by reason: connections that were cut off, and requests."""
        return {prefix + reason: count for reason, count in dict(self.refused).items()}

    def close(self) -> None:
        """Close the socket. The address stays reserved until the process ends or `release` is called."""
        if self.guard is not None:
            self.guard.close()
        self.socket.close()

    def release(self) -> None:
        """Give the address free for another process; after the context has ended."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _bind(socket: zmq.Socket[bytes], address: str) -> int | None:
    """Bind, or raise StreamError with the address.

    A Unix socket is its user's alone. ZeroMQ takes one over from a living process without a word, so a locked file
    beside it says that it is in use; the kernel unlocks it when the process ends, however that comes.

    Returns
    -------
    The descriptor of the locked file, to be closed when the context has ended; None for other transports.
    """
    lock = None
    try:
        if address.startswith("ipc://"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = os.open(address.removeprefix("ipc://") + ".lock", flags, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with private():
            socket.bind(address)
    except (OSError, zmq.ZMQError) as error:
        if lock is not None:
            os.close(lock)
        if error.errno in (errno.EADDRINUSE, errno.EWOULDBLOCK):
            raise RefusedError(f"address already in use: {address}") from error
        raise StreamError(f"cannot bind {address}: {error.strerror}") from error
    return lock
