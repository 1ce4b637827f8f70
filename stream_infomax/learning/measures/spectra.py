"""RunningSpectra: the power spectra of a learner's outputs, from stretches of rows that follow one another."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.state.kept import Kept

# Of so many stretches one is looked at: of the first, and later, when there is time. Of those the newest 64 count most,
# while the basis moves and sensors drift.
ONE_IN, ONE_IN_LATER, NEWEST = 4, 32, 64
SHORTEST, LONGEST = 64, 512


class RunningSpectra(Kept):
    """Welch's average of periodograms (Hann window, each stretch without its mean) of about one second each.

    The first 64 stretches count alike, after that the older the less: 1/64 of the average is the newest one.

    Attributes
    ----------
    rate
        Rows a second; 0 before the first.
    power
        Power per Hz, shape (length / 2 + 1, n_outputs), from 0 Hz to half the rate in even steps.
    stretches
        Stretches that were looked at.
    """

    kept = ("rate", "power", "stretches", "_rows", "_skip", "_source")
    free: ClassVar = {"power": (0, 1), "_rows": (0, 1)}

    def __init__(self) -> None:
        self.rate = 0.0
        self.stretches = 0
        self.power: NDArray[np.float64] = np.zeros((0, 0))
        self._rows: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._skip = 0  # rows to pass over before the next stretch
        self._source = ["", ""]  # stream and segment of the open stretch

    @property
    def length(self) -> int:
        """Rows of one stretch: a power of two, of about one second."""
        return int(min(max(2 ** round(math.log2(self.rate)), SHORTEST), LONGEST)) if self.rate > 0 else 0

    def clear(self) -> None:
        """Forget the average; the next stretch is the first one."""
        self.stretches = 0
        self.interrupt()

    def interrupt(self) -> None:
        """Drop the open stretch: the next rows do not continue it."""
        self._rows = self._rows[:0].copy()
        self._source = ["", ""]

    def wants(self, n_rows: int, rate: float, stream: str, segment: str) -> bool:
        """Return whether `add` is to be called with the next rows of a stream; where not, they are passed over."""
        if rate != self.rate:
            self.rate = rate
            self.clear()
        if rate <= 0:
            return False
        if len(self._rows):
            if self._source == [stream, segment]:
                return True
            if self._source[0] != stream:  # streams take turns: the open stretch waits
                return False
            self.interrupt()
        if self._skip >= n_rows:
            self._skip -= n_rows
            return False
        self._source = [stream, segment]
        return True

    def add(self, outputs: NDArray[np.floating[Any]]) -> None:
        """Look at rows of outputs (n, n_outputs) that `wants` asked for; those that are not finite break a stretch."""
        if self._rows.shape[1] != outputs.shape[1]:
            self._rows = np.zeros((0, outputs.shape[1]), np.float32)
            self.stretches = 0
        place = 0
        while place < len(outputs):
            if self._skip:
                place, self._skip = place + self._skip, max(0, place + self._skip - len(outputs))
                continue
            new = outputs[place : place + self.length - len(self._rows)]
            bad = np.flatnonzero(~np.isfinite(new).all(axis=1))
            if len(bad):
                self._rows = self._rows[:0].copy()
                place += int(bad[-1]) + 1
                continue
            self._rows = np.concatenate([self._rows, new.astype(np.float32)])
            place += len(new)
            if len(self._rows) == self.length:
                self._average(periodograms(self._rows, self.rate))
                self._rows = self._rows[:0].copy()
                self._skip = ((ONE_IN if self.stretches < NEWEST else ONE_IN_LATER) - 1) * self.length

    def _average(self, power: NDArray[np.float64]) -> None:
        self.stretches += 1
        if self.stretches == 1 or power.shape != self.power.shape:
            self.power = power
        else:
            self.power += (power - self.power) / min(self.stretches, NEWEST)


def periodograms(rows: NDArray[np.floating[Any]], rate: float) -> NDArray[np.float64]:
    """Return the power per Hz of each column of one stretch, from 0 Hz to half the rate."""
    n = len(rows)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    spectrum = np.fft.rfft((rows - rows.mean(axis=0, dtype=np.float64)) * hann[:, None], axis=0)
    power: NDArray[np.float64] = np.abs(spectrum) ** 2 / (rate * (hann**2).sum())
    power[1 : (n + 1) // 2] *= 2  # negative frequencies
    return power
