"""Told: the observer of a loop without a terminal, which tells systemd how it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_infomax.frames.basis import Basis
from stream_infomax.frames.contracts import Output
from stream_infomax.run.folder import IN_PROCESS
from stream_infomax.service.loop import Observer
from stream_infomax.transport.messages import Status
from stream_infomax.watch.systemd import Systemd


class Told:
    """Passes on what it sees, and each status to systemd too.

    Parameters
    ----------
    observer
        Who watches beside.
    manager
        Who is told.
    """

    def __init__(self, observer: Observer, manager: Systemd) -> None:
        self._observer = observer
        self._manager = manager

    @property
    def sockets(self) -> Sequence[Any]:
        """Return those of the other observer."""
        return self._observer.sockets

    def frame(self, output: Output) -> None:
        """Pass it on."""
        self._observer.frame(output)

    def basis(self, basis: Basis) -> None:
        """Pass it on."""
        self._observer.basis(basis)

    def status(self, status: Status) -> None:
        """Pass it on, and tell systemd that the loop turns."""
        self._observer.status(status)
        self._manager.heard(IN_PROCESS)
        self._manager.refresh(lambda: f"frame {status.newest + 1:,}, {sum(status.lost.values()):,} lost")

    def attend(self) -> None:
        """Pass it on."""
        self._observer.attend()
