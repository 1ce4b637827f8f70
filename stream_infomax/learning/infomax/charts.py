"""Charts: a CUSUM for each signal of a stream, against a reference that is held (Page 1954)."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import signal_kernels
from stream_infomax.learning.infomax.signal_kernels import (
    BASE,
    COLUMNS,
    DEVIATION,
    DOWN,
    MEAN,
    SCALES,
    UP,
)
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

# Calm blocks behind a reference, at least, and the growth of the calm stretch after which it is renewed.
CALM, RENEWAL = 200, 0.5
# Of the first reference of all, for a stream may change early; so few blocks say too little of how much it wanders, and
# a deviation counts as so many times larger.
FIRST_CALM, CAUTION = 50, 4.0
# Fewest neighbouring batches that a deviation is taken from.
BATCHES = 8
# Of what the wandering was known by, the share that counts on when the reference is renewed.
MEMORY = 0.5


class Alarm(NamedTuple):
    """What a chart has found.

    Attributes
    ----------
    signal
        Its number.
    before, since
        Mean of the signal in the reference, and since the change began.
    blocks
        Since it began, as far as the chart can tell.
    deviations
        Of a block's value, between the two means.
    """

    signal: int
    before: float
    since: float
    blocks: int
    deviations: float


def threshold(blocks: float, charts: int) -> float:
    """Return h of a one-sided CUSUM with k = 1/2 for so many blocks between false alarms of so many charts.

    From Siegmund's (1985) approximation of the mean run length of normal values, (exp(d) - 1 - d)/(2 k²), d = h + 1.17.
    """
    return max(2.0, math.log(max(blocks, 1.0) * charts) - 1.9)


class Charts(Kept):
    """Tells from a few numbers a block that a stream has changed.

    Each signal is compared with its mean and deviation in a stretch without a change, which follows nothing: who
    adapts to a change loses its trace. The deviation is the largest that means over 1, 4, 16 … blocks show, scaled as
    if blocks were independent: a stream that wanders slowly by nature is allowed to. It is taken from differences of
    neighbouring batches, on which what learning improves has no influence.

    Parameters
    ----------
    two_sided
        Whether a fall of the signal counts as well as a rise, for each of S signals.
    blocks
        Between two false alarms of all charts together.

    Attributes
    ----------
    calm
        Whether no chart is half way to an alarm.
    """

    kept: ClassVar[tuple[str, ...]] = ("calm", "_charts", "_sums", "_batches", "_n_calm")

    def __init__(self, two_sided: tuple[bool, ...], blocks: float) -> None:
        n = len(two_sided)
        self.threshold = threshold(blocks, n + sum(two_sided))
        self._two_sided = np.array(two_sided)
        self._charts: Floats = np.zeros((n, COLUMNS))
        self._sums: Floats = np.zeros((n, 2))
        self._batches: Floats = np.zeros((n, SCALES, 5))
        self._batches[:, :, 2] = math.nan
        self._n_calm = 0
        self.calm = True

    @property
    def ready(self) -> bool:
        """Whether there is a reference for the first signal."""
        return self.knows(0)

    @property
    def means(self) -> Floats:
        """Means of the signals in the reference, (S,)."""
        return np.array(self._charts[:, MEAN])

    @property
    def nearness(self) -> float:
        """How far the highest chart is on its way to an alarm, which 1 raises."""
        return float(self._charts[:, [UP, DOWN]].max()) / self.threshold

    def add(self, values: Floats) -> Alarm | None:
        """Take in a block's signals (S,); return what the highest chart has found, where it is above the threshold."""
        highest = signal_kernels.follow_charts(values, self._two_sided, self._charts, self._sums, self._batches)
        self.calm = 2 * highest < self.threshold
        if highest > self.threshold:
            return self._alarm()
        self._n_calm += 1
        if self.calm and self._sums[0, 1] >= max(CALM if self.ready else FIRST_CALM, RENEWAL * self._n_calm):
            self.hold()
        return None

    def hold(self) -> None:
        """Take the blocks since the last reference as the new one."""
        deviations = self.deviations() * (1 if self._sums[0, 1] >= CALM else CAUTION)
        for chart, (total, n), deviation in zip(self._charts, self._sums, deviations, strict=True):
            chart[:] = 0
            chart[MEAN], chart[DEVIATION] = total / n, deviation
        self._sums[:] = 0
        self._batches[:, :, 3:] *= MEMORY

    def deviations(self) -> Floats:
        """Return the deviation (S,) of a block's values that the wandering so far allows."""
        known = self._batches[:, :, 4] >= BATCHES * MEMORY
        variances = np.where(known, self._batches[:, :, 3] / np.maximum(2 * self._batches[:, :, 4], 1), 0)
        return np.asarray(np.sqrt((variances * BASE ** np.arange(SCALES)).max(axis=1)) + 1e-9)

    def knows(self, signal: int) -> bool:
        """Whether there is a reference for a signal."""
        return bool(self._charts[signal, DEVIATION] > 0)

    def deviation(self, signal: int) -> float:
        """Return the deviation of a block's value in the reference; 0 where there is none."""
        return float(self._charts[signal, DEVIATION])

    def clear(self, signals: tuple[int, ...] = ()) -> None:
        """Start again after a change: all signals, or some, have no reference until there is a new one.

        What is known of wandering stays.
        """
        self.dismiss()
        self._charts[list(signals) or slice(None)] = 0
        self._sums[:] = 0
        self._batches[:, :, :2] = 0
        self._batches[:, :, 2] = math.nan
        self._n_calm = 0

    def dismiss(self) -> None:
        """Restart the charts from the same reference."""
        self._charts[:, UP:] = 0
        self.calm = True

    def _alarm(self) -> Alarm:
        sums = np.maximum(self._charts[:, UP], self._charts[:, DOWN])
        signal = int(np.argmax(sums))
        chart = self._charts[signal]
        first = UP if chart[UP] >= chart[DOWN] else DOWN
        since = float(chart[first + 2] / chart[first + 1])
        deviations = abs(since - float(chart[MEAN])) / float(chart[DEVIATION])
        return Alarm(signal, float(chart[MEAN]), since, int(chart[first + 1]), deviations)
