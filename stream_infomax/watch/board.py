"""Board: what a person sees while a pipeline runs, as a table that is drawn again or as plain lines."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream_infomax.frames.measure import Kind
from stream_infomax.transport.messages import Status
from stream_infomax.watch.history import KINDS

BLOCKS = "▁▂▃▄▅▆▇█"
SPARKLINE = 32
RATES_OVER = 3.0
STYLES = {
    "starting": "yellow",
    "running": "green",
    "restarting": "red",
    "stopping": "yellow",
    "stopped": "dim",
    "finished": "cyan",
    "failed": "bold red",
}


class Curve:
    """Values over a run of any length in bounded memory: when it is full, every second one goes."""

    def __init__(self, capacity: int = 512) -> None:
        self.values: list[float] = []
        self.first = math.nan
        self.last = math.nan
        self._capacity = capacity
        self._every = 1
        self._count = 0

    def append(self, value: float) -> None:
        """Add a value; one that is not finite is passed over."""
        if not math.isfinite(value):
            return
        if math.isnan(self.first):
            self.first = value
        self.last = value
        if self._count % self._every == 0:
            self.values.append(value)
        self._count += 1
        if len(self.values) >= self._capacity:
            del self.values[1::2]
            self._every *= 2


def sparkline(values: Sequence[float], width: int = SPARKLINE) -> str:
    """Return the curve of `values` in at most `width` block characters, from its least to its largest value.

    >>> sparkline([3, 2, 1, 0])
    '█▆▃▁'
    """
    if not values:
        return ""
    n = min(width, len(values))
    points = [values[round(i * (len(values) - 1) / max(1, n - 1))] for i in range(n)]
    least, span = min(points), max(points) - min(points)
    return "".join(BLOCKS[round((value - least) / span * (len(BLOCKS) - 1)) if span else 0] for value in points)


@dataclass(frozen=True)
class Spark:
    """A sparkline that takes the room that its column has."""

    values: Sequence[float]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text(sparkline(self.values, min(SPARKLINE, options.max_width)), "blue", no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(8, options.max_width), min(SPARKLINE, options.max_width))


class Row:
    """What is known of one service; its rates are over the last seconds, as frames may come in bursts."""

    def __init__(self) -> None:
        self.state = "starting"
        self.restarts = 0
        self.status: Status | None = None
        self.latency: tuple[float | None, float | None] = (None, None)
        self._counts: deque[tuple[float, int, int]] = deque()

    def update(self, status: Status) -> None:
        """Take in a status."""
        self.status = status
        if status.step_p50 is not None:
            self.latency = (status.step_p50, status.step_p99)
        if self._counts and status.frames < self._counts[-1][1]:  # it was restarted and counts from 0 again
            self._counts.clear()
        self._counts.append((time.monotonic(), status.frames, status.rows))
        while self._counts[-1][0] - self._counts[0][0] > RATES_OVER:
            self._counts.popleft()

    def rates(self) -> tuple[float, float]:
        """Return frames and rows a second."""
        if len(self._counts) < 2:
            return 0.0, 0.0
        (start, first_frames, first_rows), (end, frames, rows) = self._counts[0], self._counts[-1]
        seconds = max(end - start, 1e-9)
        return (frames - first_frames) / seconds, (rows - first_rows) / seconds


@dataclass
class Followed:
    """The curve of a measure: whose it is, and how far it has come."""

    service: str
    position: float = -1.0
    curve: Curve = field(default_factory=Curve)


class Board:
    """The state of all services, how the learning goes, and how it looks.

    Parameters
    ----------
    title
        Stands above: the configuration and the run folder.
    services
        Names of those that report, in the order of the data.
    """

    def __init__(self, title: str, services: Sequence[str]) -> None:
        self.title = title
        # How many frames will pass, as the source says; 0 where it does not know.
        self.n_frames = 0
        self.rows = {name: Row() for name in services}
        self.measures: dict[tuple[str, str, Kind], Followed] = {}
        self._last = list(services)[-1]
        self._start = time.monotonic()
        self._first: tuple[float, int] | None = None

    def change(self, name: str, state: str, restarts: int) -> None:
        """Take note of a service's new state."""
        row = self.rows.setdefault(name, Row())
        row.state = state
        row.restarts = restarts

    def update(self, name: str, status: Status) -> None:
        """Take in a service's status."""
        self.rows[name].update(status)
        self.n_frames = status.expected or self.n_frames
        if name == self._last and self._first is None and status.newest >= 0:
            self._first = (time.monotonic(), status.newest)
        for measure in status.measures:
            followed = self.measures.setdefault(measure.curve, Followed(name))
            if measure.position > followed.position:
                followed.position = measure.position
                followed.curve.append(measure.value)

    def curves(self) -> dict[tuple[str, str, Kind], Curve]:
        """Return the curves of all measures, in the order of the data."""
        services = list(self.rows)
        ordered = sorted(self.measures.items(), key=lambda item: services.index(item[1].service))
        return {name: followed.curve for name, followed in ordered}

    @property
    def elapsed(self) -> float:
        """Seconds since the board was made."""
        return time.monotonic() - self._start

    def __rich__(self) -> RenderableType:
        head = Text.assemble((" stream_infomax ", "bold reverse"), "  ", self.title, "  ", (clock(self.elapsed), "dim"))
        parts: list[RenderableType] = [head, self._services()]
        if self.measures:
            parts += [Text(), self._learning()]
        if self.n_frames:
            parts += [Text(), self._progress()]
        return Group(*parts)

    def line(self) -> str:
        """Return where the run stands, in one line for logs."""
        done = self._done()
        words = [f"{clock(self.elapsed)}  frame {done + 1:,}" + (f" of {self.n_frames:,}" if self.n_frames else "")]
        status = self.rows[self._last].status
        if status:
            words.append(f"{self.rows[self._last].rates()[0]:,.0f} frames/s")
        lost = sum(sum(losses(row.status).values()) for row in self.rows.values() if row.status)
        if lost:
            words.append(f"{lost:,} frames lost")
        # Of several of a kind in one stage, the last one has seen the most.
        newest = {(stage, kind): curve for (stage, _, kind), curve in self.curves().items()}
        for (stage, kind), curve in newest.items():
            words.append(f"{stage} {KINDS[kind].title} {KINDS[kind].text(curve.last)}")
        return "  ".join(words)

    def _done(self) -> int:
        status = self.rows[self._last].status
        return status.newest if status else -1

    def _services(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("service", min_width=9, no_wrap=True)
        table.add_column("state", min_width=10)
        for title in ("frames/s", "rows/s", "offset", "queue", "latency p50/p99"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("lost", justify="right")
        for name, row in self.rows.items():
            state = row.state if not row.restarts else f"{row.state} (restarted {row.restarts}×)"
            table.add_row(name, Text(state, STYLES[row.state]), *_cells(row))
        return table

    def _learning(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for title in ("learning", "", "now"):
            table.add_column(title, justify="right" if title == "now" else "left", no_wrap=True)
        table.add_column("so far")
        shown, kind_shown = "", ""
        for (stage, level, of_kind), curve in self.curves().items():
            kind = KINDS[of_kind]
            title = f"{kind.title}: {level}" if level else kind.title
            if level and (stage, kind.title) == (shown, kind_shown):
                title = f"  {level}"  # the one above says of what kind
            table.add_row("" if stage == shown else stage, title, kind.text(curve.last), Spark(curve.values))
            shown, kind_shown = stage, kind.title
        return table

    def _progress(self) -> Table:
        done = self._done() + 1
        line = Table.grid(padding=(0, 2, 0, 0))
        left = ""
        if self._first is not None and done > self._first[1] + 1:
            seconds = (time.monotonic() - self._first[0]) * (self.n_frames - done) / (done - self._first[1] - 1)
            left = f"{clock(seconds)} left" if done < self.n_frames else ""
        bar = ProgressBar(total=self.n_frames, completed=done, width=40)
        line.add_row(bar, f"{done:,} of {self.n_frames:,} frames", Text(left, "dim"))
        return line


def losses(status: Status) -> dict[str, int]:
    """Return how many frames a service has lost or refused, by reason."""
    counts = {**status.lost, **{f"refused ({reason})": count for reason, count in status.refused.items()}}
    return {reason: count for reason, count in counts.items() if count}


def _cells(row: Row) -> list[str | Text]:
    status = row.status
    if not status:
        return [""] * 6
    lost = ", ".join(f"{count:,} {reason}" for reason, count in losses(status).items())
    frames, rows = row.rates()
    return [
        f"{frames:,.0f}",
        f"{rows:,.0f}",
        f"{status.newest:,}",
        f"{status.log_fill:.0%}",
        _durations(*row.latency),
        Text(lost, "red") if lost else Text("0", "dim"),
    ]


def _durations(p50: float | None, p99: float | None) -> str:
    """Return both in the unit of the second, which is the longer one."""
    if p50 is None or p99 is None:
        return "– / –"
    factor, unit = (1e3, "ms") if p99 < 1 else (1.0, "s")
    return f"{_three_digits(factor * p50)} / {_three_digits(factor * p99)} {unit}"


def _three_digits(value: float) -> str:
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def clock(seconds: float) -> str:
    """Return a duration as minutes:seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
