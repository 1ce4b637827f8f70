"""The course of the objective over a learner's life, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from stream_infomax.state.kept import Kept

# A value is kept when so many more rows have come since the last: 10⁹ rows leave 400, 2⁶³ leave 1,100.
GROWTH, MOST = 1.04, 2048


class Course(Kept):
    """Values over rows, evenly apart on a logarithmic axis of rows.

    Attributes
    ----------
    rows, values
        How many rows had come, (n,) int64, and the value then, (n,) float64.
    """

    kept: ClassVar[tuple[str, ...]] = ("rows", "values")
    free: ClassVar[Mapping[str, tuple[int, ...]]] = {"rows": (0,), "values": (0,)}

    def __init__(self) -> None:
        self.rows = np.zeros(0, np.int64)
        self.values = np.zeros(0)

    def add(self, row: int, value: float) -> None:
        """Keep the value, unless hardly more rows have come than at the last one; one that is not finite never is."""
        if math.isfinite(value) and (not len(self.rows) or row >= GROWTH * self.rows[-1]):
            self.rows = np.append(self.rows, row)
            self.values = np.append(self.values, value)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned; raises as `Kept`."""
        super().restore(state)
        if len(self.rows) != len(self.values) or len(self.rows) > MOST:
            raise ValueError(
                f"values: {len(self.values)}; accepted are as many as rows ({len(self.rows)}), up to {MOST}"
            )
