"""Lock: a file that one process holds; it is free again as soon as that process is gone, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class HeldError(Exception):
    """Another process holds the file.

    Attributes
    ----------
    holder
        Its process id in words.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(f"process {holder}")
        self.holder = holder


def open_lock(path: Path) -> int:
    """Return the descriptor of a file that can be held; no link is followed. Raises as `os.open`."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextmanager
def exclusive(descriptor: int) -> Iterator[None]:
    """Hold the file of `open_lock`, with this process's id in it, and close it. Raises HeldError."""
    with os.fdopen(descriptor, "r+", encoding="ascii", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = file.read(20).strip()
            raise HeldError(text if text.isdecimal() else "unknown") from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
