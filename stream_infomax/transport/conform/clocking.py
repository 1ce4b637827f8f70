"""Clocking: a device's times and rows against the clock of whoever listens."""

from __future__ import annotations

from array import array
from statistics import median

# What a comparison of two clocks needs.
LEAST_FRAMES, LEAST_SECONDS = 20, 1.0
# Seconds in which frames come that had waited for somebody to listen.
WAITED = 0.5
# Frames whose times are kept; those beyond are not looked at.
MOST = 200_000


class Clocking:
    """The times of frames, the seconds that their rows make, and when they came.

    Frames come late by whatever a queue or a busy machine adds, and never early: of many the one that was least late
    says how two clocks stand. Two such, near the beginning and near the end, say how they go.

    Attributes
    ----------
    late
        Seconds from the last row of a frame to its arrival, by both clocks: of the frame where that is least.
    """

    def __init__(self) -> None:
        self.late = 0.0
        self._times = array("d")
        self._rows = array("d")  # seconds of rows up to the end of a frame, by its rate
        self._arrived = array("d")
        self._steps = array("d")
        self._begun: float | None = None
        self._time: float | None = None
        self._seconds = self._step = 0.0
        self._timed = self._rated = True

    def add(self, time: float | None, rate: float, n_rows: int, missing: int, arrived: float) -> None:
        """Take a frame, and how many before it never arrived."""
        rows = self._step * (1 + missing)  # from the first row of the frame before to that of this one
        self._seconds += rows
        self._step = n_rows / rate if rate else 0.0
        self._timed &= time is not None
        self._rated &= rate > 0
        first = self._begun is None
        if time is not None:
            late = arrived - time - self._step
            self.late = late if first else min(self.late, late, key=abs)
            if self._time is not None and rows > 0 and len(self._steps) < MOST:
                self._steps.append((time - self._time) / rows)
        self._begun = arrived if self._begun is None else self._begun
        self._time = time
        if arrived - self._begun > WAITED and len(self._arrived) < MOST:
            self._times.append(time or 0.0)
            self._rows.append(self._seconds + self._step)  # a frame comes when its last row is there
            self._arrived.append(arrived)

    @property
    def pace(self) -> float | None:
        """Seconds of the device's times in a second of the clock here; None where too few came to say."""
        return _slope(self._times, self._arrived) if self._timed else None

    @property
    def flow(self) -> float | None:
        """Seconds of rows, by the device's rate, in a second of the clock here; None where too few came to say."""
        return _slope(self._rows, self._arrived) if self._rated else None

    @property
    def steps(self) -> float | None:
        """Seconds of the device's times for a second of rows, by its rate; None where too few came to say."""
        return median(self._steps) if len(self._steps) >= LEAST_FRAMES else None


def _slope(times: array[float], clock: array[float]) -> float | None:
    """Return how far `times` go in a second of `clock`, from the frames that were least late."""
    n = len(times)
    if n < LEAST_FRAMES or clock[-1] - clock[0] < LEAST_SECONDS:
        return None
    third = n // 3
    first = min(range(third), key=lambda i: clock[i] - times[i])
    last = min(range(n - third, n), key=lambda i: clock[i] - times[i])
    apart = clock[last] - clock[first]
    return (times[last] - times[first]) / apart if apart > 0 else None
