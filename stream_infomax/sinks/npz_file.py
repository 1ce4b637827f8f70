"""One NPZ file of frames, written member by member: what is in memory at once are the frames of one spool file."""

from __future__ import annotations

import json
import zipfile
from array import array as numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from msgspec.structs import asdict

from stream_infomax.frames.frame import Frame
from stream_infomax.sinks.columns import Columns, Frames, Values, check_fits, labels_text, rate_of, times

# The date of every member: the same frames make the same file.
DATE = (1980, 1, 1, 0, 0, 0)
# Bytes of texts that are in memory at once.
PIECE = 1 << 20
# What a file says of itself as a part of a stream.
PART = "part"
LONGEST_PART = 1 << 16


def write(
    file: IO[bytes],
    frames: Frames,
    columns: Columns | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    part: str = "",
) -> None:
    """Write frames as one NPZ file.

    It holds each array under its name, rows first (n_rows, ...). Beside it stand ``rows/NAME``, the offset of each
    row's frame, and ``times/NAME``, the seconds of each row. For each frame there are ``frames/offset``,
    ``frames/stream``, ``frames/segment``, ``frames/time``, ``frames/rate``, ``frames/last``, ``frames/encoder``,
    ``frames/update``, ``frames/basis``, ``frames/labels`` and ``frames/events`` (both as JSON).

    Parameters
    ----------
    file
        Where it goes.
    frames
        Called for each pass over the frames.
    columns
        Those that are known before, of the parts that came before this one; they are completed.
    classes
        By the name of a classifier's array: what its columns stand for. It goes to ``classes/NAME``.
    part
        What stands under ``part``; empty: nothing does.

    Raises
    ------
    ValueError
        Where the rows of an array change so that one file cannot hold them.
    """
    index = _Index(columns or Columns())
    for frame in frames():
        index.add(frame)
    with zipfile.ZipFile(file, "w") as archive:
        for name, rows in index.rows.items():
            column = index.columns.of[name]
            _write(archive, name, column.dtype, (rows.count, *column.row_shape), _rows(frames, name, index.columns))
            _write(archive, f"rows/{name}", np.dtype(np.int64), (rows.count,), index.offsets(rows))
            _write(archive, f"times/{name}", np.dtype(np.float64), (rows.count,), index.times(rows))
        for name, titles in (classes or {}).items():  # one whose first label came after the last row has no column
            if name in index.rows:
                shown = np.array(titles[: index.columns.of[name].row_shape[0]], dtype=np.str_)
                _write(archive, f"classes/{name}", shown.dtype, shown.shape, [shown])
        for key, values in index.numbers():
            _write(archive, f"frames/{key}", values.dtype, values.shape, [values])
        for key, texts in index.texts.items():
            dtype = np.dtype((np.str_, texts.longest))  # all have the length of the longest, so they are compressed
            _write(archive, f"frames/{key}", dtype, (index.n_frames,), texts.values(dtype), zipfile.ZIP_DEFLATED)
        if part:
            shown = np.array(part)
            _write(archive, PART, shown.dtype, (), [shown])


def read_part(path: Path) -> str:
    """Return what a file says of itself as a part. Raises ValueError, OSError or KeyError where it says nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            if (size := archive.getinfo(f"{PART}.npy").file_size) > LONGEST_PART:
                raise ValueError(f"what it says of itself has {size:,} bytes; accepted are {LONGEST_PART:,}")
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return str(file[PART])
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


@dataclass
class _Rows:
    """Which frames have how many rows of one array, and how their time is told."""

    count: int = 0
    frames: numbers[int] = field(default_factory=lambda: numbers("q"))
    counts: numbers[int] = field(default_factory=lambda: numbers("q"))
    rates: numbers[float] = field(default_factory=lambda: numbers("d"))


class _Texts:
    """A text of each frame; each is held once."""

    def __init__(self) -> None:
        self.longest = 1
        self._numbers: dict[str, int] = {}
        self._frames = numbers("q")

    def add(self, text: str) -> None:
        """Take in the text of the next frame."""
        self.longest = max(self.longest, len(text))
        self._frames.append(self._numbers.setdefault(text, len(self._numbers)))

    def values(self, dtype: np.dtype[Any]) -> Iterator[Values]:
        """Yield the texts, some at a time."""
        texts = list(self._numbers)
        size = max(1, PIECE // dtype.itemsize)
        for start in range(0, len(self._frames), size):
            yield np.array([texts[number] for number in self._frames[start : start + size]], dtype=dtype)


class _Index:
    """What one pass over the frames tells: everything but the rows."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.rows: dict[str, _Rows] = {}
        self.n_frames = 0
        self._offset, self._update = numbers("q"), numbers("q")
        self._time, self._rate, self._last = numbers("d"), numbers("d"), numbers("b")
        self.texts = {key: _Texts() for key in ("stream", "segment", "encoder", "basis", "labels", "events")}

    def add(self, frame: Frame) -> None:
        """Take a frame in. Raises ValueError where its rows cannot stand below those before."""
        check_fits(self.columns, frame)
        self.columns.add(frame)
        for name, array in frame.arrays.items():
            if array.n_rows:
                rows = self.rows.setdefault(name, _Rows())
                rows.count += array.n_rows
                rows.frames.append(self.n_frames)
                rows.counts.append(array.n_rows)
                rows.rates.append(rate_of(array, frame))
        self.n_frames += 1
        self._offset.append(frame.offset)
        self._update.append(frame.update)
        self._time.append(frame.time)
        self._rate.append(frame.rate)
        self._last.append(frame.last)
        for key in ("stream", "segment", "encoder", "basis"):
            self.texts[key].add(getattr(frame, key))
        self.texts["labels"].add(labels_text(frame))
        self.texts["events"].add(json.dumps([asdict(event) for event in frame.events], ensure_ascii=False))

    def offsets(self, rows: _Rows) -> Iterator[Values]:
        """Yield the offset of each row's frame, frame by frame."""
        for frame, count in zip(rows.frames, rows.counts, strict=True):
            yield np.full(count, self._offset[frame])

    def times(self, rows: _Rows) -> Iterator[Values]:
        """Yield the seconds of each row, frame by frame."""
        for frame, count, rate in zip(rows.frames, rows.counts, rows.rates, strict=True):
            yield times(self._time[frame], count, rate)

    def numbers(self) -> Iterator[tuple[str, Values]]:
        """Yield the numbers that there are of each frame, by their key."""
        yield "offset", np.array(self._offset, dtype=np.int64)
        yield "update", np.array(self._update, dtype=np.int64)
        yield "last", np.array(self._last, dtype=np.bool_)
        yield "time", np.array(self._time, dtype=np.float64)
        yield "rate", np.array(self._rate, dtype=np.float64)


def _rows(frames: Frames, name: str, columns: Columns) -> Iterator[Values]:
    """Yield the rows of an array, each of the final shape."""
    for frame in frames():
        array = frame.arrays.get(name)
        if array is not None and array.n_rows:
            yield columns.fill(name, array)


def _write(
    archive: zipfile.ZipFile,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    chunks: Iterable[Values],
    compression: int = zipfile.ZIP_STORED,
) -> None:
    """Write one member, chunk by chunk."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    about = zipfile.ZipInfo(f"{name}.npy", DATE)
    about.compress_type = compression
    with archive.open(about, "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for chunk in chunks:
            member.write(np.ascontiguousarray(chunk).data.cast("B") if chunk.size else b"")
