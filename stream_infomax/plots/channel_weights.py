"""Components of channels: what each looks like on the sensors, beside the spectrum of its output."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from stream_infomax.drawing import channels as parts
from stream_infomax.drawing import head
from stream_infomax.drawing.channels import ALPHA, DECIBELS, GRID, Scalp
from stream_infomax.drawing.component_order import columns_for
from stream_infomax.plots.panels import Panel
from stream_infomax.plots.style import BLUE, DIVERGING, INK, QUIET, bare, drawable, new_figure, panel

Floats = npt.NDArray[np.float64]
MOST, COLUMNS = 64, 8
# A cell is as wide as two squares of one: weights, and a spectrum.
INCHES = 0.92
# Where in a cell the middle of its head is.
MIDDLE = (0.52, 0.5)
# Of a map: levels, how a line there is drawn, and in which colour.
CONTOURS = (((-0.75, -0.5, -0.25), "dashed", "white"), ((0.25, 0.5, 0.75), "solid", INK))


def channels(basis: Floats, spectra: Floats, rate: float, names: Sequence[str]) -> Figure:
    """Draw the basis (n_components, n_channels) as weights of channels, each beside its spectrum, by share."""
    share = parts.shares(basis)
    order = np.argsort(-share, kind="stable")[:MOST]
    # A component and its negative are the same one.
    weights = (basis * parts.largest_weight_up(basis)[:, None])[order]
    is_head = parts.is_head(names)
    lines = math.ceil(len(order) / COLUMNS)
    columns = max(4, math.ceil(len(order) / lines))  # no line is much shorter than the others
    width, height, cell = 2 * INCHES * columns, 1.22 * INCHES * lines, 1.22
    figure = new_figure(width + 0.6, height + 1.75, "What was learnt from the channels", _note(share, order, is_head))
    axes = bare(panel(figure, 0.3, 0.75, width, height))
    axes.set_xlim(0, 2 * columns)
    axes.set_ylim(0, cell * lines)
    corners = [(2.0 * (i % columns), cell * (lines - 1 - i // columns)) for i in range(len(order))]
    top = parts.top_of(rate, is_head)
    if is_head:
        _heads(axes, corners, weights, Scalp(names))
    else:
        _bars(axes, corners, weights)
    _spectra(axes, corners, spectra[:, order], rate, top, is_head)
    for i, (x, y) in enumerate(corners):
        axes.text(x + 0.06, y + 1.13, f"{i + 1}", fontsize=7.5, weight="bold", color=INK, va="center")
        axes.text(x + 1.9, y + 1.13, _percent(share[order[i]]), fontsize=7.5, color=INK, ha="right", va="center")
    _legend(figure, top, is_head, names)
    return figure


def maps(basis: Floats, names: Sequence[str]) -> Panel:
    """Return the panel of a basis (n_components, n_channels) on a head, without spectra, by share."""
    order = np.argsort(-parts.shares(basis), kind="stable")[:MOST]
    columns = columns_for(len(order))
    lines = math.ceil(len(order) / columns)
    scalp = Scalp(names)

    corners = [(float(i % columns), lines - 1.0 - i // columns) for i in range(len(order))]

    def draw(axes: Axes, weights: Floats) -> None:
        """One image of all, without contours: a map each, as `_heads` has it, takes seconds."""
        side = round(GRID / 0.8)  # of a cell, in points of the maps' grid
        left, low = (round((middle - 0.4) * side) for middle in MIDDLE)
        image = np.full((lines * side, columns * side), np.nan)
        for (x, y), values in zip(corners, scalp.maps(weights), strict=True):
            across, up = round(x * side) + left, round(y * side) + low
            image[up : up + GRID, across : across + GRID] = values
        extent = (0, columns, 0, lines)
        bare(axes).imshow(
            image,
            origin="lower",
            extent=extent,
            cmap=DIVERGING,
            vmin=-1,
            vmax=1,
            aspect="auto",
            interpolation="nearest",
        )
        _outlines(axes, corners, scalp)

    note = f"{_shown(order, len(basis))} on the sensors, the largest share of the signal first; the nose up"
    return Panel("the channels", note, order, 0.78 * columns, 0.78 * lines, draw, has_scale=True)


def _shown(order: npt.NDArray[np.intp], n: int) -> str:
    return f"{n} components" if len(order) == n else f"{len(order)} of {n} components"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def _note(share: Floats, order: npt.NDArray[np.intp], is_head: bool) -> str:
    kind = "seen from above, the nose up" if is_head else "one bar a channel"
    lines = (
        f"{_shown(order, len(share))} with their share of the signal's variance. Right: the spectrum of its output.",
        f"Left: its column of the basis on the sensors, scaled to itself ({kind}).",
    )
    return "\n".join(lines)


def _heads(axes: Axes, corners: Sequence[tuple[float, float]], weights: Floats, scalp: Scalp) -> None:
    """Draw maps of the scalp; contours are solid and dark above zero, dashed and light below."""
    scale = 0.4 / scalp.edge
    for (left, low), values in zip(corners, np.ma.masked_invalid(scalp.maps(weights)), strict=True):
        middle = left + MIDDLE[0], low + MIDDLE[1]
        extent = (middle[0] - 0.4, middle[0] + 0.4, middle[1] - 0.4, middle[1] + 0.4)
        axes.imshow(values, origin="lower", extent=extent, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto", zorder=1)
        if np.ptp(values):
            across, up = middle[0] + scale * scalp.grid, middle[1] + scale * scalp.grid
            for levels, style, colour in CONTOURS:
                if values.min() < levels[-1] and values.max() > levels[0]:
                    axes.contour(across, up, values, levels, colors=colour, linewidths=0.5, linestyles=style)
    _outlines(axes, corners, scalp)


def _outlines(axes: Axes, corners: Sequence[tuple[float, float]], scalp: Scalp) -> None:
    """Draw heads, and dots where the sensors are."""
    middles = np.array(corners) + MIDDLE
    lines = [np.c_[x + line.real, y + line.imag] for x, y in middles for line in parts.outlines()]
    dots = middles[:, None] + 0.4 / scalp.edge * scalp.points
    axes.plot(dots[..., 0].ravel(), dots[..., 1].ravel(), ".", color=INK, markersize=0.7)
    axes.add_collection(LineCollection(lines, colors=INK, linewidths=0.8, zorder=3))


def _bars(axes: Axes, corners: Sequence[tuple[float, float]], weights: Floats) -> None:
    n = weights.shape[1]
    scaled = weights / np.maximum(np.abs(weights).max(1, keepdims=True), np.finfo(float).tiny)
    edges = np.linspace(0.06, 0.94, n + 1)
    gap = 0.1 * (edges[1] - edges[0])
    bars, zeros = [], []
    for (left, low), values in zip(corners, scaled, strict=True):
        zeros.append([(left + 0.06, low + 0.5), (left + 0.94, low + 0.5)])
        for start, end, value in zip(edges[:-1] + gap, edges[1:] - gap, values, strict=True):
            height = low + 0.5 + 0.42 * value
            bars.append(
                [(left + start, low + 0.5), (left + start, height), (left + end, height), (left + end, low + 0.5)]
            )
    axes.add_collection(PolyCollection(bars, facecolors=BLUE, edgecolors="none"))
    axes.add_collection(LineCollection(zeros, colors=QUIET, linewidths=0.5))


def _spectra(
    axes: Axes, corners: Sequence[tuple[float, float]], spectra: Floats, rate: float, top: float, is_head: bool
) -> None:
    """Draw each spectrum in decibels below its own top, on a frame with its ticks."""
    hertz, heights = parts.levels(spectra, rate, top)
    across = 1.1 + 0.8 * hertz / top
    areas, lines, frames, bands = [], [], [], []
    for (left, low), height in zip(corners, 0.84 * heights.T, strict=True):
        x, y = left + across, low + 0.08 + height
        areas.append(np.r_[np.c_[x, y], [(x[-1], low + 0.08), (x[0], low + 0.08)]])
        lines.append(np.c_[x, y])
        frames.append([(left + 1.1, low + 0.08), (left + 1.9, low + 0.08)])
        frames += [
            [(left + 1.1 + 0.8 * tick / top, low + 0.08), (left + 1.1 + 0.8 * tick / top, low + 0.05)]
            for tick in parts.ticks(top)
        ]
        if is_head:
            first, last = (left + 1.1 + 0.8 * min(f, top) / top for f in ALPHA)
            bands.append([(first, low + 0.08), (first, low + 0.96), (last, low + 0.96), (last, low + 0.08)])
    axes.add_collection(PolyCollection(bands, facecolors="#e4e8ec", edgecolors="none", zorder=0))
    axes.add_collection(PolyCollection(areas, facecolors=BLUE, alpha=0.35, edgecolors="none"))
    axes.add_collection(LineCollection(lines, colors=INK, linewidths=0.8, joinstyle="round"))
    axes.add_collection(LineCollection(frames, colors=QUIET, linewidths=0.6))
    size = 6.0
    for left, low in corners:
        if low < 1e-9 or (left, round(low - 1.22, 6)) not in {(x, round(y, 6)) for x, y in corners}:
            for tick in parts.ticks(top):
                place = left + 1.1 + 0.8 * tick / top
                axes.text(place, low + 0.02, f"{tick:g}", fontsize=size, color=INK, ha="center", va="top")


def _legend(figure: Figure, top: float, is_head: bool, names: Sequence[str]) -> None:
    width, _ = figure.get_size_inches()
    left = 0.3 / width
    text = [f"Spectra: 0 to {top:g} Hz without the mean, {DECIBELS:g} dB from top to bottom, each below its own top"]
    if is_head:
        places = head.positions(names)
        unknown = [drawable(name, 12) for name, place in zip(names, places, strict=True) if place is None]
        text[0] += "; grey: the alpha band, 8 to 13 Hz."
        text.append("Maps: light and solid lines +, dark and dashed lines −; at a quarter, a half and three quarters.")
        if unknown:
            text[-1] += f" Not on the map: {', '.join(unknown[:6])}{' …' if len(unknown) > 6 else ''}."
    elif names:
        text[0] += "."
        shown = ", ".join(drawable(name, 12) for name in names[:24])
        text.append(f"Bars, from left to right: {shown}{' …' if len(names) > 24 else ''}.")
    figure.text(left, 0.2 / figure.get_size_inches()[1], "\n".join(text), fontsize=8.5, color=QUIET, va="bottom")
