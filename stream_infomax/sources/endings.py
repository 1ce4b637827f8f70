"""Where a recording ends: whether bytes are missing, or more samples follow, which libsndfile would not say."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

# A RIFF file that was written to a pipe announces nothing, or as much as can be announced.
UNKNOWN = 0x7FFF0000
# Bytes by which writers are wrong, and tags that some put at the end.
TOLERANCE = 1024
# An Ogg page is not longer.
PAGE = 65307
TAIL = 65536


def is_cut(path: Path) -> bool:
    """Return whether a WAV file announces more bytes than it has; other formats are found out by reading."""
    announced, size = _riff(path)
    return size + TOLERANCE < announced < UNKNOWN


def goes_on(path: Path) -> bool:
    """Return whether more follows behind the end of what libsndfile reads.

    That is a chained Ogg file, an MP3 file that was put together of several, and a RIFF file whose header was not
    brought up to date.
    """
    announced, size = _riff(path)
    if announced:
        return announced + TOLERANCE < size and announced > TOLERANCE
    with path.open("rb") as file:
        magic = file.read(4)
        if magic == b"OggS":
            return _is_chained(file)
        return _has_second_header(file) if magic[:3] == b"ID3" or magic[:1] == b"\xff" else False


def _riff(path: Path) -> tuple[int, int]:
    """Return the bytes that a RIFF header announces, itself included, and those that are there; 0 where it is none."""
    with path.open("rb") as file:
        head = file.read(12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RIFX") or head[8:] != b"WAVE":
        return 0, 0
    (announced,) = struct.unpack("<I" if head[:4] == b"RIFF" else ">I", head[4:8])
    return announced + 8, path.stat().st_size


def _is_chained(file: BinaryIO) -> bool:
    """Return whether the last page of an Ogg file is of no stream that begins at its start."""
    beginning = _read(file, 0)
    serials = set()
    place = 0
    while beginning[place : place + 4] == b"OggS" and len(beginning) >= place + 27 and beginning[place + 5] & 2:
        serials.add(beginning[place + 14 : place + 18])
        table = beginning[place + 27 : place + 27 + beginning[place + 26]]
        place += 27 + len(table) + sum(table)
    size = file.seek(0, 2)
    end = _read(file, max(0, size - PAGE - TAIL), PAGE + TAIL)
    last = end.rfind(b"OggS\0")
    return last >= 0 and len(end) >= last + 18 and end[last + 14 : last + 18] not in serials


def _has_second_header(file: BinaryIO) -> bool:
    """Return whether behind the bytes that an MP3 file's header announces another such header comes."""
    start = _behind_tags(file)
    head = _read(file, start, 512)
    places = [place for mark in (b"Xing\0\0\0", b"Info\0\0\0") if (place := head.find(mark)) >= 0]
    if not places or len(head) < places[0] + 16:
        return False
    flags, *numbers = struct.unpack(">III", head[places[0] + 4 : places[0] + 16])
    if not flags & 2:  # it does not say how many bytes
        return False
    behind = _read(file, start + numbers[flags & 1] - TOLERANCE, TAIL)
    return any(mark in behind[len(head[: places[0]]) :] for mark in (b"Xing\0\0\0", b"Info\0\0\0"))


def _behind_tags(file: BinaryIO) -> int:
    """Return where the first frame of an MP3 file begins, behind its ID3v2 tags."""
    place = 0
    while (head := _read(file, place, 10))[:3] == b"ID3" and len(head) == 10:
        place += 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    return place


def _read(file: BinaryIO, place: int, n: int = TAIL) -> bytes:
    file.seek(max(0, place))
    return file.read(n)
