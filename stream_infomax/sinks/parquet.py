"""Parquet: rolling parts of what is published, as tables that pandas, DuckDB and others read."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.extras import require
from stream_infomax.settings.record import make
from stream_infomax.sinks.columns import Columns, Frames
from stream_infomax.sinks.parts import PartsSettings, PartsSink


class ParquetSettings(PartsSettings, frozen=True, kw_only=True):
    """Rolling parts as Parquet files: a line for each row, with its time and a column for each feature."""

    def needs(self) -> tuple[str, ...]:
        """Return the package that writes them."""
        return ("pyarrow",)


@configured_by(ParquetSettings)
class ParquetSink(PartsSink):
    """Rolling parts of what is published, as Parquet files.

    Parameters
    ----------
    name
        The name of the sink.
    folder
        A folder of its own in the run folder.
    """

    suffix = "parquet"

    def __init__(self, name: str, folder: Path, **settings: Any) -> None:
        require("pyarrow")
        super().__init__(name, folder, make(ParquetSettings, settings))

    def write(self, file: IO[bytes], frames: Frames, columns: Columns, part: str) -> None:
        """Write the file of a part."""
        from stream_infomax.sinks import parquet_file

        parquet_file.write(file, frames, columns, part=part)

    def read_part(self, path: Path) -> str:
        """Return what a part says of itself."""
        from stream_infomax.sinks import parquet_file

        return parquet_file.read_part(path)
