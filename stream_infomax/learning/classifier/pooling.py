"""Pooling: mean and deviation of the rows of a segment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.measures.moments import RunningMoments


class Pooling(RunningMoments):
    """Mean and deviation of the rows of a segment that comes in pieces; rows with NaN are left out.

    Parameters
    ----------
    width
        Columns of a row; the pooled vector has twice as many.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)

    def add(self, rows: NDArray[np.floating[Any]]) -> None:
        """Take in the next rows (n, width)."""
        self.update(rows[np.isfinite(rows).all(1)])

    def result(self) -> NDArray[np.float64]:
        """Return mean and deviation (2·width,); NaN where no finite row has come."""
        if self.rows == 0:
            return np.full(2 * len(self.mean), np.nan)
        return np.concatenate([self.mean, np.where(self.alive, np.sqrt(self.variance), 0.0)])


def pool(rows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return mean and deviation (2·width,) over the finite rows (n, width) of a segment; NaN where none is finite."""
    pooling = Pooling(rows.shape[1])
    pooling.add(rows)
    return pooling.result()
