"""Told: an observer of a loop without a terminal, which tells systemd how it stands."""

from __future__ import annotations

from stream_infomax.run.folder import IN_PROCESS
from stream_infomax.transport.messages import Status
from stream_infomax.transport.observer import Observer
from stream_infomax.watch.systemd import Systemd


class Told(Observer):
    """Passes each status on to systemd.

    Parameters
    ----------
    manager
        Who is told.
    """

    def __init__(self, manager: Systemd) -> None:
        self._manager = manager

    def status(self, status: Status) -> None:
        """Tell systemd that the loop turns."""
        self._manager.heard(IN_PROCESS)
        self._manager.refresh(lambda: f"frame {status.newest + 1:,}, {sum(status.lost.values()):,} lost")
