"""Recording: what a live source accepted, from its journal, as sound files or as arrays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stream_infomax.configuration.load import ConfigError
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.sinks import npz_file
from stream_infomax.sources.journal import files_of
from stream_infomax.state.file import replacing

if TYPE_CHECKING:
    from stream_infomax.journal.stretch import Stretch

# How a WAV file keeps the values of a dtype.
SUBTYPES = {"int16": "PCM_16", "int32": "PCM_32", "uint8": "PCM_U8", "float32": "FLOAT", "float64": "DOUBLE"}


class Written(NamedTuple):
    """A file, and the rows in it."""

    path: Path
    rows: int


class Exported(NamedTuple):
    """The files that were written, and in words what the journal lacks; empty: nothing."""

    files: list[Written]
    missing: str


def to_npz(journal: Path, out: Path) -> Exported:
    """Write the frames of a journal as one NPZ file: arrays by their names, and what is known of rows and frames.

    Raises
    ------
    ConfigError
        Where the rows of an array change so that one file cannot hold them.
    """
    stretch = _readable(journal)
    with replacing(out) as file:
        try:
            npz_file.write(file, stretch.frames)
        except ValueError as error:
            raise ConfigError(f"{journal}: {error}") from error
    rows = sum(array.n_rows for frame in stretch.frames() for array in frame.arrays.values())
    return Exported([Written(out, rows)], stretch.missing())


def to_wav(journal: Path, out: Path) -> Exported:
    """Write each stream of a journal as a WAV file into a folder: its rows one behind the other.

    Raises
    ------
    ConfigError
        Where a stream has no rate, or rows that are no samples of channels.
    """
    import soundfile

    stretch = _readable(journal)
    out.mkdir(parents=True, exist_ok=True)
    files: dict[tuple[Any, ...], tuple[Path, Any]] = {}
    rows: dict[Path, int] = {}
    try:
        for frame in stretch.frames():
            for name, array in frame.arrays.items():
                if not array.n_rows:
                    continue
                key = (frame.stream, name, frame.rate, array.data.dtype.name, array.row_shape)
                if key not in files:
                    _check(frame, name, array)
                    path = _path(out, frame.stream, [path for path, _ in files.values()])
                    channels = array.row_shape[0] if array.row_shape else 1
                    subtype = SUBTYPES[array.data.dtype.name]
                    made = soundfile.SoundFile(path, "w", round(frame.rate), channels, subtype, format="WAV")
                    files[key] = path, made
                path, file = files[key]
                file.write(array.rows())
                rows[path] = rows.get(path, 0) + array.n_rows
    finally:
        for _, file in files.values():
            file.close()
    return Exported([Written(path, n) for path, n in rows.items()], stretch.missing())


def _readable(journal: Path) -> Stretch:
    """Return the frames of a journal. Raises ConfigError where none can be read."""
    from stream_infomax.journal.stretch import Stretch

    stretch = Stretch(files_of(journal))
    if next(stretch.frames(), None) is None:
        raise ConfigError(stretch.missing() or f"{journal}: no frame is there")
    return stretch


def _check(frame: Frame, name: str, array: Array) -> None:
    """Raise ConfigError where an array is no sound."""
    what = f"array {name!r} of stream {frame.stream!r}"
    if array.axes not in (("time",), ("time", "channel")):
        raise ConfigError(f"{what} has axes {', '.join(array.axes)}; a WAV file holds time and channel")
    if frame.rate < 1 or frame.rate != round(frame.rate):
        raise ConfigError(f"{what} has {frame.rate:g} rows a second; a WAV file has a whole number of them")
    if array.data.dtype.name not in SUBTYPES:
        raise ConfigError(f"{what} has dtype {array.data.dtype}; a WAV file holds {', '.join(SUBTYPES)}")


def _path(folder: Path, stream: str, taken: list[Path]) -> Path:
    """Return the file of a stream: letters, digits and -_. of its name; it says nothing of where the file lies."""
    base = re.sub(r"[^\w-]+", "_", stream, flags=re.ASCII)[:80].strip("_") or "stream"
    path, number = folder / f"{base}.wav", 1
    while path in taken:
        number += 1
        path = folder / f"{base}-{number}.wav"
    return path
