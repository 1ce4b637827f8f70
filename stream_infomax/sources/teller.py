"""Teller: what went wrong with a stream, in one line of the log; what comes again is only counted."""

from __future__ import annotations

import logging

from stream_infomax.settings.printable import printable

# Lines that a life of a source writes; names of streams can be made up without end.
MOST = 1000


class Teller:
    """Writes a line for a stream and a kind of trouble, once.

    Parameters
    ----------
    log
        Where.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: set[tuple[str, str]] = set()

    def once(self, stream: str, what: str, text: str) -> None:
        """Write a sentence about a stream (empty: it is not known which), unless there was one of this kind."""
        if (stream, what) not in self._told and len(self._told) < MOST:
            self._told.add((stream, what))
            who = f"stream {printable(stream, 64)!r}" if stream else "a device"
            self._log.warning("%s: %s (%s; told once)", who, printable(text, 300), what)
