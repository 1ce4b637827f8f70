"""RowMemory: a bounded ring of past rows, from which blocks are drawn again; what it draws depends on a counter."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning import kernels

Array = NDArray[Any]


class RowMemory:
    """The last rows of a stream as float32, as many as fit into a number of bytes.

    Learning again from rows that have passed costs no new data, and is worth most of what a single pass loses
    (docs/learning.md). Which rows are drawn is a hash of (seed, draw number): nothing random is kept.
    """

    def __init__(self, n_bytes: int, n_features: int, seed: int) -> None:
        """Room for `n_bytes` of rows with `n_features` columns."""
        self.rows = np.zeros((n_bytes // (4 * n_features), n_features), np.float32)
        self.seed = seed
        self.written = 0
        self.draws = 0

    @property
    def filled(self) -> int:
        """How many rows can be drawn."""
        return min(self.written, len(self.rows))

    def add(self, rows: Array) -> None:
        """Put a block of rows (n, K) in the place of the oldest."""
        rows = rows[-len(self.rows) :]
        start = self.written % len(self.rows)
        first = min(len(rows), len(self.rows) - start)
        self.rows[start : start + first] = rows[:first]
        self.rows[: len(rows) - first] = rows[first:]
        self.written += len(rows)

    def draw(self, shift: Array, out: Array) -> None:
        """Fill `out` (n, K) with random past rows minus `shift` (K,)."""
        index = np.empty(len(out), np.int64)
        kernels.draw_rows(self.seed, self.draws, self.filled, index)
        self.draws += 1
        np.take(self.rows, index, axis=0, out=out, mode="clip")  # "clip" spares numpy a buffered copy
        out -= shift

    def state(self) -> dict[str, Any]:
        """The rows that are there, and the two counters."""
        return {"rows": self.rows[: self.filled], "written": self.written, "draws": self.draws}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        rows = state["rows"]
        if rows.shape[1] != self.rows.shape[1] or len(rows) != min(state["written"], len(self.rows)):
            raise ValueError(
                f"the memory's state holds {rows.shape} rows; this memory has room for {self.rows.shape}: "
                "restore into a learner with the same `memory`"
            )
        self.rows[: len(rows)] = rows
        self.written = int(state["written"])
        self.draws = int(state["draws"])
