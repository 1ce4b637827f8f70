"""Monitor: what becomes of the connection of a socket that connects."""

from __future__ import annotations

import struct
import time
from typing import Any

import zmq

# Seconds for which no handshake may come to its end: a server that is about to end breaks some off.
FAILING = 5.0

# The first part of what a monitor says: an event and a value. (zmq.utils.monitor has this too, and brings asyncio.)
_EVENT = struct.Struct("=HI")
_CONNECTED = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_GONE = int(zmq.EVENT_DISCONNECTED)
_BROKEN = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
# After these ZeroMQ does not connect again.
_REFUSED = {
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): "refuses this key: it is not allowed there",
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL): (
        "cannot be talked to: one side has keys and the other has none, or it is no ZeroMQ"
    ),
}
_FAILING = "breaks every handshake off: it has another key than the one expected here, or keys and this side has none"


class Monitor:
    """The monitor of a socket that is about to connect.

    Attributes
    ----------
    socket
        Readable when something has happened.
    connected
        Whether there is a connection, as far as `look` has seen.
    """

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self.socket: zmq.Socket[Any] = socket.get_monitor_socket(_CONNECTED | _GONE | _BROKEN | sum(_REFUSED))
        self.connected = False
        self._of = socket
        self._refusal = ""
        self._failing_since: float | None = None

    @property
    def refused(self) -> str:
        """What the other side does that refuses this one for good; empty where it does not."""
        failing = self._failing_since is not None and time.monotonic() - self._failing_since > FAILING
        return self._refusal or (_FAILING if failing else "")

    @property
    def hopeless(self) -> str:
        """The same, where ZeroMQ does not try again by itself."""
        return self._refusal

    def look(self) -> bool:
        """Take note of what has happened; return whether there is another connection than before."""
        another = False
        while self.socket.poll(0):
            event, _ = _EVENT.unpack(self.socket.recv_multipart()[0])
            another = self.connected = event == _CONNECTED
            if event == _CONNECTED:
                self._failing_since = None
            elif event == _BROKEN:
                self._failing_since = self._failing_since or time.monotonic()
            self._refusal = _REFUSED.get(event, self._refusal)
        return another

    def close(self) -> None:
        """Close it; the socket that it is of is there still."""
        self._of.disable_monitor()
        self.socket.close(0)
