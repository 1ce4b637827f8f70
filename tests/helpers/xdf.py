"""XDF files as LabRecorder writes them: a head, and for each stream its head, samples, clock offsets and foot."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

TYPES = {"float32": "<f4", "double64": "<f8", "int16": "<i2", "int32": "<i4"}


@dataclass
class Stream:
    """A stream to write: `rows` are arrays of numbers, or texts; its clock is `offset` behind the recorder's."""

    name: str
    rows: Any
    stamps: Sequence[float]
    type: str = "EEG"
    format: str = "float32"
    rate: float = 100.0
    names: Sequence[str] = ()
    unit: str = "microvolts"
    offset: float = 0.0


def write(path: Path, *streams: Stream) -> None:
    """Write a file."""
    parts = [b"XDF:", chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")]
    for number, stream in enumerate(streams, 1):
        identity = struct.pack("<I", number)
        parts.append(chunk(2, identity + head(stream).encode()))
        if stream.offset:
            parts += [chunk(4, identity + struct.pack("<dd", at, stream.offset)) for at in (0.0, 5.0)]
        starts = range(0, len(stream.stamps), 100)
        parts += [chunk(3, identity + samples(stream, i, min(i + 100, len(stream.stamps)))) for i in starts]
        parts.append(chunk(6, identity + b"<?xml version='1.0'?><info></info>"))
    content = b"".join(parts)
    path.write_bytes(gzip.compress(content) if path.suffix == ".xdfz" else content)


def chunk(tag: int, content: bytes) -> bytes:
    return b"\4" + struct.pack("<IH", len(content) + 2, tag) + content


def head(stream: Stream) -> str:
    width = 1 if stream.format == "string" else np.asarray(stream.rows).shape[1]
    channels = "".join(
        f"<channel><label>{escape(name)}</label><unit>{stream.unit}</unit></channel>" for name in stream.names
    )
    return (
        f"<?xml version='1.0'?><info><name>{escape(stream.name)}</name><type>{stream.type}</type>"
        f"<channel_count>{width}</channel_count><nominal_srate>{stream.rate}</nominal_srate>"
        f"<channel_format>{stream.format}</channel_format><desc><channels>{channels}</channels></desc></info>"
    )


def samples(stream: Stream, start: int, stop: int) -> bytes:
    parts = [b"\4", struct.pack("<I", stop - start)]
    for index in range(start, stop):
        parts.append(b"\x08" + struct.pack("<d", stream.stamps[index]))
        row = stream.rows[index]
        if stream.format == "string":
            text = row.encode()
            parts.append(b"\4" + struct.pack("<I", len(text)) + text)
        else:
            parts.append(np.asarray(row, TYPES[stream.format]).tobytes())
    return b"".join(parts)
