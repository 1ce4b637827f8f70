"""FrameStore: frames in a folder, in parts. A part is written before the checkpoint that moves on from it."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import LEFT_OUT, LOST, Counts, Held, Mark, Output, Sink, State
from stream_infomax.frames.frame import Frame, FrameError
from stream_infomax.frames.ledger import BEFORE, Account
from stream_infomax.state import file as state_file
from stream_infomax.state.error import StateFileError, readable
from stream_infomax.state.numbered import next_number, numbered
from stream_infomax.transport.log import pack, unpack

_NAME = re.compile(r"part-([0-9]+)\.safetensors")
# Each part is held in memory once while the run goes on, and once when a file is made of all of them.
PART_FRAMES = 512
IN_DAMAGED_PARTS = "in damaged parts"
PART_BYTES = 16 << 20

log = logging.getLogger(__name__)

# Offset and bytes of each frame.
Messages: TypeAlias = list[tuple[int, list[bytes]]]


class Part(msgspec.Struct, frozen=True):
    """A file of a store: frames of a log up to the offset `next`, packed, and whether the stream ended there."""

    log: str
    next: int
    finished: bool
    frames: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> tuple[Part, Messages]:
        """Return what a file holds, and its frames. Raises StateFileError where it is damaged, or no part."""
        with readable(path):
            part = msgspec.convert(state_file.load(path), cls)
            return part, unpack(part.frames)


class FrameStore(Sink):
    """Frames in a folder, in parts.

    A part that is damaged is passed over: it is named in the log, and counted with its frames. The others are kept.

    Parameters
    ----------
    folder
        Made where it is missing; what it holds is continued.
    name
        The name of the sink.

    Attributes
    ----------
    log
        The log that they come from.
    finished
        Whether the stream had ended.
    """

    def __init__(self, folder: Path, name: str = "recorder") -> None:
        self.folder = folder
        self.name = name
        self.account: Account = Account(name, "sink", "frames")
        self.next = 0
        self.log = ""
        self.finished = False
        self._frames: list[tuple[int, list[bytes]]] = []
        self._streams: Counter[str] = Counter()  # of these frames
        self._n_bytes = 0
        # The offset after the last one in each file, as far as it is known.
        self._ends: dict[Path, int] = {}
        # Of each damaged file, and of each frame in one that is whole but none: how many frames it lacks.
        self._damaged: dict[Path | int, int] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for path in reversed(self._paths()):
            newest = self._read(path)
            if newest is not None:
                self.next, self.log, self.finished = newest[0].next, newest[0].log, newest[0].finished
                break

    @property
    def due(self) -> bool:
        """Whether enough has come together for a part."""
        return len(self._frames) >= PART_FRAMES or self._n_bytes >= PART_BYTES

    def accept(self, output: Output) -> None:
        """Keep a frame until the next `save`; one that is on disk already is passed over."""
        if output.frame.offset < self.next:
            self.account.set_aside(output.frame.stream, BEFORE)
            return
        self._frames.append((output.frame.offset, output.parts))
        self._streams[output.frame.stream] += 1
        self._n_bytes += sum(map(len, output.parts))

    def save(self, mark: Mark) -> State:
        """Write what came since the last time.

        Raises
        ------
        ValueError
            Where what lies in the folder is of another log.
        StateFileError
            Where the disk does not take it.
        """
        if self.log and mark.log and self.log != mark.log:
            raise ValueError(f"{self.folder} holds frames of log {self.log}, these are of {mark.log}: runs do not mix")
        self.log = mark.log
        if mark.next <= self.next and (self.finished or not mark.finished):
            return {}  # it was further when it died
        tree = {"log": mark.log, "next": mark.next, "finished": mark.finished, "frames": pack(self._frames)}
        path = self.folder / f"part-{next_number(numbered(self.folder, _NAME), 0):06d}.safetensors"
        state_file.save(path, tree)
        self._ends[path] = mark.next
        for stream, n in self._streams.items():
            self.account.process(stream, n)
        self._streams.clear()
        self._frames.clear()
        self._n_bytes = 0
        self.next, self.finished = mark.next, mark.finished
        return {}

    def restore(self, state: State, mark: Mark) -> None:
        """Go on behind the checkpoint: what it moved on from and is not there was in a part that is damaged."""
        if mark.next > self.next:
            newest = max((path for path in self._damaged if isinstance(path, Path)), default=self.folder)
            self._damaged[newest] = mark.next - self.next
            self.next, self.log = mark.next, mark.log

    def counts(self) -> Counts:
        """Return the parts that are damaged, and the frames that are missing for that, as far as they are known."""
        parts = sum(isinstance(path, Path) for path in self._damaged)
        counts = {f"{LEFT_OUT}damaged parts": parts, f"{LOST}{IN_DAMAGED_PARTS}": sum(self._damaged.values())}
        return {what: count for what, count in counts.items() if count}

    def in_flight(self) -> Mapping[str, int]:
        """Return the frames of each stream that are not on disk yet."""
        return self._streams

    def held(self) -> Held:
        """Return what is not on disk yet."""
        return Held(frames=len(self._frames), bytes=self._n_bytes, fill=min(1.0, self._n_bytes / PART_BYTES))

    def sized(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Frame, int]]:
        """Yield the frames on disk from `start` on and before `stop`, each with its bytes."""
        end, damaged = start, None
        for path in self._paths():
            if self._ends.get(path, start + 1) <= start:
                continue
            found = self._read(path)
            if found is None:
                damaged = path
                continue
            for offset, parts in found[1]:
                if damaged is not None:
                    self._damaged[damaged], damaged = max(self._damaged[damaged], offset - end), None
                if stop is not None and offset >= stop:
                    return
                if offset >= start and (frame := self._frame(offset, parts)) is not None:
                    yield frame, sum(map(len, parts))
            end = found[0].next

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield the frames on disk from `start` on and before `stop`."""
        for frame, _ in self.sized(start, stop):
            yield frame

    def forget(self, before: int) -> None:
        """Remove the files that hold nothing from the offset `before` on, and damaged ones before them."""
        gone = []
        for path in self._paths():
            if path not in self._ends and self._read(path) is None:
                gone.append(path)
                continue
            if self._ends[path] > before:
                break
            for old in (*gone, path):
                old.unlink(missing_ok=True)
                self._ends.pop(old, None)
            gone.clear()

    def _read(self, path: Path) -> tuple[Part, Messages] | None:
        """Return what a file holds, None for a damaged one."""
        try:
            found = Part.read(path)
        except StateFileError as error:
            if path not in self._damaged:
                self._damaged[path] = 0
                log.warning("%s; it is passed over, and what it held is missing", error)
            return None
        self._ends[path] = found[0].next
        return found

    def _frame(self, offset: int, parts: list[bytes]) -> Frame | None:
        """Return a frame, None where the bytes are none."""
        try:
            return wire.decode(parts)
        except FrameError as error:
            if offset not in self._damaged:
                self._damaged[offset] = 1
                log.warning("%s: frame %d is passed over: %s", self.folder, offset, error)
            return None

    def _paths(self) -> list[Path]:
        return [path for _, path in numbered(self.folder, _NAME)]


def holds_frames(folder: Path) -> bool:
    """Return whether a store has written into a folder."""
    return folder.is_dir() and bool(numbered(folder, _NAME))


def keep_before(source: Path, target: Path, offset: int, log_id: str) -> FrameStore:
    """Return a store in `target` with the frames before `offset` of the one in `source`, under another log's id."""
    store = FrameStore(target, target.name)
    kept = FrameStore(source, target.name)
    for _, path in numbered(source, _NAME):
        found = kept._read(path)
        if found is None:
            continue
        stop = min(found[0].next, offset)
        frames = [(number, parts) for number, parts in found[1] if store.next <= number < stop]
        tree = {"log": log_id, "next": stop, "finished": False, "frames": pack(frames)}
        state_file.save(target / path.name, tree)
        store.next, store.log = stop, log_id
        if stop == offset:
            break
    return store
