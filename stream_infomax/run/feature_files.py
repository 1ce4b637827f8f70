"""Files of features: .npz as of a run, and tables of one row a line: .csv, .parquet."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.configuration.load import ConfigError
from stream_infomax.frames.contracts import Mark, Output
from stream_infomax.frames.frame import Frame
from stream_infomax.settings.extras import installed
from stream_infomax.sinks.assemble import assemble
from stream_infomax.sinks.store import FrameStore
from stream_infomax.state.file import replacing

SUFFIXES = (".npz", ".csv", ".parquet")
# What a table says of the frame of each row.
ABOUT = ("offset", "stream", "segment", "time", "labels")


def try_out(path: Path) -> None:
    """Check that features can be written to a file; raises ConfigError before any work is done."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"--to {path}: accepted is a name that ends in {', '.join(SUFFIXES)}")
    if path.suffix == ".parquet" and not installed("pyarrow"):
        raise ConfigError(f"--to {path}: pyarrow is not installed: pip install pyarrow; .npz and .csv need nothing")
    if path.is_dir():
        raise ConfigError(f"--to {path}: this is a folder; accepted is a file")
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise ConfigError(f"--to {path}: accepted is a file in a folder that is there and can be written")


def write(path: Path, frames: Iterable[Frame], name: str, columns: int, *, about: bool) -> None:
    """Write the features of frames; the file is there when all of them are.

    Parameters
    ----------
    path
        Its suffix says how.
    frames
        With the array `name`.
    name
        Of the features.
    columns
        Of the features.
    about
        Whether a table says which frame a row is of.

    Raises
    ------
    StateFileError
        Where the disk does not take it.
    """
    match path.suffix:
        case ".npz":
            _npz(path, frames)
        case ".csv":
            _csv(path, frames, name, columns, about)
        case _:
            _parquet(path, frames, name, columns, about)


def _npz(path: Path, frames: Iterable[Frame]) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as folder:
        store = FrameStore(Path(folder))
        offset = 0
        for frame in frames:
            store.accept(Output(frame))
            offset = frame.offset + 1
            if store.due:
                store.save(Mark("", offset, False))
        store.save(Mark("", offset, True))
        assemble(store, path)


def _csv(path: Path, frames: Iterable[Frame], name: str, columns: int, about: bool) -> None:
    import csv
    import io

    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        lines = csv.writer(text)
        lines.writerow(_header(name, columns, about))
        for told, features in _rows(frames, name):
            texts = features.astype(np.str_)  # the shortest that is read back as the same float32
            if not about:
                lines.writerows(texts)
                continue
            lines.writerows([*before, *row] for before, row in zip(zip(*told, strict=True), texts, strict=True))
        text.flush()
        text.detach()


def _parquet(path: Path, frames: Iterable[Frame], name: str, columns: int, about: bool) -> None:
    import pyarrow
    from pyarrow import parquet

    kinds = dict(
        zip(ABOUT, (pyarrow.int64(), *[pyarrow.string()] * 2, pyarrow.float64(), pyarrow.string()), strict=True)
    )
    header = _header(name, columns, about)
    schema = pyarrow.schema([(column, kinds.get(column, pyarrow.float32())) for column in header])
    with replacing(path) as file, parquet.ParquetWriter(file, schema) as writer:
        for told, features in _rows(frames, name):
            values = [*(told if about else []), *features.T]
            writer.write_table(pyarrow.table(dict(zip(header, values, strict=True)), schema=schema))


def _header(name: str, columns: int, about: bool) -> list[str]:
    return [*(ABOUT if about else ()), *(f"{name}{number}" for number in range(columns))]


def _rows(frames: Iterable[Frame], name: str) -> Iterator[tuple[list[list[Any]], NDArray[np.float32]]]:
    """Yield what is said of the rows of each frame, column by column, and the rows."""
    for frame in frames:
        if name not in frame.arrays:
            continue
        array = frame.arrays[name]
        rate = frame.rate if "time" in array.axes else 0.0
        times = frame.time + (np.arange(array.n_rows) / rate if rate else np.zeros(array.n_rows))
        labels = json.dumps(dict(frame.labels), ensure_ascii=False, sort_keys=True)
        same = [[text] * array.n_rows for text in (frame.offset, frame.stream, frame.segment)]
        yield [*same, times.tolist(), [labels] * array.n_rows], array.rows()
