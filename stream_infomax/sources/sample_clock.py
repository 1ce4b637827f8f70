"""SampleClock: times of samples that a device delivers in blocks, by counting them."""

from __future__ import annotations

import math
import time

# Seconds over which blocks are looked at, and how far they may be from the count before it is set right.
WINDOW = 2.0
TOLERANCE = 0.02


class SampleClock:
    """Gives each block the time of its first sample, in seconds of the wall clock.

    The wall clock is read once, at the first block; from there on samples are counted, which has no jitter, and which a
    wall clock that is set does not disturb. No block arrives before it was recorded: so the earliest arrival within
    2 s tells how far count and clock (a monotonic one) have come apart. Where that is more than 20 ms, the count is set
    right. Times never go back. (A library's own recording times are not used: through PulseAudio they were 0.35 to
    0.7 s off in the first seconds of a stream, when arrivals were right to 20 ms.)

    Parameters
    ----------
    rate
        Samples a second.
    earliest
        No time is before this one.

    Attributes
    ----------
    corrections
        How often the count was set right.
    """

    def __init__(self, rate: float, earliest: float = 0.0) -> None:
        self.rate = rate
        self.corrections = 0
        self._wall = time.time() - time.monotonic()
        self._previous = earliest
        self._start: float | None = None  # the time of sample 0
        # Of the blocks of a window: when it began, and how late the earliest was by the count.
        self._since = 0.0
        self._late = math.inf

    def time_of(self, first: float, size: int, arrived: float) -> float:
        """Return the time of a block.

        Parameters
        ----------
        first, size
            The number of its first sample (or, at a rate of 1, the seconds of the device), and how many it has.
        arrived
            When it came, by `time.monotonic`.
        """
        heard = self._wall + arrived - size / self.rate
        if self._start is None:
            self._begin(heard, first)
        assert self._start is not None
        self._late = min(self._late, heard - self._start - first / self.rate)
        if heard - self._since > WINDOW:
            off = self._late if abs(self._late) > TOLERANCE else 0.0
            self.corrections += off != 0
            self._begin(self._start + off + first / self.rate, first)
            self._since = heard
        self._previous = max(self._previous, self._start + first / self.rate)
        return self._previous

    def jump(self, first: float, size: int, arrived: float) -> float:
        """Take it that samples are missing before a block; return how many seconds of them."""
        if self._start is None:
            return 0.0
        heard = self._wall + arrived - size / self.rate
        expected = self._start + first / self.rate
        self._begin(max(heard, self._previous), first)
        return max(0.0, heard - expected)

    def _begin(self, heard: float, first: float) -> None:
        """Let a sample have been heard at a time, and begin another window."""
        self._start = heard - first / self.rate
        self._since, self._late = heard, math.inf
