"""One Parquet file of frames: a table with a line for each row, written group by group."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from stream_infomax.frames.frame import Frame
from stream_infomax.settings.extras import optional
from stream_infomax.sinks.columns import (
    Column,
    Columns,
    Frames,
    Values,
    column_names,
    columns_of,
    labels_text,
    rate_of,
    times,
)

with optional():
    import pyarrow as pa
    from pyarrow import parquet

# What the features of a group of rows take at most, roughly: so much is in memory at once.
GROUP_BYTES = 8 << 20
# What a row takes beside its features.
ABOUT_BYTES = 64
# What a file says of itself as a part of a stream, among its metadata.
PART = b"stream_infomax.part"
CLASSES = b"stream_infomax.classes"

# What is said of each row, before its features.
ABOUT = pa.schema(
    [
        ("offset", pa.int64()),
        ("stream", pa.string()),
        ("segment", pa.string()),
        ("time", pa.float64()),
        ("row", pa.int64()),
        ("arrays", pa.string()),
        ("labels", pa.string()),
        ("encoder", pa.string()),
        ("basis", pa.string()),
    ]
)
TEXTS = tuple(field.name for field in ABOUT if field.type == pa.string())


def write(
    file: IO[bytes],
    frames: Frames,
    columns: Columns | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    part: str = "",
) -> None:
    """Write frames as one Parquet file; the same frames make the same file.

    Each row of an array is a line: ``offset``, ``stream``, ``segment``, ``time`` (seconds, NaN where it is not known),
    ``row`` (its number in the frame), ``arrays`` (the names of the arrays that it is of), ``labels`` (JSON),
    ``encoder``, ``basis``, then ``NAME_0``, ``NAME_1``, … for the numbers of the row of each array. Arrays that have as
    many rows in a frame, at the same times, stand side by side; one with other rows stands below, and where an array
    has no row, its columns are null. A late label, which has no rows, is a line with null in all of them.

    Parameters
    ----------
    file
        Where it goes.
    frames
        Called for each pass over the frames.
    columns
        Those that are known before, of the parts that came before this one; None: one pass over the frames tells.
    classes
        By the name of a classifier's array: what its columns stand for. It goes into the metadata.
    part
        What goes into the metadata about a part; empty: nothing does.

    Raises
    ------
    ValueError
        Where the rows of an array change so that one file cannot hold them.
    """
    columns = columns_of(frames) if columns is None else columns
    metadata = {PART: part.encode()} if part else {}
    if classes:  # one whose first label came after the last row has no column
        titles = {name: list(own[: _width(columns.of[name])]) for name, own in classes.items() if name in columns.of}
        metadata[CLASSES] = json.dumps(titles, ensure_ascii=False, sort_keys=True).encode()
    fields = [field for name, column in columns.of.items() for field in _fields(name, column)]
    schema = pa.schema([*ABOUT, *fields], metadata=metadata or None)
    with parquet.ParquetWriter(file, schema, compression="zstd", use_dictionary=list(TEXTS)) as writer:
        group = _Group(columns, schema)
        for frame in frames():
            group.add(frame)
            if group.size >= GROUP_BYTES:
                writer.write_table(group.table())
                group = _Group(columns, schema)
        if group.n_rows:
            writer.write_table(group.table())


def read_part(path: Path) -> str:
    """Return what a file says of itself as a part. Raises ValueError, OSError or KeyError where it says nothing."""
    return str((parquet.read_metadata(path).metadata or {})[PART].decode())


def _fields(name: str, column: Column) -> list[pa.Field]:
    kind = pa.from_numpy_dtype(column.dtype)
    return [pa.field(title, kind) for title in column_names(name, _width(column))]


def _width(column: Column) -> int:
    return int(np.prod(column.row_shape, dtype=np.int64))


class _Block(NamedTuple):
    """Rows of a frame that stand side by side: from which row of the group on, and those of each array."""

    start: int
    stop: int
    rows: Mapping[str, Values]


class _Group:
    """Rows that are written at once.

    Attributes
    ----------
    n_rows
        How many there are.
    size
        What they take, roughly.
    """

    def __init__(self, columns: Columns, schema: pa.Schema) -> None:
        self.columns = columns
        self.schema = schema
        self.n_rows = 0
        self.size = 0
        self._width = sum(_width(column) * column.dtype.itemsize for column in columns.of.values())
        self._blocks: list[_Block] = []
        self._offsets: list[int] = []
        self._times: list[Values] = []
        self._texts: dict[str, list[str]] = {name: [] for name in TEXTS}

    def add(self, frame: Frame) -> None:
        """Take in the rows of a frame, or the labels that it brings late."""
        beside: dict[tuple[int, str], list[str]] = {}
        for name, array in frame.arrays.items():
            if array.n_rows:
                beside.setdefault((array.n_rows, repr(rate_of(array, frame))), []).append(name)
        for (n_rows, rate), names in beside.items():
            rows = {name: self.columns.fill(name, frame.arrays[name]).reshape(n_rows, -1) for name in names}
            self._add(frame, times(frame.time, n_rows, float(rate)), rows)
        if not frame.arrays:
            self._add(frame, np.array([frame.time]), {})

    def _add(self, frame: Frame, seconds: Values, rows: Mapping[str, Values]) -> None:
        stop = self.n_rows + len(seconds)
        self._blocks.append(_Block(self.n_rows, stop, rows))
        self._offsets.append(frame.offset)
        self._times.append(seconds)
        for name in ("stream", "segment", "encoder", "basis"):
            self._texts[name].append(getattr(frame, name))
        self._texts["labels"].append(labels_text(frame))
        self._texts["arrays"].append(",".join(rows))
        self.n_rows = stop
        self.size += len(seconds) * (self._width + ABOUT_BYTES)

    def table(self) -> pa.Table:
        """Return the rows as a table."""
        counts = [block.stop - block.start for block in self._blocks]
        late = np.repeat([not block.rows for block in self._blocks], counts)
        about = {
            "offset": pa.array(np.repeat(np.array(self._offsets, np.int64), counts)),
            "time": pa.array(np.concatenate(self._times)),
            "row": pa.array(np.concatenate([np.arange(count) for count in counts]), mask=late),
            **{name: _repeated(texts, counts) for name, texts in self._texts.items()},
        }
        columns = [about[name] for name in ABOUT.names]
        for name, column in self.columns.of.items():
            columns += self._columns(name, column)
        return pa.Table.from_arrays(columns, schema=self.schema)

    def _columns(self, name: str, column: Column) -> list[pa.Array]:
        """Return the columns of an array, null where it has no row."""
        values = np.zeros((_width(column), self.n_rows), column.dtype)
        absent = np.ones(self.n_rows, np.bool_)
        for block in self._blocks:
            if name in block.rows:
                values[:, block.start : block.stop] = block.rows[name].T
                absent[block.start : block.stop] = False
        mask = absent if absent.any() else None
        return [pa.array(row, mask=mask) for row in values]


def _repeated(texts: Sequence[str], counts: Sequence[int]) -> pa.Array:
    """Return each text as often as its count says."""
    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int32)
    each = pa.array(list(numbers), pa.string())
    return pa.DictionaryArray.from_arrays(np.repeat(codes, counts), each).cast(pa.string())
