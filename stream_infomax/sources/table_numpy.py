"""NumPy arrays: `.npy`, read where it lies, and `.npz`, whose members say more than numbers.

Nothing is unpickled, and nothing is decompressed before its announced size was looked at.
"""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infomax.sources.bounds import check_size
from stream_infomax.sources.npy_head import Member, head_of, head_of_file, read_heads
from stream_infomax.sources.table_columns import MAX_COLUMNS, Values, as_text, shown

# Bytes that a member of an archive may come to, to be held; longer ones are read as they are decompressed if they can.
WHOLE = 256 << 20
BLOCK = 1 << 20

# Under which names archives say more of their matrix.
CHANNEL_NAMES = ("channel_names", "channels", "ch_names", "names")
RATES = ("rate", "sampling_rate", "sampling_rate_hz", "sample_rate", "sampling_frequency", "sfreq", "fs")
UNITS = ("unit", "units")


class NumpyTable:
    """A matrix (rows, channels), or with `transposed` (channels, rows), in a file; see `Reader`.

    Of an archive, members of shape (rows,) are further columns, and single values hold for the whole file.

    Parameters
    ----------
    path
        The file.
    array
        The member of an archive that holds the rows; empty: the only one that can be.
    transposed
        Whether the array is (channels, rows).

    Raises
    ------
    ValueError
        Where no member, or more than one, can hold the rows; where it has other dimensions or holds no numbers.
    """

    clock: int | None = None

    def __init__(self, path: Path, array: str, transposed: bool) -> None:
        self.path = path
        self.transposed = transposed
        self.archive = path.suffix.lower() == ".npz"
        self.members = read_heads(path) if self.archive else {"": head_of_file(path)}
        self.array = self._choose(array)
        self.member = self.members[self.array]
        shape = _matrix(self.member, self.array, transposed)
        self.rows, n_channels = shape
        if not self.rows or not n_channels:
            raise ValueError(f"its array has shape {self.member.shape}: it holds no row")
        self.vectors = [
            name
            for name, one in self.members.items()
            if one.shape == (self.rows,) and name != self.array and self.archive
        ]
        self._check_size()
        small = self._small()
        own = self._own_names(small, n_channels)
        self.names = (*own, *self.vectors)
        self.numeric = (*[True] * n_channels, *(self.members[name].is_number for name in self.vectors))
        self.aside = frozenset(range(n_channels, len(self.names)))
        self.rate = next((float(small[name]) for name in RATES if name in small and _is_rate(small[name])), 0.0)
        self.units = self._own_units(small, n_channels)
        self.constants: Mapping[str, str] = {
            name: as_text(value[()]) for name, value in small.items() if value.ndim == 0
        }
        used = {self.array, *self.vectors, *small}
        self.left_out: Mapping[str, int] = {"members": len(self.members.keys() - used)}

    def _choose(self, array: str) -> str:
        found = {name: one for name, one in self.members.items() if one.is_number and one.shape}
        if not self.archive:
            return ""
        if array:
            if array not in self.members:
                raise ValueError(f"array = {array!r}: it has no such member; it has {shown(list(self.members))}")
            return array
        matrices = [name for name, one in found.items() if len(one.shape) == 2] or list(found)
        if len(matrices) != 1:
            several = shown([f"{name} {self.members[name].shape}" for name in matrices or self.members])
            raise ValueError(f"no single member of it can be the table, say which with array; it has {several}")
        return matrices[0]

    def _check_size(self) -> None:
        """Refuse members of which no part can be read alone where they come to too much."""
        names = [*([self.array] if self.archive and self._is_whole else []), *self.vectors]
        if names:
            n_bytes = sum(self.members[name].bytes for name in names)
            check_size(self.path, n_bytes, f"what has to be held whole of it ({shown(names)})")

    @property
    def _is_whole(self) -> bool:
        """Whether no part of the array can be read alone."""
        return self.transposed or self.member.fortran

    def _small(self) -> dict[str, npt.NDArray[Any]]:
        """Return the members that may say something of the others."""
        names = [name for name, one in self.members.items() if self.archive and _is_small(one)]
        if not names:
            return {}
        with np.load(self.path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in names}

    def _own_names(self, small: Mapping[str, npt.NDArray[Any]], n_channels: int) -> tuple[str, ...]:
        for name in CHANNEL_NAMES:
            if name in small and small[name].shape == (n_channels,):
                texts = [as_text(value) for value in small[name]]
                if len(set(texts)) == n_channels:
                    return tuple(texts)
        return tuple(map(str, range(n_channels)))

    def _own_units(self, small: Mapping[str, npt.NDArray[Any]], n_channels: int) -> tuple[str, ...]:
        aside = ("",) * len(self.vectors)
        for name in UNITS:
            if name in small and small[name].shape in ((), (n_channels,)):
                texts = [as_text(value) for value in small[name].reshape(-1)]
                return (*(texts * n_channels if small[name].ndim == 0 else texts), *aside)
        return ("",) * len(self.names)

    def blocks(self, columns: Sequence[int], start: int, stop: int, counts: Counter[str]) -> Iterator[Values]:
        """Yield the rows `start` to `stop` of some columns."""
        n_channels = len(self.names) - len(self.vectors)
        inside = [column for column in columns if column < n_channels]
        beside = {
            column: whole(self.path, self.vectors[column - n_channels]) for column in columns if column >= n_channels
        }
        for block in self._matrix_blocks(start, stop):
            values = np.empty((len(block), len(columns)))
            with np.errstate(over="ignore", invalid="ignore"):
                if len(inside) == len(columns):
                    values[:] = block[:, inside]
                else:
                    for place, column in enumerate(columns):
                        values[:, place] = (
                            beside[column][start : start + len(block)] if column in beside else block[:, column]
                        )
            yield values
            start += len(block)

    @property
    def _step(self) -> int:
        """Rows of a block."""
        return max(1, BLOCK // (8 * (len(self.names) - len(self.vectors))))

    def _matrix_blocks(self, start: int, stop: int) -> Iterator[npt.NDArray[Any]]:
        step = self._step
        if self.archive and self.member.bytes > WHOLE and not self._is_whole:
            yield from self._streamed(start, stop, step)
            return
        array = whole(self.path, self.array) if self.archive else np.load(self.path, "r", allow_pickle=False)
        matrix = array.reshape(-1, 1) if array.ndim == 1 else array.T if self.transposed else array
        for begin in range(start, stop, step):
            yield matrix[begin : min(begin + step, stop)]

    def _streamed(self, start: int, stop: int, step: int) -> Iterator[npt.NDArray[Any]]:
        """Yield rows as they are decompressed."""
        member = self.member
        row = member.bytes // self.rows
        with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.array}.npy") as file:
            head_of(file, member.size)
            skip = start * row
            while skip > 0 and (passed := len(file.read(min(skip, BLOCK)))):  # its own seek takes 16 MiB at once
                skip -= passed
            while start < stop:
                n_rows = min(step, stop - start)
                data = file.read(n_rows * row)
                n_read = len(data) // row
                yield np.frombuffer(data[: n_read * row], member.dtype).reshape(n_read, -1)
                if n_read < n_rows:
                    return
                start += n_rows

    def _column(self, column: int) -> Iterator[npt.NDArray[Any]]:
        """Yield a column in blocks as it is stored."""
        n_channels = len(self.names) - len(self.vectors)
        if column < n_channels:
            for block in self._matrix_blocks(0, self.rows):
                yield block[:, column]
            return
        values = whole(self.path, self.vectors[column - n_channels])
        for begin in range(0, self.rows, step := self._step):
            yield values[begin : begin + step]

    def texts(self, column: int) -> Iterator[list[str]]:
        """Yield the texts of a column."""
        for values in self._column(column):
            yield [as_text(value) for value in values]

    def times(self, column: int) -> Iterator[Values]:
        """Yield a column as seconds."""
        for values in self._column(column):
            if values.dtype.kind == "M":
                stamps = values.astype("datetime64[us]").astype(np.int64) / 1e6
                stamps[np.isnat(values)] = np.nan
                yield stamps
            elif values.dtype.kind in "biuf":
                yield values.astype(np.float64)
            else:
                raise ValueError(f"{self.names[column]} is {values.dtype}; accepted for times are numbers and dates")


