"""Counts of a run that go on over the lives of its processes and never go down."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Mapping
from typing import TypeAlias

# Name of a count and the values of its labels.
Key: TypeAlias = tuple[str, ...]
Numbers: TypeAlias = Mapping[Key, float]


class Lives:
    """Adds up what each life of a process counts from 0.

    Attributes
    ----------
    totals
        Over all lives.
    """

    def __init__(self) -> None:
        self.totals: dict[Key, float] = {}
        self._before: Counter[Key] = Counter()
        self._life: Hashable = None

    def add(self, life: Hashable, counts: Numbers) -> None:
        """Take in what the process counts in the life that is called `life`."""
        if life != self._life:
            self._life = life
            self._before = Counter(self.totals)
        for key, count in counts.items():
            self.totals[key] = max(self.totals.get(key, 0.0), self._before[key] + count)


class Rising:
    """Follows counts that a process takes up again from a checkpoint, and that are behind for a while after a death.

    Attributes
    ----------
    totals
        Since they were begun. What is counted a second time is not counted twice.
    """

    def __init__(self) -> None:
        self.totals: dict[Key, float] = {}
        self._start: dict[Key, float] = {}

    def begin(self, start: Numbers) -> None:
        """Count only what comes on top of these."""
        self._start |= start
        self.totals |= dict.fromkeys(start, 0.0)

    def add(self, counts: Numbers) -> None:
        """Take in the newest counts."""
        for key, count in counts.items():
            self.totals[key] = max(self.totals.get(key, 0.0), count - self._start.get(key, 0.0))


class Few:
    """Keeps the values that a label takes few: the first ones that come, and one for all others.

    Parameters
    ----------
    most
        How many are kept.
    """

    OTHER = "other"

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[Key, set[str]] = {}

    def value(self, of: Key, value: str) -> str:
        """Return what stands for `value` among the values of the label that `of` names."""
        known = self._known.setdefault(of, set())
        if value in known:
            return value
        if len(known) >= self._most:
            return self.OTHER
        known.add(value)
        return value


class Passing:
    """When a log passed which offset, to the second, as far back as there is room for."""

    def __init__(self) -> None:
        self._moments: deque[tuple[float, int]] = deque(maxlen=1024)

    def add(self, now: float, newest: int) -> None:
        """Note how far it is; a log that was set back begins again."""
        if self._moments and newest < self._moments[-1][1]:
            self._moments.clear()
        if not self._moments or (newest > self._moments[-1][1] and now - self._moments[-1][0] >= 1):
            self._moments.append((now, newest))

    def seconds_behind(self, now: float, offset: int) -> float:
        """Return how long ago the log passed `offset`, or as far back as is known; 0 where it has not."""
        return next((now - then for then, newest in self._moments if newest > offset), 0.0)
