"""Journal: the frames of a log on disk, in parts that are MCAP files."""

from __future__ import annotations

import errno
import logging
import math
import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from stream_infomax.frames.contracts import LEFT_OUT, Counts
from stream_infomax.frames.frame import Frame
from stream_infomax.journal.mending import Part, mended, part_path
from stream_infomax.journal.part import PartWriter
from stream_infomax.journal.reading import Entry, PartReader
from stream_infomax.journal.reserved import Reserved
from stream_infomax.journal.settings import JournalSettings
from stream_infomax.settings.memory import LARGEST, Memory

# What a disk says that takes no more.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Seconds between two tries on a disk that is full.
RETRY = 1.0
# Offsets that are reserved ahead: those of so many intervals of flushing, and some at least.
INTERVALS_AHEAD = 4
AHEAD = 16
# A part is complete after this share of the seconds that parts are kept: so the oldest goes soon after its time.
SHARE = 1 / 8

_log = logging.getLogger(__name__)


class Journal:
    """The frames of a log on disk, oldest first.

    A frame is in the file when `append` returns: a death of the process loses nothing. A death of the machine loses at
    most what came in the last `flush_seconds`. Each part holds offsets that follow one another; between parts some may
    be missing.

    Parameters
    ----------
    folder
        Of the parts, made where it is missing. What a life before left unfinished is mended.
    log
        The id of the log.
    settings
        The settings.
    spare
        Bytes that stay free on the disk beside those of a part: for the checkpoints of all that read the log.

    Attributes
    ----------
    full
        Why the disk takes nothing now; empty where it does.
    following
        The first offset that a new frame may have: after a death of the machine readers may have frames that are not
        in the journal.

    Raises
    ------
    ValueError
        Where the folder holds frames of another log.
    OSError
        Where it cannot be read or written.
    """

    def __init__(self, folder: Path, log: str, settings: JournalSettings, spare: int = 0) -> None:
        self.folder = folder
        self.log = log
        self.settings = settings
        self._spare = spare
        self.full = ""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._parts = mended(folder, log)
        self._reserved = Reserved(folder)
        self.following = self._reserved.first_free(self.newest)
        self._flushed = self.newest  # the newest offset when it was last flushed
        self._writer: PartWriter | None = None
        self._damaged: set[int] = set()
        self._again = 0.0  # when a full disk is tried again
        self._needed = 0  # what is not committed begins here
        self._missing = 0
        self._removed = 0
        self._begun = 0.0  # of the part that is written
        self._dirty = 0.0  # since when something is written that is perhaps not on the disk; 0: all is
        self._flusher = ThreadPoolExecutor(1, "flush")
        self._flushing: Future[None] | None = None
        self._closing: Future[None] | None = None

    @property
    def first(self) -> int:
        """The oldest offset that is there, that after the newest where none is."""
        return self._parts[0].first if self._parts else 0

    @property
    def newest(self) -> int:
        """The newest offset that is there, -1 where none is."""
        return self._parts[-1].last if self._parts else -1

    def has(self, offset: int) -> bool:
        """Return whether a frame is there."""
        part = self._at(offset)
        return part is not None and part.last >= offset and offset not in self._damaged

    def append(self, frame: Frame, parts: Sequence[bytes], note: bytes = b"") -> bool:
        """Write a frame behind those that are there. Returns False where the disk is full: see `full`.

        Raises
        ------
        OSError
            Where the disk does not take it for another reason.
        """
        now = time.monotonic()
        if self.full and now < self._again:
            self._missing += 1
            return False
        try:
            self._write(frame, parts, note, now)
        except OSError as error:
            if error.errno not in FULL:
                raise
            if not self.full:
                _log.warning("%s: %s; %s", self.folder, error.strerror, _POLICIES[self.settings.on_full])
            self.full, self._again = error.strerror or str(error), now + RETRY
            self._missing += 1
            self._end_part()
            return False
        if self.full:
            _log.warning("%s: there is room again, frames are written from %d on", self.folder, frame.offset)
            self.full = ""
        return True

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Yield the frames from the offset `start` on."""
        for part in list(self._parts):
            if part.last < start:
                continue
            reader = PartReader(part.path)
            expected = max(start, part.first)
            for entry in reader.entries(expected):
                self._damaged.update(range(expected, entry.frame.offset))
                expected = entry.frame.offset + 1
                yield entry
            self._damaged.update(range(expected, part.last + 1))
            for damage in reader.damage:
                _log.warning("%s: %s", part.path, damage)

    def due(self) -> float:
        """Return the seconds until something is to be flushed."""
        if not self._dirty:
            return math.inf
        return max(0.0, self._dirty + self.settings.flush_seconds - time.monotonic())

    def attend(self) -> None:
        """Flush what is due, beside the stream. Raises OSError where the disk did not take what was flushed before."""
        if self._flushing is not None and self._flushing.done():
            done, self._flushing = self._flushing, None
            done.result()
        if self._closing is not None and self._closing.done():
            done, self._closing = self._closing, None
            done.result()
        if self._dirty and self._flushing is None and self.due() <= 0 and self._writer is not None:
            self._dirty = 0.0
            ahead = self._ahead()
            self._flushed = self.newest
            self._flushing = self._flusher.submit(self._flush, os.dup(self._writer.file), self._writer.path, ahead)

    def commit(self, offset: int) -> None:
        """Take note that nobody needs anything up to `offset` any more, and remove what is too much or too old."""
        self._needed = offset + 1
        self._retain()

    def counts(self) -> Counts:
        """Return how much is there, what was removed, and what is missing because the disk was full."""
        counts: dict[str, float] = {
            "journal bytes": sum(part.size for part in self._parts),
            "journal parts removed": self._removed,
            "journal full": int(bool(self.full)),
        }
        if self._missing and self.settings.on_full == "drop":
            counts[f"{LEFT_OUT}frames that the journal lacks"] = self._missing
        return counts

    def close(self) -> None:
        """Complete the part that is written, and let go of it."""
        self._end_part()
        self._flusher.shutdown()
        if self._closing is None or not self._closing.exception():
            self._reserved.give_back(self.newest + 1)

    def _write(self, frame: Frame, parts: Sequence[bytes], note: bytes, now: float) -> None:
        """Write a frame, in another part where that is due."""
        writer = self._writer
        if writer is not None and (self._is_complete(writer, now) or frame.offset != self.newest + 1):
            self._end_part()
            writer = None
        if writer is None or writer.begins_chunk:
            self._check_room()
        if writer is None:
            if frame.offset <= self.newest:
                raise ValueError(f"{self.folder}: offset {frame.offset} follows {self.newest}; offsets of a log grow")
            path = part_path(self.folder, frame.offset)
            writer, self._begun = PartWriter(path, self.log, frame.offset), now
        if self.settings.flush_seconds and frame.offset >= self._reserved.next:
            self._reserved.until(max(frame.offset + AHEAD, self._ahead()))
        came = max(time.time_ns(), self._parts[-1].newest if self._parts else 0)
        try:
            writer.add(frame, parts, note, came)
        except OSError:
            if writer is not self._writer:
                os.close(writer.file)
                writer.path.unlink()
            raise
        if writer is not self._writer:
            self._writer = writer
            self._parts.append(Part(writer.path, frame.offset, frame.offset, 0, came))
        part = self._parts[-1]
        part.last, part.size, part.newest = frame.offset, writer.size, came
        if not self.settings.flush_seconds:
            os.fdatasync(writer.file)
        else:
            self._dirty = self._dirty or now
            self.attend()

    def _is_complete(self, writer: PartWriter, now: float) -> bool:
        kept = self.settings.keep_seconds
        too_long = bool(kept) and now - self._begun > max(1.0, SHARE * kept)
        return writer.size >= self.settings.part or writer.crowded or too_long

    def _check_room(self) -> None:
        """Raise OSError where less than a part and what is spare are free: the run writes more than this."""
        needed = Memory(min(LARGEST, self.settings.part + self._spare))
        found = os.statvfs(self.folder)
        if found.f_bavail * found.f_frsize < needed:
            raise OSError(errno.ENOSPC, f"less than {needed} is free on the disk")

    def _end_part(self) -> None:
        """Complete the part that is written."""
        if self._writer is None:
            return
        writer, self._writer, self._dirty = self._writer, None, 0.0
        self._closing = self._flusher.submit(_close, writer)
        self._retain()

    def _retain(self) -> None:
        """Remove the oldest parts where there are too many bytes, or they are too old, and nobody needs them."""
        given = self.settings
        size = sum(part.size for part in self._parts)
        oldest = time.time_ns() - given.keep_seconds * 1e9
        while len(self._parts) > 1:
            part = self._parts[0]
            too_old = given.keep_seconds and part.newest < oldest
            if part.last >= self._needed or not (too_old or (given.keep and size > given.keep)):
                return
            part.path.unlink(missing_ok=True)
            size -= part.size
            self._removed += 1
            del self._parts[0]

    def _ahead(self) -> int:
        """Return up to where offsets are to be reserved: a few intervals of flushing ahead."""
        return self.newest + 1 + max(AHEAD, INTERVALS_AHEAD * (self.newest - self._flushed))

    def _flush(self, file: int, path: Path, ahead: int) -> None:
        """Have the file on the disk, and offsets reserved; in the thread that flushes."""
        _flush(file, path)
        if ahead > self._reserved.next + AHEAD // 2:
            self._reserved.until(ahead)

    def _at(self, offset: int) -> Part | None:
        """Return the last part that begins at or before an offset."""
        number = bisect_right(self._parts, offset, key=_first)
        return self._parts[number - 1] if number else None


_POLICIES = {
    "stop": "nothing is accepted until there is room",
    "drop": "the source goes on, and its frames are in no journal until there is room",
}


def _first(part: Part) -> int:
    return part.first


def _close(writer: PartWriter) -> None:
    """Complete a part; where the disk is full it stays without an index, for the next life to mend."""
    try:
        writer.close()
    except OSError as error:
        if error.errno not in FULL:
            raise OSError(error.errno, error.strerror, str(writer.path)) from error


def _flush(file: int, path: Path) -> None:
    try:
        os.fdatasync(file)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(file)
