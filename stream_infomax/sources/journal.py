"""JournalSource: what a live source accepted, from its journal; it can be read again from any frame."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec.structs import replace

from stream_infomax.frames.contracts import LEFT_OUT, LOST, Counts, State
from stream_infomax.frames.frame import Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import Settings, make
from stream_infomax.settings.types import Doc, NotNegative

ACCEPTED = "an .mcap file of a journal, a folder of such, or a run with a journal"
LACKING = "missing in the journal, or damaged"
UNREADABLE = "files that are no part of a journal"


class JournalSourceSettings(Settings, frozen=True, kw_only=True):
    """What a live source accepted, from its journal."""

    path: Annotated[str, Doc(f"What to read: {ACCEPTED}.")]
    start: Annotated[NotNegative, Doc("The first frame, by its offset in the journal.")] = 0

    def needs(self) -> tuple[str, ...]:
        """Return the package that reads the files."""
        return ("mcap",)


@dataclass
class _Part:
    """Frames of a file whose offsets follow one another: the number of the first here, and its offset there."""

    path: Path
    number: int
    offset: int
    n_frames: int = 0


@dataclass
class _Found:
    """What one pass over all frames tells."""

    parts: list[_Part] = field(default_factory=list)
    n_frames: int = 0
    lost: int = 0
    unreadable: int = 0
    log: str = ""
    ends: dict[str, int] = field(default_factory=dict)  # of each stream, its last frame with rows
    begins: dict[int, set[str]] = field(default_factory=dict)  # where frames are missing: the segments cut in two
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    labels: dict[str, set[str]] = field(default_factory=dict)
    shapes: set[tuple[int, ...]] = field(default_factory=set)
    rates: set[float] = field(default_factory=set)

    def lacking(self) -> dict[str, int]:
        """Return how many frames are missing, and how many files cannot be read."""
        return {f"frames {LACKING}": self.lost, UNREADABLE: self.unreadable}


@configured_by(JournalSourceSettings)
class JournalSource:
    """The frames of a journal, under offsets from 0 on.

    Where frames are missing, because the disk was full or is damaged, another segment begins. The last frame of a
    stream ends it.

    Parameters
    ----------
    name
        Name of the array: that of each frame which has only one.

    Raises
    ------
    SettingError
        Where there is no journal, or nothing from `start` on.
    """

    def __init__(self, path: str | Path, *, name: str = "source", **settings: Any) -> None:
        self.given = make(JournalSourceSettings, {"path": path, **settings})
        require(*self.given.needs())
        self.name = name
        self._files = files_of(Path(self.given.path))
        self._known: _Found | None = None

    def __len__(self) -> int:
        """Return the number of frames."""
        return self._found.n_frames

    def outline(self) -> Outline:
        """Return what the journal holds."""
        found = self._found
        return Outline(
            frames=found.n_frames,
            segments=Counter(found.rows.values()),
            row=found.shapes.pop() if len(found.shapes) == 1 else None,
            rate=next(iter(found.rates)) if len(found.rates) == 1 else 0.0,
            labels={name: len(values) for name, values in found.labels.items()},
            left_out={what: n for what, n in found.lacking().items() if n},
            about=f"a journal of {len(self._files):,} files, {len(found.ends):,} streams",
        )

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from number `start` on."""
        for _, frame in self.arrivals(start):
            yield frame

    def arrivals(self, start: int = 0) -> Iterator[tuple[float, Frame]]:
        """Yield the frames from number `start` on, each with the time at which it came, in seconds."""
        from stream_infomax.journal.reading import PartReader

        found = self._found
        place = bisect_right(found.parts, start, key=lambda part: part.number) - 1
        for part in found.parts[max(0, place) :]:
            number = max(start, part.number)
            first = part.offset + number - part.number
            entries = PartReader(part.path).entries(first)
            for entry in entries:
                if entry.frame.offset >= part.offset + part.n_frames:
                    break
                if entry.frame.offset - part.offset + part.number != number:
                    raise ValueError(f"{part.path}: it changed while it was read")
                yield entry.nanoseconds / 1e9, self._given(entry.frame, number)
                number += 1

    def state(self) -> State:
        """Return the id of the log, and how much there is of it."""
        return {"log": self._found.log, "start": self.given.start, "frames": self._found.n_frames}

    def restore(self, state: State) -> None:
        """Check that the same frames are there; what came since is left out.

        Raises
        ------
        ValueError
            Where they are not.
        """
        found = self._found
        if (state["log"], state["start"]) != (found.log, self.given.start):
            raise ValueError(f"{self.given.path}: this is the journal of log {found.log}, not that of {state['log']}")
        if found.n_frames < state["frames"]:
            raise ValueError(f"{self.given.path}: {found.n_frames} frames; there were {state['frames']}")
        if found.n_frames > state["frames"]:
            self._known = self._look(int(state["frames"]))

    def counts(self) -> Counts:
        """Return the frames that are missing, and the files that cannot be read."""
        found = self._found
        return {
            "files": len(self._files),
            f"{LOST}{LACKING}": found.lost,
            f"{LEFT_OUT}{UNREADABLE}": found.unreadable,
        }

    @property
    def _found(self) -> _Found:
        if self._known is None:
            self._known = self._look()
        return self._known

    def _look(self, most: int = 0) -> _Found:
        """Read all frames once, or the first few; raises SettingError where there is none."""
        from stream_infomax.journal.stretch import Stretch

        found = _Found()
        newest: dict[str, str] = {}  # the open segment of each stream
        stretch = Stretch(self._files, self.given.start)
        for reader, entry in stretch.entries():
            found.log = found.log or reader.log
            if reader.log != found.log:
                raise SettingError("path", self.given.path, "files of one journal", f"{reader.path} is of another run")
            self._place(found, reader.path, entry.frame.offset, set(newest))
            self._take(found, entry.frame, newest)
            if found.n_frames == most:
                break
        found.lost, found.unreadable = stretch.lost, len(stretch.unreadable)
        if not found.n_frames:
            raise SettingError("start", self.given.start, f"an offset that {self.given.path} has", "no frame is there")
        return found

    def _place(self, found: _Found, path: Path, offset: int, streams: set[str]) -> None:
        """Note where the next frame stands, and whether any are missing before it."""
        before = found.parts[-1] if found.parts else None
        follows = before is not None and before.offset + before.n_frames == offset
        if before is not None and not follows:
            found.begins[found.n_frames] = streams
        if before is None or not follows or before.path != path:
            found.parts.append(_Part(path, found.n_frames, offset))
        found.parts[-1].n_frames += 1

    def _take(self, found: _Found, frame: Frame, newest: dict[str, str]) -> None:
        """Note what a frame tells."""
        for name, value in frame.labels.items():
            found.labels.setdefault(name, set()).add(value)
        for array in frame.arrays.values():
            found.ends[frame.stream] = found.n_frames
            found.rows[frame.stream, frame.segment] += array.n_rows
            found.shapes.add(array.row_shape)
            found.rates.add(frame.rate)
        newest[frame.stream] = frame.segment
        found.n_frames += 1

    def _given(self, frame: Frame, number: int) -> Frame:
        """Return a frame of the journal as one of this source."""
        arrays = dict(frame.arrays)
        if len(arrays) == 1:
            arrays = {self.name: next(iter(arrays.values()))}
        end = frame.end or self._found.ends.get(frame.stream) == number
        return replace(
            frame,
            offset=number,
            segment=self._segment(frame, number),
            arrays=arrays,
            last=frame.last or end,
            end=end,
        )

    def _segment(self, frame: Frame, number: int) -> str:
        """Return the segment of a frame: what follows missing frames is another one, for every stage to begin again."""
        from stream_infomax.journal.stretch import segment_after

        holes = sum(frame.stream in streams for place, streams in self._found.begins.items() if place <= number)
        return segment_after(frame.segment, holes)


def files_of(place: Path) -> list[Path]:
    """Return the files of a journal, oldest first.

    Raises
    ------
    SettingError
        Where there are none.
    """
    from stream_infomax.journal.mending import parts_in

    if place.is_file():
        return [place]
    folders = [place, *sorted(place.glob("*/journal"))] if place.is_dir() else []
    for folder in folders:
        if files := parts_in(folder):
            return files
    raise SettingError("path", str(place), ACCEPTED)
