"""Tiles: what is drawn of a basis, in few bytes: mosaics of pictures and of lines, and one component large."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.drawing import channels, scaling
from stream_infomax.drawing import component_order as by
from stream_infomax.frames.basis import Basis

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
# Red, green, blue and how opaque it is, from the lowest byte on.
Colours = npt.NDArray[np.uint32]
Points = npt.NDArray[np.float32]
# `picture`, `colour`: patches. `wave`: windows of one signal. `plane`: time over bands or channels. `head`: channels
# with places on a head. `bars`: any other row.
Kind = Literal["picture", "colour", "wave", "plane", "head", "bars"]
Side = Literal["filters", "basis"]

# A pixel of 0 is none; the others are values from -1 to 1, and 128 is 0.
NOTHING, ZERO, STEP = 0, 128, 127
EMPTY: Pixels = np.full((1, 1), NOTHING, np.uint8)
# Levels of red, green and blue: all their mixtures are one byte, and a grey is among them for 0.
LEVELS = (7, 7, 5)
# Of a mosaic: bytes of its pictures, and tiles that can still be told from one another.
MOST_BYTES, MOST_TILES, MOST_LINES = 24_000, 144, 64
# Width over height of a mosaic.
WIDE = 1.5
# Points of a line in a mosaic; of a side of a head's map there, and the pixels of its nose above that.
MOST_POINTS, HEAD_SIDE, NOSE = 128, 25, 2


class Mosaic(NamedTuple):
    """Tiles side by side; a tile is one wide and `Look.height` high, and the first is at the upper left.

    Attributes
    ----------
    pixels
        (height, width), the first line at the bottom; None where it is made of lines.
    x, y
        One line with NaN between its parts; empty where there is none.
    """

    pixels: Pixels | None
    x: Points
    y: Points


class Large(NamedTuple):
    """One component: as pixels, or as values of a line; the other is None.

    Attributes
    ----------
    pixels
        (height, width), the first line at the bottom.
    values
        Each scaled to its largest magnitude.
    """

    pixels: Pixels | Colours | None
    values: Floats | None


@dataclass(frozen=True)
class Look:
    """How the components of a basis look.

    Attributes
    ----------
    kind
        Decided by the geometry of a row, and by the names of its channels.
    shape
        Of one row.
    filters, basis
        (n_components, K), each with its heavier side up.
    order
        All components as a mosaic shows them: from low to high frequency, or by share.
    signs
        (n_components,): -1 where that turned a component over.
    rate, names
        Samples a second and names of the values of a row, where they are known.
    upwards
        What goes upwards in a plane: "band" or "channel".
    """

    kind: Kind
    shape: tuple[int, ...]
    filters: Floats
    basis: Floats
    order: npt.NDArray[np.intp]
    signs: Floats
    rate: float = 0.0
    names: tuple[str, ...] = ()
    upwards: str = "band"

    @cached_property
    def shares(self) -> Floats:
        """Each component's share of the signal's variance: outputs have like variances."""
        return channels.shares(self.basis)

    @cached_property
    def chosen(self) -> npt.NDArray[np.intp]:
        """Those of `order` that there is room for, evenly chosen."""
        most = MOST_LINES
        if self.kind in ("picture", "colour", "plane"):
            most = min(MOST_TILES, max(16, MOST_BYTES // math.prod(self.shape[:2])))
        return self.order[scaling.spread(len(self.order), most)]

    @property
    def height(self) -> float:
        """The height of a tile whose width is 1."""
        if self.kind in ("picture", "colour"):
            return (self.shape[0] + 1) / (self.shape[1] + 1)
        if self.kind == "plane":
            return float(np.clip(self.shape[1] / self.shape[0], 0.5, 2.0))
        return (HEAD_SIDE + 1 + NOSE) / (HEAD_SIDE + 1) if self.kind == "head" else 0.6

    @property
    def columns(self) -> int:
        """Tiles of a line of the mosaic."""
        return by.columns_for(len(self.chosen), 1 / (self.height * WIDE))

    @property
    def lines(self) -> int:
        """Lines of the mosaic."""
        return math.ceil(len(self.chosen) / self.columns)

    def corner(self, place: int) -> tuple[float, float]:
        """Return where the lower left corner of a tile is, by its place in the mosaic."""
        return place % self.columns, (self.lines - 1 - place // self.columns) * self.height

    def at(self, x: float, y: float) -> int | None:
        """Return the component whose tile is at a point; None where there is none."""
        column, line = math.floor(x), self.lines - 1 - math.floor(y / self.height)
        place = line * self.columns + column
        inside = 0 <= column < self.columns and 0 <= line < self.lines and place < len(self.chosen)
        return int(self.chosen[place]) if inside else None

    def mosaic(self, side: Side) -> Mosaic:
        """Return the mosaic of filters or basis."""
        rows = getattr(self, side)[self.chosen]
        none = np.zeros(0, np.float32)
        match self.kind:
            case "wave":
                return Mosaic(None, *self._lines([_thinned(row) for row in _scaled(rows)]))
            case "bars":
                return Mosaic(None, *self._lines([_stems(row) for row in _scaled(rows)]))
            case "head":
                heads = _heads(rows, self.names, HEAD_SIDE)
                return Mosaic(_side_by_side(heads, self.columns, 1 + NOSE), *self._outlines())
            case _:
                return Mosaic(_side_by_side(self._tiles(rows), self.columns), none, none)

    def large(self, side: Side, component: int) -> Large:
        """Return one component."""
        rows = getattr(self, side)[component : component + 1]
        if self.kind in ("wave", "bars"):
            return Large(None, _scaled(rows)[0])
        if self.kind == "colour":
            return Large(colours((rows / scaling.largest(rows)).reshape(self.shape))[::-1], None)
        tiles = _heads(rows, self.names, channels.GRID) if self.kind == "head" else self._tiles(rows)
        return Large(tiles[0, ::-1], None)

    def _tiles(self, rows: Floats) -> Pixels:
        """Return pixels (n, y, x), the first line on top."""
        tiles = rows.reshape(-1, *self.shape)
        if self.kind == "colour":
            return mixtures(tiles / scaling.largest(tiles))
        if self.kind == "plane":  # time to the right, bands upwards
            tiles = tiles.transpose(0, 2, 1)[:, ::-1]
        return shades(tiles / scaling.largest(tiles))

    def _lines(self, parts: Sequence[tuple[Floats, Floats]]) -> tuple[Points, Points]:
        """Return the parts, each of them from (0, -1) to (1, 1), in their tiles."""
        placed = []
        for place, (across, up) in enumerate(parts):
            left, low = self.corner(place)
            placed.append((left + 0.06 + 0.88 * across, low + self.height * (0.5 + 0.43 * up)))
        return _joined(placed)

    def _outlines(self) -> tuple[Points, Points]:
        """Return circle and nose of each head."""
        radius = 0.5 * HEAD_SIDE / (HEAD_SIDE + 1)
        circle, nose = (radius * (1 + 1j + line / 0.4) for line in channels.outlines()[:2])
        corners = [self.corner(place) for place in range(len(self.chosen))]
        lines = [circle[::2], nose]
        return _joined([(left + line.real, low + line.imag) for left, low in corners for line in lines])


def look(basis: Basis, rate: float = 0.0, names: Sequence[str] = (), order: npt.ArrayLike | None = None) -> Look:
    """Return how the components of a basis look.

    Parameters
    ----------
    basis
        With the geometry of a row.
    rate
        Samples a second; 0 where that is not known.
    names
        Of the values of a row; empty where they have none.
    order
        Of the components, where it is to stay as it was.
    """
    filters = np.asarray(basis.components, np.float64)
    columns = np.asarray(basis.mixing, np.float64).T
    kind, shape = _kind(basis.axes, basis.shape, names, filters.shape[1])
    signs = channels.largest_weight_up(columns) if kind in ("head", "bars") else scaling.heavier_side_up(columns)
    filters, columns = filters * signs[:, None], columns * signs[:, None]
    found = _order(kind, shape, filters, columns) if order is None else np.asarray(order, np.intp)
    upwards = "channel" if basis.axes[-1:] == ("channel",) else "band"
    return Look(kind, shape, filters, columns, found, signs, rate, tuple(names), upwards)


def shades(values: Floats) -> Pixels:
    """Return values from -1 to 1 as bytes; NaN as nothing."""
    return np.where(np.isnan(values), NOTHING, ZERO + np.rint(STEP * np.nan_to_num(values))).astype(np.uint8)


def mixtures(values: Floats) -> Pixels:
    """Return colours (..., 3) from -1 to 1 as bytes, each one of 245 mixtures."""
    red, green, blue = (
        np.rint((np.clip(values[..., i], -1, 1) + 1) / 2 * (n - 1)).astype(np.uint8) for i, n in enumerate(LEVELS)
    )
    return (1 + (red * LEVELS[1] + green) * LEVELS[2] + blue).astype(np.uint8)


def colours(values: Floats) -> Colours:
    """Return colours (..., 3) from -1 to 1, four bytes each."""
    red, green, blue = np.moveaxis(np.rint((np.clip(values, -1, 1) + 1) / 2 * 255).astype(np.uint32), -1, 0)
    result: Colours = red | green << 8 | blue << 16 | np.uint32(255 << 24)
    return result


def reduced(values: npt.NDArray[np.floating[Any]], most: int) -> tuple[Floats, Floats, Floats]:
    """Return where at most `most` stretches of values (n,) are, from 0 to n - 1, and the least and largest of each.

    A stretch of values that are not finite has NaN.
    """
    n = len(values)
    starts = np.unique(np.linspace(0, n, min(n, most), endpoint=False).astype(np.intp))
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, np.nan)
    low, high = (least.reduceat(values, starts).astype(np.float64) for least in (np.fmin, np.fmax))
    ends = np.r_[starts[1:], n] - 1
    return (starts + ends) / 2, low, high


def _kind(axes: Sequence[str], shape: Sequence[int], names: Sequence[str], K: int) -> tuple[Kind, tuple[int, ...]]:
    """Return the form of a row and its shape; what cannot be drawn as it is, is one line of values."""
    match tuple(axes):
        case ("y", "x"):
            return "picture", tuple(shape)
        case ("y", "x", "colour") if shape[2] == 3:
            return "colour", tuple(shape)
        case ("sample",):
            return "wave", tuple(shape)
        case (_, _):
            return "plane", tuple(shape)
    return "head" if len(names) == K and channels.is_head(names) else "bars", (K,)


def _order(kind: Kind, shape: tuple[int, ...], filters: Floats, basis: Floats) -> npt.NDArray[np.intp]:
    tiles = basis.reshape(-1, *shape)
    match kind:
        case "picture" | "colour":
            # One line of like frequency is one of the mosaic.
            return by.of_patches(tiles, by.columns_for(len(tiles), shape[1] / (shape[0] * WIDE)))
        case "wave":
            return by.of_signals(filters, basis)
        case "plane":
            return by.of_planes(filters.reshape(-1, *shape))
        case _:
            return np.argsort(-channels.shares(basis), kind="stable")


def _scaled(rows: Floats) -> Floats:
    return rows / scaling.largest(rows)


def _thinned(row: Floats) -> tuple[Floats, Floats]:
    """Return a line through a signal; through the extremes of its stretches where it has too many samples."""
    if len(row) <= MOST_POINTS:
        return np.linspace(0, 1, len(row)), row
    places, low, high = reduced(row, MOST_POINTS // 2)
    return np.repeat(places / (len(row) - 1), 2), np.c_[low, high].ravel()


def _stems(row: Floats) -> tuple[Floats, Floats]:
    """Return a stem for each value, from zero; of too many values a line through their extremes."""
    if len(row) > MOST_POINTS:
        return _thinned(row)
    places = (np.arange(len(row)) + 0.5) / len(row)
    return np.repeat(places, 3), np.c_[np.zeros(len(row)), row, np.full(len(row), np.nan)].ravel()


def _joined(lines: Sequence[tuple[Floats, Floats]]) -> tuple[Points, Points]:
    """Return lines as one, with NaN behind each."""
    x, y = (np.concatenate([np.append(line[i], np.nan) for line in lines]).astype(np.float32) for i in (0, 1))
    return x, y


def _heads(rows: Floats, names: Sequence[str], side: int) -> Pixels:
    """Return maps (n, side, side) of heads seen from above, the first line at the front."""
    return shades(channels.Scalp(names, side).maps(rows)[:, ::-1])


def _side_by_side(tiles: Pixels, columns: int, above: int = 1) -> Pixels:
    """Return tiles (n, y, x) with a line of nothing beside each and some above, the last line of all first."""
    n, height, width = tiles.shape
    lines = math.ceil(n / columns)
    canvas = np.full((lines * columns, above + height, width + 1), NOTHING, np.uint8)
    canvas[:n, above:, :-1] = tiles
    side_by_side = canvas.reshape(lines, columns, above + height, -1).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(side_by_side.reshape(lines * (above + height), -1)[::-1])
