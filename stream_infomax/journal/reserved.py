"""Reserved: which offsets may have been published, whatever the disk has of their frames.

Frames are published before they are flushed. Where the machine dies, some that readers have are in no journal; their
offsets must not be given to others. So offsets are reserved on the disk ahead of the frames.
"""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from stream_infomax.state.error import StateFileError
from stream_infomax.state.file import replacing

NAME = "reserved.json"
BOOT = Path("/proc/sys/kernel/random/boot_id")


class _Mark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    boot: str
    next: int


class Reserved:
    """The offsets of a journal that are reserved.

    Parameters
    ----------
    folder
        Of the journal.

    Attributes
    ----------
    next
        The first offset that is not reserved.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._boot = _boot()
        self.next = 0
        self._lock = threading.Lock()

    def first_free(self, newest: int) -> int:
        """Return the first offset that nobody can have a frame under, after a death.

        Parameters
        ----------
        newest
            The newest frame in the journal: with it the journal ends, where the machine is still the one that wrote it.
        """
        try:
            mark = msgspec.json.decode(self._path.read_bytes(), type=_Mark)
        except (FileNotFoundError, ValueError):  # a damaged one was never whole: nothing was published under it
            return newest + 1
        lives = bool(mark.boot) and mark.boot == self._boot
        return newest + 1 if lives else max(newest + 1, mark.next)

    def until(self, offset: int) -> None:
        """Have all offsets before this one reserved on the disk; from any thread.

        Raises
        ------
        OSError
            Where the disk does not take it.
        """
        with self._lock:
            if offset > self.next:
                self._write(offset)

    def give_back(self, offset: int) -> None:
        """Reserve no more than the offsets before this one: all of their frames are on the disk."""
        with self._lock:
            if offset < self.next:
                self._write(offset)

    def _write(self, offset: int) -> None:
        try:
            with replacing(self._path) as file:
                file.write(msgspec.json.encode(_Mark(boot=self._boot, next=offset)))
        except StateFileError as error:
            cause = error.__cause__
            raise cause if isinstance(cause, OSError) else OSError(str(error)) from error
        self.next = offset


def _boot() -> str:
    """Return what names the life of the machine; empty where that is not known."""
    try:
        return BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
