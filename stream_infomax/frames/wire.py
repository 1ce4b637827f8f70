"""A frame's bytes: the only module that knows them. docs/protocol.md describes them for writers of clients.

On the wire a frame is a MessagePack map (the header) followed by one raw little-endian, C-ordered payload for
each array.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np

from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame, FrameError
from stream_infomax.state.nesting import NestedError, check_packed

VERSION = 1
DTYPES = {name: np.dtype(name) for name in ("float32", "float64", "int16", "int32", "int64", "uint8", "bool")}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
MAX_ARRAYS = 64
MAX_EVENTS = 64

# A header is small; a longer one is not ours, and is refused before it is parsed.
MAX_HEADER_BYTES = 1 << 20

if sys.byteorder != "little":  # pragma: no cover
    raise ImportError("stream_infomax writes little-endian payloads and runs on little-endian machines only")

Bytes = bytes | memoryview


Text = Annotated[str, msgspec.Meta(max_length=1024)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


# A default is left out by identity.
_NONE = 0.0


class _ArrayHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    dtype: str
    axes: Annotated[tuple[str, ...], msgspec.Meta(max_length=8)]
    shape: Annotated[tuple[Count, ...], msgspec.Meta(max_length=8)]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    stream: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    arrays: Annotated[list[_ArrayHeader], msgspec.Meta(max_length=MAX_ARRAYS)]
    offset: Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)] = -1
    segment: Text = ""
    last: bool = False
    end: bool = False
    time: float = _NONE
    rate: Annotated[float, msgspec.Meta(ge=0)] = _NONE
    labels: Annotated[dict[Text, Text], msgspec.Meta(max_length=64)] = {}
    encoder: Text = ""
    update: Count = 0
    # What most frames lack costs them nothing.
    basis: Text | msgspec.UnsetType = msgspec.UNSET
    events: Annotated[tuple[Event, ...], msgspec.Meta(max_length=MAX_EVENTS)] | msgspec.UnsetType = msgspec.UNSET


class _PushedHeader(_Header, frozen=True, omit_defaults=True):
    # Only frames on their way from a device have these; a log need not keep them.
    count: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | msgspec.UnsetType = msgspec.UNSET
    session: Annotated[str, msgspec.Meta(max_length=64)] = ""


class _LabelHeader(_Header, frozen=True, kw_only=True):
    # Whoever says what is heard need not know what the device calls itself.
    stream: Text = ""


class _Version(msgspec.Struct):
    version: int


class Pushed(msgspec.Struct, frozen=True):
    """A frame from a device.

    Attributes
    ----------
    frame
        The frame.
    count
        The device's own counter of what it sends of this stream; None where it does not count.
    session
        Names the life of the device; empty where it does not say.
    """

    frame: Frame
    count: int | None = None
    session: str = ""


H = TypeVar("H", bound=_Header)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Header)
_label_decoder = msgspec.msgpack.Decoder(_LabelHeader)
_pushed_decoder = msgspec.msgpack.Decoder(_PushedHeader)
_version_decoder = msgspec.msgpack.Decoder(_Version)


def encode(frame: Frame) -> list[bytes]:
    """Return the frame's bytes: the header, then one payload for each array.

    Raises
    ------
    FrameError
        Where an array has a dtype that does not travel; names it.
    """
    arrays, payloads = _described(frame)
    header = _Header(
        version=VERSION,
        stream=frame.stream,
        offset=frame.offset,
        segment=frame.segment,
        last=frame.last or frame.end,
        end=frame.end,
        time=frame.time,
        rate=frame.rate,
        labels=dict(frame.labels),
        encoder=frame.encoder,
        update=frame.update,
        basis=frame.basis or msgspec.UNSET,
        events=frame.events[-MAX_EVENTS:] or msgspec.UNSET,
        arrays=arrays,
    )
    return [_encoder.encode(header), *payloads]


def encode_pushed(frame: Frame, count: int | None = None, session: str = "") -> list[bytes]:
    """Return the bytes of a device's frame: without the keys that have their default, and with its counter.

    Raises
    ------
    FrameError
        Where an array has a dtype that does not travel; names it.
    """
    arrays, payloads = _described(frame)
    header = _PushedHeader(
        version=VERSION,
        stream=frame.stream,
        arrays=arrays,
        offset=frame.offset,
        segment=frame.segment,
        last=frame.last and not frame.end,
        end=frame.end,
        time=frame.time or _NONE,
        rate=frame.rate or _NONE,
        labels=dict(frame.labels),
        count=msgspec.UNSET if count is None else count,
        session=session,
    )
    return [_encoder.encode(header), *payloads]


def decode(parts: Sequence[Bytes]) -> Frame:
    """Return the frame that `parts` hold; its arrays are read-only views of them.

    Raises
    ------
    FrameError
        Where the parts are anything but one well-formed frame of this version.
    """
    return _frame(_decode_header(parts, _decoder), parts)


def decode_pushed(parts: Sequence[Bytes]) -> Pushed:
    """Return the frame of a device that `parts` hold, with its counter and session.

    What only a stage can know (encoder, update, basis, events) is left out.

    Raises
    ------
    FrameError
        Where the parts are anything but one well-formed frame of this version.
    """
    header = _decode_header(parts, _pushed_decoder)
    frame = Frame(
        header.stream,
        header.offset,
        header.segment,
        _read_arrays(header, parts),
        header.last or header.end,
        header.end,
        header.time,
        header.rate,
        header.labels,
    )
    return Pushed(frame, None if header.count is msgspec.UNSET else header.count, header.session)


def decode_label(parts: Sequence[Bytes]) -> Frame:
    """Return the label that `parts` hold, a frame without arrays; its stream may be empty, which is the only open one.

    Raises
    ------
    FrameError
        Where the parts are anything but one well-formed label of this version.
    """
    label = _frame(_decode_header(parts, _label_decoder), parts)
    if label.arrays or not label.labels:
        raise FrameError("parts", "a label is a frame without arrays that has labels")
    return label


def _described(frame: Frame) -> tuple[list[_ArrayHeader], list[bytes]]:
    """Return what a header says of the arrays of a frame, and their payloads."""
    arrays = []
    payloads = []
    for name, array in frame.arrays.items():
        dtype = _NAMES.get(array.data.dtype)
        if dtype is None:
            raise FrameError("dtype", f"array {name!r} has dtype {array.data.dtype}; accepted are {', '.join(DTYPES)}")
        arrays.append(_ArrayHeader(name, dtype, array.axes, array.data.shape))
        payloads.append(array.data.tobytes())  # always C order
    return arrays, payloads


def _frame(header: _Header, parts: Sequence[Bytes]) -> Frame:
    return Frame(
        stream=header.stream,
        offset=header.offset,
        segment=header.segment,
        arrays=_read_arrays(header, parts),
        last=header.last or header.end,
        end=header.end,
        time=header.time,
        rate=header.rate,
        labels=header.labels,
        encoder=header.encoder,
        update=header.update,
        basis=header.basis or "",
        events=header.events or (),
    )


def _read_arrays(header: _Header, parts: Sequence[Bytes]) -> dict[str, Array]:
    if len(parts) != 1 + len(header.arrays):
        raise FrameError("parts", f"the header names {len(header.arrays)} arrays but {len(parts) - 1} payloads follow")
    if len(parts) == 2:
        return {header.arrays[0].name: _read_array(header.arrays[0], parts[1])}
    arrays: dict[str, Array] = {}
    for described, payload in zip(header.arrays, parts[1:], strict=True):
        if described.name in arrays:
            raise FrameError("header", f"array {described.name!r} is named twice")
        arrays[described.name] = _read_array(described, payload)
    return arrays


def _decode_header(parts: Sequence[Bytes], decoder: msgspec.msgpack.Decoder[H]) -> H:
    if not parts:
        raise FrameError("parts", "a frame has at least its header, got no part at all")
    if len(parts[0]) > MAX_HEADER_BYTES:
        raise FrameError("header", f"a header of {len(parts[0])} bytes; at most {MAX_HEADER_BYTES} are accepted")
    try:
        check_packed(parts[0])
        header = decoder.decode(parts[0])
    except NestedError as error:
        raise FrameError("header", f"not a frame header: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # A newer version may have other fields, and then its number is the better answer.
        version = _version_of(parts[0])
        if version is not None and version != VERSION:
            raise FrameError("version", f"frame version {version}; version {VERSION} is accepted") from error
        raise FrameError("header", f"not a frame header: {error}") from error
    if header.version != VERSION:
        raise FrameError("version", f"frame version {header.version}; version {VERSION} is accepted")
    if not (math.isfinite(header.time) and math.isfinite(header.rate)):
        raise FrameError("header", f"time {header.time} and rate {header.rate} must be finite")
    return header


def _version_of(part: Bytes) -> int | None:
    try:
        return _version_decoder.decode(part).version
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _read_array(described: _ArrayHeader, payload: Bytes) -> Array:
    try:
        dtype, expected = _form(described.dtype, described.axes, described.shape)
    except FrameError as error:
        raise FrameError(error.reason, f"array {described.name!r} has {error}") from None
    size = payload.nbytes if isinstance(payload, memoryview) else len(payload)
    if size != expected:
        raise FrameError(
            "length",
            f"array {described.name!r} of shape {described.shape} and dtype {described.dtype} needs "
            f"{expected} bytes, got {size}",
        )
    if described.dtype == "bool" and size and np.frombuffer(payload, np.uint8).max() > 1:
        raise FrameError("dtype", f"array {described.name!r} of dtype bool has bytes other than 0 and 1")
    try:
        values = np.ndarray(described.shape, dtype, payload)
    except ValueError as error:  # no bytes, for 0 × 2^60 rows
        raise FrameError("length", f"array {described.name!r} of shape {described.shape}: {error}") from error
    return Array(values, described.axes)


@lru_cache(maxsize=256)  # a stream has few, and is asked for each frame
def _form(name: str, axes: tuple[str, ...], shape: tuple[int, ...]) -> tuple[np.dtype[Any], int]:
    """Return the dtype of an array, and how many bytes it has."""
    dtype = DTYPES.get(name)
    if dtype is None:
        raise FrameError("dtype", f"dtype {name!r}; accepted are {', '.join(DTYPES)}")
    if len(axes) != len(shape):
        raise FrameError("axes", f"shape {shape} but axes {axes}")
    return dtype, math.prod(shape) * dtype.itemsize
