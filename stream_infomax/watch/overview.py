"""Overview: several runs in one table, as `stream-infomax top` shows them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from stream_infomax.frames.event import event_line
from stream_infomax.settings.printable import printable
from stream_infomax.watch.board import EVENT, Board
from stream_infomax.watch.columns import Row, height, table
from stream_infomax.watch.service_row import COLUMNS, STYLES, ServiceRow, durations, lost_text, rate_text

# Services of which nothing needs to be said.
QUIET = ("running", "waiting", "finished", "stopped")


class Seen(Protocol):
    """A run that somebody watches."""

    board: Board
    problem: str

    @property
    def state(self) -> str:
        """How it is, in a word."""


class Overview:
    """Draws runs anew whenever it is asked: one with its curves, several in a table."""

    def __init__(self, runs: Sequence[Seen]) -> None:
        self._runs = runs

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if len(self._runs) == 1:
            (run,) = self._runs
            yield from run.board.below(_head(*_title(run)), console, options)
            return
        head = _head(f"{len(self._runs)} runs")
        room = options.max_height - height(console, options, [head])
        for rows in (self._all(), self._conspicuous(), self._alone()):
            lines = list(table("run, service", COLUMNS, list(rows), options.max_width))
            if not console.is_terminal or height(console, options, lines) <= room:
                break
        else:
            more = len(lines) - room + 1
            lines = [*lines[: room - 1], Text(f"… {more} more; a higher terminal shows them", "dim")]
        yield head
        yield from lines

    def _all(self) -> Iterator[Row]:
        for run in self._runs:
            yield _of_run(run)
            yield from _of_services(run)

    def _conspicuous(self) -> Iterator[Row]:
        for run in self._runs:
            yield _of_run(run)
            for row, service in zip(_of_services(run), run.board.rows.values(), strict=True):
                if row.notes or service.state not in QUIET:
                    yield row

    def _alone(self) -> Iterator[Row]:
        for run in self._runs:
            row = _of_run(run)
            yield Row(row.name, row.cells)


def _head(*words: str | tuple[str, str]) -> Text:
    return Text.assemble(
        *((" stream_infomax top ", "bold reverse"), "  ", (time.strftime("%H:%M:%S"), "dim"), "  "),
        *words,
        ("   q quits", "dim"),
    )


def _title(run: Seen) -> Iterator[str | tuple[str, str]]:
    yield run.board.title
    yield ": "
    yield run.state, STYLES.get(run.state, "")
    if run.problem:
        yield f" ({printable(run.problem, EVENT)})", "red"


def _of_run(run: Seen) -> Row:
    """Return the row of a run: what its last service has made, and how long that took since the source had it."""
    board, last = run.board, run.board.last
    cells = [Text(run.state, STYLES.get(run.state, ""))]
    cells += map(Text, _numbers(last))
    cells.append(lost_text(board.lost()) if last.newest >= 0 else Text())
    notes = [Text(run.problem, "red")] if run.problem else []
    if board.n_frames and (left := board.left()):
        notes.append(Text(f"{left} to frame {board.n_frames:,}", "dim"))
    if measures := board.newest_measures():
        notes.append(Text("; ".join(measures), "dim"))
    notes += [Text(printable(event_line(event), EVENT), "bold") for event in board.newest_events()]
    return Row(Text(board.title, "bold"), cells, notes)


def _numbers(last: ServiceRow) -> Iterator[str]:
    rates = map(rate_text, last.throughput()) if last.status else ("", "")
    yield from rates
    yield f"{last.newest + 1:,}" if last.newest >= 0 else ""
    yield durations(*last.total) if last.status else ""


def _of_services(run: Seen) -> Iterator[Row]:
    for name, service in run.board.rows.items():
        row = service.row(name)
        notes = [Text("  ") + note for note in row.notes]
        yield Row(Text("  ") + row.name, row.cells, notes)
