"""What is made is its user's alone, whatever the umask was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def private() -> Iterator[None]:
    """Have files, folders and Unix sockets that this process makes meanwhile, and processes that it starts, private."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
