"""Board: what a person sees while a pipeline runs, as a table that is drawn again or as plain lines."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream_infomax.frames.event import Event, event_line
from stream_infomax.frames.measure import Kind
from stream_infomax.settings.printable import printable
from stream_infomax.transport.messages import Status
from stream_infomax.watch.columns import GAP, height, table
from stream_infomax.watch.curve import BoundedCurve
from stream_infomax.watch.history import Curve, Curves
from stream_infomax.watch.kinds import FEW_FRAMES, KINDS, Display, worth_showing
from stream_infomax.watch.learning_table import learning
from stream_infomax.watch.service_row import COLUMNS, ServiceRow

# A plain line is no longer.
LINE = 100
# Letters of an event that are shown, and of the bar of progress.
EVENT, BAR = 400, 40


class Board:
    """The state of all services, how the learning goes, and how it looks.

    Parameters
    ----------
    title
        Stands above: the configuration and the run folder.
    services
        Names of those that report, in the order of the data.
    supervised
        Whether a supervisor says when they start and end.

    Attributes
    ----------
    n_frames
        How many frames will pass, as the source says; 0 where it does not know.
    rows
        What is known of each service, in the order of the data.
    """

    def __init__(self, title: str, services: Sequence[str], supervised: bool = True) -> None:
        self.title = printable(title)
        self.n_frames = 0
        self.rows = {name: ServiceRow(supervised) for name in services}
        self._curves: dict[tuple[str, str, Kind], BoundedCurve] = {}
        self._services_of: dict[tuple[str, str, Kind], str] = {}
        self._last = list(services)[-1]
        self._start = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._events: dict[str, list[Event]] = {}
        # Those that a person has been told of, where lines are printed, and those that come next.
        self._told: deque[Event] = deque(maxlen=1024)
        self._untold: deque[Event] = deque(maxlen=1024)

    def change(self, name: str, state: str, restarts: int) -> None:
        """Take note of a service's new state."""
        self.rows.setdefault(name, ServiceRow()).change(state, restarts)

    def update(self, name: str, status: Status) -> None:
        """Take in a service's status."""
        self.rows[name].update(status)
        self._learn(name, status)

    def hear(self, name: str, status: Status) -> None:
        """Take in a status where nobody else says how the service is."""
        self.rows[name].hear(status)
        self._learn(name, status)

    def recall(self, curves: Curves, services: Mapping[str, str]) -> None:
        """Take in how the run went before; `services` says in which service each stage is."""
        for name, columns in curves.items():
            self._services_of.setdefault(name, services.get(name[0], self._last))
            for position, value in zip(columns["position"], columns["value"], strict=True):
                self._add(name, int(position), value)

    def _learn(self, name: str, status: Status) -> None:
        self.n_frames = status.expected or self.n_frames
        if name == self._last and self._first is None and status.newest >= 0:
            self._first = (time.monotonic(), status.newest)
        for measure in status.measures:
            self._services_of[measure.curve] = name
            self._add(measure.curve, measure.position, measure.value)
        self._events[name] = status.events
        # After a restart some come a second time.
        new = [event for event in dict.fromkeys(status.events) if event not in self._told]
        self._told.extend(new)
        self._untold += new

    def _add(self, name: Curve, position: int, value: float) -> None:
        self._curves.setdefault(name, BoundedCurve()).add(position, worth_showing(name[2], position, value))

    def untold(self) -> list[Event]:
        """Return the events that have come since the last time."""
        new = list(self._untold)
        self._untold.clear()
        return new

    def curves(self) -> dict[tuple[str, str, Kind], BoundedCurve]:
        """Return the curves of all measures, in the order of the data."""
        services = list(self.rows)
        ordered = sorted(self._curves.items(), key=lambda item: services.index(self._services_of[item[0]]))
        return dict(ordered)

    @property
    def elapsed(self) -> float:
        """Seconds since the board was made."""
        return time.monotonic() - self._start

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        head = Text.assemble((" stream_infomax ", "bold reverse"), "  ", (clock(self.elapsed), "dim"), "  ", self.title)
        yield from self.below(head, console, options)

    def below(self, head: Text, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield everything, below a line of the caller's; in a terminal no more than it has lines."""
        width = options.max_width
        above: list[RenderableType] = [head, *self._services(width), *self._newest_events()]
        below: list[RenderableType] = [Text(), self._progress(width)] if self.n_frames else []
        measured = list(learning(self.curves(), width)) if self._curves else []
        if measured and console.is_terminal:
            room = options.max_height - height(console, options, above + below) - 1
            measured = _first(measured, room)
        yield from above
        if measured:
            yield Text()
            yield from measured
        yield from below

    def line(self, head: str = "") -> str:
        """Return where the run stands, in one line for logs: what matters most first, as much as has room.

        Parameters
        ----------
        head
            What stands first; the clock by default.
        """
        done = self._done() + 1
        words = [head or clock(self.elapsed), f"frame {done:,}" + (f" of {self.n_frames:,}" if self.n_frames else "")]
        words += filter(None, map(self._those, ("silent", "disk full")))
        if self.last.status:
            words.append(f"{self.last.throughput()[0]:,.0f} frames/s")
        words += filter(None, [self.left()])
        if lost := self.lost():
            words.append(f"{lost:,} frames lost")
        if refused := sum(sum(row.refused.values()) for row in self.rows.values()):
            words.append(f"{refused:,} attempts refused")
        line = printable("  ".join(words), LINE)
        for word in reversed(self.newest_measures()):  # the last stage has seen the most
            head, rest = line[: len("  ".join(words))], line[len("  ".join(words)) :]
            if len(line) + 2 + len(word) <= LINE:
                line = f"{head}  {word}{rest}"
        return line

    def _those(self, state: str) -> str:
        """Return which service is in a state, or how many are; empty where none is."""
        names = [name for name, row in self.rows.items() if row.state == state]
        return f"{names[0] if len(names) == 1 else f'{len(names)} services'} {state}" if names else ""

    def newest_events(self) -> list[Event]:
        """Return the newest event of each service that has any."""
        return [events[-1] for events in self._events.values() if events]

    @property
    def last(self) -> ServiceRow:
        """The service at the end of the pipeline."""
        return self.rows[self._last]

    def lost(self) -> int:
        """Return how many frames were lost: what a service never had, none behind it has."""
        # What a source lost never had an offset.
        losses = [sum(row.lost.values()) for row in self.rows.values()]
        return sum(losses[:1]) + max(losses[1:], default=0)

    def newest_measures(self) -> list[str]:
        """Return of each stage its first kind of measure; of several of that kind the last one has seen the most."""
        newest: dict[str, tuple[Display, float]] = {}
        for (stage, _, kind), curve in self.curves().items():
            if not math.isnan(curve.last) and (stage not in newest or newest[stage][0] is KINDS[kind]):
                newest[stage] = KINDS[kind], curve.last
        return [f"{printable(name)} {of.title} {of.text(value)}" for name, (of, value) in newest.items()]

    def _done(self) -> int:
        return self.last.newest

    def _services(self, width: int) -> Iterator[RenderableType]:
        return table("service", COLUMNS, [row.row(name) for name, row in self.rows.items()], width)

    def _newest_events(self) -> list[Text]:
        newest = self.newest_events()
        return [Text()] * bool(newest) + [Text(printable(event_line(event), EVENT), "bold") for event in newest]

    def left(self) -> str:
        """Return how long the run will still take at its pace so far, empty where that is not known."""
        done = self._done() + 1
        if self._first is None or not self._first[1] + FEW_FRAMES < done < self.n_frames:
            return ""
        seconds = (time.monotonic() - self._first[0]) * (self.n_frames - done) / (done - self._first[1] - 1)
        return f"{clock(seconds)} left"

    def _progress(self, width: int) -> Table:
        done = self._done() + 1
        words = Text(f"{done:,} of {self.n_frames:,} frames")
        if left := self.left():
            words.append(f"{' ' * GAP}{left}", "dim")
        bar = ProgressBar(total=self.n_frames, completed=done, width=min(BAR, max(1, width - words.cell_len - GAP)))
        line = Table.grid(padding=(0, GAP, 0, 0))
        line.add_row(bar, words)
        return line


def _first(lines: list[RenderableType], room: int) -> list[RenderableType]:
    """Return the lines that have room, and how many have none; nothing where there is room for none."""
    if len(lines) <= room:
        return lines
    more = len(lines) - room + 1
    return [*lines[: room - 1], Text(f"… {more} more lines; a higher terminal shows them", "dim")] if room > 2 else []


def clock(seconds: float) -> str:
    """Return a duration as minutes:seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
