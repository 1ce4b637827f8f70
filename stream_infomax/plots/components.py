"""Filters and basis: mosaics of patches, waveforms with spectra, tiles over time and frequency, matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stream_infomax.drawing import component_order
from stream_infomax.drawing.scaling import amplitudes, heavier_side_up, largest
from stream_infomax.plots.channel_weights import channels
from stream_infomax.plots.panels import Panel, panel_of
from stream_infomax.plots.style import DIVERGING, INK, QUIET, bare, new_figure, panel

Floats = npt.NDArray[np.float64]
# Inches between two panels.
GAP = 0.35


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
    shown = panel_of(both, axes, rate, names)
    if tuple(axes) == ("sample",):
        return _with_bank(shown, both, rate)
    return _side_by_side(shown, both, has_ticks=shown.origin == "the stream")[0]


def _side_by_side(shown: Panel, both: Floats, beside: float = 0.0, has_ticks: bool = False) -> tuple[Figure, float]:
    """Draw filters and basis; return the figure, and where in it (inches) there is room for `beside`."""
    edge, gap = (0.75, 0.75) if has_ticks else (0.3, GAP)
    below = 1.05 if has_ticks else 0.6 if shown.has_scale else 0.3
    width = edge + 2 * (shown.width + gap) + beside
    figure = new_figure(width, shown.height + below + 1.15, f"What was learnt from {shown.origin}", shown.note)
    for i, (title, tiles) in enumerate(zip(("Filters", "Basis"), both, strict=True)):
        axes = panel(figure, edge + i * (shown.width + gap), below, shown.width, shown.height, title)
        shown.draw(axes, tiles[shown.chosen])
        if has_ticks and i == 0:
            axes.set_ylabel("component, by share of the signal", fontsize=9.5, color=INK)
    if shown.has_scale:
        draw_scale(figure, 0.3, 0.35)
    return figure, edge + 2 * (shown.width + gap)


def _with_bank(shown: Panel, both: Floats, rate: float) -> Figure:
    """Draw the spectra of all filters beside filters and basis of sound."""
    figure, left = _side_by_side(shown, both, 3.7)
    ordered = component_order.of_signals(both[0], both[1])
    axes = panel(figure, left + 0.4, 0.6, 2.75, shown.height - 0.3, "Spectra of the filters")
    _bank(axes, both[0][ordered], rate)
    return figure


def _bank(axes: Axes, signals: Floats, rate: float) -> None:
    spectra = amplitudes(signals)
    spectra /= largest(spectra)
    top = rate / 2000 if rate else 0.5
    axes.imshow(
        spectra.T, origin="lower", aspect="auto", cmap="magma", extent=(0.5, len(signals) + 0.5, 0, top), vmin=0, vmax=1
    )
    axes.set_xlabel("filter", fontsize=9.5, color=INK)
    axes.set_ylabel("kHz" if rate else "cycles per sample", fontsize=9.5, color=INK)


def draw_scale(figure: Figure, left: float, bottom: float) -> None:
    """Draw which colour is which sign; `left`, `bottom` in inches."""
    axes = panel(figure, left + 0.3, bottom - 0.18, 1.6, 0.1)
    axes.imshow(np.linspace(-1, 1, 128)[None], cmap=DIVERGING, aspect="auto")
    bare(axes)
    for x, text, align in ((-0.03, "−", "right"), (1.03, "+  each scaled to itself", "left")):
        axes.text(x, 0.5, text, transform=axes.transAxes, ha=align, va="center", fontsize=9, color=QUIET)