def _matrix(member: Member, name: str, transposed: bool) -> tuple[int, int]:
    """Return rows and channels of an array; ValueError where it is no table."""
    what = f"its array {name}".rstrip()
    if not member.is_number:
        raise ValueError(f"{what} is {member.dtype}; accepted are whole numbers and floats")
    if len(member.shape) not in (1, 2):
        raise ValueError(f"{what} has shape {member.shape}; accepted are (rows, channels) and (rows,)")
    shape = (*member.shape, 1) if len(member.shape) == 1 else member.shape[:: -1 if transposed else 1]
    rows, channels = shape
    if channels > MAX_COLUMNS:
        raise ValueError(
            f"{what} has {channels:,} channels; accepted are {MAX_COLUMNS:,}. Where it is (channels, rows): "
            "transposed = true"
        )
    return rows, channels


def _is_small(member: Member) -> bool:
    return (
        not member.dtype.hasobject and member.dtype.kind in "biufSU" and member.bytes <= BLOCK and len(member.shape) < 2
    )


def _is_rate(value: npt.NDArray[Any]) -> bool:
    return value.ndim == 0 and value.dtype.kind in "iuf" and math.isfinite(value) and float(value) > 0


def whole(path: Path, name: str) -> npt.NDArray[Any]:
    """Return a member; the last one is kept while its file stays as it is."""
    about = path.stat()
    return _whole(path, name, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=2)
def _whole(path: Path, name: str, changed: int, size: int) -> npt.NDArray[Any]:
    with np.load(path, allow_pickle=False) as archive:
        return np.asarray(archive[name])
