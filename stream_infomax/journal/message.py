"""A frame as a message of an MCAP file: its very bytes, in a form that other programs read by its schema.

A message is CDR (little-endian), its schema a ROS 2 message definition: a checksum, the frame's header, a note of the
source, and each array under its name. So Foxglove and every reader of MCAP files shows the arrays as numbers.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream_infomax.frames.frame import Frame
from stream_infomax.frames.wire import DTYPES

ENCODING, SCHEMA_ENCODING = "cdr", "ros2msg"
# What a channel of frames without arrays has behind the name of its stream.
LABELS = "/labels"

_LITTLE_ENDIAN = b"\x00\x01\x00\x00"  # of CDR
_OWN = ("crc", "header", "note")
_COUNT = struct.Struct("<I")
_ZEROS = bytes(8)


@dataclass(frozen=True)
class Form:
    """What the messages of a channel hold.

    Attributes
    ----------
    names, dtypes
        Of the arrays, in their order.
    """

    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    sizes: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(DTYPES[dtype].itemsize for dtype in self.dtypes))

    @property
    def schema(self) -> str:
        """The schema's name: another one for each form."""
        kinds = "".join(
            f"{name.title().replace('_', '')}{dtype.title()}"
            for name, dtype in zip(self.fields(), self.dtypes, strict=True)
        )
        return f"stream_infomax/msg/{f'Frame{kinds}' if kinds else 'Labels'}"

    def definition(self) -> str:
        """Return the message definition."""
        lines = ["uint32 crc", "uint8[] header", "uint8[] note"]
        lines += [f"{dtype}[] {name}" for name, dtype in zip(self.fields(), self.dtypes, strict=True)]
        return "\n".join([*lines, *([] if self.names else ["string segment", "string labels"])]) + "\n"

    def fields(self) -> list[str]:
        """Return the names of the arrays as names of fields: letters, digits and single underscores."""
        made: list[str] = []
        for number, name in enumerate(self.names):
            plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
            plain = plain if plain[:1].isalpha() else f"array_{plain}".rstrip("_")
            made.append(f"{plain}_{number}" if plain in (*made, *_OWN) else plain)
        return made


def form_of(frame: Frame) -> Form:
    """Return the form of a frame's messages."""
    return Form(tuple(frame.arrays), tuple(array.data.dtype.name for array in frame.arrays.values()))


def read_form(definition: str) -> Form:
    """Return the form that a message definition describes; its arrays have the names of the fields.

    Raises
    ------
    ValueError
        Where it is not one of ours.
    """
    lines = [line.split() for line in definition.splitlines()]
    own = [f"{'uint32' if name == 'crc' else 'uint8[]'} {name}".split() for name in _OWN]
    if lines[: len(own)] != own:
        raise ValueError(f"a message is no frame of stream_infomax: its definition begins with {definition[:60]!r}")
    arrays = [line for line in lines[len(own) :] if len(line) == 2 and line[0].endswith("[]")]
    dtypes = tuple(kind.removesuffix("[]") for kind, _ in arrays)
    if unknown := set(dtypes) - DTYPES.keys():
        raise ValueError(f"arrays of {', '.join(sorted(unknown))}; accepted are {', '.join(DTYPES)}")
    return Form(tuple(name for _, name in arrays), dtypes)


def encode(form: Form, frame: Frame, parts: Sequence[bytes], note: bytes = b"") -> bytes:
    """Return the message of a frame.

    Parameters
    ----------
    form
        That of the frame.
    frame, parts
        The frame, and its bytes.
    note
        What the source has to remember with it.
    """
    header = parts[0]
    pieces = [_COUNT.pack(len(header)), header]
    at = 8 + len(header)  # behind the encapsulation, from which alignment counts
    pad = -at % 4
    pieces += (_ZEROS[:pad], _COUNT.pack(len(note)), note)
    at += pad + 4 + len(note)
    for size, payload in zip(form.sizes, parts[1:], strict=True):
        pad = -at % 4
        pieces += (_ZEROS[:pad], _COUNT.pack(len(payload) // size))
        at += pad + 4
        if payload:
            pad = -at % size
            pieces += (_ZEROS[:pad], payload)
            at += pad + len(payload)
    if not form.sizes:
        for text in (frame.segment, json.dumps(dict(frame.labels), ensure_ascii=False)):
            content = text.encode() + b"\0"
            pad = -at % 4
            pieces += (_ZEROS[:pad], _COUNT.pack(len(content)), content)
            at += pad + 4 + len(content)
    body = b"".join(pieces)
    return b"".join((_LITTLE_ENDIAN, _COUNT.pack(zlib.crc32(body)), body))


def decode(form: Form, data: bytes) -> tuple[list[bytes | memoryview], bytes]:
    """Return the bytes of a frame, and the note that came with it; the payloads are views of `data`.

    Raises
    ------
    ValueError
        Where it is no message of this form, or damaged.
    """
    view = memoryview(data)
    if len(data) < 12 or data[:4] != _LITTLE_ENDIAN:
        raise ValueError("no CDR in little-endian order")
    if _COUNT.unpack_from(data, 4)[0] != zlib.crc32(view[8:]):
        raise ValueError("its checksum is wrong")
    try:
        (length,) = _COUNT.unpack_from(data, 8)
        at = 12 + length
        parts: list[bytes | memoryview] = [data[12:at]]
        at += -at % 4
        (length,) = _COUNT.unpack_from(data, at)
        at += 4 + length
        note = data[at - length : at]
        for size in form.sizes:
            at += -at % 4
            (count,) = _COUNT.unpack_from(data, at)
            at += 4
            if count:
                at += -(at - 4) % size
            parts.append(view[at : at + count * size])
            at += count * size
    except struct.error as error:
        raise ValueError(f"it ends early: {error}") from error
    if at > len(data):
        raise ValueError("it ends early")
    return parts, note


def about_arrays(frame: Frame) -> dict[str, str]:
    """Return what a channel says of its arrays: form, axes and the shape of a row."""
    return {
        name: f"{np.dtype(array.data.dtype).name}, axes {', '.join(array.axes)}, a row has shape {array.row_shape}"
        for name, array in frame.arrays.items()
    }


def channel_of(frame: Frame) -> tuple[Any, ...]:
    """Return what tells the channels of a file apart."""
    return (frame.stream, *((name, array.data.dtype.char) for name, array in frame.arrays.items()))
