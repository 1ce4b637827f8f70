"""Panels: components of one geometry side by side, in an order and with a scale that suit it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection

from stream_infomax.drawing import component_order
from stream_infomax.drawing.component_order import columns_for
from stream_infomax.drawing.scaling import amplitudes, largest, mosaic, spread, typical
from stream_infomax.plots.style import BLUE, DIVERGING, INK, PALE, bare, drawable

Floats = npt.NDArray[np.float64]
# More tiles than this are too small to see; the picture then shows an even choice of them and says so.
MOST_PATCHES = 1024
MOST_SIGNALS = 100
MOST_PLANES = 144
# So many channels of a window are lines above each other; more are a tile.
MOST_TRACES = 6
# Inches across a panel.
SIDE, SIDE_OF_SIGNALS, SIDE_OF_MATRIX = 5.6, 5.0, 5.0


@dataclass(frozen=True)
class Panel:
    """How components of one geometry are drawn side by side.

    Attributes
    ----------
    origin
        What they were learnt from.
    note
        What is shown, and in which order.
    chosen
        The components that are shown, in that order.
    width, height
        Of a panel, in inches.
    draw
        Draws (n, ...): the chosen components.
    has_scale
        Whether colours stand for signs and a scale says which.
    """

    origin: str
    note: str
    chosen: npt.NDArray[np.intp]
    width: float
    height: float
    draw: Callable[[Axes, Floats], None]
    has_scale: bool = False


def panel_of(both: Floats, axes: Sequence[str], rate: float = 0.0, names: Sequence[str] = ()) -> Panel:
    """Return the panel for filters and basis, (2, n_components, *shape), whose rows have these axes."""
    match tuple(axes):
        case ("y", "x") | ("y", "x", "colour"):
            return _patches(both)
        case ("sample",):
            return _signals(both, rate)
        case ("sample", "mel"):
            return _planes(both, "the sound", "mel bands", f" up to {rate / 2000:g} kHz" if rate else "")
        case ("sample", "channel"):
            few = both.shape[-1] <= MOST_TRACES
            return _traces(both, rate) if few else _planes(both, "the signals", "channels")
        case _:
            return _matrix(both.reshape(*both.shape[:2], -1), tuple(axes), names)


def _patches(both: Floats) -> Panel:
    n, height, width = both.shape[1:4]
    chosen = component_order.of_patches(both[1])[spread(n, MOST_PATCHES)]
    columns = columns_for(len(chosen))
    lines = math.ceil(len(chosen) / columns)
    aspect = (lines * (height + 1)) / (columns * (width + 1))
    note = f"{_count(chosen, n)} of {height} × {width} pixels, from low to high frequency; each scaled to itself"
    return Panel("the pictures", note, chosen, SIDE, SIDE * aspect, _draw_patches)


def _draw_patches(axes: Axes, tiles: Floats) -> None:
    bare(axes).imshow(mosaic(tiles), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")


def _signals(both: Floats, rate: float) -> Panel:
    n, length = both.shape[1:]
    chosen = component_order.of_signals(both[0], both[1])[spread(n, MOST_SIGNALS)]
    columns, lines = _grid(len(chosen))
    note = f"{_count(chosen, n)} of {_duration(length, rate)}, with their spectra, from low to high frequency"
    height = max(2.2, min(7.5, 0.62 * lines))
    return Panel(
        "the sound", note, chosen, SIDE_OF_SIGNALS, height, lambda axes, signals: _draw_signals(axes, signals, columns)
    )


def _draw_signals(axes: Axes, signals: Floats, columns: int) -> None:
    """Draw each signal above its amplitude spectrum, in cells of 1 × 1."""
    n, length = signals.shape
    x, y = _cells(bare(axes), n, columns)
    scaled = signals / largest(signals)
    spectra = amplitudes(signals)
    spectra /= largest(spectra)
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
    axes.add_collection(LineCollection(zeros, colors=PALE, linewidths=0.6))
    axes.add_collection(PolyCollection(areas, facecolors=BLUE, alpha=0.45, edgecolors="none"))
    axes.add_collection(LineCollection(waves, colors=INK, linewidths=0.8, capstyle="round", joinstyle="round"))


def _traces(both: Floats, rate: float) -> Panel:
    n, length, n_channels = both.shape[1:]
    common = both.transpose(0, 1, 3, 2).reshape(2, n, -1)
    chosen = component_order.of_signals(common[0], common[1])[spread(n, MOST_SIGNALS)]
    columns, lines = _grid(len(chosen))
    channels = f"{n_channels} channels, the first on top" if n_channels > 1 else "1 channel"
    note = f"{_count(chosen, n)} of {_duration(length, rate)} × {channels}; each scaled to itself"
    height = max(2.2, min(9.0, (0.3 + 0.2 * n_channels) * lines))
    return Panel(
        "the signals", note, chosen, SIDE_OF_SIGNALS, height, lambda axes, waves: _draw_traces(axes, waves, columns)
    )


def _draw_traces(axes: Axes, windows: Floats, columns: int) -> None:
    """Draw the channels of each window (n, sample, channel) above each other, in cells of 1 × 1."""
    n, length, n_channels = windows.shape
    x, y = _cells(bare(axes), n, columns)
    scaled = windows / largest(windows)
    across = np.linspace(0.06, 0.94, length)
    high = 0.9 / n_channels
    waves, zeros = [], []
    for i in range(n):
        for channel in range(n_channels):
            middle = y[i] + 0.95 - (channel + 0.5) * high
            waves.append(np.column_stack([x[i] + across, middle + 0.48 * high * scaled[i, :, channel]]))
            zeros.append([(x[i] + 0.06, middle), (x[i] + 0.94, middle)])
    axes.add_collection(LineCollection(zeros, colors=PALE, linewidths=0.6))
    axes.add_collection(LineCollection(waves, colors=INK, linewidths=0.8, capstyle="round", joinstyle="round"))


def _planes(both: Floats, origin: str, bands_name: str, reach: str = "") -> Panel:
    n, length, bands = both.shape[1:]
    chosen = component_order.of_planes(both[0])[spread(n, MOST_PLANES)]
    # A tile is shown with time to the right and bands upwards, at most twice as high as wide.
    high = float(np.clip(bands / length, 0.5, 2.0))
    columns, lines = _grid(len(chosen), 1 / high)
    what = f"{length} steps × {bands} {bands_name}{reach}"
    note = f"{_count(chosen, n)} of {what}; time to the right, {bands_name} upwards"
    return Panel(
        origin,
        note,
        chosen,
        SIDE,
        SIDE * lines * high / columns,
        lambda axes, planes: _draw_planes(axes, planes.transpose(0, 2, 1), columns, high),
        has_scale=True,
    )


def _draw_planes(axes: Axes, tiles: Floats, columns: int, high: float) -> None:
    x, y = _cells(bare(axes), len(tiles), columns, high)
    gap = 0.04
    for i, tile in enumerate(tiles / largest(tiles)):
        extent = (x[i] + gap, x[i] + 1 - gap, y[i] + gap, y[i] + high - gap)
        axes.imshow(
            tile, origin="lower", extent=extent, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto", interpolation="nearest"
        )


def _matrix(both: Floats, axes_names: tuple[str, ...], names: Sequence[str]) -> Panel:
    """Rows without a picture of their own (channels, components of a layer below) are lines of a matrix."""
    n, n_features = both.shape[1:]
    # Outputs have like variance: a basis vector's length says how much of the signal is its component's.
    chosen = np.argsort(-(both[1] ** 2).sum(1), kind="stable")
    what = drawable(" × ".join(axes_names)) or "feature"
    note = f"{n} components over {n_features} inputs, from the largest to the smallest share of the signal"
    return Panel(
        "the stream",
        note,
        chosen,
        SIDE_OF_MATRIX,
        SIDE_OF_MATRIX,
        lambda axes, rows: _draw_matrix(axes, rows.reshape(n, -1), what, names),
        has_scale=True,
    )


def _draw_matrix(axes: Axes, rows: Floats, what: str, names: Sequence[str]) -> None:
    n, n_features = rows.shape
    extent = (-0.5, n_features - 0.5, n + 0.5, 0.5)
    scaled = rows / typical(rows)
    axes.imshow(scaled, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto", interpolation="nearest", extent=extent)
    if names:
        labels = [drawable(name, 12) for name in names]
        axes.set_xticks(range(n_features), labels, rotation=90, fontsize=min(9.0, 330 / n_features))
    axes.set_xlabel(what if names else f"{what} (number in a row)", fontsize=9.5, color=INK)


def _grid(n: int, aspect: float = 1.0) -> tuple[int, int]:
    columns = columns_for(n, aspect)
    return columns, math.ceil(n / columns)


def _cells(axes: Axes, n: int, columns: int, high: float = 1.0) -> tuple[Floats, Floats]:
    """Set the limits for cells of 1 × `high`; return the lower left corner of each, line by line from the top."""
    lines = math.ceil(n / columns)
    axes.set_xlim(0, columns)
    axes.set_ylim(0, lines * high)
    down, across = np.divmod(np.arange(n, dtype=np.float64), columns)
    return across, (lines - 1 - down) * high


def _duration(length: int, rate: float) -> str:
    return f"{1000 * length / rate:.3g} ms" if rate else f"{length} samples"


def _count(chosen: npt.NDArray[np.intp], n: int) -> str:
    return f"{n} components" if len(chosen) == n else f"{len(chosen)} of {n} components"
