"""Frame: the one message of the system. `wire.py` turns it into bytes and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
import numpy.typing as npt

from stream_infomax.frames.event import Event

ROW_AXES = ("time", "item", "grid_y", "grid_x")
GEOMETRY_AXES = ("y", "x", "colour", "mel", "sample", "channel", "component")


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
def count_row_axes(axes: tuple[str, ...]) -> int:
    n_row_axes = 0
    for index, axis in enumerate(axes):
        if axis not in ROW_AXES + GEOMETRY_AXES:
            raise FrameError("axes", f"unknown axis {axis!r}; accepted are {ROW_AXES + GEOMETRY_AXES}")
        if axis in ROW_AXES:
            if n_row_axes < index:
                raise FrameError("axes", f"row axes {ROW_AXES} come before the geometry, got {axes}")
            n_row_axes += 1
    return n_row_axes


class Array(msgspec.Struct, frozen=True, eq=False):
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
        count_row_axes(tuple(self.axes))

    @property
    def n_row_axes(self) -> int:
        """The number of leading axes that count rows."""
        return count_row_axes(tuple(self.axes))

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


class Frame(msgspec.Struct, frozen=True):
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
    basis
        The version of the basis that the frame was encoded with; empty where there is none. Rows of one version are
        comparable; `translate` maps those of one to those of another. Each learner that the frame went through has
        one, the newest last, with "/" between them.
    events
        What happened to the stages while they learnt from this frame, the newest last.
    """

    stream: str
    offset: int = -1
    segment: str = ""
    arrays: Mapping[str, Array] = msgspec.field(default_factory=dict)
    last: bool = False
    end: bool = False
    time: float = 0.0
    rate: float = 0.0
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    encoder: str = ""
    update: int = 0
    basis: str = ""
    events: tuple[Event, ...] = ()

    @property
    def seconds(self) -> float:
        """How long its rows last; 0 where they have no rate."""
        return next((array.n_rows / self.rate for array in self.arrays.values() if self.rate), 0.0)

    def extend(self, arrays: Mapping[str, Array], carry: Iterable[str] = (), **changes: Any) -> Frame:
        """Return the frame with a stage's `arrays` and, of its own, only those named in `carry`.

        A name in `carry` that the frame does not hold is passed over: late labels travel without arrays.

        Raises
        ------
        TypeError
            Where `changes` names something that a frame does not have.
        """
        carried = {name: self.arrays[name] for name in carry if name in self.arrays}
        return msgspec.structs.replace(self, arrays={**carried, **arrays}, **changes)
