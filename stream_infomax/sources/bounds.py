"""How much a file may come to: a few bytes can say that they are terabytes.

What a file announces is looked at before anything of it is decoded. What is read piece by piece, as sound, CSV and
uncompressed arrays are, may be of any length.
"""

from __future__ import annotations

from pathlib import Path

# Bytes that what is decoded of a file may take, and how many times the file where that is more.
LARGEST = 1 << 30
TIMES = 4


def limit(size: int) -> int:
    """Return the bytes that a file of this size may come to."""
    return max(LARGEST, TIMES * size)


def check_size(path: Path, n_bytes: int, what: str = "it") -> None:
    """Raise ValueError where what is to be decoded of a file comes to too much.

    Parameters
    ----------
    path
        The file.
    n_bytes
        That it takes when it is decoded.
    what
        Of the file is decoded.
    """
    size = path.stat().st_size
    if n_bytes > limit(size):
        raise ValueError(
            f"{what} comes to {n_bytes:,} bytes when it is decoded; accepted of a file of {size:,} bytes are "
            f"{limit(size):,}"
        )
