"""One NPZ file of the frames in a store, written member by member: what is in memory at once is one part."""

from __future__ import annotations

import json
import zipfile
from array import array as numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.sinks.store import FrameStore
from stream_infomax.state import file as state_file

# The date of every member: the same frames make the same file.
DATE = (1980, 1, 1, 0, 0, 0)
Values = npt.NDArray[Any]


def assemble(store: FrameStore, path: Path, classes: Mapping[str, Sequence[str]] | None = None) -> None:
    """Write the frames on disk as one NPZ file.

    It holds each array under its name, rows first (n_rows, ...). Beside it stand ``rows/NAME``, the offset of each
    row's frame, and ``times/NAME``, the seconds of each row. For each frame there are ``frames/offset``,
    ``frames/stream``, ``frames/segment``, ``frames/time``, ``frames/rate``, ``frames/last``, ``frames/encoder``,
    ``frames/update``, ``frames/basis``, ``frames/labels`` and ``frames/events`` (both as JSON).

    Rows that came before a learner had settled its width are rows of NaN. Rows may become longer on the way, as a
    classifier's do when it meets a new class; the shorter ones before are filled up with NaN.

    Parameters
    ----------
    store
        The frames.
    path
        The file.
    classes
        By the name of a classifier's array: what its columns stand for. It goes to ``classes/NAME``.

    Raises
    ------
    ValueError
        Where the rows of an array change their shape otherwise.
    StateFileError
        Where the disk does not take it, or a part is damaged.
    """
    index = _Index()
    for frame in store.frames():
        index.add(frame)
    with state_file.replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, column in index.columns.items():
            _write(archive, name, column.dtype, (column.n_rows, *column.row_shape), _rows(store, name, column))
            _write(archive, f"rows/{name}", np.dtype(np.int64), (column.n_rows,), index.offsets(column))
            _write(archive, f"times/{name}", np.dtype(np.float64), (column.n_rows,), index.times(column))
        for name, columns in (classes or {}).items():  # one whose first label came after the last row has no column
            if name in index.columns:
                _write_whole(archive, f"classes/{name}", _texts(columns[: index.columns[name].row_shape[0]]))
        for key, values in index.frames():
            _write_whole(archive, f"frames/{key}", values)


@dataclass
class _Column:
    """What is known of one array over all frames: of which of them it has how many rows, and how their time is told."""

    dtype: np.dtype[Any]
    row_shape: tuple[int, ...]
    n_rows: int = 0
    frames: numbers[int] = field(default_factory=lambda: numbers("q"))
    counts: numbers[int] = field(default_factory=lambda: numbers("q"))
    # Rows a second; 0: all have the time of the frame; NaN: not known.
    rates: numbers[float] = field(default_factory=lambda: numbers("d"))


