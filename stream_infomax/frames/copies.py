"""Copies: distorted copies of an array, which travel beside it; stages encode them along with it, learning nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.frame import Array, Frame

MOST = 8


def copy_names(name: str, number: int = MOST) -> tuple[str, ...]:
    """Return the names of the first `number` copies of array `name`."""
    return tuple(f"{name}.copy{n}" for n in range(1, number + 1))


def copies_of(frame: Frame, name: str) -> list[Array]:
    """Return the copies of array `name` that travel with a frame."""
    return [frame.arrays[copy] for copy in copy_names(name) if copy in frame.arrays]


def encoded_copies(
    frame: Frame, input: str, name: str, encode: Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]
) -> dict[str, Array]:
    """Return what a stage makes of the copies of its input.

    Parameters
    ----------
    frame
        With the copies; there may be none.
    input, name
        The stage's input and the stage: the copies of the one become those of the other.
    encode
        Makes features (n, width) of the rows (n, numbers of a row) of a copy.
    """
    copies = copies_of(frame, input)
    return {
        own: copy.replace_rows(encode(np.ascontiguousarray(copy.rows())))
        for own, copy in zip(copy_names(name, len(copies)), copies, strict=True)
    }
