"""Guard: the limits of what clients of a bound TCP socket can cost.

ZeroMQ bounds its queues in messages, and nothing else: a message of parts without end, a reader that reads nothing,
thousands of connections or subscriptions take all the memory that there is. A guard hears of every connection from the
socket's monitor, and asks the kernel how many bytes went in and out. What the service itself has taken and given says
how many of them lie between. A connection beyond a limit is cut off; whoever is honest connects again by itself.
"""

from __future__ import annotations

import logging
import os
import resource
import socket as tcp
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import zmq

from stream_infomax.transport.keys import Keys

# Seconds between two looks at the connections, and while one of them is younger than `YOUNG`: whoever floods and is cut
# off connects again. They are at least so many times as long as a look takes.
LOOK, CLOSER_LOOK, YOUNG = 0.05, 0.005, 1.0
LEISURE = 50
# Milliseconds after which a guard without connections looks whether it is to end; the last event may be lost.
IDLE_MS = 1000
# Memory beyond twice its bytes that messages which are not complete may take, where one is larger than `LARGE`: libzmq
# spends 64 bytes on a part of two.
SWOLLEN = 64 << 20
LARGE = 1 << 20
# Messages of any size that may be behind.
MESSAGES = 4
# Bytes that the kernel may keep of a connection before libzmq has read them.
IN_KERNEL = 8 << 20
# Parts of a message: those of a frame are its header and its arrays.
MOST_PARTS = 256
# Requests of one connection that may be refused.
STRIKES = 64
# Each connection is an open file.
OPEN_FILES = 1 << 16
# Where the kernel's struct tcp_info has the bytes that the peer has acknowledged, and those received; since Linux 4.1.
_ACKED_RECEIVED = struct.Struct("=QQ")
_AT = 120
_NOW = int(zmq.NOBLOCK)
_EVENT = struct.Struct("=HI")
# Those whose keys are not allowed are counted with the keys.
_UNKNOWN = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_number = count()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the connections of a socket may cost.

    Attributes
    ----------
    connections
        At once. Beyond that the oldest is cut off that has said nothing sensible yet; without one, the newest.
    unfinished
        Bytes of a message that is not complete.
    rate, spared
        Bytes a second by which that may grow with the age of a connection, up to so many: heartbeats are no message.
    waiting
        Bytes that may wait until the service reads them, of all connections, where many messages may: beyond that the
        connection with the most is cut off. 0: what waits counts as unfinished.
    behind
        Bytes of all connections that were sent and have not arrived: beyond that the one with the most is cut off.
    """

    connections: int
    unfinished: int
    rate: float = 0.0
    spared: int = 0
    waiting: int = 0
    behind: int = 1 << 30


@dataclass(slots=True, eq=False)
class Connection:
    """What is known of a connection.

    Attributes
    ----------
    file, inode
        Its file descriptor, and what tells it from the next one that gets this number.
    taken, given
        Bytes of messages that the service has received and sent.
    known
        Whether it has said something sensible.
    strikes
        How often it was refused something.
    key
        With which it was let in, where that is known.
    cut
        Whether it is cut off, and about to go.
    """

    file: int
    inode: int
    since: float
    taken: int = 0
    given: int = 0
    known: bool = False
    strikes: int = 0
    key: str = ""
    cut: bool = False
    # What the kernel said at the last look.
    received: int = 0
    # Bytes that were received or acknowledged and belong to no message: handshakes, heartbeats, framing.
    unrelated: int = 0
    ahead: int = 0
    # `taken` at the last look that could tell which bytes these are.
    seen: int = 0
    # What waited at the last look, and what is under way.
    waiting: int = 0
    behind: int = 0


class Guard:
    """Watches the connections of a socket that is about to be bound; it works in a thread of its own.

    Parameters
    ----------
    socket
        The socket, not bound yet.
    limits
        What its connections may cost.
    refused
        Where each connection that was cut off is counted, by reason.
    keys
        Those that are allowed; None where there are none.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], limits: Limits, refused: Counter[str], keys: Keys | None = None
    ) -> None:
        self.socket = socket
        self.address = ""
        self._port = 0
        self._bound = threading.Event()
        self._over = False
        self.limits = limits
        self.refused = refused
        self.keys = keys
        self.connections: dict[int, Connection] = {}
        self._behind = limits.behind
        self._most = min(limits.connections, allow_files() // 2)
        self._lock = threading.Lock()
        # Since the last look: whether there was nothing to receive once, and how many messages were received.
        self._emptied = False
        self._messages = 0
        # The memory of the process when no message was large.
        self._usual = 0
        address = f"inproc://guard-{next(_number)}"
        socket.monitor(address, zmq.EVENT_ACCEPTED | _UNKNOWN | zmq.EVENT_MONITOR_STOPPED)
        # A context of its own, so that whoever ends the socket's context leaves this socket to its thread.
        events: zmq.Socket[bytes] = zmq.Context.shadow(socket.context).socket(zmq.PAIR)
        events.setsockopt(zmq.RCVHWM, 0)  # where there is no room for an event libzmq's own thread would stand still
        events.connect(address)
        self._thread = threading.Thread(target=self._watch, args=(events,), name=address, daemon=True)
        self._thread.start()

    def bound(self, address: str) -> None:
        """Take note of the address that the socket is bound to by now."""
        self.address, self._port = address, int(address.rpartition(":")[2])
        self._bound.set()

    def receive(self) -> tuple[list[bytes], zmq.Frame, Connection | None]:
        """Return the parts of a message that is there, the last as it came, and whose it is, or raise `zmq.Again`."""
        try:
            part = self.socket.recv(_NOW, copy=False)
        except zmq.Again:
            self._emptied = True
            raise
        self._messages += 1
        data = part.bytes
        parts = [data]
        size = len(data) + 9
        while part.more:
            part = self.socket.recv(_NOW, copy=False)
            data = part.bytes
            if len(parts) <= MOST_PARTS:
                parts.append(data)
            size += len(data) + 9
        file = source_of(part)
        connection = self.connections.get(file) or self._accepted(file)
        if connection is not None:
            connection.taken += size
            self._note_key(connection, part)
            if len(parts) > MOST_PARTS:
                self.cut(connection, "endless")
        return parts, part, connection

    def note_sent(self, connections: Iterable[Connection | None], size: int) -> None:
        """Take note of a message for some connections."""
        for connection in connections:
            if connection is not None:
                connection.given += size
        if MESSAGES * size > self._behind:  # a large one must not be too much
            self._behind = MESSAGES * size

    @property
    def alive(self) -> set[Connection]:
        """The connections that are there, as far as is known."""
        return {one for one in tuple(self.connections.values()) if not one.cut}

    def whose(self, part: zmq.Frame) -> Connection | None:
        """Return the connection that a part of a message came by; None where it has gone."""
        connection = self._accepted(source_of(part))
        if connection is not None:
            self._note_key(connection, part)
        return connection

    def _note_key(self, connection: Connection, part: zmq.Frame) -> None:
        """Take note of whose connection it is, so that it ends when the key is taken away."""
        if self.keys is not None and not connection.key:
            connection.key = str(part.get("User-Id"))

    def strike(self, connection: Connection | None) -> None:
        """Take note that a connection was refused something; cut it off where that goes on and on."""
        if connection is not None:
            connection.strikes += 1
            if connection.strikes > STRIKES:
                self.cut(connection, "nonsense")

    def cut(self, connection: Connection, reason: str) -> None:
        """Close a connection and count why."""
        with self._lock:
            if connection.cut:
                return
            connection.cut = True
            self.refused[reason] += 1
            first = self.refused[reason] == 1
        if first:  # the count says the rest
            _log.warning("a connection to %s is cut off: %s", self.address, REASONS[reason])
        _shut(connection)

    def close(self) -> None:
        """Stop watching; the socket is still there."""
        self._over = True
        self._bound.set()
        if not self.socket.closed:
            self.socket.monitor(None, 0)
        self._thread.join()

    # ---------------------------------------------------------------- the thread

    def _watch(self, events: zmq.Socket[bytes]) -> None:
        """Follow connections until the socket is closed."""
        due = 0.0
        self._bound.wait()
        try:
            while not self._over:
                wait = round(1000 * max(0.0, due - time.monotonic())) if self.connections else IDLE_MS
                if events.poll(wait) and not self._take(events.recv_multipart(zmq.NOBLOCK)):
                    return
                begin = time.monotonic()
                if begin >= due:
                    self._look()
                    end = time.monotonic()
                    young = any(end - one.since < YOUNG for one in tuple(self.connections.values()))
                    due = end + max(CLOSER_LOOK if young else LOOK, LEISURE * (end - begin))
        except zmq.ZMQError:  # the context has ended
            return
        finally:
            events.close(0)

    def _take(self, event: Sequence[bytes]) -> bool:
        """Take an event in; return False for the last one."""
        kind, value = _EVENT.unpack(event[0])
        if kind == zmq.EVENT_ACCEPTED:
            self._accepted(value)
        elif kind & _UNKNOWN:
            self.refused["handshake"] += 1
        return int(kind) != zmq.EVENT_MONITOR_STOPPED

    def _accepted(self, file: int) -> Connection | None:
        """Take note of a connection where it is new, and make room for it; return it, None where it has gone."""
        with self._lock:
            inode = _inode(file)
            known = self.connections.get(file)
            if known is not None and known.inode == inode:
                return known
            if _port(file) != self._port:  # it has gone, and the number is another's
                return None
            self.connections.pop(file, None)  # the newest stands last
            connection = self.connections[file] = Connection(file, inode, time.monotonic())
            full = len(self.connections) > self._most
        if full:
            there = self._there()
            if len(there) > self._most:
                self.cut(next((one for one in there if not one.known), connection), "connections")
        return connection

    def _there(self) -> list[Connection]:
        """Return the connections that are not cut off, the oldest first, and forget those that have gone."""
        with self._lock:
            self.connections = {file: one for file, one in self.connections.items() if _inode(file) == one.inode}
            return [one for one in self.connections.values() if not one.cut]

    def _look(self) -> None:
        """Ask the kernel what went in and out, and cut off what is beyond a limit."""
        connections = self._there()
        # libzmq takes a message of each connection in turn: who had a complete one has been heard.
        heard = self._emptied or self._messages > 2 * len(connections)
        self._emptied, self._messages = False, 0
        now = time.monotonic()
        for one in connections:
            if one.key and self.keys is not None and self.keys.owner(one.key) is None:
                self.cut(one, "key")
            before = one.received
            acked, one.received = _counts(one.file) or (one.given, one.taken)
            taken = one.taken
            if heard and taken != one.seen:
                one.seen, one.unrelated = taken, one.received - taken
            one.waiting = max(0, one.received - taken - one.unrelated)
            one.ahead = max(one.ahead, acked - one.given)
            one.behind = one.given + one.ahead - acked
            spared = min(self.limits.rate * (now - one.since), self.limits.spared)
            # Where messages may wait, these bytes came before the last of them was taken.
            unfinished = before - taken - one.unrelated if self.limits.waiting else one.waiting
            if unfinished > self.limits.unfinished + spared and (heard or not self.limits.waiting):
                self.cut(one, "endless")
        if self.limits.waiting:
            self._lighten(connections, "waiting", self.limits.waiting)
            self._look_at_memory(connections, heard)
        self._lighten(connections, "behind", self._behind)

    def _lighten(self, connections: Sequence[Connection], what: str, most: int) -> None:
        """Cut off the heaviest connections until all together weigh no more than `most`."""
        total = sum(getattr(one, what) for one in connections)
        for one in sorted(connections, key=lambda one: -int(getattr(one, what))) if total > most else ():
            if total > most:
                self.cut(one, what)
                total -= getattr(one, what)

    def _look_at_memory(self, connections: Sequence[Connection], heard: bool) -> None:
        """Cut off the largest message where messages take far more memory than they have bytes."""
        large = [one for one in connections if one.waiting > LARGE]
        if not large:
            self._usual = 0
            return
        memory = _memory() - 2 * sum(one.waiting for one in large)
        self._usual = self._usual or memory
        if memory > self._usual + (SWOLLEN if heard else self.limits.waiting):
            self._usual = 0
            self.cut(max(large, key=lambda one: one.waiting), "endless" if heard else "waiting")


REASONS = {
    "key": "its key is not allowed any more",
    "connections": "there are as many as may be",
    "endless": "its message does not end",
    "waiting": "what it sent waits, and takes too much memory",
    "behind": "it does not read what it asked for",
    "nonsense": f"more than {STRIKES} of its requests were refused",
}


def source_of(part: zmq.Frame) -> int:
    """Return the file descriptor of the connection that a part of a message came by; -1 where it is not known."""
    try:
        return int(part.get(zmq.SRCFD))
    except zmq.ZMQError:
        return -1


def _port(file: int) -> int:
    """Return at which port of ours a connection came in; -1 where this is none, or none any more."""
    try:
        probe = tcp.socket(tcp.AF_INET, tcp.SOCK_STREAM, 0, fileno=file)
    except (OSError, ValueError):
        return -1
    try:
        probe.getpeername()
        return int(probe.getsockname()[1])
    except (OSError, IndexError, ValueError):
        return -1
    finally:
        probe.detach()


def _inode(file: int) -> int:
    """Return what tells an open file from the next one with this number; 0 where there is none."""
    try:
        return os.fstat(file).st_ino
    except OSError:
        return 0


def _counts(file: int) -> tuple[int, int] | None:
    """Return the bytes that the peer of a connection has acknowledged, and those that it has sent."""
    try:
        probe = tcp.socket(tcp.AF_INET, tcp.SOCK_STREAM, 0, fileno=file)
    except OSError:
        return None
    try:
        told = probe.getsockopt(tcp.IPPROTO_TCP, tcp.TCP_INFO, 256)
        return _ACKED_RECEIVED.unpack_from(told, _AT)
    except (OSError, struct.error):  # it has gone, or the kernel does not count
        return None
    finally:
        probe.detach()  # the descriptor is libzmq's


def _shut(connection: Connection) -> None:
    """Reset a connection, whatever lies in its queues."""
    try:
        copy = os.dup(connection.file)
    except OSError:  # it has gone
        return
    if _inode(copy) != connection.inode:  # the number is another's by now
        os.close(copy)
        return
    with suppress(OSError), tcp.socket(tcp.AF_INET, tcp.SOCK_STREAM, 0, fileno=copy) as own:
        own.setsockopt(tcp.SOL_SOCKET, tcp.SO_LINGER, struct.pack("ii", 1, 0))
        own.shutdown(tcp.SHUT_RDWR)


def _memory() -> int:
    """Return the resident memory of this process in bytes, 0 where that is not known."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def allow_files() -> int:
    """Let this process have `OPEN_FILES` files open, as far as the system lets it; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return OPEN_FILES if soft == resource.RLIM_INFINITY else soft
