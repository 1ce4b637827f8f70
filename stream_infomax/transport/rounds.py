"""Rounds: the sockets on which the learners of a fleet exchange what they have learnt.

A member asks for what all have in common, or hands in what it has learnt; the coordinator answers when it can. A
member repeats its request until then, and the coordinator gives the same answer again: repeats are harmless.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import zmq
from msgspec.structs import replace

from stream_infomax.transport import messages
from stream_infomax.transport.guard import Connection, Limits
from stream_infomax.transport.keys import LOCAL, OWN, Access, Keys
from stream_infomax.transport.messages import Ask, Common, FromMember, HandIn, Heard, MessageError, Refused, ToMember
from stream_infomax.transport.monitor import Monitor
from stream_infomax.transport.sockets import Bound, RefusedError, StreamError, receive, router, send, set_options

# Bytes of what is handed in or shared: of 2,048 components some 100 MB.
MOST_BYTES = 1 << 28
# Requests taken in one go.
MAX_REQUESTS = 64
# Seconds without a word after which a request is repeated; after `Heard` it may take longer.
SILENCE, HEARD = 1.0, 10.0
# Seconds after which a connection that is new takes something, which one with keys does not at once.
SETTLED = 0.05
# A member connects once; what it hands in is one message.
LIMITS = Limits(connections=4096, unfinished=2 * MOST_BYTES, behind=1 << 30)


class DeclinedError(RefusedError):
    """What a member hands in does not fit, or is not asked for any more; the member itself is welcome."""


class Asked(NamedTuple):
    """What a member wants, the bytes that came with it, and where the answer goes."""

    request: FromMember
    payload: bytes
    peer: bytes
    connection: Connection | None


class Rendezvous(Bound):
    """The coordinator's ROUTER socket.

    Raises
    ------
    StreamError
        Where the address is in use or cannot be bound.
    """

    def __init__(self, context: zmq.Context[Any], address: str, access: Access = LOCAL) -> None:
        super().__init__(router(context, MOST_BYTES), address, access, LIMITS)

    def asked(self) -> Iterator[Asked]:
        """Yield what has come; what is no request, or of a name that belongs to another key, is refused and counted."""
        for _ in range(MAX_REQUESTS):
            try:
                (peer, *parts), key, connection = self.receive_whose()
            except zmq.Again:
                return
            try:
                request, payload = _request(parts)
            except MessageError as error:
                self._strike(peer, connection, Refused("request", f"not a request: {error}"))
                continue
            owner = self.keys.owner(key) if self.keys is not None and key else ""
            if owner not in ("", OWN, request.member):
                text = f"member {request.member!r}: this key is allowed under the name {owner!r}, which is to be its"
                self._strike(peer, connection, Refused("key", text))
                continue
            if connection is not None:
                connection.known = True
            yield Asked(request, payload, peer, connection)

    def answer(self, asked: Asked, answer: ToMember, payload: bytes = b"") -> None:
        """Answer a member; where that one has gone, nobody."""
        if isinstance(answer, Refused):
            self.refused[answer.reason] += 1
        self._send(asked.peer, asked.connection, answer, payload)

    def _strike(self, peer: bytes, connection: Connection | None, answer: Refused) -> None:
        self.refused[answer.reason] += 1
        if self.guard is not None:
            self.guard.strike(connection)
        self._send(peer, connection, answer)

    def _send(self, peer: bytes, connection: Connection | None, answer: ToMember, payload: bytes = b"") -> None:
        self.reply(peer, connection, messages.encode(answer), *([payload] if isinstance(answer, Common) else []))


def _request(parts: list[bytes]) -> tuple[FromMember, bytes]:
    """Return a request and what came with it. Raises MessageError."""
    if not 1 <= len(parts) <= 2 or len(parts[0]) > messages.MAX_REQUEST_BYTES:
        raise MessageError(f"a request of one or two parts, the first of at most {messages.MAX_REQUEST_BYTES} bytes")
    request = messages.decode_from_member(parts[0])
    if isinstance(request, HandIn) != (len(parts) == 2):
        raise MessageError(f"{len(parts)} parts; what is handed in is the second, and nothing else has one")
    return request, parts[1] if len(parts) == 2 else b""


class Got(NamedTuple):
    """What a member goes on from: the round, and its bytes."""

    number: int
    payload: bytes


class Member:
    """A member's DEALER socket, which never blocks.

    Parameters
    ----------
    context
        The ZeroMQ context.
    address
        Where the coordinator is; called again whenever it does not answer, for it may have moved. Returns empty text
        while nobody knows.
    name
        The member's.
    keys
        To be shown where others can reach the address; None: there are none.
    server
        The coordinator's public key; empty: that of the folder of `keys`.
    guest
        Whether nobody waits for it.
    fleet
        The id of the fleet that it has learnt with before.

    Attributes
    ----------
    fleet
        The id of the fleet, empty before the first answer.
    since
        The round that it may have to begin with once more.
    heard
        Whether the present request was understood.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        address: Callable[[], str],
        name: str,
        *,
        keys: Keys | None = None,
        server: str = "",
        guest: bool = False,
        fleet: str = "",
    ) -> None:
        self._context, self._find = context, address
        self._keys, self._server = keys, server
        self.name, self.guest, self.fleet = name, guest, fleet
        self.since = 0
        self.heard = False
        self.address = ""
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: Monitor | None = None
        self._request: FromMember | None = None
        self._payload: Callable[[], bytes] = bytes
        self._again = 0.0

    @property
    def sockets(self) -> tuple[zmq.Socket[Any], ...]:
        """What becomes readable when there may be an answer; another one after a move."""
        return (self._socket, self._monitor.socket) if self._socket and self._monitor else ()

    @property
    def waits(self) -> bool:
        """Whether it has asked for something and has no answer yet."""
        return self._request is not None

    def ask(self, number: int) -> None:
        """Ask for what all have in common, of a round that is not before `number`."""
        self._say(Ask(self.name, number, self.since, self.fleet, self.guest))

    def hand_in(self, what: str, number: int, payload: bytes | Callable[[], bytes], *, last: bool = False) -> None:
        """Hand in what was learnt since round `number` began, and ask for what follows.

        Where `payload` can be called, that gives the bytes whenever they are sent: of one that learns on meanwhile.
        """
        kind: Any = what
        content = payload if callable(payload) else lambda: payload
        self._say(HandIn(self.name, kind, number, last, self.since, self.fleet, self.guest), content)

    def cancel(self) -> None:
        """Want nothing any more; an answer that comes all the same is passed over."""
        self._request, self._payload, self.heard = None, bytes, False

    def poll(self) -> Got | None:
        """Return the answer to the present request, None where there is none yet; repeats the request where it is due.

        Raises
        ------
        DeclinedError
            Where what is handed in does not fit, or is not asked for any more.
        RefusedError
            Where the coordinator refuses this member, or its keys.
        StreamError
            Where the answer is not in the words of the protocol, or the address is none.
        """
        if self._request is None:
            return None
        got = self._receive()
        if got is not None:
            self.cancel()
        elif time.monotonic() >= self._again:
            self._move()
            self._repeat()
        return got

    def due(self) -> float:
        """Return the seconds until the request is to be repeated."""
        return max(0.0, self._again - time.monotonic()) if self._request is not None else float("inf")

    def close(self) -> None:
        """Close the socket."""
        if self._monitor is not None:
            self._monitor.close()
        if self._socket is not None:
            self._socket.close(0)
        self._socket = self._monitor = None

    def _say(self, request: FromMember, payload: Callable[[], bytes] = bytes) -> None:
        self._request, self._payload, self.heard = request, payload, False
        self._move()
        self._repeat()

    def _repeat(self) -> None:
        assert self._request is not None
        self._again = time.monotonic() + SILENCE
        if self._socket is None or not self._socket.poll(0, zmq.POLLOUT):
            return  # there is no connection
        self._request = replace(self._request, fleet=self.fleet, since=self.since)
        parts = [messages.encode(self._request), *([self._payload()] if isinstance(self._request, HandIn) else [])]
        with suppress(zmq.Again):
            send(self._socket, parts)

    def _receive(self) -> Got | None:
        """Return what has come, if it is an answer to the present request."""
        while self._socket is not None and self._monitor is not None:
            if self._monitor.look():  # another connection: what was said before is lost
                self._again = min(self._again, time.monotonic() + SETTLED)
            if self._monitor.refused:
                raise RefusedError(f"{self.address} {self._monitor.refused}")
            try:
                parts = receive(self._socket)
            except zmq.Again:
                return None
            try:
                answer = messages.decode_to_member(parts[0])
            except MessageError as error:
                raise StreamError(f"{self.address}: not an answer: {error}") from error
            if isinstance(answer, Refused):
                kind = DeclinedError if answer.reason == "round" else RefusedError
                raise kind(f"{self.address} refuses {self.name!r}: {answer.text}")
            if self.fleet and answer.fleet != self.fleet:
                raise RefusedError(f"{self.address} is of fleet {answer.fleet}; {self.name!r} learns with {self.fleet}")
            if isinstance(answer, Heard):
                self.heard, self._again = True, time.monotonic() + HEARD
            elif len(parts) == 2 and self._fits(answer):
                self.fleet = answer.fleet
                return Got(answer.number, parts[1])
        return None

    def _fits(self, answer: Common) -> bool:
        """Whether it is no answer to a request of before."""
        request = self._request
        return request is not None and answer.number >= request.number + (
            isinstance(request, HandIn) and request.what == "delta"
        )

    def _move(self) -> None:
        """Connect to where the coordinator is by now."""
        address = self._find()
        if address == self.address or not address:
            return
        self.close()
        socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        set_options(socket, MOST_BYTES)
        socket.setsockopt(zmq.RECONNECT_IVL, round(1000 * SILENCE))
        socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing is queued for one that may be away for days
        if self._keys is not None:
            self._keys.call(socket, address, self._server)
        self._socket, self._monitor, self.address = socket, Monitor(socket), address
        try:
            socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise StreamError(f"cannot connect to {address}: {error.strerror}") from error
