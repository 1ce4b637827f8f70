"""Columns: of which type and shape the rows of each array are in one file, and rows made to fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import State
from stream_infomax.frames.frame import Array, Frame

# Frames that can be gone through more than once.
Frames: TypeAlias = Callable[[], Iterable[Frame]]
Values: TypeAlias = npt.NDArray[Any]


class Column(NamedTuple):
    """The rows of one array: their type, and the shape of one; with a 0 in it while nobody knows their width."""

    dtype: np.dtype[Any]
    row_shape: tuple[int, ...]

    @property
    def settled(self) -> bool:
        """Whether the width is known."""
        return 0 not in self.row_shape


class Columns:
    """The columns of a file by the names of their arrays, in the order in which the arrays came.

    Rows without a width, of a warm-up, are rows of NaN of the width that is settled later. Rows of floats may be of
    several widths, as a classifier's are when it meets a new class; shorter ones are filled up with NaN.

    Parameters
    ----------
    known
        Columns that there are already.
    """

    def __init__(self, known: Mapping[str, Column] | None = None) -> None:
        self.of: dict[str, Column] = dict(known or {})

    @property
    def settled(self) -> bool:
        """Whether all widths are known."""
        return all(column.settled for column in self.of.values())

    def misfit(self, frame: Frame) -> str:
        """Return the name of an array whose rows cannot stand below those before; empty where all can."""
        for name, array in frame.arrays.items():
            if array.n_rows and name in self.of and _joined(self.of[name], array) is None:
                return name
        return ""

    def add(self, frame: Frame) -> None:
        """Take in the arrays of a frame that fits."""
        for name, array in frame.arrays.items():
            if array.n_rows:
                known = self.of.get(name, Column(array.data.dtype, array.row_shape))
                self.of[name] = _joined(known, array) or known

    def replace(self, frame: Frame) -> None:
        """Forget the columns that a frame does not fit: from it on they are others."""
        while name := self.misfit(frame):
            del self.of[name]

    def fill(self, name: str, array: Array) -> Values:
        """Return the rows of an array (n_rows, ...) in the shape that they have in the file."""
        column = self.of[name]
        if array.row_shape == column.row_shape:
            return array.data.reshape(array.n_rows, *column.row_shape)
        if 0 not in array.row_shape and not len(column.row_shape) == len(array.row_shape) == 1:
            raise ValueError(f"array {name!r} has rows {array.row_shape}; its column takes {column.row_shape}")
        filled = np.full((array.n_rows, *column.row_shape), np.nan, column.dtype)
        if 0 not in array.row_shape:
            filled[:, : array.row_shape[0]] = array.rows()
        return filled

    def state(self) -> State:
        """Return the columns as plain values."""
        return {name: [column.dtype.str, list(column.row_shape)] for name, column in self.of.items()}

    def restore(self, state: State) -> None:
        """Take over what `state` returned."""
        self.of = {name: _restored(name, *column) for name, column in state.items()}


def _restored(name: str, dtype: Any, shape: Any) -> Column:
    """Return a column as a state holds it."""
    known = [other.str for other in wire.DTYPES.values()]
    lengths: list[Any] = shape if isinstance(shape, list) else [None]
    if dtype not in known or not all(type(length) is int and 0 <= length < 2**31 for length in lengths):
        raise ValueError(f"columns.{name}: {dtype!r:.80}, {shape!r:.80}; accepted are a type and the shape of a row")
    return Column(np.dtype(dtype), tuple(lengths))


def columns_of(frames: Frames) -> Columns:
    """Return the columns of a file of frames. Raises ValueError where rows change so that one file cannot hold them."""
    columns = Columns()
    for frame in frames():
        check_fits(columns, frame)
        columns.add(frame)
    return columns


def check_fits(columns: Columns, frame: Frame) -> None:
    """Raise ValueError where the rows of a frame cannot stand below those before; names the array."""
    if name := columns.misfit(frame):
        before, array = columns.of[name], frame.arrays[name]
        raise ValueError(
            f"array {name!r} has rows of {array.data.dtype} {array.row_shape} from offset {frame.offset} on, before "
            f"{before.dtype} {before.row_shape}: one file takes one shape"
        )


def rate_of(array: Array, frame: Frame) -> float:
    """Return the rows a second of an array of a frame.

    0 where all rows have the time of the frame; NaN where there are not as many as of the newest array in time, of
    which the frame's rate is.
    """
    if "time" not in array.axes or not frame.rate:
        return 0.0
    newest = [other.n_rows for other in frame.arrays.values() if "time" in other.axes][-1]
    return frame.rate if array.n_rows == newest else float("nan")


def times(time: float, n_rows: int, rate: float) -> Values:
    """Return the seconds of each of the rows of a frame."""
    return time + (np.arange(n_rows) / rate if rate else np.zeros(n_rows))


def labels_text(frame: Frame) -> str:
    """Return the labels of a frame as JSON, in the order of their names."""
    return json.dumps(dict(frame.labels), ensure_ascii=False, sort_keys=True)


def column_names(name: str, width: int) -> list[str]:
    """Return the names that the columns of an array have in a table."""
    return [f"{name}_{number}" for number in range(width)]


def _joined(column: Column, array: Array) -> Column | None:
    """Return the column with the rows of an array below; None where they cannot stand there."""
    if column.dtype != array.data.dtype:
        return None
    if column.row_shape == array.row_shape:
        return column
    if not np.issubdtype(column.dtype, np.floating):
        return None
    if 0 in array.row_shape:
        return column
    if not column.settled:
        return Column(column.dtype, array.row_shape)
    if len(column.row_shape) == len(array.row_shape) == 1:
        return Column(column.dtype, max(column.row_shape, array.row_shape))
    return None
