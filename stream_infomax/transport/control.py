"""Control: the socket on which a service is told what to do; `ask` tells it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any, NamedTuple

import zmq

from stream_infomax.transport import messages
from stream_infomax.transport.guard import Connection, Limits
from stream_infomax.transport.keys import LOCAL, OWN, Access
from stream_infomax.transport.messages import Accepted, MessageError, Order, Refused
from stream_infomax.transport.monitor import Monitor
from stream_infomax.transport.sockets import Bound, StreamError, router, set_options, wait

# Requests taken in one go: each may wait for the disk, and frames for it.
MAX_REQUESTS = 16
# Whoever has a key under this name, or one that begins with it and a hyphen, may steer; and who has the run's own.
NAME = "control"
LIMITS = Limits(
    connections=64,
    unfinished=16 * messages.MAX_REQUEST_BYTES,
    rate=128,
    spared=16 * messages.MAX_REQUEST_BYTES,
    behind=1 << 20,
)
# Seconds after which a request is sent once more, and after which nobody answers.
AGAIN, PATIENCE = 1.0, 10.0


class Asked(NamedTuple):
    """What somebody wants, by whose key (empty: there are none), and where the answer goes."""

    order: Order
    by: str
    peer: bytes
    connection: Connection | None


class Control(Bound):
    """A ROUTER socket that takes one request a message.

    Raises
    ------
    StreamError
        Where the address is in use or cannot be bound.
    """

    def __init__(self, context: zmq.Context[Any], address: str, access: Access = LOCAL) -> None:
        super().__init__(router(context, 2 * messages.MAX_REQUEST_BYTES), address, access, LIMITS)

    def asked(self) -> Iterator[Asked]:
        """Yield what has come; what is no request, or may not be made with its key, is refused and counted."""
        for _ in range(MAX_REQUESTS):
            try:
                (peer, *parts), key, connection = self.receive_whose()
            except zmq.Again:
                return
            owner = self.keys.owner(key) if self.keys is not None else ""
            if owner is None or (owner not in ("", OWN, NAME) and not owner.startswith(f"{NAME}-")):
                text = f"this key is not allowed to steer; those under the name {NAME}, or {NAME}-…, are"
                self._send(peer, connection, Refused("key", text))
                continue
            try:
                if len(parts) != 1 or len(parts[0]) > messages.MAX_REQUEST_BYTES:
                    raise MessageError(f"a request is one part of at most {messages.MAX_REQUEST_BYTES} bytes")
                order = messages.decode_order(parts[0])
            except MessageError as error:
                self._send(peer, connection, Refused("request", f"not a request: {error}"))
                continue
            if connection is not None:
                connection.known = True
            yield Asked(order, owner, peer, connection)

    def answer(self, asked: Asked, answer: Accepted | Refused) -> None:
        """Answer whoever asked; where that one has gone, nobody."""
        self._send(asked.peer, asked.connection, answer)

    def _send(self, peer: bytes, connection: Connection | None, answer: Accepted | Refused) -> None:
        if isinstance(answer, Refused) and answer.reason in ("request", "key"):  # who may steer may be mistaken
            self.refused[answer.reason] += 1
            if self.guard is not None:
                self.guard.strike(connection)
        self.reply(peer, connection, messages.encode(answer))


def ask(
    context: zmq.Context[Any],
    address: str,
    order: Order,
    *,
    show: Callable[[zmq.Socket[bytes], str], None] | None = None,
    patience: float = PATIENCE,
) -> Accepted | Refused:
    """Return what the service at an address answers; the request is sent again until it does.

    Parameters
    ----------
    show
        Shows keys to the address, where there are any.
    patience
        Seconds.

    Raises
    ------
    StreamError
        Where nobody answers, or not in the words of the protocol; RefusedError where these keys are not let in.
    """
    socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    set_options(socket, 2 * messages.MAX_REQUEST_BYTES)
    socket.setsockopt(zmq.LINGER, 0)
    # The service counts each attempt of one that it does not let in.
    socket.setsockopt(zmq.RECONNECT_IVL, round(1000 * AGAIN))
    with socket, closing(Monitor(socket)) as monitor:
        try:
            if show is not None:
                show(socket, address)
            socket.connect(address)
        except zmq.ZMQError as error:
            raise StreamError(f"cannot connect to {address}: {error.strerror}") from error
        until = time.monotonic() + patience
        while (left := until - time.monotonic()) > 0:
            with suppress(zmq.Again):
                socket.send(messages.encode(order), zmq.NOBLOCK)
            if wait(socket, monitor, zmq.POLLIN, round(1000 * min(AGAIN, left)), address):
                try:
                    return messages.decode_reply(socket.recv())
                except MessageError as error:
                    raise StreamError(f"{address}: not an answer: {error}") from error
    raise StreamError(f"nobody answers at {address}")
