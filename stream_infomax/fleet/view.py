"""View: what a fleet shows while it learns: its processes, and how far its rounds have come."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream_infomax.fleet.names import LINES
from stream_infomax.settings.printable import printable

# Seconds between two plain lines.
LINE_EVERY = 2.0
# How much of the end of the file of rounds is read for its last line.
TAIL = 1 << 16


class View:
    """Shows the processes of a fleet and its newest round.

    Parameters
    ----------
    title
        Stands above.
    names
        Of the processes.
    folder
        The run folder.
    plain
        Lines instead of a live view.
    """

    def __init__(self, title: str, names: Sequence[str], folder: Path, plain: bool) -> None:
        self._title = title
        self._rounds = folder / LINES
        self._rows = dict.fromkeys(names, ("placing", 0, ""))
        self._start = time.monotonic()
        self._line_due = self._start + LINE_EVERY
        self._line = ""
        self._read_at = -1
        self._newest: dict[str, Any] = {}
        self._live = None if plain else Live(self, console=Console(), auto_refresh=False, transient=True)

    def __enter__(self) -> View:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._live:
            self._live.refresh()
            self._live.stop()

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self._start

    def change(self, name: str, state: str, restarts: int, host: str) -> None:
        """Take note of how a process does, and where it is."""
        before = self._rows[name]
        self._rows[name] = state, restarts, host
        if self._live is None and (state, restarts) != before[:2]:
            where = f" on {host}" if host and state in ("running", "away") else ""
            again = f" (restart {restarts})" if restarts else ""
            print(printable(f"{name}: {state}{where}{again}"), flush=True)

    def refresh(self) -> None:
        """Show how it stands; to be called a few times a second."""
        if self._live:
            self._live.refresh()
        elif time.monotonic() >= self._line_due:
            self._line_due = time.monotonic() + LINE_EVERY
            if (line := self.line()) != self._line:
                print(line, flush=True)
            self._line = line

    def line(self) -> str:
        """Return how far the rounds have come, in a line."""
        newest = self._newest_round()
        if not newest:
            return "no round yet"
        learners = newest.get("learners", 0)
        said = [f"round {newest.get('number', 0):,}", f"{newest.get('rows', 0):,.0f} rows"]
        said.append(f"{learners:,} learner{'s' if learners != 1 else ''}")
        if isinstance(agreement := newest.get("agreement"), float):
            said.append(f"agreement {agreement:.3f}")
        if late := newest.get("late"):
            said.append(f"late: {', '.join(map(str, late))}")
        return printable(" · ".join(said))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(f"{printable(self._title)}  {self.seconds:.0f} s", overflow="ellipsis", no_wrap=True)
        yield Text(self.line(), overflow="ellipsis", no_wrap=True)
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("process")
        table.add_column("state")
        table.add_column("restarts", justify="right")
        table.add_column("machine")
        for name, (state, restarts, host) in self._rows.items():
            table.add_row(printable(name), state, str(restarts or ""), printable(host))
        yield table

    def _newest_round(self) -> dict[str, Any]:
        """Return the last whole line of the file of rounds; empty before the first round."""
        try:
            size = self._rounds.stat().st_size
            if size != self._read_at:
                with self._rounds.open("rb") as file:
                    file.seek(max(0, size - TAIL))
                    lines = file.read().split(b"\n")[:-1]
                self._newest = json.loads(lines[-1]) if lines else {}
                self._read_at = size
        except (OSError, ValueError):  # not there yet, or its end is just being written
            pass
        return self._newest
