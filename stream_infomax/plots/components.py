"""Filters and basis: mosaics of patches, waveforms with spectra, tiles over time and frequency, matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from stream_infomax.drawing import component_order as order
from stream_infomax.drawing.scaling import amplitudes, heavier_side_up, largest, mosaic, spread, typical
from stream_infomax.plots.channel_weights import channels
from stream_infomax.plots.style import BLUE, DIVERGING, INK, QUIET, bare, drawable, new_figure, panel

Floats = npt.NDArray[np.float64]
# More tiles than this are too small to see; the picture then shows an even choice of them and says so.
MOST_PATCHES = 1024
MOST_SIGNALS = 100
MOST_PLANES = 144


def components(
    filters: npt.ArrayLike,
    basis: npt.ArrayLike,
    axes: Sequence[str],
    shape: Sequence[int],
    rate: float = 0.0,
    names: Sequence[str] = (),
    spectra: npt.ArrayLike | None = None,
) -> Figure:
    """Draw filters and basis as the geometry of a row asks for.

    Parameters
    ----------
    filters
        The filters, shape (n_components, n_features): rows, as in ``OnlineInfomax.components_``.
    basis
        The basis, shape (n_features, n_components): columns, as in ``OnlineInfomax.mixing_``.
    axes, shape
        The geometry of one row: names and lengths of its axes, for example ("y", "x") and (12, 12).
    rate
        Samples per second of audio windows; 0 where it is not known.
    names
        Of the values of a row, for example of EEG channels; numbers where none are given. They stand at a matrix, and
        at the weights of channels.
    spectra
        The power of each component's output, shape (n_frequencies, n_components), from 0 Hz to half of `rate`: rows of
        channels are then drawn as weights, on a head where names say so, beside their spectra.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Where the arrays do not have these shapes.
    """
    rows = np.asarray(filters, dtype=np.float64)
    columns = np.asarray(basis, dtype=np.float64)
    n_features = math.prod(shape)
    if rows.ndim != 2 or rows.shape[1] != n_features or columns.shape != rows.T.shape or len(axes) != len(shape):
        raise ValueError(
            f"filters of shape {rows.shape} and basis of shape {columns.shape} do not fit rows of axes {tuple(axes)} "
            f"and shape {tuple(shape)}: accepted are (n_components, {n_features}) and ({n_features}, n_components)"
        )
    if names and len(names) != n_features:
        raise ValueError(f"{len(names)} names for {n_features} values of a row; accepted are {n_features} or none")
    if spectra is not None and tuple(axes) == ("channel",):
        return channels(columns.T, np.asarray(spectra, dtype=np.float64), rate, names)
    # A component and its negative are the same one: all are shown with their heavier side up.
    both = np.stack([rows, columns.T])
    both *= heavier_side_up(both[1])[:, None]
    both = both.reshape(2, len(rows), *shape)
    match tuple(axes):
        case ("y", "x") | ("y", "x", "colour"):
            return _patches(both)
        case ("sample",):
            return _signals(both, rate)
        case ("sample", "mel"):
            return _planes(both, "the sound", "mel bands")
        case ("sample", "channel"):
            return _planes(both, "the signals", "channels")
        case _:
            return _matrices(both.reshape(2, len(rows), -1), tuple(axes), names)


def _patches(both: npt.NDArray[np.float64]) -> Figure:
    n, height, width = both.shape[1:4]
    grey = both[1] if both.ndim == 4 else both[1].mean(-1)
    chosen = order.of_patches(grey)[spread(n, MOST_PATCHES)]
    side = 5.6
    high = side * _aspect(both[1][chosen])
    note = f"{_count(len(chosen), n)} of {height} × {width} pixels, from low to high frequency; each scaled to itself"
    figure = new_figure(2 * side + 0.95, high + 1.4, "What was learnt from the pictures", note)
    for i, (title, tiles) in enumerate(zip(("Filters", "Basis"), both, strict=True)):
        axes = bare(panel(figure, 0.3 + i * (side + 0.35), 0.25, side, high, title))
        axes.imshow(mosaic(tiles[chosen]), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    return figure


def _aspect(tiles: Floats) -> float:
    n, height, width = tiles.shape[:3]
    columns = order.columns_for(n)
    lines = math.ceil(n / columns)
    aspect: float = (lines * (height + 1)) / (columns * (width + 1))
    return aspect


def _signals(both: Floats, rate: float) -> Figure:
    n, length = both.shape[1:]
    ordered = order.of_signals(both[0], both[1])
    chosen = ordered[spread(n, MOST_SIGNALS)]
    columns = order.columns_for(len(chosen))
    lines = math.ceil(len(chosen) / columns)
    side, height = 5.0, max(2.2, min(7.5, 0.62 * lines))
    duration = f"{1000 * length / rate:.3g} ms" if rate else f"{length} samples"
    note = f"{_count(len(chosen), n)} of {duration}, with their spectra, from low to high frequency"
    figure = new_figure(2 * side + 4.4, height + 1.45, "What was learnt from the sound", note)
    for i, (title, signals) in enumerate(zip(("Filters", "Basis"), both, strict=True)):
        axes = bare(panel(figure, 0.3 + i * (side + 0.3), 0.3, side, height, title))
        _waveforms(axes, signals[chosen], columns)
    axes = panel(figure, 2 * side + 1.35, 0.6, 2.75, height - 0.3, "Spectra of the filters")
    _bank(axes, both[0][ordered], rate)
    return figure


def _waveforms(axes: Axes, signals: Floats, columns: int) -> None:
    """Draw each signal above its amplitude spectrum, in cells of 1 × 1."""
    n, length = signals.shape
    lines = math.ceil(n / columns)
    scaled = signals / largest(signals)
    spectra = amplitudes(signals)
    spectra /= largest(spectra)
    x = np.arange(n) % columns
    y = lines - 1 - np.arange(n) // columns
    across = np.linspace(0.06, 0.94, length)
    waves = [np.column_stack([x[i] + across, y[i] + 0.66 + 0.27 * scaled[i]]) for i in range(n)]
    zeros = [[(x[i] + 0.06, y[i] + 0.66), (x[i] + 0.94, y[i] + 0.66)] for i in range(n)]
    across = np.linspace(0.06, 0.94, spectra.shape[1])
    areas = [
        np.column_stack(
            [
                x[i] + np.r_[across, across[::-1]],
                y[i] + 0.07 + np.r_[0.26 * spectra[i], np.zeros(len(across))],
            ]
        )
        for i in range(n)
    ]
    axes.add_collection(LineCollection(zeros, colors="#dde1e6", linewidths=0.6))
    axes.add_collection(PolyCollection(areas, facecolors=BLUE, alpha=0.45, edgecolors="none"))
    axes.add_collection(LineCollection(waves, colors=INK, linewidths=0.8, capstyle="round", joinstyle="round"))
    axes.set_xlim(0, columns)
    axes.set_ylim(0, lines)


def _bank(axes: Axes, signals: Floats, rate: float) -> None:
    spectra = amplitudes(signals)
    spectra /= largest(spectra)
    top = rate / 2000 if rate else 0.5
    axes.imshow(
        spectra.T, origin="lower", aspect="auto", cmap="magma", extent=(0.5, len(signals) + 0.5, 0, top), vmin=0, vmax=1
    )
    axes.set_xlabel("filter", fontsize=9.5, color=INK)
    axes.set_ylabel("kHz" if rate else "cycles per sample", fontsize=9.5, color=INK)


def _planes(both: Floats, origin: str, bands_name: str) -> Figure:
    n, length, bands = both.shape[1:]
    chosen = order.of_planes(both[0])[spread(n, MOST_PLANES)]
    # A tile is shown with time to the right and bands upwards, at most twice as high as wide.
    cell_width, cell_height = 1.0, float(np.clip(bands / length, 0.5, 2.0))
    columns = order.columns_for(len(chosen), aspect=cell_width / cell_height)
    lines = math.ceil(len(chosen) / columns)
    side = 5.6
    height = side * lines * cell_height / columns
    note = f"{_count(len(chosen), n)} of {length} steps × {bands} {bands_name}; time to the right, {bands_name} upwards"
    figure = new_figure(2 * side + 0.95, height + 1.75, f"What was learnt from {origin}", note)
    for i, (title, planes) in enumerate(zip(("Filters", "Basis"), both, strict=True)):
        axes = bare(panel(figure, 0.3 + i * (side + 0.35), 0.6, side, height, title))
        _tiles(axes, planes[chosen].transpose(0, 2, 1), columns, cell_height)
    _scale(figure, 0.3, 0.35)
    return figure


def _tiles(axes: Axes, tiles: Floats, columns: int, cell_height: float) -> None:
    lines = math.ceil(len(tiles) / columns)
    gap = 0.04
    for i, tile in enumerate(tiles / largest(tiles)):
        x, y = i % columns, lines - 1 - i // columns
        extent = (x + gap, x + 1 - gap, y * cell_height + gap, (y + 1) * cell_height - gap)
        axes.imshow(
            tile, origin="lower", extent=extent, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto", interpolation="nearest"
        )
    axes.set_xlim(0, columns)
    axes.set_ylim(0, lines * cell_height)


def _scale(figure: Figure, left: float, bottom: float) -> None:
    axes = panel(figure, left + 0.3, bottom - 0.18, 1.6, 0.1)
    axes.imshow(np.linspace(-1, 1, 128)[None], cmap=DIVERGING, aspect="auto")
    bare(axes)
    for x, text, align in ((-0.03, "−", "right"), (1.03, "+  each scaled to itself", "left")):
        axes.text(x, 0.5, text, transform=axes.transAxes, ha=align, va="center", fontsize=9, color=QUIET)


def _matrices(both: Floats, axes_names: tuple[str, ...], names: Sequence[str]) -> Figure:
    """Draw rows without a picture of their own (channels, components of a layer below) as matrices."""
    n, n_features = both.shape[1:]
    # Outputs have like variance: a basis vector's length says how much of the signal is its component's.
    ordered = np.argsort(-(both[1] ** 2).sum(1), kind="stable")
    side = 5.0
    what = drawable(" × ".join(axes_names)) or "feature"
    note = f"{n} components over {n_features} inputs, from the largest to the smallest share of the signal"
    figure = new_figure(2 * side + 1.9, side + 2.05, "What was learnt from the stream", note)
    for i, (title, matrix) in enumerate(zip(("Filters", "Basis"), both[:, ordered], strict=True)):
        axes = panel(figure, 0.75 + i * (side + 0.75), 1.05, side, side, title)
        extent = (-0.5, n_features - 0.5, n + 0.5, 0.5)
        scaled = matrix / typical(matrix)
        axes.imshow(scaled, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto", interpolation="nearest", extent=extent)
        if names:
            size = min(9.0, 330 / n_features)
            labels = [drawable(name, 12) for name in names]
            axes.set_xticks(range(n_features), labels, rotation=90, fontsize=size)
        axes.set_xlabel(what if names else f"{what} (number in a row)", fontsize=9.5, color=INK)
        axes.set_ylabel("component, by share of the signal" if i == 0 else "", fontsize=9.5, color=INK)
    _scale(figure, 0.45, 0.35)
    return figure


def _count(shown: int, n: int) -> str:
    return f"{n} components" if shown == n else f"{shown} of {n} components"
