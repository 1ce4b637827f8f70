"""Outline: what frames will look like, as far as the settings tell before any frame is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import msgspec


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """What a source or a stage will publish.

    Attributes
    ----------
    frames
        Frames in all; 0 where nobody knows.
    segments
        How many segments have so many rows: number of segments by number of rows.
    row
        The shape of a row; None where the data decide.
    live
        Whether data come as long as nobody stops them: `frames` and `segments` are not known.
    at_most
        Whether the shape is an upper bound, below which the data decide.
    grid
        Height and width in rows where the rows of a frame are a grid of patches.
    rate
        Rows a second; 0 for rows without time.
    channels
        The names of a row's channels, its last axis; empty where they have none.
    units
        What the channels' values are in, as text; empty, or one for each channel.
    labels
        How many values each label has.
    left_out
        How many of what a source does not use.
    about
        What else a person may want to know.
    warning
        What a person should know before a run starts.
    """

    frames: int
    segments: Mapping[int, int]
    row: tuple[int, ...] | None
    live: bool = False
    at_most: bool = False
    grid: tuple[int, int] | None = None
    rate: float = 0.0
    channels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    labels: Mapping[str, int] = {}
    left_out: Mapping[str, int] = {}
    about: str = ""
    warning: str = ""

    @property
    def rows(self) -> int:
        """Rows in all."""
        return sum(rows * count for rows, count in self.segments.items())

    @property
    def width(self) -> int | None:
        """Numbers of a row; None where the data decide."""
        return None if self.row is None else prod(self.row)


def count_values(labels: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """Return how many different values each label has."""
    found: dict[str, set[str]] = {}
    for one in labels:
        for name, value in one.items():
            found.setdefault(name, set()).add(value)
    return {name: len(values) for name, values in sorted(found.items())}
