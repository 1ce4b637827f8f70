"""Lately: counts of a service over the last minute: what happened an hour ago is no news."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TypeAlias

# Seconds that count as lately, and between two counts that are kept.
LATELY, EVERY = 60.0, 5.0

# By what is counted, where, and why.
Counts: TypeAlias = dict[tuple[str, str, str], int]


class Lately:
    """What a service has counted by now, and had a minute ago."""

    def __init__(self) -> None:
        self._newest: Counts = {}
        self._before: deque[tuple[float, Counts]] = deque()

    def add(self, now: float, counts: Counts) -> None:
        """Take in counts at `now` seconds of one clock."""
        if any(counts.get(name, 0) < n for name, n in self._newest.items()):  # it was restarted
            self._before.clear()
        if not self._before or now - self._before[-1][0] >= EVERY:
            self._before.append((now, counts))
        while len(self._before) > 1 and now - self._before[1][0] >= LATELY:
            self._before.popleft()
        self._newest = counts

    def of(self, what: str, where: str = "") -> Mapping[str, int]:
        """Return by how much each count has risen within the last minute, by its reason."""
        then = self._before[0][1] if self._before else {}
        risen = {
            reason: n - then.get((kind, place, reason), 0)
            for (kind, place, reason), n in self._newest.items()
            if (kind, place) == (what, where)
        }
        return {reason: n for reason, n in risen.items() if n}
