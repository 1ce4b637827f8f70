"""Npz: rolling parts of what is published, as NPZ files."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.record import make
from stream_infomax.sinks import npz_file
from stream_infomax.sinks.columns import Columns, Frames
from stream_infomax.sinks.parts import PartsSettings, PartsSink


class NpzSettings(PartsSettings, frozen=True, kw_only=True):
    """Rolling parts as NPZ files: the arrays by their names, and what is known of each row and frame."""


@configured_by(NpzSettings)
class NpzSink(PartsSink):
    """Rolling parts of what is published, as NPZ files.

    Parameters
    ----------
    name
        The name of the sink.
    folder
        A folder of its own in the run folder.
    """

    suffix = "npz"

    def __init__(self, name: str, folder: Path, **settings: Any) -> None:
        super().__init__(name, folder, make(NpzSettings, settings))

    def write(self, file: IO[bytes], frames: Frames, columns: Columns, part: str) -> None:
        """Write the file of a part."""
        npz_file.write(file, frames, columns, part=part)

    def read_part(self, path: Path) -> str:
        """Return what a part says of itself."""
        return npz_file.read_part(path)
