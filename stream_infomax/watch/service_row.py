"""What the live view says of one service: its state, throughput, latency and losses."""

from __future__ import annotations

import time
from collections import deque

from rich.text import Text

from stream_infomax.settings.printable import printable
from stream_infomax.transport.messages import Status

HEADS = ("frames/s", "rows/s", "frames", "latency p50/p99", "lost")
STYLES = {
    "starting": "yellow",
    "running": "green",
    "waiting": "cyan",
    "disk full": "bold red",
    "restarting": "red",
    "stopping": "yellow",
    "stopped": "dim",
    "finished": "cyan",
    "failed": "bold red",
}
# Seconds over which throughput is taken: frames may come in bursts.
THROUGHPUT_OVER = 10.0
# A service whose buffer is nearly full and that has sent nothing for so many seconds waits for the next one to read.
WAITING_AFTER = 1.0
NEARLY_FULL = 0.9


class ServiceRow:
    """What is known of one service."""

    def __init__(self) -> None:
        self.restarts = 0
        self.status: Status | None = None
        self._said = "starting"
        self._latency: tuple[float | None, float | None] = (None, None)
        self._counts: deque[tuple[float, int, int]] = deque()
        self._moved = time.monotonic()

    def change(self, state: str, restarts: int) -> None:
        """Take note of what the supervisor says of it."""
        self._said, self.restarts = state, restarts

    def update(self, status: Status) -> None:
        """Take in a status."""
        now = time.monotonic()
        if self.status is None or status.frames != self.status.frames:
            self._moved = now
        self.status = status
        if status.step_p50 is not None:
            self._latency = (status.step_p50, status.step_p99)
        if self._counts and status.frames < self._counts[-1][1]:  # it was restarted and counts from 0 again
            self._counts.clear()
        self._counts.append((now, status.frames, status.rows))
        while self._counts[-1][0] - self._counts[0][0] > THROUGHPUT_OVER:
            self._counts.popleft()

    @property
    def state(self) -> str:
        """What the supervisor says; ``waiting`` while the buffer is full because the next service is slower.

        ``disk full`` while the journal of a source takes nothing.
        """
        if self._said == "running" and self.status and not self.status.finished:
            if any(counts.get("journal full") for counts in self.status.counts.values()):
                return "disk full"
            still = time.monotonic() - self._moved > WAITING_AFTER
            if still and self.status.log_fill >= NEARLY_FULL:
                return "waiting"
        return self._said

    def throughput(self) -> tuple[float, float]:
        """Return frames and rows a second."""
        if len(self._counts) < 2:
            return 0.0, 0.0
        (start, first_frames, first_rows), (end, frames, rows) = self._counts[0], self._counts[-1]
        seconds = max(end - start, 1e-9)
        return (frames - first_frames) / seconds, (rows - first_rows) / seconds

    def cells(self) -> list[Text]:
        """Return the state and what stands under `HEADS`."""
        state = self.state
        restarted = f" (restarted {self.restarts}×)" if self.restarts else ""
        shown = Text(printable(state) + restarted, STYLES.get(state, ""))
        status = self.status
        if not status:
            return [shown, *(Text() for _ in HEADS)]
        lost = ", ".join(f"{count:,} {printable(reason, 24)}" for reason, count in losses(status).items())
        rates = ["–" if state == "waiting" and not rate else f"{rate:,.0f}" for rate in self.throughput()]
        return [
            shown,
            *map(Text, rates),
            Text(f"{status.newest + 1:,}"),
            Text(_durations(*self._latency)),
            Text(lost, "red") if lost else Text("0", "dim"),
        ]


def losses(status: Status) -> dict[str, int]:
    """Return how many frames a service has lost, and requests refused, by reason."""
    counts = {**status.lost, **{f"refused ({reason})": count for reason, count in status.refused.items()}}
    return {reason: count for reason, count in counts.items() if count}


def _durations(p50: float | None, p99: float | None) -> str:
    """Return both in the unit of the second, which is the longer one."""
    if p50 is None or p99 is None:
        return "–"
    factor, unit = (1e3, "ms") if p99 < 1 else (1.0, "s")
    return f"{_three_digits(factor * p50)} / {_three_digits(factor * p99)} {unit}"


def _three_digits(value: float) -> str:
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"
