"""Watched: what the page knows of a run, in bounded memory; whoever listens tells it."""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import numpy as np

from stream_infomax.frames.basis import Basis
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Frame
from stream_infomax.frames.measure import Kind
from stream_infomax.page.growth import Growth, Moved
from stream_infomax.page.heard import Heard
from stream_infomax.page.lately import Counts, Lately
from stream_infomax.page.ring import Recent, Ring
from stream_infomax.page.told import Told, times
from stream_infomax.transport.messages import Status
from stream_infomax.watch.curve import BoundedCurve
from stream_infomax.watch.history import Curves
from stream_infomax.watch.kinds import KINDS, worth_showing
from stream_infomax.watch.service_row import SILENT_AFTER, ServiceRow

# Events, learners with their bases, and named segments of a service that are kept.
MOST_EVENTS = 256
MOST_BASES = 64
MOST_NAMED = 200
# Counts of a service that are looked back at.
MOST_COUNTS = 256
# Bytes that the bases of all learners take, curves, labels of a segment, and letters of a text that are kept.
MOST_BASIS_BYTES = 256 << 20
MOST_CURVES = 1024
MOST_LABELS = 64
LONGEST = 1000


class Stage(NamedTuple):
    """A source or a stage, as the configuration describes it.

    Attributes
    ----------
    name, kind
        Its own; `kind` of a source, too.
    service
        The process that it runs in.
    input
        The array that it reads; empty for the source.
    rate
        Rows a second of what it publishes; 0 where that is not known.
    channels, units
        Of a row's last axis, where they have names.
    row
        The shape of a row that it publishes; None where the data decide.
    settings
        Of its table in the configuration, as plain values.
    """

    name: str
    kind: str
    service: str
    input: str = ""
    rate: float = 0.0
    channels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    row: tuple[int, ...] | None = None
    settings: Mapping[str, Any] = MappingProxyType({})


class Happened(NamedTuple):
    """Something that a person should hear of.

    Attributes
    ----------
    service, stage
        Where; `stage` is empty for what happened to the whole service.
    position
        Rows that the stage had seen, or that its service had.
    kind
        Of an `Event`, or ``restart``.
    text
        One plain sentence.
    when
        Wall clock when the command came that it is of, or when the page heard of it; 0 where nobody knows.
    """

    service: str
    stage: str
    position: int
    kind: str
    text: str
    when: float = 0.0


class Named(NamedTuple):
    """The end of a segment: what it was named, and what its labels say."""

    offset: int
    stream: str
    segment: str
    labels: Mapping[str, str]
    scores: tuple[float, ...]


class Left(NamedTuple):
    """How a service was that does not go on, by its newest checkpoint: frames, when it was written, what was lost."""

    frames: int
    when: float
    finished: bool
    lost: Mapping[str, int]


