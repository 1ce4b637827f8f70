"""Outlet: a log behind a ROUTER socket.

Readers pull: an outlet sends only what was asked for, within the credit of the request, so nothing piles up in
between. Every request can be repeated without harm, and a reader that lost its connection simply asks again.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from stream_infomax.transport import messages
from stream_infomax.transport.guard import Connection, Limits
from stream_infomax.transport.keys import LOCAL, OWN, Access
from stream_infomax.transport.log import OutputLog
from stream_infomax.transport.messages import Alive, Commit, Fetch, Full, Gone, Refused, Sent
from stream_infomax.transport.sockets import MAX_CREDIT, Bound, router, send

# Requests taken in one go; the others wait for the next.
MAX_REQUESTS = 256
# Connections beyond one for each reader.
STRANGERS = 64


@dataclass(slots=True)
class _Reader:
    """Where an outlet stands with one reader."""

    name: str
    # Its ZeroMQ identity, empty while it is away; and whether it has ever asked for something.
    peer: bytes = b""
    connection: Connection | None = None
    heard: bool = False
    # The next offset to send, and the first beyond the credit.
    cursor: int = 0
    limit: int = 0
    # A request came and nothing was sent since.
    unanswered: bool = False
    told_full: bool = False


class Outlet(Bound):
    """The log behind a ROUTER socket.

    Parameters
    ----------
    context
        The ZeroMQ context.
    address
        Where to bind.
    log
        What is served.
    log_id
        The run's id, empty where a stage has not learnt it yet; set it as soon as it is known.
    seekable
        Which offsets can be had again: a request for one of these that is gone is noted in `rewind_to` instead of being
        answered with `Gone`. None: there are none.
    access
        Who gets in where others can reach the address.

    Raises
    ------
    StreamError
        Where the address is in use or cannot be bound.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        address: str,
        log: OutputLog,
        log_id: str = "",
        *,
        seekable: Callable[[int], bool] | None = None,
        access: Access = LOCAL,
    ) -> None:
        self.log = log
        self.log_id = log_id
        self.seekable = seekable
        # The offset that a seekable source is to go back to.
        self.rewind_to: int | None = None
        # Readers whose last commit is acknowledged only when it is on disk: see `acknowledge`.
        self.owed: set[str] = set()
        self._asking: Connection | None = None  # which connection the request came by
        self._readers = {name: _Reader(name) for name in log.readers}
        limits = Limits(
            connections=STRANGERS + len(log.readers),
            unfinished=16 * messages.MAX_REQUEST_BYTES,
            rate=128,
            spared=16 * messages.MAX_REQUEST_BYTES,
            behind=2 * log.max_bytes * max(1, len(log.readers)),
        )
        super().__init__(router(context, 2 * messages.MAX_REQUEST_BYTES), address, access, limits)

    def answer(self) -> None:
        """Take in the waiting requests, then send what the readers may have."""
        for count in range(MAX_REQUESTS):
            try:
                (peer, *parts), key, self._asking = self.receive_whose()
            except zmq.Again:
                if count:
                    self.pump()
                return
            self._take(peer, parts, key)
        self.pump()

    def pump(self) -> None:
        """Send what the readers may have."""
        for reader in self._readers.values():
            if reader.peer:
                self._send_waiting(reader)

    def announce(self) -> None:
        """Tell every reader how far the log is."""
        for reader in self._readers.values():
            if reader.peer:
                self._send_alive(reader)

    def acknowledge(self, readers: Collection[str]) -> None:
        """Confirm the last commits of readers; call it when they are on disk."""
        for name in self.owed.intersection(readers):
            self._send_alive(self._readers[name])
        self.owed.difference_update(readers)

    def heard_all(self) -> bool:
        """Whether every reader has asked for something since the start."""
        return all(reader.heard for reader in self._readers.values())

    def wanted(self) -> list[int]:
        """Return the offset that each reader waits for, of those that have asked for something."""
        return [reader.cursor for reader in self._readers.values() if reader.heard]

    def rewound(self) -> None:
        """Take note that the log was rewound to `rewind_to`."""
        self.rewind_to = None

    def _take(self, peer: bytes, parts: Sequence[bytes], key: str) -> None:
        try:
            if len(parts) != 1 or len(parts[0]) > messages.MAX_REQUEST_BYTES:
                raise messages.MessageError(f"a request is one part of at most {messages.MAX_REQUEST_BYTES} bytes")
            request = messages.decode_request(parts[0])
        except messages.MessageError as error:
            self._refuse(peer, "request", f"not a request: {error}")
            return
        reader = self._readers.get(request.reader)
        if self.keys is not None and self.keys.owner(key) not in (OWN, request.reader):
            self._refuse(peer, "key", f"reader {request.reader!r}: this key is not allowed to read under this name")
            self._forget(peer)
        elif reader is None:
            self._refuse(peer, "reader", f"unknown reader {request.reader!r}; configured are {list(self._readers)}")
        elif request.log and self.log_id and request.log != self.log_id:
            self._refuse(peer, "log", f"this is log {self.log_id}, asked for was {request.log}")
        elif isinstance(request, Commit):
            self._take_commit(peer, reader, request)
        elif reader.peer != peer and reader.peer and self._lives(reader):
            self._refuse(
                peer, "taken", f"reader {request.reader!r} is connected already; names are for one reader each"
            )
        elif request.committed >= request.start:
            self._refuse(peer, "commit", f"{request.committed} is committed, and wanted from {request.start} on")
        else:
            self._grant(peer, reader, request)

    def _take_commit(self, peer: bytes, reader: _Reader, request: Commit) -> None:
        """Believe a commit only of what was sent to this very connection."""
        if reader.peer != peer:
            self._refuse(peer, "commit", f"reader {reader.name!r} has fetched nothing by this connection")
        elif request.log != self.log_id or request.offset >= reader.cursor:
            self._refuse(peer, "commit", f"{request.offset} of log {request.log!r} was not sent by this connection")
        else:
            self._commit(reader, request.offset)
            if reader.name not in self.owed:
                self._send_alive(reader)

    def _grant(self, peer: bytes, reader: _Reader, request: Fetch) -> None:
        known = reader.peer == peer
        reader.peer, reader.connection = peer, self._asking
        if reader.connection is not None:
            reader.connection.known = True
        reader.heard = True
        if request.log and request.log == self.log_id:  # the reader of this log, and no other, knows its id
            self._commit(reader, request.committed)
        # What was sent by a connection arrives as long as that is there: nothing is sent twice by the same one.
        if not known or request.start > reader.cursor:
            reader.cursor = request.start
            self.log.sent[reader.name] = reader.cursor - 1
        reader.limit = request.start + min(request.credit, MAX_CREDIT)
        reader.unanswered = True
        reader.told_full = False

    def _commit(self, reader: _Reader, offset: int) -> None:
        self.log.commit(reader.name, offset)
        reader.told_full = False
        if self.log.finished and offset >= self.log.newest:
            self.owed.add(reader.name)

    def _send_waiting(self, reader: _Reader) -> None:
        log = self.log
        while reader.cursor < reader.limit:
            entry = log.at_or_after(reader.cursor)
            if entry is not None and entry.offset == reader.cursor:
                head = messages.encode(Sent(self.log_id, entry.offset, time.time(), entry.origin))
                if not self._send(reader, (head, *entry.parts)):
                    return
                log.sent[reader.name] = reader.cursor
                reader.cursor += 1
                reader.unanswered = False
                continue
            last = log.newest if entry is None else entry.offset - 1
            if last < reader.cursor:
                break
            if self.seekable is not None and self.seekable(reader.cursor):
                self.rewind_to = reader.cursor if self.rewind_to is None else min(reader.cursor, self.rewind_to)
                return
            if not self._send(reader, [messages.encode(Gone(self.log_id, reader.cursor, last))]):
                return
            reader.cursor = last + 1
            reader.unanswered = False
        if reader.cursor > log.newest and log.full and not reader.told_full and log.committed[reader.name] < log.newest:
            reader.told_full = self._send(reader, [messages.encode(Full(self.log_id))])
        if reader.unanswered:
            reader.unanswered = not self._send_alive(reader)

    def _send_alive(self, reader: _Reader) -> bool:
        alive = Alive(self.log_id, self.log.newest, self.log.finished, self.log.committed[reader.name])
        return self._send(reader, [messages.encode(alive)])

    def _forget(self, peer: bytes) -> None:
        """Send nothing more to a connection."""
        for reader in self._readers.values():
            if reader.peer == peer:
                reader.peer = b""

    def _lives(self, reader: _Reader) -> bool:
        """Ask ZeroMQ whether the peer of `reader` is still connected."""
        self._send_alive(reader)
        return bool(reader.peer)

    def _send(self, reader: _Reader, parts: Sequence[bytes]) -> bool:
        """Send to the peer of `reader`; forget the peer where it is gone."""
        try:
            send(self.socket, (reader.peer, *parts))
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            reader.peer = b""
            return False
        if self.guard is not None:
            self.guard.note_sent((reader.connection,), sum(map(len, parts)))
        return True

    def _refuse(self, peer: bytes, reason: Any, text: str) -> None:
        self.refused[reason] += 1
        self._send(_Reader("", peer, self._asking), [messages.encode(Refused(reason, text))])
        if self.guard is not None:
            self.guard.strike(self._asking)
