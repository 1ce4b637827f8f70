"""Meter: what a service counts between two looks at it, for people who watch. It decides nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stream_infomax.frames.buckets import Buckets, Histogram
from stream_infomax.frames.contracts import Counts
from stream_infomax.frames.frame import Frame

# Seconds between two statuses: at least, for a loop that has nothing else to do, and at most.
INTERVAL, LONGEST = 0.25, 0.3


class Metered(NamedTuple):
    """Frames and rows so far, and latencies in seconds: since the step before sent a frame, since the source had it.

    `started` and `last_frame` are wall clock, 0 where there is no frame yet.
    """

    frames: int
    rows: int
    step_p50: float | None
    step_p99: float | None
    total_p50: float | None
    total_p99: float | None
    step_seconds: Buckets
    latency_seconds: Buckets
    started: float
    last_frame: float


class Meter:
    """Frames, rows and latencies since the last look."""

    def __init__(self) -> None:
        self.frames = 0
        self.rows = 0
        self._started = time.time()
        self._last_frame = 0.0
        self._steps, self._latencies = Histogram(), Histogram()
        self._since = time.monotonic() - LONGEST
        self._step: list[float] = []
        self._total: list[float] = []

    def count(self, frame: Frame, sent: float, origin: float) -> None:
        """Count a frame that is done: sent by the step before at `sent`, by the source at `origin` (0: not known)."""
        self.frames += 1
        if frame.arrays:
            newest = list(frame.arrays.values())[-1]
            if newest.data.size:  # rows without columns are none yet
                self.rows += newest.n_rows
        self._last_frame = now = time.time()
        if 0 < sent <= now:  # a clock that was set back says nothing of a latency
            self._step.append(now - sent)
            self._steps.add(now - sent)
        if 0 < origin <= now:
            self._total.append(now - origin)
            self._latencies.add(now - origin)

    def due(self) -> bool:
        """Whether it is time for a status, whatever else there is to do."""
        return time.monotonic() >= self._since + LONGEST

    def welcome(self) -> bool:
        """Whether there may be a status where nothing else is to be done: no frame that comes has to wait for it."""
        return time.monotonic() >= self._since + INTERVAL

    def remaining(self) -> float:
        """Return the seconds until one is due."""
        return max(0.0, self._since + LONGEST - time.monotonic())

    def read(self) -> Metered:
        """Return counts since the start and latencies since the last look, and start over."""
        found = Metered(
            *(self.frames, self.rows, *_quantiles(self._step), *_quantiles(self._total)),
            step_seconds=self._steps.read(),
            latency_seconds=self._latencies.read(),
            started=self._started,
            last_frame=self._last_frame,
        )
        self._step.clear()
        self._total.clear()
        self._since = time.monotonic()
        return found


def _quantiles(values: list[float]) -> tuple[float | None, float | None]:
    """Return the median and the 99th percentile."""
    values.sort()
    return quantile(values, 0.5), quantile(values, 0.99)


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the value below which `share` of the `ordered` values lie, None where there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def plain_counts(counts: Mapping[str, Counts]) -> dict[str, dict[str, float]]:
    """Return counts as plain numbers: stages tend to give numpy's."""
    return {name: {key: float(value) for key, value in own.items()} for name, own in counts.items()}
