"""Payloads of messages to rows: raw numbers, CSV or JSON, each with a counter where the device sends one."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from stream_infomax.state.nesting import NestedError, check_json

Rows = npt.NDArray[Any]
Form: TypeAlias = Literal["raw", "csv", "json"]
Values = float | list[float | list[float]]
COUNTERS = ("uint8", "uint16", "uint32", "uint64")
_BETWEEN = re.compile(r"\s*[,;\s]\s*")


class PayloadError(ValueError):
    """A payload that cannot be used; the text is the reason under which it is counted."""


class Payload(NamedTuple):
    """What a message says.

    Attributes
    ----------
    rows
        Its rows (n, channels).
    first, last
        Of the device's counter, over the rows of the message; None where there is none.
    """

    rows: Rows
    first: int | None = None
    last: int | None = None


def reader(form: Form, channels: int, dtype: str, fields: tuple[str, ...], counter: str) -> Callable[[bytes], Payload]:
    """Return what reads the payloads of a form.

    It raises PayloadError, with the reason, where a payload does not have the form, the size, or finite numbers.

    Parameters
    ----------
    form
        ``raw``: little-endian numbers; ``csv``: a row a line; ``json``: a number, a list, or a list of lists.
    channels
        Numbers of a row.
    dtype
        Of the numbers.
    fields
        Keys of a JSON object that hold the numbers: one holds all channels, several hold one channel each. Empty: the
        numbers are the whole text.
    counter
        Where the device's counter is: the type of the number that a raw payload begins with, the number of a CSV
        column, a JSON key. Empty: nowhere.
    """
    read = {"raw": _raw, "csv": _csv, "json": _json}[form]
    return read(channels, np.dtype(dtype), fields, counter)


def _raw(channels: int, dtype: np.dtype[Any], fields: tuple[str, ...], counter: str) -> Callable[[bytes], Payload]:
    little = dtype.newbyteorder("<")
    ahead = np.dtype(counter).newbyteorder("<") if counter else None
    n_ahead = ahead.itemsize if ahead is not None else 0

    def read(payload: bytes) -> Payload:
        n_bytes = len(payload) - n_ahead
        if n_bytes <= 0 or n_bytes % (channels * dtype.itemsize):
            raise PayloadError("messages of another size")
        rows = _rows(np.frombuffer(payload, little, offset=n_ahead).astype(dtype, copy=False), channels)
        if ahead is None:
            return Payload(rows)
        number = int(np.frombuffer(payload, ahead, count=1)[0])
        return Payload(rows, number, number)

    return read


def _csv(channels: int, dtype: np.dtype[Any], fields: tuple[str, ...], counter: str) -> Callable[[bytes], Payload]:
    column = int(counter) if counter else None
    width = channels + bool(counter)

    def read(payload: bytes) -> Payload:
        try:
            lines = [line.strip() for line in payload.decode("utf-8-sig").splitlines()]
        except UnicodeDecodeError:
            raise PayloadError("messages without numbers") from None
        cells = [_BETWEEN.split(line) for line in lines if line]
        if not cells or any(len(row) != width for row in cells):
            raise PayloadError("messages of another size")
        counts = [_whole(row.pop(column)) for row in cells] if column is not None else []
        if any(after != before + 1 for before, after in pairwise(counts)):
            raise PayloadError("messages whose counter does not count")
        rows = _rows(_array([[_number(cell) for cell in row] for row in cells], dtype), channels)
        return Payload(rows, counts[0], counts[-1]) if counts else Payload(rows)

    return read


def _json(channels: int, dtype: np.dtype[Any], fields: tuple[str, ...], counter: str) -> Callable[[bytes], Payload]:
    if not fields:
        whole = msgspec.json.Decoder(Values)
        return lambda payload: Payload(_rows(_array(_decoded(whole, payload), dtype), channels))
    wanted: list[Any] = [(f"field{i}", Values, msgspec.field(name=key)) for i, key in enumerate(fields)]
    if counter:
        wanted.append(("counter", Annotated[int, msgspec.Meta(ge=0, lt=2**62)], msgspec.field(name=counter)))
    decoder = msgspec.json.Decoder(msgspec.defstruct("Fields", wanted))

    def read(payload: bytes) -> Payload:
        found = _decoded(decoder, payload)
        columns = [_array(getattr(found, f"field{i}"), dtype) for i in range(len(fields))]
        if len(columns) > 1:  # one channel each
            if len({column.shape for column in columns}) > 1:
                raise PayloadError("messages of another size")
            columns = [np.stack([column.ravel() for column in columns], axis=1)]
        rows = _rows(columns[0], channels)
        return Payload(rows, found.counter, found.counter) if counter else Payload(rows)

    return read


def _decoded(decoder: msgspec.json.Decoder[Any], payload: bytes) -> Any:
    try:
        check_json(payload)
        return decoder.decode(payload)
    except (msgspec.DecodeError, NestedError, UnicodeDecodeError):
        raise PayloadError("messages without numbers") from None


def _array(values: Any, dtype: np.dtype[Any]) -> Rows:
    try:
        with np.errstate(over="ignore"):
            return np.array(values, np.float64).astype(dtype)
    except ValueError:  # lists of several lengths
        raise PayloadError("messages of another size") from None


def _rows(values: Rows, channels: int) -> Rows:
    """Return numbers as rows, each of which has all channels."""
    if not values.size or (values.ndim == 2 and values.shape[1] != channels) or values.size % channels:
        raise PayloadError("messages of another size")
    if not np.isfinite(values).all():
        raise PayloadError("messages with numbers that are not finite")
    return values.reshape(-1, channels)


def _number(cell: str) -> float:
    try:
        if "_" in cell:  # Python reads 1_000, nobody else does
            raise ValueError
        return float(cell)
    except ValueError:
        raise PayloadError("messages without numbers") from None


def _whole(cell: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", cell):
        raise PayloadError("messages whose counter does not count")
    return int(cell)
