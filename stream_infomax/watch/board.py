"""Board: what a person sees while a pipeline runs, as a table that is drawn again or as plain lines."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream_infomax.frames.event import Event, event_line
from stream_infomax.frames.measure import Kind
from stream_infomax.settings.printable import printable
from stream_infomax.transport.messages import Status
from stream_infomax.watch.curve import BoundedCurve, sparkline
from stream_infomax.watch.kinds import FEW_FRAMES, KINDS, Display
from stream_infomax.watch.service_row import HEADS, ServiceRow

SPARKLINE = 32
# A plain line is no longer.
LINE = 100


@dataclass(frozen=True)
class Spark:
    """A sparkline that takes the room that its column has."""

    values: Sequence[float]
    limits: tuple[float, float] | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text(sparkline(self.values, min(SPARKLINE, options.max_width), self.limits), "blue", no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(8, options.max_width), min(SPARKLINE, options.max_width))


class Board:
    """The state of all services, how the learning goes, and how it looks.

    Parameters
    ----------
    title
        Stands above: the configuration and the run folder.
    services
        Names of those that report, in the order of the data.

    Attributes
    ----------
    n_frames
        How many frames will pass, as the source says; 0 where it does not know.
    """

    def __init__(self, title: str, services: Sequence[str]) -> None:
        self.title = printable(title)
        self.n_frames = 0
        self._rows = {name: ServiceRow() for name in services}
        self._curves: dict[tuple[str, str, Kind], BoundedCurve] = {}
        self._services_of: dict[tuple[str, str, Kind], str] = {}
        self._last = list(services)[-1]
        self._start = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._events: dict[str, list[Event]] = {}
        # Those that a person has been told of, where lines are printed, and those that come next.
        self._told: deque[Event] = deque(maxlen=1024)
        self._untold: list[Event] = []

    def change(self, name: str, state: str, restarts: int) -> None:
        """Take note of a service's new state."""
        self._rows.setdefault(name, ServiceRow()).change(state, restarts)

    def update(self, name: str, status: Status) -> None:
        """Take in a service's status."""
        self._rows[name].update(status)
        self.n_frames = status.expected or self.n_frames
        if name == self._last and self._first is None and status.newest >= 0:
            self._first = (time.monotonic(), status.newest)
        for measure in status.measures:
            self._services_of[measure.curve] = name
            curve = self._curves.setdefault(measure.curve, BoundedCurve())
            few = KINDS[measure.kind].is_share and measure.position < FEW_FRAMES
            curve.add(measure.position, math.nan if few else measure.value)
        self._events[name] = status.events
        # After a restart some come a second time.
        new = [event for event in dict.fromkeys(status.events) if event not in self._told]
        self._told.extend(new)
        self._untold += new

    def untold(self) -> list[Event]:
        """Return the events that have come since the last time."""
        new, self._untold = self._untold, []
        return new

    def curves(self) -> dict[tuple[str, str, Kind], BoundedCurve]:
        """Return the curves of all measures, in the order of the data."""
        services = list(self._rows)
        ordered = sorted(self._curves.items(), key=lambda item: services.index(self._services_of[item[0]]))
        return dict(ordered)

    @property
    def elapsed(self) -> float:
        """Seconds since the board was made."""
        return time.monotonic() - self._start

    def __rich__(self) -> RenderableType:
        head = Text.assemble((" stream_infomax ", "bold reverse"), "  ", self.title, "  ", (clock(self.elapsed), "dim"))
        parts: list[RenderableType] = [head, self._services()]
        if self._curves:
            parts += [Text(), self._learning()]
        events = [events[-1] for events in self._events.values() if events]
        if events:
            lines = [printable(event_line(event)) for event in events]
            parts += [Text(), *(Text(line, "bold", no_wrap=True, overflow="ellipsis") for line in lines)]
        if self.n_frames:
            parts += [Text(), self._progress()]
        return Group(*parts)

    def line(self) -> str:
        """Return where the run stands, in one line for logs: what matters most first, as much as has room."""
        done = self._done() + 1
        words = [clock(self.elapsed), f"frame {done:,}" + (f" of {self.n_frames:,}" if self.n_frames else "")]
        last = self._rows[self._last]
        if last.status:
            words.append(f"{last.throughput()[0]:,.0f} frames/s")
        words += filter(None, [self._left()])
        statuses = [row.status for row in self._rows.values() if row.status]
        # What a service never had, none behind it has; what a source lost never had an offset.
        losses = [sum(status.lost.values()) for status in statuses]
        if lost := sum(losses[:1]) + max(losses[1:], default=0):
            words.append(f"{lost:,} frames lost")
        if refused := sum(sum(status.refused.values()) for status in statuses):
            words.append(f"{refused:,} requests refused")
        # Of each stage its first kind of measure; of several of that kind the last one has seen the most.
        newest: dict[str, tuple[Display, float]] = {}
        for (stage, _, kind), curve in self.curves().items():
            if not math.isnan(curve.last) and (stage not in newest or newest[stage][0] is KINDS[kind]):
                newest[stage] = KINDS[kind], curve.last
        found = [f"{printable(name)} {of.title} {of.text(value)}" for name, (of, value) in newest.items()]
        line = printable("  ".join(words), LINE)
        for word in reversed(found):  # the last stage has seen the most
            head, rest = line[: len("  ".join(words))], line[len("  ".join(words)) :]
            if len(line) + 2 + len(word) <= LINE:
                line = f"{head}  {word}{rest}"
        return line

    def _done(self) -> int:
        status = self._rows[self._last].status
        return status.newest if status else -1

    def _services(self) -> Table:
        table = _table()
        table.add_column("service", min_width=9, no_wrap=True)
        table.add_column("state", min_width=10)
        for title in HEADS:
            table.add_column(title, justify="right", no_wrap=title != "lost")
        for name, row in self._rows.items():
            table.add_row(Text(printable(name)), *row.cells())
        return table

    def _learning(self) -> Table:
        table = _table()
        for title in ("learning", "↓ lower ↑ higher is better", "now"):
            table.add_column(title, justify="right" if title == "now" else "left", no_wrap=True)
        table.add_column("so far")
        curves = self.curves()
        shown, kind_shown = "", ""
        for (stage, level, kind), curve in curves.items():
            display = KINDS[kind]
            title = f"{display.title} {display.arrow}".rstrip() + (f": {printable(level)}" if level else "")
            if level and (stage, kind) == (shown, kind_shown):
                title = f"  {printable(level)}"  # the one above says of what kind
            # Shares of one stage are there to be compared: they have one axis, from 0.
            shares = [
                value for other in curves if other[0] == stage and KINDS[other[2]].is_share
                for value in curves[other].values
            ]  # fmt: skip
            limits = (0.0, max(shares, default=1.0)) if display.is_share else None
            name = Text("" if stage == shown else printable(stage))
            table.add_row(name, Text(title), Text(display.text(curve.last)), Spark(curve.values, limits))
            shown, kind_shown = stage, kind
        return table

    def _left(self) -> str:
        """Return how long the run will still take at its pace so far, empty where that is not known."""
        done = self._done() + 1
        if self._first is None or not self._first[1] + FEW_FRAMES < done < self.n_frames:
            return ""
        seconds = (time.monotonic() - self._first[0]) * (self.n_frames - done) / (done - self._first[1] - 1)
        return f"{clock(seconds)} left"

    def _progress(self) -> Table:
        done = self._done() + 1
        line = Table.grid(padding=(0, 2, 0, 0))
        bar = ProgressBar(total=self.n_frames, completed=done, width=40)
        line.add_row(bar, f"{done:,} of {self.n_frames:,} frames", Text(self._left(), "dim"))
        return line


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")


def clock(seconds: float) -> str:
    """Return a duration as minutes:seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
