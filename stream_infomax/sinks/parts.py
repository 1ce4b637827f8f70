"""PartsSink: rolling parts of a stream, each a file that never changes once it is there."""

from __future__ import annotations

import logging
import os
import re
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Annotated, ClassVar

import msgspec

from stream_infomax.frames.contracts import LEFT_OUT, Counts, Held, Mark, Output, Sink, State
from stream_infomax.frames.frame import Frame
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.sink import SinkSettings
from stream_infomax.settings.types import Doc, NotNegativeFloat
from stream_infomax.sinks.borders import Borders, Part
from stream_infomax.sinks.columns import Columns, Frames
from stream_infomax.sinks.store import FrameStore
from stream_infomax.state.error import fitting
from stream_infomax.state.file import replacing
from stream_infomax.state.nesting import check_json
from stream_infomax.state.numbered import numbered

# Digits of the offset in a name: as text, too, the names are in the order of the offsets.
DIGITS = 12
# Says in the folder of the parts whose they are.
OWNER = ".parts.json"

log = logging.getLogger(__name__)


class PartsSettings(SinkSettings, frozen=True, kw_only=True):
    """Rolling parts in a folder."""

    path: Annotated[
        str,
        Doc("Folder of the parts, made where it is missing; empty: `parts` in the sink's folder in the run folder."),
    ] = ""
    arrays: Annotated[
        tuple[str, ...], Doc("The arrays to keep; empty: those of all stages but windows, and what is carried.")
    ] = ()
    part: Annotated[Memory, Doc("Bytes of its frames with which a part is complete.")] = Memory("64 MiB")
    part_seconds: Annotated[
        NotNegativeFloat, Doc("Seconds of data with which a part is complete; 0: its bytes alone say.")
    ] = 60.0
    keep: Annotated[
        Memory, Doc("What the files of all parts take at most: the oldest are removed; 0: none is for its size.")
    ] = Memory(0)
    keep_seconds: Annotated[
        NotNegativeFloat,
        Doc("Parts are removed that have so many seconds of data behind them; 0: none is for its age."),
    ] = 0.0

    def __post_init__(self) -> None:
        if not self.part:
            raise SettingError("part", self.part, "more than 0 B")
        if Path(self.path).suffix in (".npz", ".parquet"):
            raise SettingError("path", self.path, "a folder of parts; --save-features FILE writes one file")

    def wants(self, kept: Sequence[str]) -> tuple[str, ...]:
        """Return the arrays to keep."""
        return self.arrays or tuple(kept)

    def try_out(self) -> None:
        """Check that the folder can be made, or written."""
        place = Path(self.path).absolute() if self.path else None
        while place is not None and not place.exists():
            place = place.parent
        if place is not None and not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            raise SettingError("path", self.path, "a folder that is there and can be written, or can be made")


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a part says of itself: its first offset, the one after its last, and how many seconds of data it holds."""

    first: int
    next: int
    seconds: float


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose parts a folder takes: those of a log and a sink."""

    log: str
    sink: str


