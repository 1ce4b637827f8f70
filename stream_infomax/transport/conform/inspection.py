"""What is right and wrong in a message, field by field: for whoever writes a device.

`wire.decode` stops at the first thing that is wrong. Here all of them are named, with what is accepted, and nothing in
a message can raise an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from stream_infomax.frames import wire
from stream_infomax.frames.frame import GEOMETRY_AXES, ROW_AXES, Array, FrameError
from stream_infomax.settings.printable import printable
from stream_infomax.state.nesting import check_packed

Verdict = Literal["right", "look", "wrong"]

# A larger part closes the connection of a source that is not told to take it.
LARGEST_PART = 16 << 20
# The most characters of a value in a sentence.
LONGEST = 60
# What else than a map can come out of bytes from outside, or out of the attempt to read them.
UNREADABLE = (msgspec.DecodeError, TypeError, ValueError, OverflowError)
LARGEST, LARGEST_COUNT = 2**63 - 1, 2**62


class Finding(NamedTuple):
    """What there is to say of a field.

    `kind` is the same for findings that differ in their numbers only, so that they can be counted.
    """

    field: str
    kind: str
    verdict: Verdict
    text: str


class Inspected(NamedTuple):
    """A message: what its header says as far as it is accepted, its arrays as far as they can be read, and findings."""

    header: Mapping[str, Any]
    arrays: Mapping[str, Array]
    findings: Sequence[Finding]

    @property
    def wrong(self) -> bool:
        """Whether something is wrong: a source refuses the message."""
        return any(finding.verdict == "wrong" for finding in self.findings)


class _Key(NamedTuple):
    accepted: str
    fits: Callable[[Any], bool]


def _is_whole(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value <= LARGEST


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_text(value: Any, least: int = 0, most: int = 1024) -> bool:
    return isinstance(value, str) and least <= len(value) <= most


def _is_labels(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= wire.MAX_ARRAYS
        and all(_is_text(name) and _is_text(text) for name, text in value.items())
    )


_FLAG = _Key("true or false", lambda value: isinstance(value, bool))
_TEXT = _Key("text of at most 1,024 characters", _is_text)
KEYS = {
    "version": _Key(str(wire.VERSION), lambda value: _is_whole(value) and value == wire.VERSION),
    "stream": _Key("text of 1 to 1,024 characters", lambda value: _is_text(value, 1)),
    "session": _Key("text of at most 64 characters", lambda value: _is_text(value, 0, 64)),
    "count": _Key("a whole number from 0 to 2^62", lambda value: _is_whole(value) and value <= LARGEST_COUNT),
    "time": _Key("seconds, a finite number", _is_number),
    "rate": _Key("rows a second, a finite number >= 0", lambda value: _is_number(value) and value >= 0),
    "segment": _TEXT,
    "last": _FLAG,
    "end": _FLAG,
    "labels": _Key("a map of at most 64 texts to texts of at most 1,024 characters", _is_labels),
    "offset": _Key("a whole number >= -1", lambda value: _is_whole(value, -1)),
    "arrays": _Key(
        f"a list of at most {wire.MAX_ARRAYS} maps",
        lambda value: isinstance(value, list | tuple) and len(value) <= wire.MAX_ARRAYS,
    ),
}
# Keys that learners write; a device has no use for them.
OTHERS = ("encoder", "update", "basis", "events")
REQUIRED = ("version", "stream", "arrays")

ARRAY_KEYS = {
    "name": _Key("text of 1 to 256 characters", lambda value: _is_text(value, 1, 256)),
    "dtype": _Key(f"one of {', '.join(wire.DTYPES)}", lambda value: isinstance(value, str) and value in wire.DTYPES),
    "axes": _Key(
        f"a list of at most 8 of {', '.join(ROW_AXES + GEOMETRY_AXES)}",
        lambda value: (
            _is_list(value) and all(isinstance(axis, str) and axis in ROW_AXES + GEOMETRY_AXES for axis in value)
        ),
    ),
    "shape": _Key(
        "a list of at most 8 whole numbers >= 0", lambda value: _is_list(value) and all(_is_whole(n) for n in value)
    ),
}

_ROWS = ", ".join(ROW_AXES)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) <= 8


def inspect(parts: Sequence[bytes]) -> Inspected:
    """Return what is right and wrong in the parts of a message."""
    header, findings = _read(parts)
    accepted = {}
    for key, value in header.items():
        found = _judged("", key, value, KEYS, OTHERS)
        findings += found
        if key in KEYS and not found:
            accepted[key] = value
    findings += [
        Finding(key, "missing", "wrong", f"missing; accepted is {KEYS[key].accepted}")
        for key in REQUIRED
        if header and key not in header
    ]
    arrays: dict[str, Array] = {}
    if "arrays" in accepted:
        findings += _read_arrays(accepted["arrays"], parts[1:], arrays)
    findings += _uses(accepted)
    if not any(finding.verdict == "wrong" for finding in findings):
        findings += _refusal(parts)
    return Inspected(accepted, arrays, findings)


def is_late_label(header: Mapping[str, Any]) -> bool:
    """Return whether a message has no rows, and says nothing of the end of any."""
    return "arrays" in header and not (header["arrays"] or header.get("last") or header.get("end"))


def shown(value: Any) -> str:
    """Return a value from outside as a sentence may hold it."""
    try:
        return printable(repr(value), LONGEST)
    except ValueError:  # an integer of too many digits
        return f"a {type(value).__name__}"


def _read(parts: Sequence[bytes]) -> tuple[dict[Any, Any], list[Finding]]:
    """Return the header as a map, empty where it is none."""

    def wrong(kind: str, text: str) -> tuple[dict[Any, Any], list[Finding]]:
        return {}, [Finding("header", kind, "wrong", text)]

    if not parts:
        return wrong("parts", "no part at all; accepted is a header, then a payload for each array")
    size = len(parts[0])
    if size > wire.MAX_HEADER_BYTES:
        return wrong("size", f"{size:,} bytes; at most {wire.MAX_HEADER_BYTES:,} are accepted")
    try:
        check_packed(parts[0])
        header = msgspec.msgpack.decode(parts[0])
    except UNREADABLE as error:
        return wrong("unreadable", f"the first part is no MessagePack: {printable(str(error), LONGEST)}")
    if not isinstance(header, dict):
        return wrong("map", f"the first part is {_kind(header)}; accepted is a map")
    if not header:
        return wrong("empty", f"an empty map; {', '.join(REQUIRED)} are required")
    return header, []


def _kind(value: Any) -> str:
    """Return what a value is, as MessagePack calls it."""
    names = {bool: "a bool", int: "an integer", float: "a float", str: "text", bytes: "binary", list: "a list"}
    return names.get(type(value), "nil" if value is None else "a map" if isinstance(value, dict) else "an extension")


def _judged(prefix: str, key: Any, value: Any, keys: Mapping[str, _Key], others: Sequence[str] = ()) -> list[Finding]:
    """Return what is wrong with a key or its value; nothing where it is right."""
    if isinstance(key, str) and key in keys:
        if keys[key].fits(value):
            return []
        text = f"{_kind(value)}, {shown(value)}; accepted is {keys[key].accepted}"
        return [Finding(prefix + key, "value", "wrong", text)]
    if isinstance(key, str) and key in others:
        return [Finding(prefix + key, "other", "look", "only learners write it; a device has no use for it")]
    text = f"unknown key; accepted are {', '.join(keys)}"
    return [Finding(prefix + shown(key), "unknown", "wrong", text)]


def _read_arrays(described: Sequence[Any], payloads: Sequence[bytes], arrays: dict[str, Array]) -> Iterator[Finding]:
    """Put into `arrays` those that are right; yield what is not."""
    if len(described) != len(payloads):
        text = f"{len(described)} are named, but {len(payloads)} payloads follow; accepted is one payload for each"
        yield Finding("arrays", "parts", "wrong", text)
    names = set()
    for number, one in enumerate(described):
        prefix = f"arrays[{number}]."
        if not isinstance(one, dict):
            yield Finding(f"arrays[{number}]", "map", "wrong", f"{_kind(one)}; accepted is a map")
            continue
        wrong = [finding for key, value in one.items() for finding in _judged(prefix, key, value, ARRAY_KEYS)]
        wrong += [
            Finding(prefix + key, "missing", "wrong", f"missing; accepted is {ARRAY_KEYS[key].accepted}")
            for key in ARRAY_KEYS
            if key not in one
        ]
        if not wrong and one["name"] in names:
            wrong = [Finding(prefix + "name", "twice", "wrong", f"{shown(one['name'])} twice; names are for one array")]
        if not wrong and number < len(payloads):
            names.add(one["name"])
            wrong = list(_read_array(prefix, one, payloads[number], arrays))
        yield from wrong


def _read_array(prefix: str, one: Mapping[str, Any], payload: bytes, arrays: dict[str, Array]) -> Iterator[Finding]:
    """Put an array into `arrays`, or yield why it cannot be read."""
    axes, shape, dtype = tuple(one["axes"]), tuple(one["shape"]), wire.DTYPES[one["dtype"]]
    if len(axes) != len(shape):
        text = f"{len(shape)} numbers for {len(axes)} axes ({', '.join(axes)}); accepted is one number for each axis"
        yield Finding(prefix + "shape", "axes", "wrong", text)
        return
    expected = math.prod(shape) * dtype.itemsize
    if len(payload) != expected:
        text = (
            f"{' × '.join(map(str, shape)) or 'a single value'} of {one['dtype']} needs {shown(expected)} bytes, "
            f"but the payload has {len(payload):,}"
        )
        yield Finding(prefix + "shape", "length", "wrong", text)
        return
    if expected > LARGEST_PART:
        text = f"{expected:,} bytes in a part: a source takes {LARGEST_PART:,}, and more where `largest` says so"
        yield Finding(prefix + "shape", "large", "look", text)
    try:
        array = Array(np.ndarray(shape, dtype, payload), axes)
        if not array.n_row_axes:
            yield Finding(prefix + "axes", "rows", "wrong", f"{shown(axes)}; accepted is a row axis ({_ROWS}) first")
        elif 0 in array.row_shape:
            yield Finding(
                prefix + "shape", "none", "wrong", f"{shown(shape)}: rows without a value; accepted is 1 or more"
            )
        else:
            arrays[one["name"]] = array
    except FrameError as error:
        yield Finding(prefix + "axes", "order", "wrong", printable(str(error)))
    except ValueError as error:  # no bytes, for 0 × 2^60 rows
        yield Finding(prefix + "shape", "shape", "wrong", f"{shown(shape)}: {error}")


def _uses(header: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with keys together."""
    late = is_late_label(header)
    if late and not header.get("labels"):
        yield Finding("arrays", "none", "wrong", "none, and neither `labels` that come late nor `last` or `end`")
    if late and not any(key in header for key in ("segment", "offset", "time")):
        text = "come late (without arrays), but do not say for what; accepted is one of segment, offset and time"
        yield Finding("labels", "place", "wrong", text)
    if not late and header.get("offset", -1) >= 0:
        yield Finding("offset", "given", "look", "a device gives none: the source numbers the frames")


def _refusal(parts: Sequence[bytes]) -> list[Finding]:
    """Return why the frame is refused all the same, where there is a reason that is not known here."""
    try:
        wire.decode_pushed(parts)
    except FrameError as error:
        return [Finding("header", "refused", "wrong", printable(str(error)))]
    return []
