"""What the heads of NumPy arrays say, in `.npy` files and in the members of `.npz` archives: nothing else is read."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, NamedTuple

import numpy as np


class Member(NamedTuple):
    """What the head of an array says."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    size: int

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers."""
        return self.dtype.kind in "biuf"

    @property
    def bytes(self) -> int:
        """What it comes to."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_heads(path: Path, only: Collection[str] = ()) -> dict[str, Member]:
    """Return what the heads of an archive's members say.

    Parameters
    ----------
    path
        The archive.
    only
        Files in it that are looked at; empty: all that are arrays.

    Raises
    ------
    ValueError
        Where there is none, or a head makes no sense or says more than the member holds.
    """
    found = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename in only if only else info.filename.endswith(".npy"):
                with archive.open(info) as file:
                    found[info.filename[:-4]] = head_of(file, info.file_size)
    if not (found or only):
        raise ValueError("it is an archive without an array")
    return found


def head_of_file(path: Path) -> Member:
    """Return what the head of a .npy file says."""
    with path.open("rb") as file:
        return head_of(file, os.fstat(file.fileno()).st_size)


def head_of(file: IO[bytes], size: int) -> Member:
    """Return what the head of an array says; ValueError where it lies about its length."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"its format has version {version}; accepted are 1.0 and 2.0")
    try:
        head = read(file)
    except (TokenError, SyntaxError, TypeError, RecursionError, MemoryError) as error:  # brackets within brackets
        raise ValueError(f"the head of an array makes no sense ({error})") from error
    member = Member(*head, size)
    if any(length < 0 for length in member.shape):
        raise ValueError(f"an array of it has shape {member.shape}")
    held = size - file.tell()
    if not member.dtype.hasobject and member.bytes > held:
        raise ValueError(f"an array of it announces {member.bytes:,} bytes and holds {held:,}")
    return member
