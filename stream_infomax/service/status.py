"""Meter: what a service counts between two looks at it, for people who watch. It decides nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from stream_infomax.frames.frame import Frame

# Seconds between two statuses.
INTERVAL = 0.25


class Meter:
    """Frames, rows and latencies since the last look."""

    def __init__(self) -> None:
        self.frames = 0
        self.rows = 0
        self._since = time.monotonic()
        self._due = self._since
        self._frames_before = 0
        self._rows_before = 0
        self._step: list[float] = []
        self._total: list[float] = []

    def count(self, frame: Frame, sent: float, origin: float) -> None:
        """Count a frame that is done: sent by the step before at `sent`, by the source at `origin` (0: not known)."""
        self.frames += 1
        if frame.arrays:
            newest = list(frame.arrays.values())[-1]
            if newest.data.size:  # rows without columns are none yet
                self.rows += newest.n_rows
        now = time.time()
        if sent:
            self._step.append(now - sent)
        if origin:
            self._total.append(now - origin)

    def due(self) -> bool:
        """Whether it is time for a status."""
        return time.monotonic() >= self._due

    def remaining(self) -> float:
        """Return the seconds until then."""
        return max(0.0, self._due - time.monotonic())

    def read(self) -> dict[str, float | None]:
        """Return counts, rates a second and latencies in seconds, and start over.

        A latency is that since the step before sent the frame (``step``) or since the source had it (``total``), None
        where no frame came.
        """
        now = time.monotonic()
        elapsed = max(now - self._since, 1e-9)
        numbers: dict[str, float | None] = {
            "frames": self.frames,
            "rows": self.rows,
            "frames_per_second": (self.frames - self._frames_before) / elapsed,
            "rows_per_second": (self.rows - self._rows_before) / elapsed,
        }
        for name, values in (("step", self._step), ("total", self._total)):
            values.sort()
            numbers[f"{name}_p50"] = quantile(values, 0.5)
            numbers[f"{name}_p99"] = quantile(values, 0.99)
            values.clear()
        self._since = now
        self._due = now + INTERVAL
        self._frames_before = self.frames
        self._rows_before = self.rows
        return numbers


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the value below which `share` of the `ordered` values lie, None where there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
