"""Shapes: what a module works on, rows in time or grids of image patches.

A shape is known with the first rows and stays. It decides how far ahead the module predicts, how rows are encoded, what
an excerpt is, and how excerpts make a batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.contrast.encoders import GridEncoder, RowEncoder
from stream_infomax.learning.contrast.excerpts import Batch, Cutter, GridCutter, pad
from stream_infomax.learning.contrast.layouts import steps_ahead

if TYPE_CHECKING:
    from stream_infomax.learning.contrast.online import OnlineModule

Rows = NDArray[np.float32]

MOST_GRID_STEPS = 5  # GIM predicts up to five rows of patches downwards


@dataclass(frozen=True)
class Sequences:
    """Rows in time; a module predicts the rows that follow.

    Attributes
    ----------
    channels : int
        Columns of a row.
    rate : float
        Rows a second.
    """

    channels: int
    rate: float

    def state(self) -> dict[str, Any]:
        """Return what `restored` needs."""
        return asdict(self)

    def loss(self, stride: int, horizon: float, skip: int) -> dict[str, int]:
        """Return what the loss of a module needs to know.

        Parameters
        ----------
        stride
            Input rows of one output row.
        horizon
            Seconds to predict ahead.
        skip
            Output rows between context and target that are left out; the horizon begins after them.
        """
        return {"steps": steps_ahead(horizon, self.rate / stride), "skip": skip}

    def encoder(self, module: OnlineModule) -> RowEncoder:
        """Return what encodes one stream."""
        return RowEncoder(module)

    def cutter(self, stride: int, longest: int, dropped: Counter[str]) -> Cutter:
        """Return what cuts one stream into excerpts that allow one prediction."""
        shortest = 2 * stride
        return Cutter(self.channels, max(longest, shortest), shortest, dropped)

    def batch(self, excerpts: list[Rows], streams: NDArray[np.int64] | None = None) -> Batch:
        """Return excerpts (T_i, channels), and the numbers of their streams, as a batch."""
        return pad(excerpts, streams)

    def arranged(self, outputs: Rows) -> Rows:
        """Return output rows in the order of the input's axes."""
        return outputs


@dataclass(frozen=True)
class Grids:
    """Grids of image patches; a module predicts the patches below.

    Attributes
    ----------
    channels : int
        Columns of a row, which is a patch.
    rate : float
        Of the frames, 0 where there is none.
    height, width : int
        Of a grid, in patches.
    """

    channels: int
    rate: float
    height: int
    width: int

    def state(self) -> dict[str, Any]:
        """Return what `restored` needs."""
        return asdict(self)

    def loss(self, stride: int, horizon: float, skip: int) -> dict[str, int]:
        """Return what the loss of a module needs to know.

        Parameters
        ----------
        stride, horizon
            Of no meaning here.
        skip
            Rows of patches between context and target that are left out.

        Raises
        ------
        ValueError
            Where the grid is too low for any prediction.
        """
        steps = min(MOST_GRID_STEPS, self.height - 1 - skip)
        if steps < 1:
            raise ValueError(
                f"a grid of {self.height} rows of patches leaves nothing to predict below {skip} skipped ones; "
                f"it needs {skip + 2}"
            )
        return {"steps": steps, "skip": skip, "columns": self.width}

    def encoder(self, module: OnlineModule) -> GridEncoder:
        """Return what encodes one stream."""
        return GridEncoder(module, self.height, self.width)

    def cutter(self, stride: int, longest: int, dropped: Counter[str]) -> GridCutter:
        """Return what makes excerpts of grids."""
        return GridCutter(self.height, self.width, dropped)

    def batch(self, excerpts: list[Rows], streams: NDArray[np.int64] | None = None) -> Batch:
        """Return excerpts (height·width, channels), columns one below the other, as a batch of columns."""
        rows = np.stack(excerpts).reshape(len(excerpts) * self.width, self.height, -1)
        of = None if streams is None else np.repeat(streams, self.width)
        return Batch(rows, np.full(len(rows), self.height, np.int64), streams=of)

    def arranged(self, outputs: Rows) -> Rows:
        """Return output rows in the order of the input's axes."""
        return outputs.reshape(self.height, self.width, -1)


Shape = Sequences | Grids


def shape_of(row_axes: tuple[str, ...], row_lengths: tuple[int, ...], channels: int, rate: float) -> Shape:
    """Return the shape of rows.

    Parameters
    ----------
    row_axes, row_lengths
        The axes that count rows, and their lengths.
    channels
        Columns of a row.
    rate
        Rows a second.

    Raises
    ------
    ValueError
        Where the axes are neither those of a sequence nor those of a grid.
    """
    if row_axes == ("time",):
        return Sequences(channels, rate)
    if row_axes == ("grid_y", "grid_x"):
        return Grids(channels, rate, *row_lengths)
    raise ValueError(
        f"rows along {row_axes}; accepted are rows in time, or a grid of patches (windows of form 'grid', pictures in "
        f"mode 'crops' or 'tiles')"
    )


def restored(state: Mapping[str, Any]) -> Shape:
    """Return the shape whose `state` this is."""
    return Grids(**state) if "height" in state else Sequences(**state)
