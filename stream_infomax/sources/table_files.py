"""Tables of a folder: which can be read, which of their columns are channels, and which rows belong together."""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stream_infomax.settings.error import SettingError
from stream_infomax.sources.inventory import Entry, entry
from stream_infomax.sources.labels import BESIDE
from stream_infomax.sources.recordings import SUFFIXES as SOUND
from stream_infomax.sources.survey import Place, Surveyed
from stream_infomax.sources.survey import survey as survey_files
from stream_infomax.sources.table_columns import Reader, Run, Runs, index_of, runs_of, shown

if TYPE_CHECKING:
    from stream_infomax.sources.table import TableSettings

SUFFIXES = (".csv", ".tsv", ".txt", ".npy", ".npz", ".parquet", ".pq", ".edf", *SOUND)
ACCEPTED = f"tables: {', '.join(SUFFIXES)}"
# Rates that were taken from times may differ by so much from file to file.
ALIKE = 0.01

# What is raised by files that are not what their names say.
UNUSABLE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Table:
    """One readable file.

    Attributes
    ----------
    columns
        Which columns are the channels.
    runs
        The rows that belong together, by the columns of times and of labels.
    rate
        Rows a second, 0 where nothing says.
    """

    path: Path
    segment: str
    reader: Reader
    columns: tuple[int, ...]
    runs: Runs
    rate: float
    labels: dict[str, str]
    # For the inventory.
    key: bytes
    entry: Entry

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the channels."""
        return tuple(self.reader.names[column] for column in self.columns)

    @property
    def units(self) -> tuple[str, ...]:
        """What the channels are in."""
        return tuple(self.reader.units[column] for column in self.columns)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A run of a table: one segment."""

    table: Table
    run: Run
    segment: str
    labels: dict[str, str]

    @property
    def rows(self) -> int:
        """Rows of the segment."""
        return self.run.rows


def survey(given: TableSettings) -> Surveyed[Table]:
    """Return the tables that the settings mean; raises as `survey.survey`, and where they don't fit one another."""
    root = Path(given.path)
    found = survey_files(
        root,
        given,
        lambda place: _table(place, given),
        suffixes=SUFFIXES,
        accepted=ACCEPTED,
        what="table",
        usable="usable table",
        unusable=UNUSABLE,
        beside=root / BESIDE,  # what is called labels.csv is no table, whether it is used or not
    )
    _check_alike(found.files, given)
    return found


def read_table(path: Path, given: TableSettings) -> Reader:
    """Return the reader of a file. Raises ValueError, or what the file's library raises, where it is no table."""
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        from stream_infomax.sources.table_numpy import NumpyTable

        return NumpyTable(path, given.array, given.transposed)
    if suffix in SOUND:
        from stream_infomax.sources.table_sound import SoundTable

        return SoundTable(path)
    if suffix == ".edf":
        from stream_infomax.sources.table_edf import EdfTable

        return EdfTable(path, given.rate, given.channels)
    if suffix in (".parquet", ".pq"):
        from stream_infomax.sources.table_parquet import ParquetTable

        return ParquetTable(path)
    from stream_infomax.sources.table_csv import CsvTable

    return CsvTable(path, given.delimiter, given.decimal)


def _table(place: Place, given: TableSettings) -> Table:
    file, name = place.path, place.segment
    reader = read_table(file, given)
    time = index_of(reader, given.time, "time") if given.time else reader.clock
    label = None
    own = {}
    if given.label in reader.constants and given.label not in reader.names:
        own = {given.label: reader.constants[given.label]}
    elif given.label:
        label = index_of(reader, given.label, "label")
    columns = _channels(reader, given, {time, label})
    runs = runs_of(reader, time, label, given.time_unit)
    rate = reader.rate or runs.rate
    if given.rate and rate and abs(given.rate - rate) > ALIKE * rate:
        raise ValueError(f"it has {rate:g} rows a second, and rate = {given.rate:g}; rows are not resampled")
    labels = {**place.labels.of(name, own or label is not None), **own}
    return Table(file, name, reader, columns, runs, given.rate or rate, labels, place.key, entry(file, labels))


def _channels(reader: Reader, given: TableSettings, taken: set[int | None]) -> tuple[int, ...]:
    """Return the columns that are learnt from."""
    if given.channels:
        columns = tuple(index_of(reader, name, "channels") for name in given.channels)
        texts = [reader.names[column] for column in columns if not reader.numeric[column]]
        if texts:
            raise ValueError(f"channels: {shown(texts)} hold no numbers")
        return columns
    columns = tuple(
        number
        for number, is_number in enumerate(reader.numeric)
        if is_number and number not in taken and number not in reader.aside
    )
    if not columns:
        raise ValueError(f"it has no column of numbers left for channels; it has {shown(reader.names)}")
    return columns


def left_out(table: Table, given: TableSettings) -> Counter[str]:
    """Return what of a file is not used, by what it is."""
    counts = Counter({what: n for what, n in table.reader.left_out.items() if n})
    if given.label == "annotation":
        del counts["annotations"]
    if not given.channels:
        named = {given.time, given.label}
        for number, is_number in enumerate(table.reader.numeric):
            if not is_number and table.reader.names[number] not in named and number not in table.reader.aside:
                counts["columns without numbers"] += 1
    return counts


def stretches(tables: Sequence[Table], label: str) -> list[Stretch]:
    """Return the runs of all tables, each with its segment's name and labels."""
    found = []
    for table in tables:
        for run in table.runs.runs:
            segment = table.segment if len(table.runs.runs) == 1 else f"{table.segment}@{run.start}"
            labels = {**table.labels, label: run.label} if run.label else table.labels
            found.append(Stretch(table, run, segment, labels))
    return found


def _check_alike(tables: Sequence[Table], given: TableSettings) -> None:
    first = tables[0]
    for other in tables[1:]:
        if abs(other.rate - first.rate) > ALIKE * first.rate:
            raise SettingError(
                "rate",
                given.rate,
                "the rate of all files, or an include that fits those of one rate",
                f"{first.path} has {first.rate:g} rows a second, {other.path} has {other.rate:g}",
            )
        if len(other.columns) != len(first.columns) or (
            other.channels != first.channels and not _are_numbers(other.channels) and not _are_numbers(first.channels)
        ):
            raise SettingError(
                "channels",
                list(given.channels),
                "channels that all files have, or an include that fits files which are alike",
                f"{first.path} has {shown(first.channels)}; {other.path} has {shown(other.channels)}",
            )


def _are_numbers(names: Sequence[str]) -> bool:
    return all(name.isdecimal() for name in names)
