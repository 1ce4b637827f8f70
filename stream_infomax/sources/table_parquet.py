"""Parquet: columns of numbers, read row group by row group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from stream_infomax.settings.extras import optional
from stream_infomax.sources.table_columns import Values, as_text, distinct, unit_of

with optional():
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

BLOCK = 1 << 20
# Under this name pandas keeps row numbers.
ROW_NUMBERS = "__index_level_"


class ParquetTable:
    """A Parquet file; see `Reader`. Columns of lists, and of other kinds than numbers, dates and texts, are left out.

    Raises
    ------
    ValueError
        Where it has no rows; what pyarrow raises where it is no Parquet file.
    """

    rate = 0.0
    clock: int | None = None
    constants: Mapping[str, str] = {}

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            schema = file.schema_arrow
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self._starts = [0, *accumulate(groups)]
        self.rows = self._starts[-1]
        if not self.rows:
            raise ValueError("it holds no row")
        self._fields: tuple[str, ...] = tuple(schema.names)
        self.names = tuple(distinct(self._fields))
        if self.names != self._fields:
            raise ValueError(f"it has two columns of the same name, or one without: {', '.join(self._fields)}")
        self.numeric = tuple(_is_number(kind) for kind in schema.types)
        self.units = tuple(map(unit_of, self.names))
        self.aside = frozenset(i for i, name in enumerate(self.names) if name.startswith(ROW_NUMBERS))
        self.left_out: Mapping[str, int] = {}

    def _open(self) -> Any:
        try:
            return pq.ParquetFile(self.path, pre_buffer=False, buffer_size=1 << 16)
        except pa.ArrowException as error:
            raise ValueError(str(error)) from error

    def _batches(self, columns: Sequence[int], start: int, stop: int) -> Iterator[Any]:
        """Yield the columns of rows `start` to `stop` in batches."""
        groups = [i for i, begin in enumerate(self._starts[:-1]) if begin < stop and self._starts[i + 1] > start]
        if not groups:
            return
        place = self._starts[groups[0]]
        size = max(1, BLOCK // (8 * len(columns)))
        try:
            with self._open() as file:
                names = [self.names[column] for column in dict.fromkeys(columns)]
                for batch in file.iter_batches(size, row_groups=groups, columns=names, use_threads=False):
                    first, last = max(0, start - place), min(len(batch), stop - place)
                    place += len(batch)
                    if first < last:
                        yield batch.slice(first, last - first)
        except pa.ArrowException as error:
            raise ValueError(str(error)) from error

    def blocks(self, columns: Sequence[int], start: int, stop: int, counts: Counter[str]) -> Iterator[Values]:
        """Yield the rows `start` to `stop` of some columns."""
        for batch in self._batches(columns, start, stop):
            values = np.empty((len(batch), len(columns)))
            for place, column in enumerate(columns):
                values[:, place] = _floats(batch.column(self.names[column]))
            yield values

    def texts(self, column: int) -> Iterator[list[str]]:
        """Yield the texts of a column."""
        for batch in self._batches([column], 0, self.rows):
            yield ["" if value is None else as_text(value) for value in batch.column(0).to_pylist()]

    def times(self, column: int) -> Iterator[Values]:
        """Yield a column as seconds."""
        for batch in self._batches([column], 0, self.rows):
            values = batch.column(0)
            if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
                yield _floats(values.cast(pa.timestamp("us")).cast(pa.int64())) / 1e6
            elif _is_number(values.type):
                yield _floats(values)
            else:
                raise ValueError(f"{self.names[column]} is {values.type}; accepted for times are numbers and dates")


def _is_number(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind))


def _floats(values: Any) -> Values:
    """Return numbers as float64, NaN where there is none."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    found: Values = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found
