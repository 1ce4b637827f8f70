"""Pooling: mean and deviation of the rows of a segment; Thirds: its deviation, and the means of its three parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.measures.moments import RunningMoments

STRETCHES = 24  # a multiple of 2 and of 3


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


class Thirds(Pooling):
    """Deviation, and the means of the beginning, the middle and the end of a segment that comes in pieces.

    How long a segment is shows at its end. Until then the sums of 24 stretches of equal length stand for its rows; once
    they are full, each two become one. A stretch across the border of two thirds counts to both by its share.

    Parameters
    ----------
    width
        Columns of a row; the pooled vector has four times as many.
    """

    kept = (*Pooling.kept, "sums", "length")

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.sums: NDArray[np.float64] = np.zeros((STRETCHES, width))
        self.length = 1  # rows of a stretch

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned; raises KeyError, ValueError as `Kept`."""
        super().restore(state)
        if self.length < 1 or not 0 <= self.rows <= STRETCHES * self.length:
            raise ValueError(f"length: {self.length}; accepted are stretches that hold {self.rows:g} rows")

    def add(self, rows: NDArray[np.floating[Any]]) -> None:
        """Take in the next rows (n, width)."""
        rows = rows[np.isfinite(rows).all(1)]
        place = int(self.rows)
        self.update(rows)
        while len(rows):
            if place == STRETCHES * self.length:
                self.sums = np.concatenate([self.sums[::2] + self.sums[1::2], np.zeros_like(self.sums[::2])])
                self.length *= 2
            now = rows[: STRETCHES * self.length - place]
            # One row after the other: the same bits in whatever pieces they come.
            np.add.at(self.sums, np.arange(place, place + len(now)) // self.length, now)
            place, rows = place + len(now), rows[len(now) :]

    def result(self) -> NDArray[np.float64]:
        """Return deviation and the three means (4·width,); NaN where no finite row has come."""
        if self.rows == 0:
            return np.full(4 * len(self.mean), np.nan)
        borders = np.minimum(np.arange(STRETCHES + 1) * self.length, self.rows)
        thirds = self.rows * np.arange(4) / 3
        upper, lower = np.minimum(borders[1:], thirds[1:, None]), np.maximum(borders[:-1], thirds[:-1, None])
        shares = np.maximum(upper - lower, 0) / np.maximum(np.diff(borders), 1)
        return np.concatenate([super().result()[len(self.mean) :], (shares @ self.sums).ravel() * 3 / self.rows])


POOLINGS: dict[str, type[Pooling]] = {"moments": Pooling, "thirds": Thirds}


def pool(rows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return mean and deviation (2·width,) over the finite rows (n, width) of a segment; NaN where none is finite."""
    pooling = Pooling(rows.shape[1])
    pooling.add(rows)
    return pooling.result()
