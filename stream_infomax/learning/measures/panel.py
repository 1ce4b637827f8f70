"""Panel: a bounded uniform sample of the rows of a stream, to judge a basis by at any time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.state.kept import Kept

Rows = NDArray[np.float32] | NDArray[np.float64]


class Panel(Kept):
    """Rows drawn from all that came, each with the same chance (reservoir sampling, Vitter 1985, algorithm R).

    A measure on the newest rows follows what the sensor happens to see; on a panel it follows the basis.

    Parameters
    ----------
    size
        Rows kept.
    seed
        The draws depend on (seed, rows seen before) only.

    Attributes
    ----------
    rows
        The sample, at most (size, n_features); float64 where rows came so, else float32.
    seen
        Rows that are finite in float32 and have come.
    """

    kept = ("seen", "rows")
    free: ClassVar = {"rows": (0, 1)}

    def __init__(self, size: int = 1024, seed: int = 0) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1 row, got {size}")
        self.size, self.seed = size, seed
        self.seen = 0
        self.rows: Rows = np.zeros((0, 0), np.float32)

    def add(self, rows: Rows) -> None:
        """Let the rows (n, n_features) take part in the draw; those that are not finite in float32 are passed over."""
        with np.errstate(over="ignore"):
            rows = rows[np.isfinite(rows.astype(np.float32, copy=False)).all(axis=1)]
        if not len(rows):
            return
        taken = min(self.size - len(self.rows), len(rows))
        if taken:
            self.rows = np.concatenate([self.rows.reshape(len(self.rows), rows.shape[1]), rows[:taken]])
        later = rows[taken:]
        if len(later):
            generator = np.random.default_rng([self.seed, self.seen])
            places = generator.integers(0, self.seen + taken + 1 + np.arange(len(later)))
            for place, row in zip(places, later, strict=True):
                if place < self.size:
                    self.rows[place] = row
        self.seen += len(rows)

    def clear(self) -> None:
        """Forget all rows: the stream is another one."""
        self.rows, self.seen = self.rows[:0].copy(), 0

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned, in the precision that its rows have."""
        self.rows = np.zeros((0, 0), np.promote_types(np.asarray(state["rows"]).dtype, np.float32))
        super().restore(state)
