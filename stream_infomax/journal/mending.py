"""The parts in the folder of a journal, those mended that a death left unfinished."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stream_infomax.journal.part import PartWriter
from stream_infomax.journal.reading import PartReader
from stream_infomax.state.file import sync_folder
from stream_infomax.state.numbered import numbered

NAME = re.compile(r"part-([0-9]{12,})\.mcap")

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Part:
    """A file of a journal: its first and last offset, its bytes, and when its newest frame came (nanoseconds)."""

    path: Path
    first: int
    last: int
    size: int
    newest: int


def part_path(folder: Path, first: int) -> Path:
    """Return the file of the part that begins with an offset."""
    return folder / f"part-{first:012}.mcap"


def parts_in(folder: Path) -> list[Path]:
    """Return the files of a journal, oldest first."""
    return [path for _, path in numbered(folder, NAME)]


def mended(folder: Path, log: str) -> list[Part]:
    """Return the parts in a folder, after completing those that a death left unfinished.

    What is damaged is left out of the new file; the old one stays, as ``*.damaged``, and a warning says what is lost.

    Raises
    ------
    ValueError
        Where one is of another log than `log`.
    OSError
        Where one can be neither read nor mended.
    """
    for left in folder.glob(".part-*.tmp"):
        left.unlink()
    parts: list[Part] = []
    for path in parts_in(folder):
        try:
            reader = PartReader(path)
        except ValueError as error:
            if path.stat().st_size:
                _put_aside(path, f"damaged at the death before: {str(error).removeprefix(f'{path}: ')}")
            else:
                path.unlink()  # its first frame was never written
            continue
        if reader.log != log:
            raise ValueError(
                f"{folder} holds the journal of another run (log {reader.log}, this is {log}): take it away, "
                f"or start afresh"
            )
        found = reader.summary()
        if found is not None and found.statistics is not None and found.statistics.message_count:
            last = reader.first + found.statistics.message_count - 1
            parts.append(Part(path, reader.first, last, path.stat().st_size, found.statistics.message_end_time))
        else:
            parts += _mend(path, reader)
    return parts


def _mend(path: Path, reader: PartReader) -> list[Part]:
    """Write the whole frames of an unfinished part into new parts, and return those."""
    made: list[tuple[Path, Part]] = []
    for writer in _copies(path, reader):
        part = Part(part_path(path.parent, writer.first), writer.first, 0, 0, writer.newest)
        part.last, part.size = writer.first + writer.n_frames - 1, writer.size
        made.append((writer.path, part))
    if reader.damage:
        newest = f"the newest frame is {made[-1][1].last}" if made else "no frame is left"
        _put_aside(path, f"damaged at the death before: {'; '.join(reader.damage)}; {newest}")
    else:
        path.unlink()
    for copy, part in made:
        copy.replace(part.path)
        part.size = part.path.stat().st_size
    sync_folder(path.parent)
    return [part for _, part in made]


def _copies(path: Path, reader: PartReader) -> Iterator[PartWriter]:
    """Write the frames of a part into files whose offsets follow one another, and yield each when it is complete."""
    writer: PartWriter | None = None
    for entry in reader.entries():
        if writer is not None and entry.frame.offset != writer.first + writer.n_frames:
            writer.close()
            yield writer
            writer = None
        if writer is None:
            copy = path.with_name(f".part-{entry.frame.offset:012}.tmp")
            writer = PartWriter(copy, reader.log, entry.frame.offset)
        writer.add(entry.frame, [bytes(part) for part in entry.parts], entry.note, entry.nanoseconds)
    if writer is not None:
        writer.close()
        yield writer


def _put_aside(path: Path, text: str) -> None:
    _log.warning("%s: %s", path, text)
    path.replace(path.with_name(f"{path.name}.damaged"))
