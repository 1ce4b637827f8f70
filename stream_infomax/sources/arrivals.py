"""Arrivals: what a library's thread hands over to the loop, in a bounded queue that the loop can wait on."""

from __future__ import annotations

import socket
import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Arrivals(Generic[T]):
    """A bounded queue from any thread to the loop. When it is full the oldest gives way: a live source shows what is.

    Parameters
    ----------
    limit
        How many it holds.

    Attributes
    ----------
    dropped
        How many gave way to newer ones.
    missed
        How many of them came before the item that `get` returned last: more may have given way meanwhile.
    socket
        Becomes readable when something has come.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit = {limit}; at least 1 is accepted")
        self.dropped = self.missed = 0
        self.socket, self._bell = socket.socketpair()
        self.socket.setblocking(False)
        self._bell.setblocking(False)
        self._items: deque[T] = deque()
        self._limit = limit
        self._lock = threading.Lock()
        self._error: Exception | None = None

    def put(self, item: T) -> None:
        """Hand something over; from any thread, without waiting."""
        with self._lock:
            if len(self._items) >= self._limit:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._ring()

    def fail(self, error: Exception) -> None:
        """Let `get` raise an error once everything before it has been taken; from any thread."""
        with self._lock:
            self._error = self._error or error
            self._ring()

    def get(self) -> T | None:
        """Return the oldest item, None where there is none.

        Raises
        ------
        Exception
            What was given to `fail`.
        """
        with self._lock:
            if self._items:
                self.missed = self.dropped
                return self._items.popleft()
            self._silence()
            if self._error is not None:
                raise self._error
        return None

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._items)

    def close(self) -> None:
        """Let go of the sockets; what comes after that is forgotten."""
        with self._lock:
            self._items.clear()
            self.socket.close()
            self._bell.close()

    def _ring(self) -> None:
        """Make the socket readable; it stays so until the queue was found empty."""
        try:
            self._bell.send(b"\0")
        except (BlockingIOError, OSError):  # rung often enough, or closed
            return

    def _silence(self) -> None:
        try:
            while self.socket.recv(4096):
                pass
        except BlockingIOError:
            return
