"""The other end of NOTIFY_SOCKET: what a process tells the service manager that has started it."""

import select
import socket
from pathlib import Path


class Manager:
    """A socket that systemd would listen at.

    Attributes
    ----------
    environment
        What a process that is started by it finds in its environment.
    now
        The time that a test gives it.
    """

    def __init__(self, folder: Path, watchdog: float = 60.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": f"{1e6 * watchdog:.0f}"}
        self.now = 1000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    def heard(self) -> list[str]:
        """Return what has come since the last time."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def until(self, words: str) -> list[str]:
        """Wait until this is said; return all that came up to then."""
        found: list[str] = []
        while words not in found:
            select.select([self.socket], [], [])
            found += self.heard()
        return found

    def __enter__(self) -> "Manager":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
