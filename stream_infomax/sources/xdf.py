"""XdfSource: recordings of the lab streaming layer as a seekable stream."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.outline import Outline, count_values
from stream_infomax.settings.record import make
from stream_infomax.settings.types import Doc, Name, NotNegative, Positive
from stream_infomax.sources import inventory
from stream_infomax.sources.files import counted
from stream_infomax.sources.labels import BESIDE
from stream_infomax.sources.playlist import FileSettings, Playlist
from stream_infomax.sources.survey import Place, Surveyed, survey
from stream_infomax.sources.table_columns import shown

if TYPE_CHECKING:
    from stream_infomax.sources.xdf_file import Recording, Run

log = logging.getLogger(__name__)

ACCEPTED = "an XDF file (.xdf, .xdfz)"


class XdfSettings(FileSettings, frozen=True, kw_only=True):
    """Recordings of the lab streaming layer: one stream of each XDF file."""

    suffixes: ClassVar[tuple[str, ...]] = (".xdf", ".xdfz")

    path: Annotated[str, Doc("An XDF file, or a folder that is searched with its subfolders.")]
    stream: Annotated[str, Doc("Name of the stream; empty: any.")] = ""
    type: Annotated[str, Doc("Type of the stream, for example `EEG`; empty: any.")] = ""
    number: Annotated[
        NotNegative, Doc("Number of the stream in the file, where name and type do not tell streams apart; 0: any.")
    ] = 0
    markers: Annotated[
        str,
        Doc("Name of a stream of texts, each of which begins a segment and is its label; empty: there is none."),
    ] = ""
    label: Annotated[Name, Doc("Name of the label that the markers are.")] = "marker"
    frame: Annotated[Positive, Doc("Rows of one frame. The last frame of a segment is shorter.")] = 256

    def needs(self) -> tuple[str, ...]:
        """Return the package that the source needs."""
        return ("pyxdf",)


@dataclass(frozen=True, slots=True)
class Piece:
    """One segment."""

    recording: Recording
    run: Run
    segment: str
    labels: dict[str, str]

    @property
    def rows(self) -> int:
        """Rows of the segment."""
        return self.run.rows


@configured_by(XdfSettings)
class XdfSource:
    """One stream of each recording: float32, axes ("time", "channel").

    Clocks are synchronised and jitter is taken out of the times as pyxdf does both; a file begins at the second at
    which the one before it ended. Where a row is late by more than 0.1 s and one and a half rows, and at each marker, a
    segment begins. A whole file is in memory at a time.

    Parameters
    ----------
    name
        Name of the stream and of its array.

    Raises
    ------
    SettingError
        A setting that is not accepted; nothing at `path`, no usable recording; rates or channels that differ; labels
        that fit no file. Single bad files of a folder are logged, counted and passed over.
    """

    def __init__(self, path: str | Path, *, name: str = "source", **settings: Any) -> None:
        self.given = make(XdfSettings, {"path": path, **settings})
        require(*self.given.needs())
        from stream_infomax.sources import xdf_file

        self.name = name
        given = self.given
        self._choice = xdf_file.Choice(given.stream, given.type, given.number, given.markers)
        # Frames that lack rows, by reason, and why files were not read.
        self.lost: Counter[str] = Counter()
        self._unread: dict[str, str] = {}
        self._open: tuple[Path, npt.NDArray[np.float32], npt.NDArray[np.float64]] | None = None
        self.recordings, self.left_out, _ = self._survey()
        first = self.recordings[0]
        self.rate, self.channels, self.units = first.rate, first.names, first.units

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._playlist())

    def outline(self) -> Outline:
        """Return what the recordings come to."""
        playlist = self._playlist()
        segments = Counter(piece.rows for piece in playlist.pieces)
        seconds = sum(piece.run.seconds for piece in playlist.pieces)
        return Outline(
            frames=len(playlist),
            segments={n: self.given.repeat * count for n, count in segments.items()},
            row=(len(self.channels),),
            rate=self.rate,
            channels=self.channels,
            units=self.units if any(self.units) else (),
            labels=count_values(piece.labels for piece in playlist.pieces),
            about=f"{len(self.recordings):,} recordings, {playlist.rows:,} rows, {seconds:,.1f} s, "
            f"{len(self.channels):,} channels: {shown(self.channels)}",
            left_out=self._left_out(),
        )

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from offset `start` on; a file that has become unreadable gives frames without rows."""
        total = len(self)
        for piece, first, offset, played in self._playlist().places(start):
            n_frames = -(-piece.rows // self.given.frame)
            for index in range(first, n_frames):
                begin = index * self.given.frame
                rows, time = self._read(piece, begin)
                number = offset + index - first
                yield Frame(
                    stream=self.name,
                    offset=number,
                    segment=piece.segment,
                    arrays={self.name: Array(rows, ("time", "channel"))},
                    last=index == n_frames - 1,
                    end=number == total - 1,
                    time=self.given.start_time + played + time,
                    rate=self.rate,
                    labels=piece.labels,
                )

    def state(self) -> State:
        """Return the inventory of the files."""
        return inventory.to_state(inventory.of(self.recordings))

    def restore(self, state: State) -> None:
        """Leave out the recordings that are not in the inventory.

        Raises
        ------
        ValueError
            Where one that is in it is missing or has changed.
        """
        self.recordings = inventory.known(state, self.recordings, self.given.path, self.left_out)

    def counts(self) -> Counts:
        """Return the counts of files, and of what is left out of them."""
        return {"files": len(self.recordings), **counted(self._left_out())}

    def _left_out(self) -> Counter[str]:
        return sum((one.left_out for one in self.recordings), self.left_out)

    def _playlist(self) -> Playlist[Piece]:
        pieces = [piece for recording in self.recordings for piece in self._pieces(recording)]
        return Playlist(pieces, self.given.frame, self.given, lambda piece: piece.run.seconds)

    def _pieces(self, recording: Recording) -> Iterator[Piece]:
        for run in recording.runs:
            segment = recording.segment if len(recording.runs) == 1 else f"{recording.segment}@{run.start}"
            labels = {**recording.labels, self.given.label: run.label} if run.label else recording.labels
            yield Piece(recording, run, segment, labels)

    def _survey(self) -> Surveyed[Recording]:
        """Return the recordings at the path."""
        root = Path(self.given.path)
        found = survey(
            root,
            self.given,
            self._probe,
            suffixes=self.given.suffixes,
            accepted=ACCEPTED,
            what="recording",
            usable="usable recording",
            unusable=(ValueError, OSError),
            beside=root / BESIDE,
        )
        _check_alike(found.files)
        return found

    def _probe(self, place: Place) -> Recording:
        """Return what a file holds; its rows stay in memory until another one is read."""
        from stream_infomax.sources import xdf_file

        content = xdf_file.read(place.path, self._choice)
        self._open = (place.path, content.rows, content.times)
        own = place.labels.of(place.segment, bool(self.given.markers))
        form = (content.rate, content.names, content.units, content.runs, content.left_out)
        entry = inventory.entry(place.path, own)
        return xdf_file.Recording(place.path, place.segment, *form, own, place.key, entry)

    def _read(self, piece: Piece, begin: int) -> tuple[npt.NDArray[np.float32], float]:
        """Return the rows of the frame that begins at row `begin` of a segment, and its seconds within the segment."""
        start = piece.run.start + begin
        rows, times = self._content(piece.recording)
        stop = piece.run.start + min(begin + self.given.frame, piece.rows)
        if stop > len(rows):
            self.lost[self._unread.get(piece.recording.segment) or inventory.CUT] += 1
            return np.empty((0, len(self.channels)), np.float32), begin / self.rate if self.rate else 0.0
        return rows[start:stop], float(times[start]) - piece.run.begin

    def _content(self, recording: Recording) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Return the rows of a file and their times; the newest file stays in memory."""
        if self._open is None or self._open[0] != recording.path:
            from stream_infomax.sources import xdf_file

            why = self._unread[recording.segment] = inventory.why_not(recording.path, recording.entry)
            try:
                if why:
                    raise ValueError(why)
                content = xdf_file.read(recording.path, self._choice)
                if content.runs != recording.runs:
                    raise ValueError("it has changed")
                self._open = (recording.path, content.rows, content.times)
            except (ValueError, OSError) as error:
                log.warning("%s breaks off: %s", recording.path, error)
                self._open = (recording.path, np.empty((0, 0), np.float32), np.empty(0))
        return self._open[1], self._open[2]


def _check_alike(recordings: list[Recording]) -> None:
    first = recordings[0]
    for other in recordings[1:]:
        if (other.rate, other.names) != (first.rate, first.names):
            raise SettingError(
                "path",
                str(first.path.parent),
                "recordings of one rate and the same channels, or an `include` that fits those that are alike",
                f"{first.path} has {shown(first.names)} at {first.rate:g} Hz; "
                f"{other.path} has {shown(other.names)} at {other.rate:g} Hz",
            )
