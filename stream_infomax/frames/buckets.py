"""Buckets: how often a duration was how long, counted since a process started."""

from __future__ import annotations

from bisect import bisect_left
from typing import Annotated

import msgspec

# The upper end of each bucket, in seconds; one more bucket has what is longer.
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Buckets(msgspec.Struct, frozen=True):
    """A histogram of durations.

    Attributes
    ----------
    counts
        How many fell into each bucket: one for each of `BOUNDS`, and one for what is longer.
    total
        Their sum in seconds.
    """

    counts: Annotated[list[Count], msgspec.Meta(min_length=len(BOUNDS) + 1, max_length=len(BOUNDS) + 1)]
    total: Annotated[float, msgspec.Meta(ge=0)]


class Histogram:
    """Counts durations.

    Examples
    --------
    >>> histogram = Histogram()
    >>> histogram.add(0.002)
    >>> histogram.read().counts[:4]
    [0, 0, 1, 0]
    """

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._total = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._total += seconds

    def read(self) -> Buckets:
        """Return the counts so far."""
        return Buckets(list(self._counts), self._total)
