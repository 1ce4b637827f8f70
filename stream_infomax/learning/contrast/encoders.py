"""Encoders: the rows of a stream, or a grid of patches, to the outputs of one module as they come."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.contrast.excerpts import columns
from stream_infomax.state.kept import Kept

if TYPE_CHECKING:
    from stream_infomax.learning.contrast.online import OnlineModule

Rows = NDArray[np.float32]


class RowEncoder(Kept):
    """One stream in one module: what convolutions and GRU remember, and rows short of a stride.

    Output row j of a segment stands for its input rows j·stride to (j + 1)·stride - 1, whatever the frames. A NaN
    among them makes it NaN, and the rows after it are encoded from a fresh state.

    Parameters
    ----------
    module
        Encodes.
    """

    def __init__(self, module: OnlineModule) -> None:
        self.module = module
        self.rest: Rows = np.zeros((0, module.module.channels), np.float32)
        self.tails: list[Rows] | None = None

    def encode(self, rows: Rows) -> tuple[Rows, Rows]:
        """Return z and c, of shapes (m, output) and (m, context), for the next rows (n, channels) of the segment."""
        stride = self.module.module.stride
        rows = np.concatenate([self.rest, rows])
        count = len(rows) // stride
        self.rest = rows[count * stride :].copy()
        blocks = rows[: count * stride].reshape(count, stride, rows.shape[1])
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(blocks.reshape(count, stride * rows.shape[1])).all(1))
        z = np.full((count, self.module.module.output), np.nan, np.float32)
        c = np.full((count, self.module.module.context), np.nan, np.float32)
        borders = [0, *(np.flatnonzero(np.diff(finite.astype(np.int8))) + 1), count]
        for start, stop in pairwise(borders):
            if stop == start:
                continue
            if not finite[start]:
                self.tails = None
                continue
            piece = np.ascontiguousarray(blocks[start:stop]).reshape(1, (stop - start) * stride, rows.shape[1])
            found_z, found_c, self.tails = self.module.transform(piece, self.tails)
            z[start:stop], c[start:stop] = found_z[0], found_c[0]
        return z, c

    def reset(self) -> None:
        """Forget what came before, as at the border of a segment."""
        self.rest, self.tails = self.rest[:0], None

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs."""
        tails = {} if self.tails is None else {str(i): tail.copy() for i, tail in enumerate(self.tails)}
        return {"rest": self.rest.copy(), "fresh": self.tails is None, "tails": tails}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.rest = np.array(state["rest"], np.float32)
        tails = [np.array(state["tails"][str(i)], np.float32) for i in range(len(state["tails"]))]
        self.tails = None if state["fresh"] else tails


class GridEncoder:
    """Grids of patches in one module: it sees their columns as sequences, and remembers nothing between grids.

    Parameters
    ----------
    module
        Encodes.
    height, width
        Of a grid, in patches.
    """

    def __init__(self, module: OnlineModule, height: int, width: int) -> None:
        self.module, self.height, self.width = module, height, width

    def encode(self, rows: Rows) -> tuple[Rows, Rows]:
        """Return z and c for the patches (height·width, channels) of a grid, line by line; a patch of NaN stays NaN."""
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(1))
        z, c, _ = self.module.transform(columns(np.where(finite[:, None], rows, 0), self.height, self.width), None)
        back = [np.ascontiguousarray(output.swapaxes(0, 1)).reshape(len(rows), -1) for output in (z, c)]
        for output in back:
            output[~finite] = np.nan
        return back[0], back[1]

    def reset(self) -> None:
        """Nothing is remembered."""

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing is remembered."""
