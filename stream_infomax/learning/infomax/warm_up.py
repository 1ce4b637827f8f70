"""The warm-up: the unit of rows from the first block, then rank and first whitening from the rows that follow."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.outliers import shorten_first, typical
from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

# Of the rows that end the warm-up, the share that has to differ from the row before.
VARYING = 0.25
# The largest number of the first block: differences of two are numbers of float32 still.
LONGEST = 1e38


class Unit(NamedTuple):
    """How float32 rows are counted: as (x - origin) * scale; origin (K,) float64."""

    origin: Floats
    scale: float

    def rows(self, first: Floats) -> Floats:
        """Return the rows of the first block (n, K) in this unit; what float32 cannot hold is cut."""
        with np.errstate(over="ignore"):
            return np.clip((first - self.origin) * self.scale, -LONGEST, LONGEST).astype(np.float32)

    def absolute(self, rows: Floats) -> Floats:
        """Return rows (n, K) of this unit in their own units, float64."""
        return np.asarray(rows.astype(np.float64) / self.scale + self.origin)


def unit_of(first: Floats) -> Unit:
    """Return the unit that fits the first block (n, K) float64: later rows are near it, whatever they measure."""
    origin = np.median(first, axis=0)
    # Halved: no difference overflows; a square may.
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(first / 2 - origin / 2, axis=1)
    spread = 2 * typical(lengths) / math.sqrt(first.shape[1])
    # A power of two scales without rounding: a gain of the sensor changes nothing.
    return Unit(origin, 2.0 ** -round(math.log2(spread)) if spread > 0 else 1.0)


class WarmUp(Kept):
    """The rows of the warm-up, kept until its end: only then can outliers be told from the rest.

    Parameters
    ----------
    n_features
        K.
    length
        Rows that end it.

    Attributes
    ----------
    rows
        What is kept, (n, K) float32, in the unit of the first block.
    """

    kept = ("rows",)
    free: ClassVar = {"rows": (0,)}

    def __init__(self, n_features: int, length: int) -> None:
        self.length = length
        self.rows = np.zeros((0, n_features), np.float32)

    @property
    def rows(self) -> Floats:
        return np.concatenate(self._parts)

    @rows.setter
    def rows(self, rows: Floats) -> None:
        self._parts = [rows]
        self._n_varying = int(np.count_nonzero(_varying(rows)))

    def add(self, rows: Floats) -> None:
        """Keep a block of rows (n, K)."""
        last = next((part[-1:] for part in reversed(self._parts) if len(part)), rows[:0])
        self._n_varying += int(np.count_nonzero(_varying(np.concatenate([last, rows])))) - len(last)
        self._parts.append(rows.copy())

    @property
    def over(self) -> bool:
        """Whether so many rows have come."""
        return sum(map(len, self._parts)) >= self.length

    def drop_repeated(self) -> None:
        """Keep only the rows that differ from the one before."""
        rows = self.rows
        self.rows = rows[_varying(rows)]

    def missing(self, block: int) -> int:
        """Return the rows until the warm-up is over, in whole blocks, where all that come vary."""
        kept, varying, more = sum(map(len, self._parts)), self._n_varying, 0
        while True:
            blocks = max(1, -((kept - self.length) // block))
            kept, varying, more = kept + blocks * block, varying + blocks * block, more + blocks * block
            if varying >= VARYING * kept:
                return more
            kept = varying

    def settle(
        self, unit: Unit, horizon: Horizon, n_rank: int | None, energy: float, n_components: int | None
    ) -> tuple[StreamingWhitener, Floats, int] | None:
        """Decide the rank and whiten for the first time; None where too little varies yet.

        Returns the whitening, the rows (n, K) with outlying ones shortened, and how many of them were.
        """
        rows = self.rows
        varying = _varying(rows)
        # The rank is decided once: a few rows after a silence, or between silences, must not decide it.
        if np.count_nonzero(varying) < VARYING * len(rows):
            self.rows = rows[varying]
            return None
        shortened, n_shortened = shorten_first(rows)
        whitener = StreamingWhitener(unit.origin, unit.scale, horizon)
        whitener.add(shortened)
        if whitener.settle(n_rank, energy, n_components) == 0:
            self.rows = rows[:1].copy()
            return None
        self.rows = rows[:0].copy()
        return whitener, shortened, n_shortened


def _varying(rows: Floats) -> NDArray[np.bool_]:
    """Return which rows (n, K) differ from the one before; the first does."""
    return np.append(np.ones(min(1, len(rows)), np.bool_), np.any(rows[1:] != rows[:-1], axis=1))
