"""RowMemory: a bounded ring of past rows, from which blocks are drawn again; what it draws depends on a counter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.state.kept import Kept
from stream_infomax.state.pages import PAGE_BYTES, Page, Paged

Floats = NDArray[np.floating[Any]]

PAGE = PAGE_BYTES // 4  # numbers of a page


class RowMemory(Kept):
    """The last rows of a stream as float32, as many as fit into a number of bytes.

    Learning again from rows that have passed costs no new data, and is worth most of what a single pass loses
    (docs/learning.md). Which rows are drawn is a hash of (seed, draw number): nothing random is kept.

    Parameters
    ----------
    n_bytes
        What the rows may take.
    n_features
        Numbers of a row.
    seed
        Of the draws.

    Attributes
    ----------
    rows
        A ring: as many rows as there is room for, (n, K) float32.
    written, draws, since
        Rows that have come, draws that were made, and the row from which on they are drawn.
    """

    kept = ("written", "draws", "since")

    def __init__(self, n_bytes: int, n_features: int, seed: int) -> None:
        self.rows: Floats = np.zeros((n_bytes // (4 * n_features), n_features), np.float32)
        self.seed = seed
        self.written = 0
        self.draws = 0
        self.since = 0
        # What states show of the ring, by the number of the piece; none is written into.
        self._pages: dict[int, Page] = {}

    @property
    def filled(self) -> int:
        """How many rows can be drawn."""
        return min(self.written - self.since, len(self.rows))

    def forget(self) -> None:
        """Draw no row any more that is there now; the next draw comes after the next row."""
        self.since = self.written

    def add(self, rows: Floats) -> None:
        """Put a block of rows (n, K) in the place of the oldest."""
        rows = rows[-len(self.rows) :]
        start = self.written % len(self.rows)
        first = min(len(rows), len(self.rows) - start)
        self._leave(start, first)
        self._leave(0, len(rows) - first)
        self.rows[start : start + first] = rows[:first]
        self.rows[: len(rows) - first] = rows[first:]
        self.written += len(rows)

    def draw(self, shift: Floats, out: Floats, last: int | None = None) -> None:
        """Fill `out` (n, K) with random rows minus `shift` (K,); only of the `last` so many where that is given."""
        within = self.filled if last is None else max(1, min(self.filled, last))
        index = (self.written - 1 - draw(self.seed, self.draws, within, len(out))) % len(self.rows)
        self.draws += 1
        np.take(self.rows, index, axis=0, out=out, mode="clip")  # "clip" spares numpy a buffered copy
        out -= shift

    def state(self) -> dict[str, Any]:
        """Return the rows that are there, and the counters; the rows are shared until they make room for others."""
        there = self.rows[: min(self.written, len(self.rows))].reshape(-1)
        pages = []
        for number, start in enumerate(range(0, len(there), PAGE)):
            piece = there[start : start + PAGE]
            page = self._pages.get(number)
            if page is None or len(page) != len(piece):
                page = self._pages[number] = Page(piece)
            pages.append(page)
        shape = (len(there) // self.rows.shape[1], self.rows.shape[1])
        return super().state() | {"rows": Paged(pages, shape, there.dtype)}

    def _leave(self, start: int, n: int) -> None:
        """Let the pages be what they were that show any of n rows from `start` on."""
        width = self.rows.shape[1]
        for number in range(start * width // PAGE, -(-(start + n) * width // PAGE) if n else 0):
            if page := self._pages.pop(number, None):
                page.leave()

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_pages": {}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned; raises ValueError where the rows do not fit."""
        rows = np.asarray(state["rows"])
        if rows.shape[1:] != self.rows.shape[1:] or len(rows) != min(state["written"], len(self.rows)):
            raise ValueError(
                f"rows: an array of shape {rows.shape}; this memory has room for {self.rows.shape}: "
                "restore into a learner with the same `memory`"
            )
        super().restore(state)
        self._leave(0, len(rows))
        self.rows[: len(rows)] = rows


def draw(seed: int, number: int, filled: int, n: int) -> NDArray[np.int64]:
    """Return n indices in 0…filled-1 that depend on (seed, number) alone: splitmix64 (Steele, Lea & Flood 2014)."""
    start = (seed * 0x9E3779B97F4A7C15 + number * 0xD1342543DE82EF95) % 2**64
    z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    # The upper 32 bits times the range, shifted back: no division, and even for every range below 2^32.
    return ((z >> np.uint64(32)) * np.uint64(filled) >> np.uint64(32)).astype(np.int64)
