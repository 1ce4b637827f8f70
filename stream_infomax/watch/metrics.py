"""Metrics: how a run is, as Prometheus scrapes it. docs/metrics.md has the table of them."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import Any, Literal, NamedTuple

from stream_infomax import __version__
from stream_infomax.frames.buckets import BOUNDS
from stream_infomax.frames.measure import Kind
from stream_infomax.learning.infomax.encoder import kept_bases
from stream_infomax.settings.extras import optional
from stream_infomax.transport.messages import Status
from stream_infomax.watch.http import Answer
from stream_infomax.watch.processes import Processes
from stream_infomax.watch.tally import Seen, Tally

with optional():
    from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.registry import Collector

PREFIX = "stream_infomax_"
# Services say how they are four times a second: within that time an answer holds, however often somebody asks.
FRESH = 0.25
FORM = "text/plain; version=0.0.4; charset=utf-8"
MEASURES: dict[Kind, str] = {
    "objective": "objective_nats",
    "entropy": "entropy_nats",
    "information": "information_nats",
    "score": "contrast_score_nats",
    "accuracy": "accuracy_ratio",
    "baseline": "baseline_accuracy_ratio",
}


class Described(NamedTuple):
    """A metric: what it is, its labels, and what it says."""

    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    text: str


def _of(*labels: str) -> tuple[str, ...]:
    return ("service", *labels)


# By the names that they have behind the prefix, those of counters without _total.
METRICS: dict[str, Described] = {
    "build_info": Described("gauge", ("version", "python"), "Always 1; the version of the program."),
    "run_info": Described("gauge", ("run",), "Always 1; the id of the run, as in run.json."),
    # Processes.
    "service_up": Described("gauge", _of(), "1 while the service has a process that serves, else 0."),
    "service_state": Described("gauge", _of("state"), "Always 1; the state that the live view shows."),
    "restarts": Described("counter", _of(), "Deaths after which the service was started again."),
    "service_start_time_seconds": Described("gauge", _of(), "When its process started, as a Unix time."),
    "service_silent_seconds": Described("gauge", _of(), "Seconds since its process last said how it is."),
    "service_cpu_seconds": Described("counter", _of(), "CPU time of its processes, as far as a scrape has seen it."),
    "service_resident_memory_bytes": Described("gauge", _of(), "Memory that its process has in RAM."),
    "service_open_files": Described("gauge", _of(), "Files and sockets that its process has open."),
    # Frames.
    "frames": Described("counter", _of(), "Frames done; what is done again after a death counts again."),
    "rows": Described("counter", _of(), "Rows of the newest array of these frames."),
    "expected_frames": Described("gauge", _of(), "Frames in all, where the source knows that."),
    "offset": Described("gauge", _of(), "Offset of the newest frame in its log; -1 before the first."),
    "last_frame_timestamp_seconds": Described(
        "gauge", _of(), "When the newest frame was done, while a stream goes on."
    ),
    "lag_frames": Described("gauge", _of(), "Frames that the service before it has and it has not read."),
    "lag_seconds": Described("gauge", _of(), "How long the oldest of these frames has been there."),
    "queue_frames": Described("gauge", _of(), "Frames that its log holds until all readers have committed them."),
    "queue_bytes": Described("gauge", _of(), "What these frames take."),
    "queue_fill_ratio": Described("gauge", _of(), "How full its log is, by frames or bytes: 1 is full."),
    "step_seconds": Described("histogram", _of(), "From when the service before it sent a frame until it is done."),
    "latency_seconds": Described("histogram", _of(), "From when the source had a frame until it is done."),
    # Losses and the ledger.
    "lost_frames": Described("counter", _of("reason"), "Frames that never came, or are gone."),
    "refused_requests": Described("counter", _of("reason"), "Requests and connections that were refused."),
    "frames_accepted": Described("counter", _of("place", "part"), "Frames that a place has accepted."),
    "frames_processed": Described("counter", _of("place", "part"), "Frames of which was made what is to be made."),
    "frames_set_aside": Described("counter", _of("place", "part", "reason"), "Frames kept, of which nothing is made."),
    "frames_dropped": Described("counter", _of("place", "part", "reason"), "Frames that are gone."),
    "frames_in_flight": Described("gauge", _of("place", "part"), "Frames of which something is still to be made."),
    "rows_accepted": Described("counter", _of("stage"), "Rows that a stage has accepted."),
    "rows_processed": Described("counter", _of("stage"), "Rows of which was made what is to be made."),
    "rows_set_aside": Described("counter", _of("stage", "reason"), "Rows kept, of which nothing is made."),
    "rows_dropped": Described("counter", _of("stage", "reason"), "Rows that are gone."),
    "rows_in_flight": Described("gauge", _of("stage"), "Rows of which something is still to be made."),
    "ledger_off": Described("gauge", _of("place", "part"), "Accepted, and nowhere to be found: other than 0 is a bug."),
    # Checkpoints and the disk.
    "last_checkpoint_timestamp_seconds": Described(
        "gauge", _of(), "When its newest checkpoint was on disk, as a Unix time."
    ),
    "unsaved_frames": Described("gauge", _of(), "Frames since its newest checkpoint."),
    "checkpoint_interval_frames": Described("gauge", _of(), "Frames between two checkpoints, as configured."),
    "disk_free_bytes": Described("gauge", (), "Room on the disk of the run folder."),
    "disk_size_bytes": Described("gauge", (), "Size of that disk."),
    # What is learnt.
    "rows_learnt": Described("counter", _of("stage"), "Rows that a learner has learnt from."),
    "rows_shortened": Described("counter", _of("stage"), "Outlying rows that it learnt less from."),
    "events": Described("counter", _of("stage", "kind"), "What happened to a stage: change, hold, undo and the like."),
    "warm_up_over": Described("gauge", _of("stage"), "1 once a learner has a basis, else 0."),
    "drift_ratio": Described("gauge", _of("stage"), "How near its stream is to an alarm of change: 1 raises it."),
    "learning_paused": Described("gauge", _of("stage"), "1 while a command keeps it from learning, else 0."),
    "learners_on_hold": Described("gauge", _of("stage"), "Learners of the stage that learn nothing until a resume."),
    "basis_timestamp_seconds": Described("gauge", _of(), "When the newest basis in its folder was written."),
    "basis_offset": Described("gauge", _of(), "The first frame that this basis encodes."),
    "objective_nats": Described("gauge", _of("stage", "level"), "Objective of a learner; lower is better."),
    "entropy_nats": Described("gauge", _of("stage", "level"), "Entropy of a learner's coefficients; lower is better."),
    "information_nats": Described(
        "gauge", _of("stage", "level"), "Information of its recent rows, a row; higher is better."
    ),
    "contrast_score_nats": Described("gauge", _of("stage", "level"), "Score of a contrast; 0 is chance."),
    "contrast_collapsed": Described("gauge", _of("stage"), "1 where its score has long been that of chance."),
    "accuracy_ratio": Described("gauge", _of("stage", "level"), "Share of the last 200 segments named right."),
    "baseline_accuracy_ratio": Described("gauge", _of("stage", "level"), "The same of a baseline, to compare with."),
    # Of the metrics themselves.
    "figures_left_out": Described("gauge", _of(), "Figures without a series of their own: there would be too many."),
}
# Kinds that are measured in bits, for which the conventions of Prometheus have no unit. The others are in nats.
IN_BITS: frozenset[Kind] = frozenset({"entropy", "information"})
_TYPES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}


class _Newest(NamedTuple):
    """The newest basis in a folder: the first frame that it holds for, and when it was written."""

    offset: int
    written: float


class RunCollector(Collector):
    """How a run is, as families of Prometheus.

    Parameters
    ----------
    tally
        What the run has counted.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._processes = Processes()
        self._bases: dict[str, tuple[int, _Newest | None]] = {}

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples."""
        return [_TYPES[one.kind](PREFIX + name, one.text, labels=one.labels) for name, one in METRICS.items()]

    def collect(self) -> Iterator[Metric]:
        """Yield the families that have samples."""
        page = _Page()
        page.add("build_info", (__version__, platform.python_version()), 1)
        page.add("run_info", (self._tally.layout.run,), 1)
        self._add_disk(page)
        services = self._tally.seen()
        for seen in services:
            self._add_service(page, seen)
        used = self._processes.look(self._tally.pids())
        for name, one in used.items():
            page.add("service_resident_memory_bytes", (name,), one.memory)
            page.add("service_open_files", (name,), one.files)
        for name, seconds in self._processes.seconds().items():
            page.add("service_cpu_seconds", (name,), seconds)
        yield from page.families.values()

    def _add_disk(self, page: _Page) -> None:
        try:
            disk = os.statvfs(self._tally.layout.folder)
        except OSError:  # the folder has been removed
            return
        page.add("disk_free_bytes", (), disk.f_bavail * disk.f_frsize)
        page.add("disk_size_bytes", (), disk.f_blocks * disk.f_frsize)

    def _add_service(self, page: _Page, seen: Seen) -> None:
        layout, name = self._tally.layout, seen.name
        page.add("service_up", (name,), seen.process)
        page.add("service_state", (name, seen.state), 1)
        page.add("restarts", (name,), seen.restarts)
        page.add("checkpoint_interval_frames", (name,), layout.checkpoint_every[name])
        page.add("figures_left_out", (name,), seen.left_out)
        page.add_counts(name, seen)
        if seen.process and seen.heard < float("inf"):
            page.add("service_silent_seconds", (name,), round(seen.heard, 3))
        if (status := seen.status) is None:
            return
        self._add_status(page, name, status)
        if layout.upstream[name]:
            page.add("lag_frames", (name,), seen.lag_frames)
            page.add("lag_seconds", (name,), round(seen.lag_seconds, 3))
        for measure in seen.measures:
            unit = math.log(2) if measure.kind in IN_BITS else 1.0
            page.add(MEASURES[measure.kind], (name, measure.stage, measure.level), unit * measure.value)
        warm = {measure.stage for measure in status.measures if measure.kind == "objective"}
        for stage in sorted(layout.learning & status.counts.keys()):
            page.add("warm_up_over", (name, stage), stage in warm)
            page.add("drift_ratio", (name, stage), status.counts[stage].get("drift", 0))
            page.add("learners_on_hold", (name, stage), status.counts[stage].get("on hold", 0))
        for stage in sorted(layout.pausing & status.counts.keys()):
            page.add("learning_paused", (name, stage), status.counts[stage].get("paused", 0))
        if layout.learning & status.counts.keys() and (newest := self._newest_basis(name)) is not None:
            page.add("basis_offset", (name,), newest.offset)
            page.add("basis_timestamp_seconds", (name,), newest.written)

    def _newest_basis(self, name: str) -> _Newest | None:
        """Return what lies in the folder of a service; it is looked through where it has changed."""
        folder = self._tally.layout.folder / name
        try:
            changed = folder.stat().st_mtime_ns
            if self._bases.get(name, (0, None))[0] != changed:
                kept = [one for one in kept_bases(folder) if one.folder == folder]
                newest = _Newest(kept[-1].offset, kept[-1].path.stat().st_mtime) if kept else None
                self._bases[name] = changed, newest
        except OSError:  # the folder, or a file in it, has just been removed
            return None
        return self._bases[name][1]

    def _add_status(self, page: _Page, name: str, status: Status) -> None:
        page.add("service_start_time_seconds", (name,), status.started)
        page.add("offset", (name,), status.newest)
        page.add("queue_frames", (name,), status.log_frames)
        page.add("queue_bytes", (name,), status.log_bytes)
        page.add("queue_fill_ratio", (name,), status.log_fill)
        page.add("unsaved_frames", (name,), status.processed - status.checkpoint)
        if status.expected:
            page.add("expected_frames", (name,), status.expected)
        if status.last_frame and not status.finished:  # the last one may be as old as it likes
            page.add("last_frame_timestamp_seconds", (name,), status.last_frame)
        if status.last_checkpoint:
            page.add("last_checkpoint_timestamp_seconds", (name,), status.last_checkpoint)
        for balance in status.ledger:
            if balance.place in self._tally.layout.names:
                where = (name, balance.place) if balance.unit == "rows" else (name, balance.place, balance.part)
                page.add(f"{balance.unit}_in_flight", where, sum(balance.in_flight.values()))
                page.add("ledger_off", (name, balance.place, balance.part), sum(map(abs, balance.off.values())))
        for stage, counts in status.counts.items():
            if stage in self._tally.layout.names and "collapsed" in counts:
                page.add("contrast_collapsed", (name, stage), counts["collapsed"])


class _Page:
    """The families of one scrape."""

    def __init__(self) -> None:
        self.families: dict[str, Metric] = {}

    def add(self, name: str, labels: Sequence[str], value: float) -> None:
        self._family(name).add_metric(labels, float(value))

    def _family(self, name: str) -> Any:
        if name not in self.families:
            one = METRICS[name]
            self.families[name] = _TYPES[one.kind](PREFIX + name, one.text, labels=one.labels)
        return self.families[name]

    def add_counts(self, service: str, seen: Seen) -> None:
        histograms: dict[str, list[float]] = {}
        for (name, *labels), count in seen.counts.items():
            if METRICS[name].kind == "histogram":
                histograms.setdefault(name, []).append(count)
            else:
                self.add(name, (service, *labels), count)
        for name, (*counts, total) in histograms.items():
            self._add_histogram(name, service, counts, total)

    def _add_histogram(self, name: str, service: str, counts: Sequence[float], total: float) -> None:
        below, buckets = 0.0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
            below += count
            buckets.append((bound, below))
        self._family(name).add_metric([service], buckets, total)


class Exposition:
    """The metrics of a run as a page.

    Parameters
    ----------
    tally
        What the run has counted.
    """

    def __init__(self, tally: Tally) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._registry.register(RunCollector(tally))
        ProcessCollector(registry=self._registry)  # of this process
        self._lock = Lock()
        self._made, self._body = -FRESH, b""

    def page(self) -> Answer:
        """Return the page."""
        with self._lock:
            if time.monotonic() - self._made > FRESH:
                self._body = generate_latest(self._registry)
                self._made = time.monotonic()
            return Answer(200, FORM, self._body)
