"""Monitor: what a run shows and notes while it goes: the live view or plain lines, and the history."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live

from stream_infomax.frames.event import event_line
from stream_infomax.settings.printable import printable
from stream_infomax.transport.messages import Status
from stream_infomax.watch.board import Board
from stream_infomax.watch.history import History
from stream_infomax.watch.systemd import Systemd
from stream_infomax.watch.tally import Tally

# Seconds between two plain lines.
LINE_EVERY = 2.0


class Monitor:
    """Takes in states and statuses, shows them, tells systemd of them, and keeps the measures.

    Parameters
    ----------
    title
        Stands above the live view.
    services
        Names in the order of the data.
    history
        Where the measures go.
    plain
        Lines instead of the live view.
    begun
        What is said when the first service starts.
    tally
        Who else is told of all that; None: nobody.
    """

    def __init__(
        self,
        title: str,
        services: Sequence[str],
        history: History,
        plain: bool,
        begun: str = "",
        tally: Tally | None = None,
    ) -> None:
        self._begun = begun
        self.tally = tally
        self.board = Board(title, services)
        self._systemd = Systemd(services)
        self._history = history
        self._before = history.seconds
        self._line_due = time.monotonic() + LINE_EVERY
        self._line = ""
        self._live = None if plain else Live(self.board, console=Console(), auto_refresh=False, transient=True)

    def __enter__(self) -> Monitor:
        if self._history.damaged:
            path, count = printable(str(self._history.path)), self._history.damaged
            print(f"{path}: passed over {count:,} damaged lines; the curves lack them", file=sys.stderr, flush=True)
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._systemd.stopping()
        if self.tally:
            self.tally.end()
        if self._live:
            self._live.refresh()
            self._live.stop()
        self._history.close()

    @property
    def seconds(self) -> float:
        """How long the run has taken, over all its starts."""
        return self._before + self.board.elapsed

    def change(self, name: str, state: str, restarts: int) -> None:
        """Take note of a service's new state."""
        if self._begun:
            print(printable(self._begun), flush=True)
            self._begun = ""
        self.board.change(name, state, restarts)
        if self.tally:
            self.tally.change(name, state, restarts)
        self._systemd.change(name, state)
        if not self._live:
            print(f"{printable(name)}: {state}" + (f" (restart {restarts})" if restarts else ""), flush=True)

    def update(self, name: str, status: Status) -> None:
        """Take in a service's status."""
        self.board.update(name, status)
        if self.tally:
            self.tally.update(name, status)
        self._systemd.heard(name)
        for event in self.board.untold():
            if not self._live:
                print(printable(event_line(event)), flush=True)
        self._history.append(self.seconds, status.measures)

    def refresh(self) -> None:
        """Show how it stands; to be called a few times a second."""
        self._systemd.refresh(self.board.line)
        if self.tally:
            self.tally.turn()
        if self._live:
            self._live.refresh()
        elif time.monotonic() >= self._line_due:
            self._line_due = time.monotonic() + LINE_EVERY
            line = self.board.line()
            if line != self._line:
                print(printable(line), flush=True)
            self._line = line
