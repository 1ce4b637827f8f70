"""How a training batch travels with the frame that triggered it, from one contrastive module to the next."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.contrast.excerpts import Batch, pad


def pack(batches: list[Batch], name: str) -> dict[str, Array]:
    """Return batches as arrays, all rows of all excerpts in one, their lengths, and each batch's number of excerpts."""
    rows = [row[:length] for batch in batches for row, length in zip(batch.rows, batch.lengths, strict=True)]
    return {
        f"{name}.batch": Array(np.concatenate(rows), ("time", "component")),
        f"{name}.batch.lengths": Array(np.concatenate([batch.lengths for batch in batches]), ("item",)),
        f"{name}.batch.sizes": Array(np.array([len(batch.lengths) for batch in batches], np.int64), ("item",)),
    }


def unpack(frame: Frame, name: str) -> list[Batch]:
    """Return the batches of module `name` that travel with the frame; none where there is none."""
    if f"{name}.batch" not in frame.arrays:
        return []
    rows, lengths, sizes = (frame.arrays[f"{name}.batch{part}"].data for part in ("", ".lengths", ".sizes"))
    excerpts = np.split(rows, np.cumsum(lengths)[:-1])
    return [pad(excerpts[start:stop]) for start, stop in pairwise([0, *np.cumsum(sizes)])]
