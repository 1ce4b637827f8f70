"""Batches in frames: how training batches travel from one stage to the next, beside the rows of the stream.

The windows stage or the first contrastive module draws them; every stage that takes them in gives them on as it makes
of them. A batch is several excerpts of consecutive rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.contrast.excerpts import Batch, Rows, pad

PLAIN_ROWS = ("time", "component")
OF_ROWS = ("", ".past")  # the parts of batches that are rows


def packed(
    name: str,
    rows: Sequence[Rows],
    lengths: Sequence[int],
    sizes: Sequence[int],
    axes: tuple[str, ...] = PLAIN_ROWS,
    past: Sequence[Rows] | None = None,
    streams: npt.NDArray[np.int64] | None = None,
) -> dict[str, Array]:
    """Return batches as the arrays of a frame.

    Parameters
    ----------
    name
        The stage that has made them.
    rows
        Rows of excerpts, one behind the other, in any number of blocks.
    lengths, sizes
        Rows of each excerpt; excerpts of each batch. Without any batch `sizes` alone says that batches may come.
    axes
        Of the rows.
    past
        As `rows`, where excerpts are predicted from other rows.
    streams
        A number for the stream of each excerpt.

    Returns
    -------
    dict
        Rows under ``<name>.batch``; ``.batch.lengths``, ``.sizes``, ``.past`` and ``.streams``.
    """
    items = {"sizes": sizes, "lengths": lengths, "streams": streams} if len(sizes) else {"sizes": sizes}
    arrays = {
        f"{name}.batch.{part}": Array(np.asarray(numbers, np.int64), ("item",))
        for part, numbers in items.items()
        if numbers is not None
    }
    if len(sizes):
        arrays[f"{name}.batch"] = Array(np.concatenate(rows), axes)
        if past is not None:
            arrays[f"{name}.batch.past"] = Array(np.concatenate(past), axes)
    return arrays


def to_arrays(batches: list[Batch], name: str) -> dict[str, Array]:
    """Return batches that module `name` has learnt from, at least one, as the arrays of a frame."""
    lengths = [int(length) for batch in batches for length in batch.lengths]
    sizes = [len(batch.lengths) for batch in batches]
    rows = _rows_that_are_there([batch.rows for batch in batches], batches)
    past, streams = None, None
    if any(batch.past is not None for batch in batches):
        past = _rows_that_are_there([batch.rows if batch.past is None else batch.past for batch in batches], batches)
    if any(batch.streams is not None for batch in batches):
        # Streams are told apart within a batch only, so any number will do for one that holds a single stream.
        streams = np.concatenate(
            [np.zeros(len(batch.lengths), np.int64) if batch.streams is None else batch.streams for batch in batches]
        )
    return packed(name, rows, lengths, sizes, past=past, streams=streams)


def _rows_that_are_there(padded: list[Rows], batches: list[Batch]) -> list[Rows]:
    """Return the rows of each excerpt, (rows, channels), without the padding."""
    return [
        row[:length]
        for block, batch in zip(padded, batches, strict=True)
        for row, length in zip(block, batch.lengths, strict=True)
    ]


def carries_batches(frame: Frame, name: str) -> bool:
    """Whether batches of stage `name` come with its frames, if not with each of them."""
    return f"{name}.batch.sizes" in frame.arrays


def encoded_batches(
    frame: Frame, input: str, name: str, encode: Callable[[npt.NDArray[Any]], Rows] | None
) -> dict[str, Array]:
    """Return what stage `name` makes of the batches of its input.

    Parameters
    ----------
    frame
        With the batches; there may be none.
    input, name
        The stage's input, and the stage.
    encode
        Makes features (n, width) of rows (n, numbers of a row); None: it cannot yet, and gives none on.
    """
    if not carries_batches(frame, input):
        return {}
    if encode is None:
        return packed(name, [], [], [])
    return {
        f"{name}.batch{part}": array.replace_rows(encode(array.rows())) if part in OF_ROWS else array
        for part, array in _parts(frame, input).items()
    }


def _parts(frame: Frame, name: str) -> dict[str, Array]:
    """Return the arrays of stage `name` that make up its batches, by what stands behind ``.batch``."""
    names = {part: f"{name}.batch{part}" for part in (*OF_ROWS, ".lengths", ".sizes", ".streams")}
    return {part: frame.arrays[array] for part, array in names.items() if array in frame.arrays}


def from_frame(frame: Frame, name: str) -> list[Batch]:
    """Return the batches of stage `name` that travel with a frame; none where there is none."""
    if f"{name}.batch" not in frame.arrays:
        return []
    data = {part: array.rows() if part in OF_ROWS else array.data for part, array in _parts(frame, name).items()}
    cuts = np.cumsum(data[".lengths"])[:-1]
    excerpts = np.split(data[""], cuts)
    pasts = np.split(data[".past"], cuts) if ".past" in data else None
    batches = []
    for start, stop in pairwise([0, *np.cumsum(data[".sizes"])]):
        batch = pad(excerpts[start:stop], data[".streams"][start:stop] if ".streams" in data else None)
        batches.append(batch if pasts is None else batch._replace(past=pad(pasts[start:stop]).rows))
    return batches
