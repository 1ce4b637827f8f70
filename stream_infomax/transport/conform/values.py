"""Values: what the numbers of a device look like, column by column: missing, constant, clipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.frame import Array
from stream_infomax.transport.conform.inspection import Finding, shown

# Columns of an array, and arrays, that are looked at.
MOST_COLUMNS, MOST_ARRAYS = 4096, 8
# Rows before a column is called constant or clipped.
LEAST_ROWS = 200
# The share of the rows at an extreme, just behind another such row, that makes a column clipped.
CLIPPED = 0.005
# Whole numbers that take so few different values are at their extremes often.
LEAST_RANGE = 64
# Columns that are named in a sentence.
NAMED = 5


class Values:
    """The numbers of a stream."""

    def __init__(self) -> None:
        self._columns: dict[str, _Columns] = {}

    def add(self, arrays: Mapping[str, Array]) -> None:
        """Take the arrays of a frame."""
        for name, array in arrays.items():
            if array.n_rows and (name in self._columns or len(self._columns) < MOST_ARRAYS):
                rows = array.rows()[:, :MOST_COLUMNS]
                columns = self._columns.get(name)
                if columns is None or columns.width != rows.shape[1]:
                    columns = self._columns[name] = _Columns(rows.shape[1], rows.dtype)
                columns.add(rows)

    def findings(self) -> Iterator[Finding]:
        """Yield what there is to say of each array."""
        for name, columns in self._columns.items():
            yield from columns.findings(shown(name))


class _Columns:
    """The numbers of an array, column by column."""

    def __init__(self, width: int, dtype: np.dtype[Any]) -> None:
        self.width = width
        self.dtype = dtype
        self.rows = 0
        self.not_finite = np.zeros(width, np.int64)
        self.least, self.most = np.full(width, np.inf), np.full(width, -np.inf)
        # Rows at an extreme whose row before is there too: so is what was clipped, but not the peak of a wave.
        self.held = np.zeros((2, width), np.int64)

    def add(self, rows: npt.NDArray[Any]) -> None:
        self.rows += len(rows)
        with np.errstate(invalid="ignore"):  # there are NaNs that signal
            values = rows.astype(np.float64)
        finite = np.isfinite(values)
        self.not_finite += len(rows) - np.count_nonzero(finite, axis=0)
        for number, (extreme, sign) in enumerate(((self.least, 1.0), (self.most, -1.0))):
            found = np.where(finite, sign * values, np.inf).min(axis=0, initial=np.inf) * sign
            further = sign * found < sign * extreme
            extreme[further] = found[further]
            self.held[number][further] = 0
            at = values == extreme
            self.held[number] += np.count_nonzero(at[1:] & at[:-1], axis=0)

    def findings(self, name: str) -> Iterator[Finding]:
        right = True
        if self.not_finite.any():
            right = False
            share = self.not_finite.sum() / (self.rows * self.width)
            text = f"{_percent(share)} of the values of {name} are NaN or infinite: their rows are set aside"
            yield Finding("values", f"finite {name}", "look", text)
        if self.rows >= LEAST_ROWS and self.dtype != bool:
            constant = self.least == self.most
            clipped = (self.held.max(axis=0) >= CLIPPED * self.rows) & ~constant
            if self.dtype.kind != "f":
                clipped &= self.most - self.least >= LEAST_RANGE
            for columns, word in ((constant, "constant"), (clipped, "clipped")):
                if columns.any():
                    right = False
                    yield Finding("values", f"{word} {name}", "look", self._described(name, columns, word))
        if right:
            least, most = self.least.min(initial=np.inf), self.most.max(initial=-np.inf)
            yield Finding("values", name, "right", f"{name} from {least:.4g} to {most:.4g}, all finite")

    def _described(self, name: str, columns: npt.NDArray[np.bool_], word: str) -> str:
        numbers = np.flatnonzero(columns)
        which = ", ".join(map(str, numbers[:NAMED])) + (", …" if len(numbers) > NAMED else "")
        one = numbers[0]
        where = f"{self.least[one]:.4g}"
        if word == "clipped":
            where = (
                f"{where} and {self.most[one]:.4g}, where {_percent(self.held[:, one].sum() / self.rows)} of it stay"
            )
        return f"{len(numbers)} of {self.width} columns of {name} are {word} ({which}): the first at {where}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
