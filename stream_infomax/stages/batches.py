"""Batches in frames: how they travel from one contrastive module to the next."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.contrast.excerpts import Batch, Rows, pad


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
        excerpt; under ``.batch.sizes`` the excerpts of each batch. Where the batches have another past, its rows are
        under ``.batch.past``; where their excerpts are of several streams, the number of each under
        ``.batch.streams``.
    """
    arrays = {
        f"{name}.batch": _rows_that_are_there([batch.rows for batch in batches], batches),
        f"{name}.batch.lengths": Array(np.concatenate([batch.lengths for batch in batches]), ("item",)),
        f"{name}.batch.sizes": Array(np.array([len(batch.lengths) for batch in batches], np.int64), ("item",)),
    }
    pasts = [batch.rows if batch.past is None else batch.past for batch in batches]
    if any(batch.past is not None for batch in batches):
        arrays[f"{name}.batch.past"] = _rows_that_are_there(pasts, batches)
    if any(batch.streams is not None for batch in batches):
        # Streams are told apart within a batch only, so any number will do for one that holds a single stream.
        streams = [
            np.zeros(len(batch.lengths), np.int64) if batch.streams is None else batch.streams for batch in batches
        ]
        arrays[f"{name}.batch.streams"] = Array(np.concatenate(streams), ("item",))
    return arrays


def _rows_that_are_there(padded: list[Rows], batches: list[Batch]) -> Array:
    """Return the rows of all excerpts, (rows, channels), without the padding."""
    rows = [
        row[:length]
        for block, batch in zip(padded, batches, strict=True)
        for row, length in zip(block, batch.lengths, strict=True)
    ]
    return Array(np.concatenate(rows), ("time", "component"))


def from_frame(frame: Frame, name: str) -> list[Batch]:
    """Return the batches of module `name` that travel with a frame; none where there is none."""
    if f"{name}.batch" not in frame.arrays:
        return []
    parts = {part: frame.arrays.get(f"{name}.batch{part}") for part in ("", ".lengths", ".sizes", ".past", ".streams")}
    data = {part: array.data for part, array in parts.items() if array is not None}
    cuts = np.cumsum(data[".lengths"])[:-1]
    excerpts = np.split(data[""], cuts)
    pasts = np.split(data[".past"], cuts) if ".past" in data else None
    batches = []
    for start, stop in pairwise([0, *np.cumsum(data[".sizes"])]):
        batch = pad(excerpts[start:stop], data[".streams"][start:stop] if ".streams" in data else None)
        batches.append(batch if pasts is None else batch._replace(past=pad(pasts[start:stop]).rows))
    return batches
