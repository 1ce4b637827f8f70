"""TableSource: rows of numbers in a file or folder (arrays, CSV, Parquet, EDF, recordings) as a seekable stream."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.outline import Outline, count_values
from stream_infomax.settings.record import make
from stream_infomax.settings.types import Doc, NotNegativeFloat, Positive, PositiveFloat
from stream_infomax.sources import inventory
from stream_infomax.sources.files import counted
from stream_infomax.sources.labels import beside
from stream_infomax.sources.playlist import FileSettings, Playlist, cut
from stream_infomax.sources.table_columns import check_missing, shown
from stream_infomax.sources.table_files import ACCEPTED, SUFFIXES, UNUSABLE, Stretch, Table, left_out, stretches, survey

log = logging.getLogger(__name__)

# Columns with these names are times, most of the time.
TIMES = ("time", "timestamp", "datetime", "date", "seconds")


class TableSettings(FileSettings, frozen=True, kw_only=True):
    """A file or folder of tables: rows of numbers."""

    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES

    path: Annotated[
        str,
        Doc(
            "A table (CSV, `.npy`, `.npz`, Parquet, EDF, or a recording of which all channels are kept), or a folder "
            "that is searched with its subfolders. What is left out is counted; `labels.csv` is no table."
        ),
    ]
    rate: Annotated[
        NotNegativeFloat,
        Doc(
            "Rows a second; 0: what the file says, or its column of times. Where neither does, rows have no time, "
            "which only log-mel windows need. Of an EDF file with several rates, that of the channels to use."
        ),
    ] = 0.0
    channels: Annotated[
        tuple[str | int, ...],
        Doc("Names of the columns to use, or their numbers from 0 on; empty: all that hold numbers."),
    ] = ()
    time: Annotated[
        str,
        Doc(
            "The column of times, by name or number: seconds, or dates. It gives the rate, and a gap (a step back, or "
            "of more than ten usual ones) begins another segment."
        ),
    ] = ""
    time_unit: Annotated[PositiveFloat, Doc("Seconds of one unit of the column of times; 0.001 for milliseconds.")] = (
        1.0
    )
    label: Annotated[
        str,
        Doc(
            "A column whose text is the row's label, under the column's name. Rows that follow one another with the "
            "same label are a segment. In EDF files `annotation` is such a column."
        ),
    ] = ""
    scale: Annotated[
        tuple[float, ...], Doc("What numbers are multiplied with: one for all channels, or one for each.")
    ] = ()
    units: Annotated[
        tuple[str, ...],
        Doc("What the scaled numbers are in, one for all channels or one each; empty: as the file says."),
    ] = ()
    missing: Annotated[
        tuple[float, ...],
        Doc("Numbers that stand for no value, for example -9999. They become NaN, as empty cells and NA do."),
    ] = ()
    delimiter: Annotated[str, Doc("What separates the cells of a CSV file; empty: found out.")] = ""
    decimal: Annotated[Literal["", ".", ","], Doc("The decimal sign of a CSV file; empty: found out.")] = ""
    array: Annotated[
        str, Doc("The member of an .npz archive that holds the rows; empty: the only one that can be.")
    ] = ""
    transposed: Annotated[bool, Doc("Whether arrays are (channels, rows) instead of (rows, channels).")] = False
    frame: Annotated[Positive, Doc("Rows of one frame. The last frame of a segment is shorter.")] = 256

    def needs(self) -> tuple[str, ...]:
        """Return the packages that the source needs."""
        suffix = self.path.rpartition(".")[2].lower()
        return {"parquet": ("pyarrow",), "pq": ("pyarrow",), "edf": ("edfio",)}.get(suffix, ())


@configured_by(TableSettings)
class TableSource:
    """Rows of tables, file after file, each file one segment, or as many as its labels and gaps make.

    Files are read in blocks. What is in them is settled once: ``frames(start)`` gives the same frames from any offset
    on. Rows keep their place: what cannot be read as a number is NaN, and counted.

    Parameters
    ----------
    name
        Name of the stream and of its array.

    Attributes
    ----------
    channels
        The names of the columns that are used.
    units
        What each of them is in; empty where nothing says.

    Raises
    ------
    SettingError
        A setting that is not accepted; nothing at `path`, no usable table; rates or channels that differ; labels that
        fit no file. Single bad files of a folder are logged, counted and passed over.
    """

    def __init__(self, path: str | Path, *, name: str = "source", **settings: Any) -> None:
        given = make(TableSettings, {"path": path, **settings})
        if not given.path:
            raise SettingError("path", "", f"{ACCEPTED}, or a folder of them", "empty")
        require(*given.needs())
        self.name = name
        self.given = given
        self.tables, self.left_out, self.without_label = survey(given)
        self._beside = "" if given.labels or given.labels_csv else beside(Path(given.path))
        first = self.tables[0]
        self.rate = first.rate
        self.channels = first.channels
        self.units = self._one_each("units", given.units) or first.units
        scale = self._one_each("scale", given.scale)
        self._scale = np.array(scale) if scale else None
        self._marks: Counter[str] = Counter()  # rows of each file until which what is counted was counted
        self._counts: Counter[str] = Counter()
        self._broken: set[str] = set()
        # Frames that lack rows, by reason, and why files were not read.
        self.lost: Counter[str] = Counter()
        self._unread: dict[str, str] = {}

    def _one_each(self, key: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        n_channels = len(self.channels)
        if len(values) not in (0, 1, n_channels):
            raise SettingError(key, list(values), f"one for all channels, or one for each of {n_channels}")
        return values * n_channels if len(values) == 1 else values

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._playlist())

    def outline(self) -> Outline:
        """Return what the tables come to."""
        playlist = self._playlist()
        segments = Counter(stretch.rows for stretch in playlist.pieces)
        seconds = f", {playlist.rows / self.rate:,.1f} s" if self.rate else ""
        units = f" ({shown(sorted(set(self.units)))})" if any(self.units) else ""
        return Outline(
            frames=len(playlist),
            segments={n: self.given.repeat * count for n, count in segments.items()},
            row=(len(self.channels),),
            rate=self.rate,
            channels=self.channels,
            units=self.units if any(self.units) else (),
            labels=count_values(stretch.labels for stretch in playlist.pieces),
            about=f"{len(self.tables):,} tables, {playlist.rows:,} rows{seconds}, "
            f"{len(self.channels):,} channels{units}: {shown(self.channels)}",
            left_out=self._left_out(),
            warning="; ".join(filter(None, (self._beside, self._suspect()))),
        )

    def _suspect(self) -> str:
        suspects = [one for one in self.channels if one.lower().split(" ")[0] in TIMES]
        if not suspects:
            return ""
        return f"the column {suspects[0]} is used as a channel; where it is a time: time = {suspects[0]!r}"

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from offset `start` on: float32, axes ("time", "channel").

        A file that has become unreadable gives frames without rows from there on.
        """
        total = len(self)
        reel = _Reel(self)
        for stretch, first, offset, played in self._playlist().places(start):
            n_frames = -(-stretch.rows // self.given.frame)
            for index in range(first, n_frames):
                begin = index * self.given.frame
                yield Frame(
                    stream=self.name,
                    offset=offset + index - first,
                    segment=stretch.segment,
                    arrays={self.name: Array(reel.read(stretch, begin), ("time", "channel"))},
                    last=index == n_frames - 1,
                    end=offset + index - first == total - 1,
                    time=self._time(stretch, begin, played),
                    rate=self.rate,
                    labels=stretch.labels,
                )

    def _time(self, stretch: Stretch, begin: int, played: float) -> float:
        """Return the time of a row of a stretch: its own, or as if the files followed one another."""
        if not self.rate:
            return self.given.start_time
        if not stretch.table.runs.rate:
            return self.given.start_time + (played + begin) / self.rate
        time = stretch.table.runs.time_of(stretch.run, stretch.run.start + begin, self.rate)
        return self.given.start_time + (time if np.isfinite(time) else 0.0)

    def state(self) -> State:
        """Return the inventory of the files."""
        return inventory.to_state(inventory.of(self.tables))

    def restore(self, state: State) -> None:
        """Leave out the tables that are not in the inventory.

        Raises
        ------
        ValueError
            Where one that is in it is missing or has changed.
        """
        self.tables = inventory.known(state, self.tables, self.given.path, self.left_out)

    def counts(self) -> Counts:
        """Return the counts of files, of what is left out of them, and of cells that are no number."""
        return {
            "files": len(self.tables),
            "files without label": self.without_label,
            "gaps in time": sum(table.runs.gaps for table in self.tables),
            **counted(self._left_out() + self._counts),
        }

    def _left_out(self) -> Counter[str]:
        return sum((left_out(table, self.given) for table in self.tables), self.left_out)

    def _playlist(self) -> Playlist[Stretch]:
        return Playlist(stretches(self.tables, self.given.label), self.given.frame, self.given)

    def _blocks(self, table: Table, start: int) -> Iterator[npt.NDArray[np.float32]]:
        """Yield a table's rows from `start` on, in blocks of any length; a file that has become unreadable ends."""
        counts: Counter[str] = Counter()
        place = start
        self._unread[table.segment] = inventory.why_not(table.path, table.entry)
        if self._unread[table.segment]:
            return
        try:
            for block in table.reader.blocks(table.columns, start, table.reader.rows, counts):
                if place >= self._marks[table.segment]:  # each cell is counted once, however often it is read
                    self._counts += counts
                    self._marks[table.segment] = place + len(block)
                counts.clear()
                place += len(block)
                values = check_missing(block, self.given.missing)
                with np.errstate(over="ignore", invalid="ignore"):  # infinities pass; the learner sets them aside
                    rows = (values if self._scale is None else values * self._scale).astype(np.float32)
                yield rows
        except UNUSABLE as error:
            log.warning("%s: %s", table.path, error)


class _Reel:
    """Where a source reads: stretches that follow one another in a file are read in one go."""

    def __init__(self, source: TableSource) -> None:
        self.source = source
        self.table: Table | None = None
        self.next = 0
        self.sizes: deque[int] = deque()
        self.rows: Iterator[npt.NDArray[Any] | None] = iter(())

    def read(self, stretch: Stretch, begin: int) -> npt.NDArray[np.float32]:
        """Return the rows of the frame that begins at row `begin` of a stretch."""
        source, start = self.source, stretch.run.start + begin
        if stretch.table is not self.table or start != self.next:
            self.table, self.next = stretch.table, start
            self.rows = cut(source._blocks(stretch.table, start), iter(self.sizes.popleft, None))
        size = min(source.given.frame, stretch.rows - begin)
        self.sizes.append(size)
        rows = next(self.rows)
        self.next += size
        if rows is None:
            rows = np.empty((0, len(source.channels)), np.float32)
        if len(rows) < size:
            source.lost[source._unread.get(stretch.table.segment) or inventory.CUT] += 1
        if len(rows) < size and stretch.table.segment not in source._broken:
            log.warning("%s breaks off at row %d", stretch.table.path, start + len(rows))
            source._broken.add(stretch.table.segment)
        return rows
