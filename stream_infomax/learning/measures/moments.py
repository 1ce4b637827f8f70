"""Running mean and variance of every channel, and rows standardised by them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

PRECISION = 1e-13  # a channel whose deviation is below this share of its mean (450 roundings) carries nothing

BOUND = 8.0  # deviations from the mean: a value farther off counts as one that is so far
START = 32  # rows of which median and median deviation say what is too far, before there is anything to trust
MEDIAN_DEVIATION = 1.4826  # deviations of a normal distribution in one median deviation
PIECE = 64  # rows that are held by the same bounds
LARGEST = 1e100  # of a value: its square is finite

SMALLER = 1 / 16  # less than this share of the deviation, in most channels: the units are others


class RunningMoments(Kept):
    """Mean and variance of every channel: the plain average of all rows at first, later with a half-life.

    Parameters
    ----------
    width
        Channels.
    half_life
        Rows after which a row counts half; until so many have come, all count alike. None: all rows always do.

    Attributes
    ----------
    rows
        Rows that count.
    mean, variance
        Of each channel, (width,) float64.
    """

    kept: ClassVar[tuple[str, ...]] = ("rows", "mean", "variance")

    def __init__(self, width: int, half_life: float | None = None) -> None:
        self.most = np.inf if half_life is None else float(half_life / np.log(2))
        self.rows = 0.0
        self.mean: NDArray[np.float64] = np.zeros(width)
        self.variance: NDArray[np.float64] = np.zeros(width)

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which channels vary by more than float64 rounds their mean, (width,)."""
        alive: NDArray[np.bool_] = self.variance > (PRECISION * self.mean) ** 2
        return alive

    def update(self, rows: Floats) -> None:
        """Take in finite rows (n, width)."""
        count = len(rows)
        if count == 0:
            return
        mean = rows.mean(0, dtype=np.float64)
        variance = rows.var(0, dtype=np.float64)
        total = min(self.rows, self.most) + count
        share = count / total
        shift = mean - self.mean
        self.variance += share * (variance - self.variance + (1 - share) * shift**2)
        self.mean += share * shift
        self.rows = total

    def standardised(self, rows: Floats) -> NDArray[np.float32]:
        """Return rows (n, width) with zero mean and unit deviation, float32; channels that never vary become 0."""
        alive = self.alive
        factor = np.where(alive, 1 / np.sqrt(np.where(alive, self.variance, 1.0)), 0.0)
        return ((rows - self.mean) * factor).astype(np.float32)


class RobustMoments(RunningMoments):
    """Moments that a glitch or a burst cannot sway, and which follow a lasting change of scale.

    Values more than 8 deviations from the mean count as 8 (winsorised), so one value adds 64 / n to the variance at
    most. What comes again and again is no glitch: the bounds grow with the deviation, n to the power 31 at most, so
    that a scale a thousand times larger is reached when a quarter more rows have come. A scale that is much smaller
    would be long in coming; `renew` takes it over.

    Parameters
    ----------
    width
        Channels.
    half_life
        As of `RunningMoments`.
    renew
        Start afresh with the moments of so many rows, where most channels varied less than a sixteenth as much in
        them. None: never, for where silence is no other scale.

    Attributes
    ----------
    rows, mean, variance
        As of `RunningMoments`.
    """

    kept: ClassVar[tuple[str, ...]] = ("rows", "mean", "variance", "_first", "_recent")
    free: ClassVar = {"_first": (0,)}

    def __init__(self, width: int, half_life: float | None = None, renew: int | None = None) -> None:
        super().__init__(width, half_life)
        self.renew = renew
        self._first: NDArray[np.float64] = np.zeros((0, width))  # no longer needed once they are START
        self._recent = RunningMoments(width)

    def update(self, rows: Floats) -> None:
        """Take in finite rows (n, width)."""
        for piece in self._pieces(rows):
            if self.rows < START:
                self._begin(piece)
            else:
                self._go_on(piece)

    def standardised(self, rows: Floats) -> NDArray[np.float32]:
        """Return rows (n, width) with zero mean and unit deviation, at most 8 in size, float32; 0 as the parent."""
        reach = BOUND * np.sqrt(self.variance)
        return super().standardised(np.clip(rows, self.mean - reach, self.mean + reach))

    def _pieces(self, rows: Floats) -> Iterator[NDArray[np.float64]]:
        values: NDArray[np.float64] = np.clip(np.asarray(rows, np.float64), -LARGEST, LARGEST)
        start = 0
        while start < len(values):
            stop = start + (START - len(self._first) if self.rows < START else PIECE)
            yield values[start:stop]
            start = stop

    def _begin(self, rows: NDArray[np.float64]) -> None:
        """Take the moments of all first rows again, each held by the median deviations of them all."""
        self._first = np.concatenate([self._first, rows])
        centre = np.median(self._first, axis=0)
        reach = BOUND * MEDIAN_DEVIATION * np.median(np.abs(self._first - centre), axis=0)
        held = np.where(reach > 0, np.clip(self._first, centre - reach, centre + reach), self._first)
        self.rows, self.mean, self.variance = float(len(held)), held.mean(0), held.var(0)
        if self.rows >= START:
            self._first = self._first[:0].copy()

    def _go_on(self, rows: NDArray[np.float64]) -> None:
        reach = BOUND * np.sqrt(self.variance)
        held = np.where(self.alive, np.clip(rows, self.mean - reach, self.mean + reach), rows)
        super().update(held)
        if self.renew is not None:
            self._recent.update(held)
            if self._recent.rows >= self.renew:
                self._compare(self._recent)
                self._recent = RunningMoments(len(self.mean))

    def _compare(self, recent: RunningMoments) -> None:
        alive = self.alive
        if alive.any() and np.median(recent.variance[alive] / self.variance[alive]) < SMALLER**2:
            self.rows, self.mean, self.variance = recent.rows, recent.mean, recent.variance
