"""Form: what all rows of a source of devices have in common, fixed by its settings or by the first message."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

from stream_infomax.frames.frame import Array, FrameError, count_row_axes
from stream_infomax.settings.error import SettingError

# Axes, shape of a row and rate, as a state has them.
_Fixed = tuple[
    tuple[str, ...], tuple[Annotated[int, msgspec.Meta(ge=1, le=2**31)], ...], Annotated[float, msgspec.Meta(ge=0)]
]


def check_settings(axes: tuple[str, ...], row: tuple[int, ...]) -> None:
    """Raise SettingError where no rows can have these axes and this shape."""
    try:
        n_row_axes = count_row_axes(axes)
    except FrameError as error:
        raise SettingError("axes", list(axes), "axes as of docs/protocol.md, or []", str(error)) from None
    if axes and not n_row_axes:
        raise SettingError("axes", list(axes), "a row axis (time, item, …) first")
    if row and axes and len(row) != len(axes) - n_row_axes:
        raise SettingError("row", list(row), f"a number for each of {list(axes[n_row_axes:])}")


class Form:
    """Axes, shape of a row and rate.

    Parameters
    ----------
    axes
        Of every array; empty: the first one has them.
    row
        Shape of a row; empty: the first array has it, unless the axes say that a row is one number.
    rate
        Rows a second; 0: the first message says.

    Attributes
    ----------
    row
        Shape of a row; None where it is not known yet.
    rate
        Rows a second, 0 for rows without a rate.
    n_row_axes
        How many axes count rows.
    """

    def __init__(self, axes: tuple[str, ...], row: tuple[int, ...], rate: float) -> None:
        self.axes = axes
        self.n_row_axes = count_row_axes(axes)
        self.row: tuple[int, ...] | None = row or (() if axes and self.n_row_axes == len(axes) else None)
        self.rate = rate
        self._is_fixed = False

    def fix(self, array: Array, rate: float) -> None:
        """From now on all rows are of the form that these have."""
        self.axes, self.row, self.rate = array.axes, array.row_shape, rate
        self.n_row_axes = array.n_row_axes
        self._is_fixed = True

    def check(self, array: Array, rate: float) -> None:
        """Raise FrameError where rows have another form."""
        axes, shape = array.axes, array.data.shape
        if axes != self.axes:
            if self.axes or not array.n_row_axes:
                raise FrameError("axes", f"axes {axes}; {self.axes or 'a row axis first'} is accepted")
            shape = array.row_shape
        else:
            shape = shape[self.n_row_axes :]
        if shape != self.row and (self.row is not None or 0 in shape):
            raise FrameError("shape", f"rows of shape {shape}; {self.row or 'one without 0'} is accepted")
        if rate != self.rate and (self._is_fixed or self.rate):
            raise FrameError("rate", f"{rate:g} rows a second; {self.rate:g} is accepted")

    def no_rows(self, dtype: str) -> Array:
        """Return no rows, of this dtype if it is known: what the end of a segment or a stream is told with."""
        return Array(np.zeros((0,) * self.n_row_axes + (self.row or ()), dtype or np.float32), self.axes)

    def state(self) -> list[Any]:
        """Return what is fixed; nothing before the first message."""
        return [list(self.axes), list(self.row or ()), self.rate] if self._is_fixed else []

    def restore(self, state: list[Any]) -> None:
        """Take over what `state` returned."""
        if state:
            axes, row, self.rate = msgspec.convert(state, _Fixed)
            self.axes, self.row = axes, row
            self.n_row_axes = count_row_axes(self.axes)
            self._is_fixed = True
