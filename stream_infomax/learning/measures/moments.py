"""Running mean and variance of every channel, and rows standardised by them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

DEAD = 1e-10  # a channel whose variance is below this share of its mean square carries nothing


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

    kept = ("rows", "mean", "variance")

    def __init__(self, width: int, half_life: float | None = None) -> None:
        self.most = np.inf if half_life is None else float(half_life / np.log(2))
        self.rows = 0.0
        self.mean: NDArray[np.float64] = np.zeros(width)
        self.variance: NDArray[np.float64] = np.zeros(width)

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
        alive = self.variance > DEAD * (self.variance + self.mean**2)
        factor = np.where(alive, 1 / np.sqrt(np.where(alive, self.variance, 1.0)), 0.0)
        return ((rows - self.mean) * factor).astype(np.float32)
