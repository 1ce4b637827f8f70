"""A curve over a run of any length in bounded memory, and its sparkline."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

BLOCKS = "▁▂▃▄▅▆▇█"


class BoundedCurve:
    """Values at rising positions; when it is full, every second one goes.

    Parameters
    ----------
    capacity
        The most values kept.

    Attributes
    ----------
    positions, values
        Evenly chosen from all that came.
    position, last
        The newest position and its value; -1 and NaN before the first.
    """

    def __init__(self, capacity: int = 512) -> None:
        self.positions: list[int] = []
        self.values: list[float] = []
        self.position = -1
        self.last = math.nan
        self._capacity = capacity
        self._every = 1
        self._count = 0

    def add(self, position: int, value: float) -> None:
        """Add a value; passed over where nothing has moved on or the value is not finite."""
        if position <= self.position or not math.isfinite(value):
            return
        self.position, self.last = position, value
        if self._count % self._every == 0:
            self.positions.append(position)
            self.values.append(value)
        self._count += 1
        if len(self.values) >= self._capacity:
            del self.positions[1::2], self.values[1::2]
            self._every *= 2


def typical_range(values: Sequence[float]) -> tuple[float, float]:
    """Return the range of the values that are not far out, and always of the last one.

    Far out is what lies three interquartile ranges beyond the quartiles (J. Tukey 1977). A curve's first values often
    do; an axis over them would hide the rest.
    """
    first, third = np.percentile(values, (25, 75))
    reach = 3 * (third - first)
    near = [value for value in values if first - reach <= value <= third + reach] + [values[-1]]
    return min(near), max(near)


def sparkline(values: Sequence[float], width: int = 32, limits: tuple[float, float] | None = None) -> str:
    """Return a curve in at most `width` block characters.

    Parameters
    ----------
    values
        The curve.
    width
        The most characters; a longer curve is thinned evenly.
    limits
        Values of the lowest and the highest block; what is beyond is cut. The typical range by default.

    Examples
    --------
    >>> sparkline([3, 2, 1, 0])
    '█▆▃▁'
    """
    if not values:
        return ""
    n = min(width, len(values))
    points = [values[round(i * (len(values) - 1) / max(1, n - 1))] for i in range(n)]
    low, high = limits or typical_range(values)
    span, top = high - low, len(BLOCKS) - 1
    heights = [round(top * min(1.0, max(0.0, (value - low) / span))) if span > 0 else 0 for value in points]
    return "".join(BLOCKS[height] for height in heights)
