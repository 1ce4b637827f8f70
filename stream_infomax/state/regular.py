"""Regular files alone: a named pipe under the name of a file keeps whoever opens it waiting, for ever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO


def open_regular(path: Path, mode: str = "rb", *, follow: bool = True) -> IO[bytes]:
    """Open a regular file and nothing else, without waiting.

    Parameters
    ----------
    path
        The file.
    mode
        ``rb``, or ``ab``, which makes it where it is missing.
    follow
        Whether it may lie behind a symbolic link.

    Raises
    ------
    OSError
        Where it cannot be opened, is no regular file or a link; names it.
    """
    flags = os.O_RDONLY if mode == "rb" else os.O_WRONLY | os.O_APPEND | os.O_CREAT
    flags |= os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        number = os.open(path, flags, 0o666)
    except OSError as error:
        raise _explained(error, path) from error
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        os.set_blocking(number, True)
    except BaseException:
        os.close(number)
        raise
    return os.fdopen(number, mode)


def _explained(error: OSError, path: Path) -> OSError:
    """Return what the system says of links and of pipes that nobody reads in words that say so."""
    if error.errno == errno.ELOOP:
        return OSError(errno.ELOOP, "it is a symbolic link, which is not followed", str(path))
    if error.errno == errno.ENXIO:
        return OSError(errno.ENXIO, "it is no regular file", str(path))
    return error
