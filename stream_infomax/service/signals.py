"""The signals that ask to stop, for a loop that sleeps in a poll."""

from __future__ import annotations

import os
import signal
import socket
from types import FrameType


def stop_signals() -> list[signal.Signals]:
    """Return the signals that ask to stop: SIGINT, SIGTERM, and SIGHUP (the terminal is closed) unless under nohup."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM] if ignored else [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class Signals:
    """What asks to stop: the first asks the loop to end, the second ends the process."""

    def __init__(self) -> None:
        self.stop = False
        self.wakeup, self._write = socket.socketpair()
        self.wakeup.setblocking(False)
        self._write.setblocking(False)
        self._before = {number: signal.signal(number, self._handle) for number in stop_signals()}
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)

    def close(self) -> None:
        """Put back what was there before."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.wakeup.close()
        self._write.close()

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.stop:
            os._exit(128 + number)
        self.stop = True
