"""Tally: what a run has counted over all lives of its processes, and how each is now. Safe to be read by any thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from stream_infomax.frames.buckets import Buckets
from stream_infomax.frames.event import GRAVE, Event
from stream_infomax.frames.ledger import Balance, totals
from stream_infomax.frames.measure import Measure
from stream_infomax.settings.printable import printable
from stream_infomax.transport.messages import Status
from stream_infomax.watch.counting import Few, Key, Lives, Numbers, Passing, Rising
from stream_infomax.watch.service_row import SILENT_AFTER, ServiceRow

# States in which there is a process that says how it is.
ALIVE = frozenset({"running", "waiting", "silent", "disk full", "stopping"})
# Reasons that each count tells apart, levels that each measure of a stage has, and characters of either.
REASONS, LEVELS, LONGEST = 24, 16, 64


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a run is made of, for those who watch it.

    Attributes
    ----------
    run
        Its id.
    folder
        Its folder.
    upstream
        The services in the order of the data, each with whom it reads; the source and a run in one process read nobody.
    names
        What a figure may be of: services, stages, sinks.
    learning
        The stages that learn a basis.
    pausing
        The stages that learn anything, which a command may have paused.
    checkpoint_every
        Frames between two checkpoints of each service.
    """

    run: str
    folder: Path
    upstream: Mapping[str, str]
    names: frozenset[str]
    learning: frozenset[str]
    pausing: frozenset[str]
    checkpoint_every: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How a service is at one moment.

    Attributes
    ----------
    state, restarts
        As the live view says.
    process
        Whether there is a process.
    heard
        Seconds since it said something; infinite where it has not in this life.
    status
        What it said last; None where that says nothing of now.
    measures
        Of the status, as many as have a series of their own.
    counts
        By name and labels, over all its lives.
    lag_frames, lag_seconds
        What the service before it has published and it has not read, and how long the oldest of it has been there.
    left_out
        Figures that have no series of their own, because there would be too many.
    """

    name: str
    state: str
    restarts: int
    process: bool
    heard: float
    status: Status | None
    measures: Sequence[Measure]
    counts: Numbers
    lag_frames: int
    lag_seconds: float
    left_out: int


class Tally:
    """Takes in what the monitor of a run hears.

    Parameters
    ----------
    layout
        What the run is made of.
    before
        For each service that goes on from a checkpoint: frames lost, by reason, and the ledger there.

    Attributes
    ----------
    pids
        Gives the processes that there are now, by service.
    turned
        When the loop of the run last turned (monotonic); infinite before it has begun and behind
        its end.
    """

    def __init__(
        self, layout: Layout, before: Mapping[str, tuple[Mapping[str, int], Iterable[Balance]]] | None = None
    ) -> None:
        self.layout = layout
        self.pids: Callable[[], Mapping[str, int]] = dict
        self.turned = float("inf")
        self._lock = Lock()
        self._services = {name: _Service(layout) for name in layout.upstream}
        for name, (lost, ledger) in (before or {}).items():
            self._services[name].resume(lost, ledger)

    def change(self, name: str, state: str, restarts: int) -> None:
        """Take note of a service's new state."""
        with self._lock:
            self._services[name].change(state, restarts)

    def update(self, name: str, status: Status) -> None:
        """Take in a service's status."""
        with self._lock:
            self._services[name].update(status)

    def turn(self) -> None:
        """Take note that the loop of the run turns."""
        self.turned = time.monotonic()

    def end(self) -> None:
        """Take note that the run is over, and nothing has to turn any more."""
        self.turned = float("inf")

    def seen(self) -> list[Seen]:
        """Return how each service is, in the order of the data."""
        found = []
        for name, before in self.layout.upstream.items():
            with self._lock:  # for a moment each: the run waits for none of it
                found.append(self._services[name].seen(name, self._services.get(before), time.monotonic()))
        return found