class PartsSink(Sink):
    """Rolling parts. Frames are spooled in the sink's folder until a part is complete, then written as one file.

    A part is complete by what its frames say alone. It is there under its name once all of it is on the disk, and then
    a checkpoint moves on from it. So after any death the parts are those of a run without one, to the last bit.

    Parameters
    ----------
    name
        The name of the sink.
    folder
        A folder of its own in the run folder.
    settings
        The settings.
    """

    suffix: ClassVar[str]

    def __init__(self, name: str, folder: Path, settings: PartsSettings) -> None:
        settings.try_out()
        self.name = name
        self.settings = settings
        self.folder = Path(settings.path) if settings.path else folder / "parts"
        self._pattern = re.compile(rf"part-([0-9]{{{DIGITS},}})\.{self.suffix}")
        self._spool = FrameStore(folder, name)
        self.account = self._spool.account
        self._borders = Borders(int(settings.part), settings.part_seconds)
        self._begun = 0  # the first offset that is in no part
        self._parts = self._removed = self._first = 0
        self._saved = 0, 0  # what the newest checkpoint has of `_begun` and `_first`
        # Of each part that may be removed one day: its first offset, bytes and seconds.
        self._there: deque[tuple[int, int, float]] = deque()
        self._ready = self._owned = False
        self._damaged: set[Path] = set()

    @abstractmethod
    def write(self, file: IO[bytes], frames: Frames, columns: Columns, part: str) -> None:
        """Write the file of a part, which says `part` of itself."""

    @abstractmethod
    def read_part(self, path: Path) -> str:
        """Return what a part says of itself. Raises ValueError, OSError or KeyError where it says nothing."""

    @property
    def due(self) -> bool:
        """Whether a part is complete, or enough has come together to be spooled."""
        return bool(self._borders.complete) or self._spool.due

    def accept(self, output: Output) -> None:
        """Keep a frame until the next `save`; one that is on disk already is passed over."""
        self._begin(output.log)
        if output.frame.offset < self._spool.next:
            self._spool.accept(output)  # which passes over it
            return
        kept = self._kept(output)
        self._spool.accept(kept)
        self._borders.add(kept.frame, sum(map(len, kept.parts)))

    def save(self, mark: Mark) -> State:
        """Spool what came since the last time, and write the parts that are complete.

        Raises
        ------
        ValueError
            Where the folder holds parts of another run.
        StateFileError
            Where the disk does not take it.
        """
        self._begin(mark.log)
        self._claim(mark.log)
        self._spool.save(mark)
        self.next = self._spool.next
        if mark.finished:
            self._borders.end()
        while self._borders.complete:
            self._write(self._borders.complete[0])
            del self._borders.complete[0]
        self._saved = self._begun, self._first
        return {
            "begun": self._begun,
            "first": self._first,
            "parts": self._parts,
            "removed": self._removed,
            "columns": self._borders.before.state(),
        }

    def restore(self, state: State, mark: Mark) -> None:
        """Go on behind what is in parts."""
        self._begun, self._first = state["begun"], state["first"]
        self._parts, self._removed = state["parts"], state["removed"]
        columns = Columns()
        columns.restore(state["columns"])
        self._borders.begin(columns)
        self._spool.next = max(self._spool.next, self._begun)
        self._spool.restore({}, mark)
        self._begin(mark.log)
        self._saved = self._begun, self._first
        self.committed()

    def committed(self) -> None:
        """Remove what is not needed any more: the spooled frames of parts, and parts that are too old."""
        begun, first = self._saved
        self._spool.forget(begun)
        for number, path in self._paths() if first else ():
            if number >= first:
                break
            path.unlink(missing_ok=True)

    def counts(self) -> Counts:
        """Return the parts that were written, and those of them that were removed."""
        damaged = {f"{LEFT_OUT}damaged files": len(self._damaged)} if self._damaged else {}
        return {"parts": self._parts, "parts removed": self._removed, **damaged, **self._spool.counts()}

    def in_flight(self) -> Mapping[str, int]:
        """Return the frames of each stream that are not on disk yet."""
        return self._spool.in_flight()

    def held(self) -> Held:
        """Return what is not on disk yet."""
        return self._spool.held()

    @property
    def _retains(self) -> bool:
        return bool(self.settings.keep or self.settings.keep_seconds)

    def _kept(self, output: Output) -> Output:
        """Return the frame with the arrays that are kept."""
        wanted = self.settings.arrays
        arrays = {name: array for name, array in output.frame.arrays.items() if not wanted or name in wanted}
        if len(arrays) == len(output.frame.arrays):
            return output
        return Output(msgspec.structs.replace(output.frame, arrays=arrays), output.log, output.origin)

    def _begin(self, log: str) -> None:
        """Find out, once, what there is already: parts, and the frames of the part that had begun."""
        if self._ready:
            return
        self._ready = True
        self.folder.mkdir(parents=True, exist_ok=True)
        self._claim(log or self._spool.log)
        for left in self.folder.glob(f".part-*.{self.suffix}.tmp"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)
        there = self._paths()
        newest = next((about for _, path in reversed(there) if (about := self._about(path)) is not None), None)
        if newest is not None and newest.next > self._spool.next:  # the checkpoint behind it was damaged
            self._parts += sum(number >= self._begun for number, _ in there)
            self._begun = self._spool.next = newest.next
        for number, path in there if self._retains else ():
            if self._first <= number < self._begun:
                about = self._about(path)
                self._there.append((number, path.stat().st_size, about.seconds if about else 0.0))
        self.next = self._spool.next
        for frame, n_bytes in self._spool.sized(self._begun):
            self._borders.add(frame, n_bytes)

    def _claim(self, log: str) -> None:
        """Note whose parts the folder takes. Raises ValueError where it takes those of another run or sink."""
        if not log or self._owned:
            return
        own, path = Owner(log=log, sink=self.name), self.folder / OWNER
        try:
            content = path.read_bytes()
            check_json(content)
            owner = msgspec.json.decode(content, type=Owner)
        except FileNotFoundError:
            owner = None
        except ValueError as error:
            raise ValueError(f"{path} does not say whose parts the folder takes: {error}") from error
        if owner is None and not self._paths():
            with replacing(path) as file:
                file.write(msgspec.json.encode(own))
        elif owner != own:
            whose = f"sink {owner.sink!r}, log {owner.log}" if owner else f"nobody knows whose: {OWNER} is missing"
            raise ValueError(
                f"{self.folder} has parts of another run or sink ({whose}): choose an empty folder, or take them away"
            )
        self._owned = True

    def _about(self, path: Path) -> About | None:
        """Return what a part says of itself; None where it is damaged, which is told once."""
        try:
            with fitting(str(path)):
                text = self.read_part(path)
                check_json(text.encode())
                return msgspec.json.decode(text, type=About)
        except (ValueError, OSError) as error:
            if path not in self._damaged:
                self._damaged.add(path)
                log.warning("a damaged part, which is left as it is: %s", error)
        return None

    def _write(self, part: Part) -> None:
        path = self.folder / f"part-{part.first:0{DIGITS}}.{self.suffix}"
        if not path.exists():  # else it was there before a death
            about = About(first=part.first, next=part.next, seconds=part.seconds)

            def frames() -> Iterator[Frame]:
                return self._spool.frames(part.first, part.next)

            with replacing(path, path.with_name(f".{path.name}.tmp")) as file:
                self.write(file, frames, part.columns, msgspec.json.encode(about).decode())
        self._begun = part.next
        self._parts += 1
        if self._retains:
            self._there.append((part.first, path.stat().st_size, part.seconds))
            self._retain()

    def _retain(self) -> None:
        """Say which parts are too many or too old; they are removed after the checkpoint."""
        given = self.settings
        n_bytes = sum(size for _, size, _ in self._there)
        seconds = sum(length for _, _, length in self._there)
        while len(self._there) > 1:
            _, size, length = self._there[0]
            too_old = given.keep_seconds and seconds - length >= given.keep_seconds
            if not (too_old or (given.keep and n_bytes > given.keep)):
                break
            self._there.popleft()
            n_bytes, seconds = n_bytes - size, seconds - length
            self._removed += 1
            self._first = self._there[0][0]

    def _paths(self) -> list[tuple[int, Path]]:
        return numbered(self.folder, self._pattern)
