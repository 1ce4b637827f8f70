"""Pull: the socket that devices push their messages to."""

from __future__ import annotations

import resource

import zmq

from stream_infomax.transport.sockets import Bound, StreamError, receive, set_options, without_heartbeats

# Each device's connection is an open file.
OPEN_FILES = 1 << 16

__all__ = ["Pull", "StreamError"]


class Pull(Bound):
    """A bound PULL socket with a bounded queue for each device that is connected.

    Where a queue is full the device's own one fills, and then the device waits or drops, as it likes.

    Parameters
    ----------
    address
        Where to bind.
    queue
        How many messages of a device wait here.
    largest
        The most bytes of a part; who sends a longer one is cut off.

    Raises
    ------
    StreamError
        Where the address is in use or cannot be bound.
    """

    def __init__(self, address: str, queue: int, largest: int) -> None:
        _allow(OPEN_FILES)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = self._context.socket(zmq.PULL)
        set_options(socket, largest)
        socket.setsockopt(zmq.RCVHWM, queue)
        without_heartbeats(socket)
        try:
            super().__init__(socket, address)
        except StreamError:
            self._context.destroy(linger=0)
            raise

    def receive(self) -> list[bytes] | None:
        """Return the parts of the next message, None where none is there."""
        try:
            return receive(self.socket)
        except zmq.Again:
            return None

    def close(self) -> None:
        """Close the socket and give its address free."""
        self._context.destroy(linger=0)
        self.release()


def _allow(n_files: int) -> None:
    """Let this process have so many files open, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = n_files if hard == resource.RLIM_INFINITY else min(n_files, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
