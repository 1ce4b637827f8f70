"""Pull: the socket that devices push their messages to."""

from __future__ import annotations

import resource
from contextlib import ExitStack

import zmq

from stream_infomax.transport.keys import LOCAL, Access
from stream_infomax.transport.sockets import Bound, StreamError, receive_from, set_options, without_heartbeats

# Each device's connection is an open file.
OPEN_FILES = 1 << 16

__all__ = ["Access", "Pull", "StreamError"]


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
    access
        Who gets in where others can reach the address.

    Raises
    ------
    StreamError
        Where the address is in use or cannot be bound.
    """

    def __init__(self, address: str, queue: int, largest: int, access: Access = LOCAL) -> None:
        _allow(OPEN_FILES)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = self._context.socket(zmq.PULL)
        set_options(socket, largest)
        socket.setsockopt(zmq.RCVHWM, queue)
        without_heartbeats(socket)
        with ExitStack() as stack:
            stack.callback(self._context.destroy, 0)
            stack.enter_context(access.answering(self._context))
            super().__init__(socket, address, access)
            self._open = stack.pop_all()

    def receive(self) -> list[bytes] | None:
        """Return the parts of the next message, None where none is there."""
        while True:
            try:
                parts, key = receive_from(self.socket, guarded=self.keys is not None)
            except zmq.Again:
                return None
            if self.keys is None or self.keys.owner(key) is not None:
                return parts
            self.keys.refused["key"] += 1  # of a connection that was allowed once

    def close(self) -> None:
        """Close the socket and give its address free."""
        self._open.close()
        self.release()


def _allow(n_files: int) -> None:
    """Let this process have so many files open, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = n_files if hard == resource.RLIM_INFINITY else min(n_files, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