@dataclass
class _Service:
    """What is known of one service."""

    layout: Layout
    row: ServiceRow = field(default_factory=ServiceRow)
    resumed: bool = False
    lives: Lives = field(default_factory=Lives)
    rising: Rising = field(default_factory=Rising)
    reasons: Few = field(default_factory=lambda: Few(REASONS))
    levels: Few = field(default_factory=lambda: Few(LEVELS))
    passing: Passing = field(default_factory=Passing)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=1024))
    happened: dict[Key, float] = field(default_factory=dict)
    # The newest status, of whatever life; which life's process has ended; when the newest one of this life came.
    last: Status | None = None
    ended: float = 0.0
    heard: float = -float("inf")

    def resume(self, lost: Mapping[str, int], ledger: Iterable[Balance]) -> None:
        """Begin with what had been counted before the run was started."""
        self.resumed = True
        self.rising.begin(self._lost(lost) | self._ledger(ledger))

    def change(self, state: str, restarts: int) -> None:
        self.row.change(state, restarts)
        if state not in ALIVE:  # what still comes of the life that ends is no news of the next one
            self.ended = self.last.started if self.last else self.ended
            self.heard = -float("inf")

    def update(self, status: Status) -> None:
        """Take in a status. Of a life only the newest one is counted, when somebody asks or the next one begins."""
        self.row.update(status)
        before, self.last = self.last, status
        if status.started != self.ended:
            self.heard = time.monotonic()
        self.passing.add(time.monotonic(), status.newest)
        if before is None and self.resumed:  # a checkpoint does not say how many there were
            self.rising.begin(self._shortened(status))
            self.events.extend(status.events)
        if before is not None and before.started != status.started:
            self._count(before)
        if before is None or before.events != status.events:
            self._count_events(status.events)

    def _count(self, status: Status) -> None:
        self.lives.add(status.started, self._of_life(status))
        self.rising.add(self._lost(status.lost) | self._ledger(status.ledger) | self._shortened(status))
        for stage in self.layout.learning & status.counts.keys():  # what comes for the first time is to be seen as new
            for kind in GRAVE:
                self.happened.setdefault(("events", stage, kind), 0.0)

    def _count_events(self, events: Iterable[Event]) -> None:
        for event in events:
            if event not in self.events and event.stage in self.layout.names:  # after a death some come a second time
                key = ("events", event.stage, event.kind)
                self.happened[key] = self.happened.get(key, 0.0) + 1
                self.events.append(event)

    def _has_room(self, measure: Measure) -> bool:
        """Return whether a measure is of a stage of the run, and one of its first levels."""
        of = (measure.kind, measure.stage)
        return measure.stage in self.layout.names and self.levels.value(of, measure.level) == measure.level

    def seen(self, name: str, before: _Service | None, now: float) -> Seen:
        process = self.row.state in ALIVE
        heard = now - self.heard
        status = self.last if process and heard < SILENT_AFTER else None
        if self.last is not None:
            self._count(self.last)
        measures = [measure for measure in status.measures if self._has_room(measure)] if status else []
        left_out = len(status.measures) - len(measures) if status else 0
        left_out += sum(balance.place not in self.layout.names for balance in status.ledger) if status else 0
        lag_frames, lag_seconds = 0, 0.0
        if status is not None and before is not None and before.last is not None:
            lag_frames = max(0, before.last.newest - status.processed)
            lag_seconds = before.passing.seconds_behind(now, status.processed) if lag_frames else 0.0
        return Seen(
            name=name,
            state=self.row.state,
            restarts=self.row.restarts,
            process=process,
            heard=heard,
            status=status,
            measures=measures,
            counts={**self.lives.totals, **self.rising.totals, **self.happened},
            lag_frames=lag_frames,
            lag_seconds=lag_seconds,
            left_out=left_out,
        )

    def _of_life(self, status: Status) -> dict[Key, float]:
        counts: dict[Key, float] = {("frames",): status.frames, ("rows",): status.rows}
        for name, buckets in (("step_seconds", status.step_seconds), ("latency_seconds", status.latency_seconds)):
            counts |= _buckets(name, buckets)
        return counts | self._by_reason(("refused_requests",), status.refused)

    def _lost(self, lost: Mapping[str, int]) -> dict[Key, float]:
        return self._by_reason(("lost_frames",), lost)

    def _ledger(self, ledger: Iterable[Balance]) -> dict[Key, float]:
        counts: dict[Key, float] = {}
        for balance in ledger:
            if balance.place not in self.layout.names:
                continue
            where = (balance.place,) if balance.unit == "rows" else (balance.place, balance.part)
            if balance.unit == "rows" and balance.place in self.layout.learning:
                counts["rows_learnt", balance.place] = sum(balance.processed.values())
            counts[f"{balance.unit}_accepted", *where] = sum(balance.accepted.values())
            counts[f"{balance.unit}_processed", *where] = sum(balance.processed.values())
            counts |= self._by_reason((f"{balance.unit}_set_aside", *where), totals(balance.aside))
            counts |= self._by_reason((f"{balance.unit}_dropped", *where), totals(balance.dropped))
        return counts

    def _shortened(self, status: Status) -> dict[Key, float]:
        stages = self.layout.learning & status.counts.keys()
        return {("rows_shortened", stage): status.counts[stage].get("shortened", 0.0) for stage in stages}

    def _by_reason(self, of: Key, counts: Mapping[str, float]) -> dict[Key, float]:
        found: dict[Key, float] = {}
        for reason, count in counts.items():
            key = (*of, self.reasons.value(of, printable(reason, LONGEST)))
            found[key] = found.get(key, 0.0) + count
        return found


def _buckets(name: str, buckets: Buckets) -> dict[Key, float]:
    counts: dict[Key, float] = {(name, str(number)): count for number, count in enumerate(buckets.counts)}
    return counts | {(name, "sum"): buckets.total}
