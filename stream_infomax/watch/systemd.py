"""Systemd: what a run tells the service manager that started it: READY, how it stands, that it works, that it ends.

One datagram each to the socket that ``NOTIFY_SOCKET`` names (sd_notify(3)). Without that variable nothing is said.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from stream_infomax.settings.printable import printable

# What a service is in between is bounded by the supervisor; there is nothing to be expected of one that has ended.
SILENT = {"starting", "restarting", "stopping", "stopped", "finished", "failed"}
# Of the time after which systemd takes a silent run for dead.
BEAT = 1 / 3
# Seconds between two lines of `systemctl status`.
LINE_EVERY = 2.0
LONGEST_LINE = 256


class Systemd:
    """Tells systemd how a run is.

    ``WATCHDOG=1`` is sent only while every running service has said something within the watchdog's time: a service
    that stands still counts as a run that stands still, and systemd starts it again.

    Parameters
    ----------
    services
        Names of those that report.
    """

    def __init__(self, services: Sequence[str]) -> None:
        # Whoever is started by this process is not to speak for it.
        address = os.environ.pop("NOTIFY_SOCKET", "")
        microseconds = os.environ.pop("WATCHDOG_USEC", "")
        whose = os.environ.pop("WATCHDOG_PID", "") or str(os.getpid())
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        ours = whose == str(os.getpid()) and microseconds.isdigit()
        self.watchdog = int(microseconds) / 1e6 if ours else 0.0
        self._states = dict.fromkeys(services, "starting")
        self._heard: dict[str, float] = {}
        self._ready = False
        self._beat = self._line = -float("inf")

    def change(self, name: str, state: str) -> None:
        """Take note of a service's new state."""
        self._states[name] = state
        self._heard[name] = time.monotonic()
        if not self._ready and all(one in ("running", "finished") for one in self._states.values()):
            self._ready = True
            self._say("READY=1")

    def heard(self, name: str) -> None:
        """Take note that a service has said something."""
        self._heard[name] = time.monotonic()

    def standing_still(self) -> list[str]:
        """Return the services that run and have said nothing within the watchdog's time."""
        now = time.monotonic()
        running = [name for name, state in self._states.items() if state not in SILENT]
        return [name for name in running if now - self._heard[name] > self.watchdog]

    def refresh(self, line: Callable[[], str]) -> None:
        """Say that the run works and, in one line, how it stands; to be called a few times a second."""
        if not self._address:
            return
        now = time.monotonic()
        still = self.standing_still() if self.watchdog else []
        if self.watchdog and not still and now - self._beat >= BEAT * self.watchdog:
            self._beat = now
            self._say("WATCHDOG=1")
        if now - self._line >= LINE_EVERY:
            self._line = now
            words = f"nothing heard of {', '.join(still)} for {self.watchdog:g} s" if still else line()
            self._say(f"STATUS={printable(words, LONGEST_LINE)}")

    def stopping(self) -> None:
        """Say that the run ends."""
        self._say("STOPPING=1")

    def _say(self, words: str) -> None:
        if not self._address:
            return
        # A manager that is gone or busy is no reason to end a run.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
            end.setblocking(False)
            end.sendto(words.encode(), self._address)
