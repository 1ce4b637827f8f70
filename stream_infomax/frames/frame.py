"""Frame: the one message of the system, and the only place that knows its bytes.

On the wire a frame is a MessagePack map (the header) followed by one raw little-endian, C-ordered payload for
each array. docs/protocol.md describes both for writers of clients.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

VERSION = 1
ROW_AXES = ("time", "item", "grid_y", "grid_x")
GEOMETRY_AXES = ("y", "x", "colour", "mel", "sample", "channel", "component")
DTYPES = {name: np.dtype(name) for name in ("float32", "float64", "int16", "int32", "int64", "uint8", "bool")}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
MAX_ARRAYS = 64

# A header is small; a longer one is not ours, and is refused before it is parsed.
MAX_HEADER_BYTES = 1 << 20

if sys.byteorder != "little":  # pragma: no cover
    raise ImportError("stream_infomax writes little-endian payloads and runs on little-endian machines only")


class FrameError(ValueError):
    """A message that is not a frame, with the reason.

    Parameters
    ----------
    reason
        One word under which the refusal is counted: ``header``, ``version``, ``dtype``, ``axes``, ``length``
        or ``parts``.
    text
        The sentence that names what is wrong, the value and what would be accepted.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@lru_cache(maxsize=256)  # a stream has few, and asks for each frame
def _count_row_axes(axes: tuple[str, ...]) -> int:
    n_row_axes = 0
    for index, axis in enumerate(axes):
        if axis not in ROW_AXES + GEOMETRY_AXES:
            raise FrameError("axes", f"unknown axis {axis!r}; accepted are {ROW_AXES + GEOMETRY_AXES}")
        if axis in ROW_AXES:
            if n_row_axes < index:
                raise FrameError("axes", f"row axes {ROW_AXES} come before the geometry, got {axes}")
            n_row_axes += 1
    return n_row_axes


@dataclass(frozen=True, slots=True)
class Array:
    """One named block of rows: its values and the meaning of each axis.

    Row axes (``time``, ``item``, ``grid_y``, ``grid_x``) come first; the others are the geometry of one row.
    """

    data: npt.NDArray[Any]
    axes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.axes) != self.data.ndim:
            raise FrameError(
                "axes", f"an array of shape {self.data.shape} needs {self.data.ndim} axes, got {self.axes}"
            )
        _count_row_axes(tuple(self.axes))

    @property
    def n_row_axes(self) -> int:
        """The number of leading axes that count rows."""
        return _count_row_axes(tuple(self.axes))

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return math.prod(self.data.shape[: self.n_row_axes])

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return self.data.shape[self.n_row_axes :]

    def rows(self) -> npt.NDArray[Any]:
        """Return the values as a matrix, one row each: shape (n_rows, size of one row)."""
        return self.data.reshape(self.n_rows, math.prod(self.row_shape))

    def replace_rows(self, rows: npt.NDArray[Any], geometry: tuple[str, ...] = ("component",)) -> Array:
        """Return an array with the same row axes and other `rows`, of shape (n_rows, ...)."""
        shape = self.data.shape[: self.n_row_axes] + rows.shape[1:]
        return Array(rows.reshape(shape), self.axes[: self.n_row_axes] + geometry)


