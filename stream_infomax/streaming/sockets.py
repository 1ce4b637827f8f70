"""What all sockets have in common: their limits and options, and how an address is reserved."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import IO

import zmq

# The most frames that a request may ask for; it stays below the high-water mark, where a ROUTER would drop.
MAX_CREDIT = 1024
HIGH_WATER_MARK = 4096
MAX_PART_BYTES = 1 << 28
HEARTBEAT_MS = 1000
HEARTBEAT_TIMEOUT_MS = 5000
LINGER_MS = 2000


class StreamError(Exception):
    """An address cannot be had."""


class RefusedError(StreamError):
    """The other side of a socket refuses this one, and would do so again."""


def set_options(socket: zmq.Socket[bytes]) -> None:
    """Set what all sockets have in common."""
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_PART_BYTES)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)


def bind(socket: zmq.Socket[bytes], address: str) -> IO[bytes] | None:
    """Bind, or raise StreamError with the address. Returns the lock that a Unix socket needs.

    ZeroMQ takes a Unix socket over from a living process without a word, so a locked file beside it says that it
    is in use; the kernel unlocks it when the process ends, however that comes.
    """
    lock = None
    try:
        if address.startswith("ipc://"):
            lock = Path(address.removeprefix("ipc://") + ".lock").open("wb")  # noqa: SIM115
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        socket.bind(address)
    except (OSError, zmq.ZMQError) as error:
        if lock:
            lock.close()
        if error.errno in (errno.EADDRINUSE, errno.EWOULDBLOCK):
            raise StreamError(f"address already in use: {address}") from error
        raise StreamError(f"cannot bind {address}: {error.strerror}") from error
    return lock
