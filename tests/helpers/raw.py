"""A client of ZMTP 3.0 over a plain socket, which keeps to the protocol only as far as it is told to."""

import socket
import struct
from urllib.parse import urlsplit

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
PONG = b"\x04\x05\x04PONG"
LONG = 20.0


def part(data, more=False):
    """Return the bytes of a part of a message."""
    if len(data) < 256:
        return struct.pack("BB", more, len(data)) + data
    return struct.pack(">BQ", 2 | more, len(data)) + data


def message(*parts):
    """Return the bytes of a message."""
    return b"".join(part(one, number < len(parts) - 1) for number, one in enumerate(parts))


def subscription(topic, yes=True):
    """Return the bytes that subscribe to a topic, or cancel that."""
    return part(bytes([yes]) + topic)


class Raw:
    """A connection; `kind` is what it says it is (SUB, DEALER, PUSH), empty for one that says nothing at all."""

    def __init__(self, address, kind, timeout=LONG):
        url = urlsplit(address)
        self.socket = socket.create_connection((url.hostname, url.port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if kind:
            ready = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind.encode()
            self.send(GREETING + struct.pack("BB", 4, len(ready)) + ready)
            self.take(64)
            _, length = self.take(2)
            self.take(length)

    def send(self, data):
        """Send these bytes; returns whether the other side is still there."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def take(self, count):
        """Return the next bytes."""
        found = b""
        while len(found) < count:
            more = self.socket.recv(count - len(found))
            if not more:
                raise ConnectionResetError("the other side has closed the connection")
            found += more
        return found

    def is_cut(self):
        """Wait until the other side closes the connection; returns whether it does."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True

    def close(self):
        """Close the connection."""
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