class Watched:
    """What is known of a run, from its folder and from the taps of its services.

    Attributes
    ----------
    title
        What stands above.
    services
        Names of the processes, in the order of the data.
    stages
        The source, then the stages.
    statuses, rows
        Of each service its newest status, and its throughput and latency; services that have said nothing are not in
        `statuses`.
    curves
        By stage, level and kind, over the whole run.
    events
        The newest, oldest first.
    bases
        The newest basis of each learner, by its key.
    recent
        Of each service what it has counted recently.
    newest, named
        Of each service its newest frame with arrays, and the last ends of segments that have labels.
    checkpoints
        Of each service how many rows it had seen, as far as measures tell, when word of its newest checkpoint came.
    left
        Of services that do not go on, how they were.
    commands
        What each service was told before the page began to listen.
    kept
        Of learners the versions that lie in the run folder, oldest first, and from which frame on each holds.
    unreachable
        Of services that do not let the page in, why.
    began
        When the page began to listen, by `now`.
    over
        The summary of a run that has finished, in lines for people; empty before.
    version
        Rises with everything that comes: who draws, draws where it has changed.
    """

    def __init__(
        self,
        title: str,
        services: Sequence[str],
        stages: Sequence[Stage] = (),
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.title = title
        self.services = list(services)
        self.stages = list(stages)
        self.unreachable: dict[str, str] = {}
        self.commands: dict[str, list[Told]] = {}
        self.began = now()
        self.over: list[str] = []
        self.version = 0
        self._now = now
        self._began = time.time()
        self.reset()

    def reset(self) -> None:
        """Forget all: the run was started afresh."""
        self.commands.clear()
        self.statuses: dict[str, Status] = {}
        self.rows = {name: ServiceRow() for name in self.services}
        self.checkpoints: dict[str, int] = {}
        self.left: dict[str, Left] = {}
        self.kept: dict[str, list[tuple[str, int]]] = {}
        self.recent: dict[str, Lately] = {}
        self.curves: dict[tuple[str, str, Kind], BoundedCurve] = {}
        self.events: deque[Happened] = deque(maxlen=MOST_EVENTS)
        self.bases: OrderedDict[str, Basis] = OrderedDict()
        self.newest: dict[str, Frame] = {}
        self.named: dict[str, deque[Named]] = {}
        self.heard = Heard(self._now)
        self._heard: dict[str, float] = {}
        self._rests_since: float | None = None
        self._rings: dict[str, Ring] = {}
        self._growths: dict[str, Growth] = {}
        self._told: deque[Event] = deque(maxlen=4 * MOST_EVENTS)
        self.version += 1

    def now(self) -> float:
        """Return the seconds of the clock that everything here is dated by."""
        return self._now()

    def describe(self, stages: Sequence[Stage]) -> None:
        """Take in more that is known of source and stages."""
        self.stages = list(stages)
        self.version += 1

    def has_stage(self, name: str) -> bool:
        """Return whether the run has a stage of this name; where nothing is known of its stages, any."""
        return not self.stages or any(stage.name == name for stage in self.stages)

    def silent(self, service: str) -> float:
        """Return how many seconds a service has said nothing, infinite where it never did; 0 while it is short."""
        seconds = self._now() - self._heard.get(service, -math.inf)
        return seconds if seconds >= SILENT_AFTER else 0.0

    @property
    def stopped(self) -> bool:
        """Whether the run neither goes on nor has finished."""
        return bool(self.left) and not self.statuses and not self.over

    def rest(self, left: Mapping[str, Left]) -> None:
        """The run does not go on: take in how its services were."""
        self.statuses.clear()
        self.left = dict(left)
        self._rests_since = self._now()
        for name, one in left.items():
            row = self.rows.setdefault(name, ServiceRow())
            row.rest("finished" if one.finished else "stopped", one.frames - 1, one.lost)
        self.version += 1

    def moved(self, key: str) -> Moved | None:
        """Return how far each component of a learner has moved; None where it has no basis."""
        now = self._now() if self._rests_since is None else self._rests_since
        return self._growths[key].moved(now) if key in self._growths else None

    def versions(self, key: str) -> list[tuple[str, int]]:
        """Return the versions of a learner that can be had, oldest first, and the frame from which on each holds."""
        if key in self.kept:
            return self.kept[key]
        return list(self._growths[key].versions) if key in self._growths else []

    def ring(self, service: str) -> Recent | None:
        """Return the last seconds of a service's newest array; None where nothing came."""
        return self._rings[service].recent() if service in self._rings else None

    def status(self, service: str, status: Status) -> None:
        """Take in the status of a service."""
        before = self.statuses.get(service)
        self.statuses[service] = status
        self.left.pop(service, None)
        self._rests_since = None
        self._heard[service] = self._now()
        row = self.rows.setdefault(service, ServiceRow())
        restarts = row.restarts
        row.hear(status)
        for measure in status.measures:
            if (curve := self._curve(measure.curve)) is not None:
                curve.add(measure.position, worth_showing(measure.kind, measure.position, measure.value))
        if before is not None and status.checkpoint > before.checkpoint:
            self.checkpoints[service] = self.position(service)
        if row.restarts > restarts:
            text = f"the service began again at frame {status.processed + 1:,}"
            self.events.append(Happened(service, "", self.position(service), "restart", text, time.time()))
        self.tell(service, status.events, is_old=before is None and status.started < self._began)
        self.recent.setdefault(service, Lately()).add(self._now(), _counted(status))
        self.version += 1

    def tell(self, service: str, events: Sequence[Event], *, is_old: bool) -> None:
        """Take in events of stages; those that are known are passed over.

        Parameters
        ----------
        service
            Where they happened.
        events
            Oldest first.
        is_old
            Whether they happened before the page began to listen.
        """
        when = times(events, self.commands.get(service, ())) if is_old else [time.time()] * len(events)
        for told, at in zip(events, when, strict=True):
            event = msgspec.structs.replace(told, stage=told.stage[:LONGEST], text=told.text[:LONGEST])
            if event not in self._told:  # after a restart some come a second time
                self._told.append(event)
                self.events.append(Happened(service, event.stage, event.position, event.kind, event.text, at))

    def history(self, curves: Curves) -> None:
        """Take in how the run went so far."""
        for name, columns in curves.items():
            if (curve := self._curve(name)) is None:
                continue
            for position, value in zip(columns["position"], columns["value"], strict=True):
                curve.add(int(position), worth_showing(name[2], int(position), value))
        self.version += 1

    def basis(self, basis: Basis, ago: float = 0.0) -> None:
        """Take in a basis, which came so many seconds ago; those of one learner in their order."""
        growth = self._growths.setdefault(basis.key, Growth())
        is_new = growth.add(basis, self._now() - ago)
        if growth.newest is not self.bases.get(basis.key) and growth.newest is not None:
            self.bases[basis.key] = growth.newest
            self.bases.move_to_end(basis.key)
        self._forget()
        self.version += is_new

    def frame(self, service: str, frame: Frame) -> None:
        """Take in a frame of a service, of which some may be left out."""
        self._heard[service] = self._now()
        if not frame.arrays:
            self._label(service, frame)
            return
        self.newest[service] = frame
        if self.stages and service == self.stages[0].name:
            self.heard.of_source(frame)
        else:
            self.heard.of_modules(frame, service, self.stages)
        self._rings.setdefault(service, Ring()).add(frame, self._now())
        if frame.labels and (frame.last or frame.end):
            array = list(frame.arrays.values())[-1]
            rows = array.rows()
            scores = tuple(np.asarray(rows[-1, :64], float).tolist()) if len(rows) else ()
            named = self.named.setdefault(service, deque(maxlen=MOST_NAMED))
            if not named or named[-1].offset < frame.offset:
                named.append(Named(frame.offset, frame.stream, frame.segment, dict(frame.labels), scores))
        self.version += 1

    def position(self, service: str) -> int:
        """Return how many rows the stages of a service have seen, as far as their measures tell."""
        own = {stage.name for stage in self.stages if stage.service == service}
        return max(
            (c.position for name, c in self.curves.items() if name[0] in own and KINDS[name[2]].over == "rows"),
            default=0,
        )

    def _label(self, service: str, frame: Frame) -> None:
        """Let a label that comes late join the end of its segment."""
        named = self.named.get(service, ())
        for number, one in enumerate(named):
            if (one.stream, one.segment) == (frame.stream, frame.segment):
                labels = list({**one.labels, **frame.labels}.items())[:MOST_LABELS]
                self.named[service][number] = one._replace(labels=dict(labels))

    def _curve(self, name: tuple[str, str, Kind]) -> BoundedCurve | None:
        """Return a curve, a new one where there is none; None of what is no stage's, or where there are too many."""
        if name not in self.curves:
            is_long = len(name[1]) > LONGEST
            if is_long or not self.has_stage(name[0]) or len(self.curves) >= MOST_CURVES:
                return None
            self.curves[name] = BoundedCurve()
        return self.curves[name]

    def _forget(self) -> None:
        """Forget the learners that were heard of longest ago, while there is no room for them."""
        taken = sum(growth.nbytes for growth in self._growths.values())
        while len(self.bases) > 1 and (len(self.bases) > MOST_BASES or taken > MOST_BASIS_BYTES):
            oldest, _ = self.bases.popitem(last=False)
            taken -= self._growths.pop(oldest).nbytes


def _counted(status: Status) -> Counts:
    """Return what is only of interest while it goes on: what was refused, and what stages have set aside."""
    counts: Counts = {("refused", "", reason): n for reason, n in status.refused.items()}
    for balance in status.ledger:
        if balance.part == "stage":
            counts["accepted", balance.place, ""] = sum(balance.accepted.values())
            for reason, by in balance.aside.items():
                counts["aside", balance.place, reason] = sum(by.values())
    return dict(list(counts.items())[:MOST_COUNTS])
