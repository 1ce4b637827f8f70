"""What the live view says of one service: its state, throughput, latency and losses."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import TypeAlias

from rich.text import Text

from stream_infomax.settings.printable import printable
from stream_infomax.transport.messages import Status
from stream_infomax.watch.columns import Column, Row

# Where there is no room for all, what can be seen elsewhere goes first: why frames were lost stands in the notes.
COLUMNS = (
    Column("state", right=False, least=10),
    Column("frames/s", rank=3),
    Column("rows/s", rank=5),
    Column("frames", rank=1),
    Column("latency p50/p99", rank=4),
    Column("lost", rank=2),
)
STYLES = {
    "starting": "yellow",
    "running": "green",
    "waiting": "cyan",
    "silent": "dim",
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
# A service that runs says several times a second how it is; after so many seconds without a word something is wrong.
SILENT_AFTER = 5.0
# Why a stage learns nothing, as it counts it.
IDLE = ("paused", "on hold", "examining")
# Letters of a reason that are shown; it comes from another process.
REASON = 60
# Median and 99th percentile in seconds; None where there is none.
Latency: TypeAlias = tuple[float | None, float | None]


class ServiceRow:
    """What is known of one service.

    Parameters
    ----------
    supervised
        Whether a supervisor says when it starts and ends; else all that is known comes from the service itself.

    Attributes
    ----------
    restarts
        How often it was started again.
    status
        The newest; None before the first.
    newest
        The last offset that it has made, -1 before the first.
    lost, refused
        Frames that never came, and requests that were not granted, by reason.
    step, total
        The newest latencies that are known: since the step before sent a frame, and since the source had it.
    """

    def __init__(self, supervised: bool = True) -> None:
        self.restarts = 0
        self.status: Status | None = None
        self.newest = -1
        self.lost: Mapping[str, int] = {}
        self.refused: Mapping[str, int] = {}
        self.step: Latency = (None, None)
        self.total: Latency = (None, None)
        self._said = "starting"
        self._speaks = ("running",) if supervised else ("running", "starting")
        self._counts: deque[tuple[float, int, int]] = deque()
        self._moved = self._heard = time.monotonic()

    def change(self, state: str, restarts: int) -> None:
        """Take note of what the supervisor says of it."""
        self._said, self.restarts = state, restarts
        self._heard = time.monotonic()  # a process that has just started has its time to say something

    def update(self, status: Status) -> None:
        """Take in a status."""
        now = self._heard = time.monotonic()
        if self.status is None or status.frames != self.status.frames:
            self._moved = now
        self.status = status
        self.newest, self.lost, self.refused = status.newest, status.lost, status.refused
        if status.step_p50 is not None:
            self.step = status.step_p50, status.step_p99
        if status.total_p50 is not None:
            self.total = status.total_p50, status.total_p99
        if self._counts and status.frames < self._counts[-1][1]:  # it was restarted and counts from 0 again
            self._counts.clear()
        self._counts.append((now, status.frames, status.rows))
        while self._counts[-1][0] - self._counts[0][0] > THROUGHPUT_OVER:
            self._counts.popleft()

    def hear(self, status: Status) -> None:
        """Take in a status where nobody else says how the service is."""
        restarted = self.status is not None and status.started != self.status.started
        self.change("finished" if status.finished else "running", self.restarts + restarted)
        self.update(status)

    def rest(self, state: str, newest: int, lost: Mapping[str, int]) -> None:
        """Take note of how a service is that does not run: what its last checkpoint says."""
        self.status = None
        self._counts.clear()
        self.change(state, self.restarts)
        self.newest, self.lost, self.refused = newest, lost, {}

    @property
    def state(self) -> str:
        """What the supervisor says; ``waiting`` while the buffer is full because the next service is slower.

        ``disk full`` while the journal of a source takes nothing; ``silent`` where nothing was heard for 5 s.
        """
        if self._said in self._speaks and not (self.status and self.status.finished):
            if self.silence > SILENT_AFTER:
                return "silent"
            if self.status is None:
                return self._said
            if any(counts.get("journal full") for counts in self.status.counts.values()):
                return "disk full"
            still = time.monotonic() - self._moved > WAITING_AFTER
            if still and self.status.log_fill >= NEARLY_FULL:
                return "waiting"
        return self._said

    @property
    def silence(self) -> float:
        """Seconds since it was last heard of."""
        return time.monotonic() - self._heard

    def throughput(self) -> tuple[float, float]:
        """Return frames and rows a second; none of a service that is silent."""
        if len(self._counts) < 2 or self.silence > SILENT_AFTER:
            return 0.0, 0.0
        (start, first_frames, first_rows), (end, frames, rows) = self._counts[0], self._counts[-1]
        seconds = max(end - start, 1e-9)
        return (frames - first_frames) / seconds, (rows - first_rows) / seconds

    def row(self, name: str) -> Row:
        """Return what stands under `COLUMNS`, and in whole words below what is wrong."""
        state, status = self.state, self.status
        style = "dim" if state == "silent" else ""
        shown = [Text(printable(state), STYLES.get(state, ""))]
        frames, rows, latency = "", "", ""
        if status is not None:
            still = state in ("waiting", "silent")
            frames, rows = ("–" if still and not rate else rate_text(rate) for rate in self.throughput())
            latency = durations(*self.step)
        known = status is not None or self.newest >= 0
        words = (frames, rows, f"{self.newest + 1:,}" if known else "", latency)
        lost = sum(self.lost.values())
        shown += [*(Text(word, style) for word in words), lost_text(lost) if known else Text()]
        notes = Text("; ").join(self._notes(state))
        return Row(Text(printable(name), style), shown, [notes] if notes else [])

    def _notes(self, state: str) -> list[Text]:
        notes = []
        if self.restarts:
            notes.append(Text(f"restarted {self.restarts:,}×", "yellow"))
        if state == "silent":
            why = "it starts, takes that long for a frame, hangs, or cannot be reached"
            notes.append(Text(f"no word for {self.silence:,.0f} s: {why}", "red"))
        stages = self.status.counts.items() if self.status else ()
        notes += [
            Text(f"{printable(stage)} {why}", "yellow") for stage, counts in stages for why in IDLE if counts.get(why)
        ]
        for word, counts in (("lost", self.lost), ("refused", self.refused)):
            if found := by_reason(counts):
                notes.append(Text(f"{word} {found}", "red"))
        return notes


def lost_text(count: int) -> Text:
    """Return how many frames were lost, red where there are any."""
    return Text(f"{count:,}", "red" if count else "dim")


def by_reason(counts: Mapping[str, int]) -> str:
    """Return what was counted, with the reasons; empty where there is nothing."""
    return ", ".join(f"{count:,} ({printable(reason, REASON)})" for reason, count in counts.items() if count)


def rate_text(rate: float) -> str:
    """Return a rate in at most seven characters.

    Examples
    --------
    >>> rate_text(0.25), rate_text(108_901), rate_text(27_878_777)
    ('0.25', '108,901', '27.9 M')
    """
    if 0 < rate < 10:
        return f"{rate:.2g}"
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if rate >= size:
            return f"{rate / size:,.{1 if rate < 100 * size else 0}f} {unit}"
    return f"{rate:,.0f}"


def durations(p50: float | None, p99: float | None) -> str:
    """Return a median and a 99th percentile in the unit of the second, which is the longer one."""
    if p50 is None or p99 is None:
        return "–"
    factor, unit = (1e3, "ms") if p99 < 1 else (1.0, "s")
    return f"{_three_digits(factor * p50)} / {_three_digits(factor * p99)} {unit}"


def _three_digits(value: float) -> str:
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"
