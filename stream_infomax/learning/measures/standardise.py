"""Running standardisation: every channel to zero mean and unit deviation, as seen so far."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

DEAD = 1e-10  # a channel whose variance is below this share of its mean square carries nothing


class RunningScale:
    """Mean and variance of every channel: the plain average of all rows at first, later with a half-life.

    Parameters
    ----------
    width
        Channels.
    half_life
        Rows after which a row counts half; until so many have come, all count alike. None: all rows always do.
    """

    def __init__(self, width: int, half_life: float | None = None) -> None:
        self.most = np.inf if half_life is None else half_life / np.log(2)
        self.rows = 0.0
        self.mean = np.zeros(width)
        self.variance = np.zeros(width)

    def update(self, rows: NDArray[np.floating[Any]]) -> None:
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

    def apply(self, rows: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return the standardised rows, float32; channels that never vary come out as 0."""
        alive = self.variance > DEAD * (self.variance + self.mean**2)
        factor = np.where(alive, 1 / np.sqrt(np.where(alive, self.variance, 1.0)), 0.0)
        return ((rows - self.mean) * factor).astype(np.float32)

    def state(self) -> dict[str, Any]:
        """Return everything that a later ``restore`` needs."""
        return {"rows": self.rows, "mean": self.mean.copy(), "variance": self.variance.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what ``state`` returned; ValueError where the width differs."""
        if state["mean"].shape != self.mean.shape:
            raise ValueError(f"the saved scale has {len(state['mean'])} channels, this one {len(self.mean)}")
        self.rows = float(state["rows"])
        self.mean = np.array(state["mean"], np.float64)
        self.variance = np.array(state["variance"], np.float64)
