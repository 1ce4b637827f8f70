"""Batches in frames: how they travel from one contrastive module to the next."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.contrast.excerpts import Batch, pad


def to_arrays(batches: list[Batch], name: str) -> dict[str, Array]:
    """Return batches as the arrays of a frame.

    Parameters
    ----------
    batches
        At least one.
    name
        The module that has made them.

    Returns
    -------
    dict
        Under ``<name>.batch`` the rows of all excerpts, (rows, channels); under ``.batch.lengths`` the rows of each
        excerpt; under ``.batch.sizes`` the excerpts of each batch.
    """
    rows = [row[:length] for batch in batches for row, length in zip(batch.rows, batch.lengths, strict=True)]
    return {
        f"{name}.batch": Array(np.concatenate(rows), ("time", "component")),
        f"{name}.batch.lengths": Array(np.concatenate([batch.lengths for batch in batches]), ("item",)),
        f"{name}.batch.sizes": Array(np.array([len(batch.lengths) for batch in batches], np.int64), ("item",)),
    }


def from_frame(frame: Frame, name: str) -> list[Batch]:
    """Return the batches of module `name` that travel with a frame; none where there is none."""
    if f"{name}.batch" not in frame.arrays:
        return []
    rows, lengths, sizes = (frame.arrays[f"{name}.batch{part}"].data for part in ("", ".lengths", ".sizes"))
    excerpts = np.split(rows, np.cumsum(lengths)[:-1])
    return [pad(excerpts[start:stop]) for start, stop in pairwise([0, *np.cumsum(sizes)])]
