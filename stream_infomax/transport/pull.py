"""Pull: the socket that devices push their messages to."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import zmq

from stream_infomax.transport.guard import IN_KERNEL, Limits
from stream_infomax.transport.keys import LOCAL, Access
from stream_infomax.transport.sockets import Bound, StreamError, set_options, without_heartbeats

# Devices that are connected at once.
CONNECTIONS = 4096
# Bytes of all devices that may wait here.
WAITING = 1 << 30

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
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = self._context.socket(zmq.PULL)
        set_options(socket, largest)
        socket.setsockopt(zmq.RCVHWM, queue)
        without_heartbeats(socket)
        with ExitStack() as stack:
            stack.callback(self._context.destroy, 0)
            stack.enter_context(access.answering(self._context))
            unfinished = 2 * largest + IN_KERNEL
            limits = Limits(connections=CONNECTIONS, unfinished=unfinished, waiting=max(WAITING, 2 * unfinished))
            super().__init__(socket, address, access, limits)
            self._open = stack.pop_all()

    def receive(self) -> list[bytes] | None:
        """Return the parts of the next message, None where none is there."""
        while True:
            try:
                parts, key, connection = self.receive_whose()
            except zmq.Again:
                return None
            if self.keys is None or self.keys.owner(key) is not None:
                if connection is not None:
                    connection.known = True
                return parts
            self.refused["key"] += 1  # of a connection that was allowed once

    def refusals(self, prefix: str = "") -> dict[str, int]:
        """Return what was refused, by reason: connections whose keys are not allowed, too."""
        keys = self.keys.refused if self.keys is not None else {}
        return {prefix + reason: count for reason, count in (self.refused + Counter(keys)).items()}

    def close(self) -> None:
        """Close the socket and give its address free."""
        self._open.close()
        self.release()
