"""Files of features, at the end of a run or of data that are encoded: .npz, and tables: .parquet, .csv."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.configuration.load import ConfigError
from stream_infomax.frames.contracts import Mark, Output
from stream_infomax.frames.frame import Frame
from stream_infomax.settings.extras import MissingExtraError, require
from stream_infomax.sinks import npz_file
from stream_infomax.sinks.columns import Frames, column_names, labels_text
from stream_infomax.sinks.store import FrameStore
from stream_infomax.state.file import replacing

# What a run writes; data that are encoded may be a .csv file too.
SUFFIXES = (".npz", ".parquet")
# What a .csv file says of the frame of each row.
ABOUT = ("offset", "stream", "segment", "time", "labels")


def try_out(option: str, path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Check that features can be written to the file of an option; raises ConfigError before any work is done."""
    if path.suffix not in suffixes:
        raise ConfigError(f"{option} {path}: accepted is a name that ends in {', '.join(suffixes)}")
    if path.suffix == ".parquet":
        try:
            require("pyarrow")
        except MissingExtraError as error:
            others = " and ".join(suffix for suffix in suffixes if suffix != ".parquet")
            raise ConfigError(f"{option} {path}: {error}; {others} without it") from error
    if path.is_dir():
        raise ConfigError(f"{option} {path}: this is a folder; accepted is a file")
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{option} {path}: accepted is a file in a folder that is there and can be written")


def write_frames(path: Path, frames: Frames, classes: Mapping[str, Sequence[str]] | None = None) -> None:
    """Write frames as one .npz or .parquet file, in bounded memory; it is there when all of them are.

    Parameters
    ----------
    path
        Its suffix says how.
    frames
        Called for each pass over the frames.
    classes
        By the name of a classifier's array: what its columns stand for.

    Raises
    ------
    ValueError
        Where rows change so that one file cannot hold them.
    StateFileError
        Where the disk does not take it.
    """
    with replacing(path) as file:
        if path.suffix == ".npz":
            npz_file.write(file, frames, classes=classes)
        else:
            from stream_infomax.sinks import parquet_file

            parquet_file.write(file, frames, classes=classes)


def write(path: Path, frames: Iterable[Frame], name: str, columns: int, *, about: bool) -> None:
    """Write the features of frames that come once; the file is there when all of them are.

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
        Whether a .csv file says which frame a row is of.

    Raises
    ------
    StateFileError
        Where the disk does not take it.
    """
    if path.suffix == ".csv":
        _csv(path, frames, name, columns, about)
    else:
        _spooled(path, frames)


def _spooled(path: Path, frames: Iterable[Frame]) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as folder:
        store = FrameStore(Path(folder))
        offset = 0
        for frame in frames:
            store.accept(Output(frame))
            offset = frame.offset + 1
            if store.due:
                store.save(Mark("", offset, False))
        store.save(Mark("", offset, True))
        write_frames(path, store.frames)


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


def _header(name: str, columns: int, about: bool) -> list[str]:
    return [*(ABOUT if about else ()), *column_names(name, columns)]


def _rows(frames: Iterable[Frame], name: str) -> Iterator[tuple[list[list[Any]], NDArray[np.float32]]]:
    """Yield what is said of the rows of each frame, column by column, and the rows."""
    for frame in frames:
        if name not in frame.arrays:
            continue
        array = frame.arrays[name]
        rate = frame.rate if "time" in array.axes else 0.0
        times = frame.time + (np.arange(array.n_rows) / rate if rate else np.zeros(array.n_rows))
        same = [[text] * array.n_rows for text in (frame.offset, frame.stream, frame.segment)]
        yield [*same, times.tolist(), [labels_text(frame)] * array.n_rows], array.rows()
