"""Files of rows: .npy, .npz and .csv, as `encode` reads them."""

from __future__ import annotations

import csv
from array import array as numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.configuration.load import ConfigError
from stream_infomax.configuration.tables import SourceTable
from stream_infomax.learning.rows import matrix
from stream_infomax.sources.bounds import check_size
from stream_infomax.sources.npy_head import head_of_file, read_heads
from stream_infomax.sources.table_files import UNUSABLE

Floats = NDArray[np.floating[Any]]

SUFFIXES = (".npy", ".npz", ".csv")
# The array of an .npz file with several.
ROWS = "rows"


def is_row_file(path: Path, source: SourceTable | None) -> bool:
    """Return whether a file holds rows, and is not a stack of pictures for a run whose source reads such."""
    if path.is_dir() or path.suffix.lower() not in SUFFIXES:
        return False
    if path.suffix.lower() == ".npz" and source is not None and source.kind == "images":
        return "images" not in _names(path)
    return True


def rows_in(path: Path, n_features: int, names: Sequence[str] = ()) -> Floats:
    """Return the rows (n, n_features) in a file.

    Parameters
    ----------
    path
        .npy; .npz with one array or one called ``rows``; .csv, with a line of names or without, in which an empty
        field is missing.
    n_features
        Numbers of a row.
    names
        Names of the columns that a table has to have, in this order; none: any.

    Raises
    ------
    ConfigError
        Where there are no such rows; names the file.
    """
    try:
        rows = matrix(_table(path, names) if path.suffix.lower() == ".csv" else _array(path))
    except (*UNUSABLE, TypeError) as error:
        raise ConfigError(f"SOURCE {path}: {error}") from error
    if rows.shape[1] != n_features:
        raise ConfigError(f"SOURCE {path}: rows of {rows.shape[1]} numbers; accepted are rows of {n_features}")
    return rows


def _names(path: Path) -> list[str]:
    try:
        return list(read_heads(path))
    except UNUSABLE as error:
        raise ConfigError(f"SOURCE {path}: {error}") from error


def _array(path: Path) -> Any:
    """Return the rows of a .npy file where they lie, or those of an archive."""
    if path.suffix.lower() == ".npy":
        head_of_file(path)
        return np.load(path, allow_pickle=False, mmap_mode="r")
    heads = read_heads(path)
    name = ROWS if ROWS in heads else next(iter(heads)) if len(heads) == 1 else None
    if name is None:
        raise ValueError(f"holds the arrays {', '.join(heads)}; accepted: one, or one called {ROWS!r}")
    check_size(path, heads[name].bytes, f"its array {name}")
    with np.load(path, allow_pickle=False) as file:
        return file[name]


def _table(path: Path, names: Sequence[str]) -> Floats:
    values = numbers("d")
    width = 0
    with path.open(newline="", encoding="utf-8-sig") as file:
        for line, fields in enumerate(csv.reader(file), 1):
            if not fields:
                continue
            if not width:
                width = len(fields)
                if not _are_numbers(fields):
                    if names and tuple(fields) != tuple(names):
                        raise ValueError(f"columns {', '.join(fields)}; accepted: {', '.join(names)}")
                    continue
            if len(fields) != width:
                raise ValueError(f"line {line}: {len(fields)} fields, before {width}")
            try:
                values.extend(float(field) if field.strip() else np.nan for field in fields)
            except ValueError as error:
                raise ValueError(f"line {line}: {error}") from None
    return np.frombuffer(values, np.float64).reshape(-1, width or 1)


def _are_numbers(fields: Sequence[str]) -> bool:
    try:
        [float(field) for field in fields if field.strip()]
    except ValueError:
        return False
    return True
