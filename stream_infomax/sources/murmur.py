"""What libraries write to the stderr of the whole process, and warn of: said with the name of the file instead."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import UnsupportedOperation
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def caught(said: list[str]) -> Iterator[None]:
    """Append what native code writes to stderr meanwhile to `said`, line by line.

    The file descriptor belongs to the whole process. It is only taken where no other thread of Python runs, whose words
    it might be, or whose children might inherit it; else the library's words go where they always went.
    """
    if threading.active_count() > 1:
        yield
        return
    try:
        before = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    try:
        with tempfile.TemporaryFile() as file:
            _flush()
            os.dup2(file.fileno(), 2)
            try:
                yield
            finally:
                _flush()
                os.dup2(before, 2)
                file.seek(0)
                said += [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    finally:
        os.close(before)


@contextmanager
def caught_with_warnings(said: list[str]) -> Iterator[None]:
    """Append what native code writes meanwhile, and what Python warns of, to `said`."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with caught(said):
                yield
        finally:
            said += [str(warning.message) for warning in warned]


def tell(path: Path, said: Sequence[str]) -> None:
    """Log what was said of a file."""
    if said:
        more = f" and {len(said) - 1} more lines" if len(said) > 1 else ""
        log.warning("%s: its decoder says: %s%s", path, " ".join(said[0].split()), more)


def _flush() -> None:
    """Let what Python has to say go where it belongs."""
    if sys.stderr is not None:
        try:
            sys.stderr.flush()
        except (OSError, ValueError, UnsupportedOperation):
            return