@dataclass(frozen=True)
class Frame:
    """Rows of one segment of one stream, under one offset.

    Attributes
    ----------
    stream
        The sensor's name.
    offset
        The place in the log, over all its streams, from 0; -1 where the source has not given one yet.
    segment
        The utterance, file, image or stretch of time that the rows belong to; empty where there is none.
    arrays
        Named arrays; each stage adds its own under its own name.
    last, end
        The last frame of its segment, of its stream; `end` implies `last`.
    time
        Seconds of the first row.
    rate
        Rows per second of the newest array; 0 where there is none.
    labels
        Label names and their text.
    encoder
        An id that changes only when features stop being comparable.
    update
        How many updates of the learner stand behind this frame.
    """

    stream: str
    offset: int = -1
    segment: str = ""
    arrays: Mapping[str, Array] = field(default_factory=dict)
    last: bool = False
    end: bool = False
    time: float = 0.0
    rate: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    encoder: str = ""
    update: int = 0

    def extend(self, arrays: Mapping[str, Array], carry: Iterable[str] = (), **changes: Any) -> Frame:
        """Return the frame with a stage's `arrays` and, of its own, only those named in `carry`.

        A name in `carry` that the frame does not hold is passed over: late labels travel without arrays.
        """
        carried = {name: self.arrays[name] for name in carry if name in self.arrays}
        unknown = changes.keys() - self.__dict__.keys()
        if unknown:
            raise TypeError(f"a frame has no {sorted(unknown)}; it has {list(self.__dict__)}")
        return _frame({**self.__dict__, "arrays": {**carried, **arrays}, **changes})

    def to_parts(self) -> list[bytes]:
        """Return the frame's bytes: the header, then one payload for each array."""
        arrays = []
        payloads = []
        for name, array in self.arrays.items():
            dtype = _NAMES.get(array.data.dtype)
            if dtype is None:
                raise FrameError(
                    "dtype", f"array {name!r} has dtype {array.data.dtype}; accepted are {', '.join(DTYPES)}"
                )
            arrays.append(_ArrayHeader(name, dtype, array.axes, array.data.shape))
            payloads.append(array.data.tobytes())  # always C order
        header = _Header(
            version=VERSION,
            stream=self.stream,
            offset=self.offset,
            segment=self.segment,
            last=self.last or self.end,
            end=self.end,
            time=self.time,
            rate=self.rate,
            labels=dict(self.labels),
            encoder=self.encoder,
            update=self.update,
            arrays=arrays,
        )
        return [_encoder.encode(header), *payloads]

    @staticmethod
    def from_parts(parts: Sequence[bytes | memoryview]) -> Frame:
        """Return the frame that `parts` hold; its arrays are read-only views of them.

        Raises
        ------
        FrameError
            Where the parts are anything but one well-formed frame of this version.
        """
        header = _decode_header(parts)
        if len(parts) != 1 + len(header.arrays):
            raise FrameError(
                "parts", f"the header names {len(header.arrays)} arrays but {len(parts) - 1} payloads follow"
            )
        arrays: dict[str, Array] = {}
        for described, payload in zip(header.arrays, parts[1:], strict=True):
            if described.name in arrays:
                raise FrameError("header", f"array {described.name!r} is named twice")
            arrays[described.name] = _read_array(described, payload)
        fields = msgspec.structs.asdict(header)
        del fields["version"]
        fields["arrays"] = arrays
        fields["last"] = header.last or header.end
        return _frame(fields)


def _frame(fields: dict[str, Any]) -> Frame:
    """Return the frame with all these `fields`; the constructor sets a frozen one's one by one, which takes longer
    than decoding it."""
    frame = object.__new__(Frame)
    object.__setattr__(frame, "__dict__", fields)
    return frame


Text = Annotated[str, msgspec.Meta(max_length=1024)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


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
    time: float = 0.0
    rate: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    labels: Annotated[dict[Text, Text], msgspec.Meta(max_length=64)] = {}
    encoder: Text = ""
    update: Count = 0


class _Version(msgspec.Struct):
    version: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Header)
_version_decoder = msgspec.msgpack.Decoder(_Version)


def _decode_header(parts: Sequence[bytes | memoryview]) -> _Header:
    if not parts:
        raise FrameError("parts", "a frame has at least its header, got no part at all")
    if len(parts[0]) > MAX_HEADER_BYTES:
        raise FrameError("header", f"a header of {len(parts[0])} bytes; at most {MAX_HEADER_BYTES} are accepted")
    try:
        header = _decoder.decode(parts[0])
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


def _version_of(part: bytes | memoryview) -> int | None:
    try:
        return _version_decoder.decode(part).version
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _read_array(described: _ArrayHeader, payload: bytes | memoryview) -> Array:
    dtype = DTYPES.get(described.dtype)
    if dtype is None:
        raise FrameError(
            "dtype",
            f"array {described.name!r} has dtype {described.dtype!r}; accepted are {', '.join(DTYPES)}",
        )
    if len(described.axes) != len(described.shape):
        raise FrameError("axes", f"array {described.name!r} has shape {described.shape} but axes {described.axes}")
    expected = math.prod(described.shape) * dtype.itemsize
    size = payload.nbytes if isinstance(payload, memoryview) else len(payload)
    if size != expected:
        raise FrameError(
            "length",
            f"array {described.name!r} of shape {described.shape} and dtype {described.dtype} needs "
            f"{expected} bytes, got {size}",
        )
    try:
        values = np.ndarray(described.shape, dtype, payload)
    except ValueError as error:  # no bytes, for 0 × 2^60 rows
        raise FrameError("length", f"array {described.name!r} of shape {described.shape}: {error}") from error
    return Array(values, described.axes)
