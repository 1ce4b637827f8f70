"""The last seconds of a stream as pictures: stretches of signals, heat maps of many rows."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.page.ring import Recent
from stream_infomax.page.tiles import Colours, Pixels, colours, reduced, shades

Floats = npt.NDArray[np.float64]

# Signals that are drawn one above the other; of more a heat map is made.
MOST_SIGNALS = 8
# Stretches of all signals together; columns and lines of a heat map; pixels of a picture, and of one in colour.
STRETCHES, COLUMNS, LINES, PIXELS, COLOURED = 300, 80, 64, 80 * 80, 56 * 56
# Deviations from its own mean at which a line of a heat map is lightest or darkest.
MOST_DEVIATIONS = 3.0


class Signals(NamedTuple):
    """Signals one above the other, the first on top, each two high around its own middle.

    Attributes
    ----------
    x, low, high
        Stretches: where each is, its least and its largest value.
    scale
        The value that is one high.
    middles
        What is taken away from each signal.
    """

    x: Floats
    low: Floats
    high: Floats
    scale: float
    middles: Floats


def signals(rows: npt.NDArray[np.floating[Any]], rate: float) -> Signals:
    """Return rows (n, few) as signals over seconds, or over rows where they have no rate; 0 is behind the newest."""
    n, width = rows.shape
    parts = [reduced(rows[:, i], STRETCHES // width) for i in range(width)]
    low, high = (np.stack([part[i] for part in parts]) for i in (1, 2))
    middles = np.array([_median((one + other) / 2) for one, other in zip(low, high, strict=True)])
    # Multiples of the scale: an axis that does not follow every sample.
    both = np.stack([low, high])
    rough = round_up(_largest(both - middles[:, None]))
    middles = np.round(middles / rough) * rough
    both -= middles[:, None]
    scale = round_up(_largest(both))
    places = np.concatenate([part[0] for part in parts])
    up = 2.0 * np.arange(width - 1, -1, -1)[:, None]
    low, high = (both / scale + up).reshape(2, -1)
    return Signals((places + 1 - n) / (rate or 1.0), low, high, scale, middles)


def _median(values: Floats) -> float:
    """Return the median of what is finite; 0 for nothing."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else 0.0


def _largest(values: Floats) -> float:
    """Return the largest magnitude of what is finite; 0 for nothing."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def round_up(value: float) -> float:
    """Return the next of 1, 2, 5, 10 …: a scale that does not follow every sample; 1 for nothing."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 5) if value <= step * power), 10 * power)


class Heat(NamedTuple):
    """A heat map: time to the right, the first line on top.

    Attributes
    ----------
    pixels
        (lines, columns), the first line at the bottom; nothing where no row is known.
    lines
        The columns of the rows that are shown, evenly chosen where there are too many.
    newest
        What each of them is last, in deviations from its own mean.
    """

    pixels: Pixels
    lines: npt.NDArray[np.intp]
    newest: Floats


def heat(rows: Floats) -> Heat:
    """Return a heat map of rows (n, width): each column of theirs by its own mean and deviation in these rows."""
    n, width = rows.shape
    lines = np.unique(np.linspace(0, width - 1, min(width, LINES)).round().astype(np.intp))
    known = np.asarray(np.isfinite(rows).all(axis=1))
    chosen = np.where(known[:, None], rows[:, lines], 0.0).astype(np.float64)
    count = max(1, int(known.sum()))
    mean = chosen.sum(0) / count
    deviation = np.sqrt((np.where(known[:, None], chosen - mean, 0.0) ** 2).sum(0) / count)
    standard = (chosen - mean) / np.where(deviation > 0, deviation, 1.0)
    standard[~known] = 0.0
    starts = np.unique(np.linspace(0, n, min(n, COLUMNS), endpoint=False).astype(np.intp))
    counts = np.add.reduceat(known.astype(np.float64), starts)
    means = np.add.reduceat(standard, starts, axis=0) / np.maximum(counts, 1)[:, None]
    means[counts == 0] = np.nan
    newest = means[counts > 0][-1] if (counts > 0).any() else np.full(len(lines), np.nan)
    return Heat(shades(np.clip(means.T[::-1] / MOST_DEVIATIONS, -1, 1)), lines, newest)


class Shown(NamedTuple):
    """A picture as it came.

    Attributes
    ----------
    pixels
        (height, width), the first line at the bottom.
    dark, light
        The values that are drawn so.
    """

    pixels: Pixels | Colours
    dark: float
    light: float


def picture(values: Floats) -> Shown:
    """Return a picture (y, x) or (y, x, colour), thinned where it is large.

    Dark is 0 and light is 1, or 255, where its values are within; else its own least and largest value.
    """
    is_colour = values.ndim == 3 and values.shape[2] == 3
    every = max(1, math.ceil(math.sqrt(values.shape[0] * values.shape[1] / (COLOURED if is_colour else PIXELS))))
    seen = values[::every, ::every].astype(np.float64)
    finite = seen[np.isfinite(seen)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    dark, light = next(((0.0, top) for top in (1.0, 255.0) if low >= 0 and high <= top), (low, high))
    scaled = 2 * (seen - dark) / (light - dark or 1.0) - 1
    if is_colour:
        return Shown(colours(np.nan_to_num(scaled[::-1])), dark, light)
    grey = scaled.mean(-1) if scaled.ndim == 3 else scaled
    return Shown(shades(grey[::-1]), dark, light)


def newest_picture(recent: Recent) -> Floats | None:
    """Return the newest picture among rows; None where they are none, or none is whole."""
    if recent.axes[:2] != ("y", "x") or len(recent.axes) > 3:
        return None
    whole = np.flatnonzero(np.isfinite(recent.rows).all(axis=1))
    return recent.rows[whole[-1]].reshape(recent.shape) if len(whole) else None
