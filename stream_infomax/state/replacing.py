"""Files that are there whole, or as they were before."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from stream_infomax.state.error import StateFileError


@contextlib.contextmanager
def replacing(path: Path, temporary: Path | None = None, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` when the block ends well, and is on disk then.

    Parameters
    ----------
    path
        The file.
    temporary
        Its name until then, in the same folder; None: the same with ``.tmp`` behind.
    sync
        False: its name need not be on disk yet, see `sync_folder`.

    Raises
    ------
    StateFileError
        Where the disk does not take it; names the file.
    """
    temporary = temporary or path.with_name(path.name + ".tmp")
    try:
        with _created(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        if sync:
            sync_folder(path.parent)
    except OSError as error:
        raise StateFileError(f"{path}: not written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _created(path: Path) -> IO[bytes]:
    """Open a new file; what is there under its name, a link for example, is removed and never written to."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def sync_folder(folder: Path) -> None:
    """Have the names of the files in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
