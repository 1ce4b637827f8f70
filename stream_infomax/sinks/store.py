"""FrameStore: frames in a folder, in parts. A part is written before the checkpoint that moves on from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Held, Mark, Output, Sink, State
from stream_infomax.frames.frame import Frame
from stream_infomax.state import file as state_file
from stream_infomax.state.numbered import next_number, numbered
from stream_infomax.transport.log import pack, unpack

_NAME = re.compile(r"part-([0-9]+)\.safetensors")
# Each part is held in memory once while the run goes on, and once when a file is made of all of them.
PART_FRAMES = 512
PART_BYTES = 16 << 20


class FrameStore(Sink):
    """Frames in a folder, in parts.

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
        self.next = 0
        self.log = ""
        self.finished = False
        self._frames: list[tuple[int, list[bytes]]] = []
        self._n_bytes = 0
        # The offset after the last one in each file, as far as it is known.
        self._ends: dict[Path, int] = {}
        folder.mkdir(parents=True, exist_ok=True)
        parts = self._paths()
        if parts:
            newest = state_file.load(parts[-1])
            self.next, self.log, self.finished = newest["next"], newest["log"], newest["finished"]

    @property
    def due(self) -> bool:
        """Whether enough has come together for a part."""
        return len(self._frames) >= PART_FRAMES or self._n_bytes >= PART_BYTES

    def accept(self, output: Output) -> None:
        """Keep a frame until the next `save`; one that is on disk already is passed over."""
        if output.frame.offset < self.next:
            return
        self._frames.append((output.frame.offset, output.parts))
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
        self._frames.clear()
        self._n_bytes = 0
        self.next, self.finished = mark.next, mark.finished
        return {}

    def held(self) -> Held:
        """Return what is not on disk yet."""
        return Held(frames=len(self._frames), bytes=self._n_bytes, fill=min(1.0, self._n_bytes / PART_BYTES))

    def messages(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, list[bytes]]]:
        """Yield offset and bytes of the frames on disk from `start` on and before `stop`."""
        for path in self._paths():
            if self._ends.get(path, start + 1) <= start:
                continue
            part = state_file.load(path)
            self._ends[path] = part["next"]
            for offset, parts in unpack(part["frames"]):
                if stop is not None and offset >= stop:
                    return
                if offset >= start:
                    yield offset, parts

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield the frames on disk from `start` on and before `stop`."""
        for _, parts in self.messages(start, stop):
            yield wire.decode(parts)

    def forget(self, before: int) -> None:
        """Remove the files that hold nothing from the offset `before` on."""
        for path in self._paths():
            if path not in self._ends:
                self._ends[path] = state_file.load(path)["next"]
            if self._ends[path] > before:
                break
            path.unlink(missing_ok=True)
            del self._ends[path]

    def _paths(self) -> list[Path]:
        return [path for _, path in numbered(self.folder, _NAME)]


def holds_frames(folder: Path) -> bool:
    """Return whether a store has written into a folder."""
    return folder.is_dir() and bool(numbered(folder, _NAME))


def keep_before(source: Path, target: Path, offset: int, log: str) -> FrameStore:
    """Return a store in `target` with the frames before `offset` of the one in `source`, under another log's id."""
    store = FrameStore(target, target.name)
    for _, path in numbered(source, _NAME):
        part = state_file.load(path)
        stop = min(int(part["next"]), offset)
        frames = [(number, parts) for number, parts in unpack(part["frames"]) if store.next <= number < stop]
        tree = {"log": log, "next": stop, "finished": False, "frames": pack(frames)}
        state_file.save(target / path.name, tree)
        store.next, store.log = stop, log
        if stop == offset:
            break
    return store