class _Index:
    """What one pass over the frames tells: everything but the rows themselves."""

    def __init__(self) -> None:
        self.columns: dict[str, _Column] = {}
        self._offset, self._update = numbers("q"), numbers("q")
        self._time, self._rate, self._last = numbers("d"), numbers("d"), numbers("b")
        self._texts: dict[str, list[str]] = {"stream": [], "segment": [], "encoder": [], "basis": []}
        self._texts |= {"labels": [], "events": []}
        self._known: dict[str, str] = {}  # each text is held once

    def add(self, frame: Frame) -> None:
        """Take a frame in. Raises ValueError where its rows cannot stand below those before."""
        for name, array in frame.arrays.items():
            if array.n_rows:
                self._add_rows(name, array, frame)
        self._offset.append(frame.offset)
        self._update.append(frame.update)
        self._time.append(frame.time)
        self._rate.append(frame.rate)
        self._last.append(frame.last)
        labels = json.dumps(dict(frame.labels), ensure_ascii=False, sort_keys=True)
        events = json.dumps([asdict(event) for event in frame.events], ensure_ascii=False)
        for key, text in (
            ("stream", frame.stream),
            ("segment", frame.segment),
            ("encoder", frame.encoder),
            ("basis", frame.basis),
            ("labels", labels),
            ("events", events),
        ):
            self._texts[key].append(self._known.setdefault(text, text))

    def _add_rows(self, name: str, array: Array, frame: Frame) -> None:
        column = self.columns.setdefault(name, _Column(array.data.dtype, array.row_shape))
        if not _may_follow(column, array):
            raise ValueError(
                f"array {name!r} has rows of shape {array.row_shape} from offset {frame.offset} on, "
                f"before {column.row_shape}: one file takes one shape"
            )
        if 0 not in array.row_shape:
            column.row_shape = array.row_shape
        column.n_rows += array.n_rows
        column.frames.append(len(self._offset))
        column.counts.append(array.n_rows)
        column.rates.append(_rate(array, frame))

    def offsets(self, column: _Column) -> Iterator[Values]:
        """Yield the offset of each row's frame, frame by frame."""
        for frame, count in zip(column.frames, column.counts, strict=True):
            yield np.full(count, self._offset[frame])

    def times(self, column: _Column) -> Iterator[Values]:
        """Yield the seconds of each row, frame by frame."""
        for frame, count, rate in zip(column.frames, column.counts, column.rates, strict=True):
            yield self._time[frame] + (np.arange(count) / rate if rate else np.zeros(count))

    def frames(self) -> Iterator[tuple[str, Values]]:
        """Yield what there is of each frame, by its key."""
        yield "offset", np.array(self._offset, dtype=np.int64)
        yield "update", np.array(self._update, dtype=np.int64)
        yield "last", np.array(self._last, dtype=np.bool_)
        yield "time", np.array(self._time, dtype=np.float64)
        yield "rate", np.array(self._rate, dtype=np.float64)
        for key, texts in self._texts.items():
            yield key, _texts(texts)


def _rate(array: Array, frame: Frame) -> float:
    """Return the rows a second of an array of a frame, NaN where it is another than that of the newest rows in time."""
    if "time" not in array.axes or not frame.rate:
        return 0.0
    newest = [other.n_rows for other in frame.arrays.values() if "time" in other.axes][-1]
    return frame.rate if array.n_rows == newest else float("nan")


def _may_follow(column: _Column, array: Array) -> bool:
    """Return whether rows have the shape of those before them, or are longer ones of floats."""
    if column.dtype != array.data.dtype:
        return False
    if column.row_shape == array.row_shape:
        return True
    floats = np.issubdtype(column.dtype, np.floating)
    if 0 in column.row_shape or 0 in array.row_shape:  # a width that was not settled
        return bool(floats)
    return bool(floats and len(column.row_shape) == len(array.row_shape) == 1 and column.row_shape < array.row_shape)


def _rows(store: FrameStore, name: str, column: _Column) -> Iterator[Values]:
    """Yield the rows of an array, each of the final shape."""
    for frame in store.frames():
        array = frame.arrays.get(name)
        if array is None or not array.n_rows:
            continue
        if array.row_shape == column.row_shape:
            yield array.data
            continue
        filled = np.full((array.n_rows, *column.row_shape), np.nan, column.dtype)
        if 0 not in array.row_shape:
            filled[:, : array.row_shape[0]] = array.rows()
        yield filled


def _texts(texts: Sequence[str]) -> Values:
    return np.array(texts, dtype=np.str_)


def _write_whole(archive: zipfile.ZipFile, name: str, values: Values) -> None:
    _write(archive, name, values.dtype, values.shape, [values])


def _write(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], chunks: Iterable[Values]
) -> None:
    """Write one member, chunk by chunk."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(zipfile.ZipInfo(f"{name}.npy", DATE), "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for chunk in chunks:
            member.write(np.ascontiguousarray(chunk).data.cast("B") if chunk.size else b"")
