"""Copies: how distorted copies of an array are named, which stages encode along with it and never learn from."""

from __future__ import annotations

from stream_infomax.frames.frame import Array, Frame

MOST = 8


def copy_names(name: str, number: int = MOST) -> tuple[str, ...]:
    """Return the names of the first `number` copies of array `name`."""
    return tuple(f"{name}.copy{n}" for n in range(1, number + 1))


def copies_of(frame: Frame, name: str) -> list[Array]:
    """Return the copies of array `name` that travel with a frame."""
    return [frame.arrays[copy] for copy in copy_names(name) if copy in frame.arrays]
