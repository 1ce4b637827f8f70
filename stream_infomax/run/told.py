"""Told: an observer of a loop without a terminal, which tells systemd and the metrics how it stands."""

from __future__ import annotations

import os

from stream_infomax.run.folder import IN_PROCESS
from stream_infomax.transport.messages import Status
from stream_infomax.transport.observer import Observer
from stream_infomax.watch.systemd import Systemd
from stream_infomax.watch.tally import Tally


class Told(Observer):
    """Passes each status on.

    Parameters
    ----------
    manager
        Who is told.
    tally
        Who else is; None: nobody.
    """

    def __init__(self, manager: Systemd, tally: Tally | None = None) -> None:
        self._manager = manager
        self._tally = tally

    def status(self, status: Status) -> None:
        """Tell systemd that the loop turns."""
        self._manager.heard(IN_PROCESS)
        self._manager.refresh(lambda: f"frame {status.newest + 1:,}, {sum(status.lost.values()):,} lost")
        if self._tally:
            self._tally.update(IN_PROCESS, status)
            self._tally.turn()

    def begin(self) -> None:
        """Tell that the loop begins."""
        self._manager.change(IN_PROCESS, "running")
        if self._tally:
            self._tally.pids = lambda: {IN_PROCESS: os.getpid()}
            self._tally.change(IN_PROCESS, "running", 0)
