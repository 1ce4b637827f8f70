"""What differs between two runs: their curves on one axis, and how far components and features agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from stream_infomax.frames.measure import Kind
from stream_infomax.plots.learning_curves import Columns, position_axis, value_axis
from stream_infomax.plots.style import BLUE, INK, LINES, ORANGE, QUIET, drawable, new_figure, panel
from stream_infomax.watch.kinds import KINDS

# Inches of a panel, of what is between two, and of the edges.
WIDTH, HEIGHT, GAP, EDGE = 5.2, 2.5, 1.15, 0.75
Curves = Mapping[tuple[str, str, Kind], Columns]
Correlations = Mapping[str, NDArray[np.floating[Any]]]
# Of lines of one colour on paper.
DASHES = ("-", "--", "-.", ":")


def differences(
    names: tuple[str, str],
    curves: tuple[Curves, Curves],
    components: Correlations,
    features: Correlations,
    note: str = "",
) -> Figure:
    """Draw two runs over each other.

    Parameters
    ----------
    names
        Of the runs.
    curves
        Of each run; those that both have are drawn.
    components
        By the name of a learner: the correlation of each matched pair of components, (components,).
    features
        By the name of an array: the correlation of each column, (columns,).
    note
        What is to stand below the title.

    Returns
    -------
    matplotlib.figure.Figure
    """
    common = [curve for curve in curves[0] if curve in curves[1] and not KINDS[curve[2]].beside]
    agreeing = {"components, matched": components, "features, by column": features}
    agreeing = {title: found for title, found in agreeing.items() if any(len(values) for values in found.values())}
    n_panels = len(common) + len(agreeing)
    n_lines = max(1, -(-n_panels // 2))
    title = f"A (solid): {drawable(names[0], 40)}    B (dashed): {drawable(names[1], 40)}"
    figure = new_figure(2 * WIDTH + GAP + 2 * EDGE, n_lines * (HEIGHT + GAP) + 0.75, title, drawable(note, 120))
    places = [(EDGE + k % 2 * (WIDTH + GAP), 0.6 + (n_lines - 1 - k // 2) * (HEIGHT + GAP)) for k in range(n_panels)]
    for curve, place in zip(common, places, strict=False):
        _draw_curves(figure, place, curve, [run[curve] for run in curves])
    for (title, found), place in zip(agreeing.items(), places[len(common) :], strict=True):
        heading = f"{title}: correlation of A's and B's"
        _draw_correlations(panel(figure, *place, WIDTH, HEIGHT, heading), found)
    return figure


def _draw_curves(
    figure: Figure, place: tuple[float, float], curve: tuple[str, str, Kind], both: Sequence[Columns]
) -> None:
    stage, level, kind = curve
    shown = KINDS[kind]
    name = drawable(f"{stage}: {level}" if level else stage, 30)
    axes = panel(figure, *place, WIDTH, HEIGHT, f"{name}, {shown.heading}")
    for columns, colour, dash, width in zip(both, (BLUE, ORANGE), ("-", "--"), (2.4, 1.6), strict=True):
        axes.plot(columns["position"], columns["value"], color=colour, linestyle=dash, linewidth=width)
    ends = " / ".join(shown.text(columns["value"][-1]).removesuffix(f" {shown.unit}") for columns in both)
    axes.text(1, 1.02, f"A / B {ends}", transform=axes.transAxes, ha="right", fontsize=9, color=INK)
    axes.grid(axis="y", color="#eceff2", linewidth=0.8)
    position_axis(axes, shown, both)
    value_axis(axes, shown, both)


def _draw_correlations(axes: Axes, found: Correlations) -> None:
    for i, (name, values) in enumerate(found.items()):
        size = np.sort(np.abs(values[np.isfinite(values)]))[::-1]
        if not len(size):
            continue
        colour, dash = LINES[i % len(LINES)], DASHES[i % len(DASHES)]
        numbers = np.arange(1, len(size) + 1)
        axes.plot(numbers, size, color=colour, linestyle=dash, linewidth=1.8, label=f" {drawable(name, 30)}")
        axes.plot(numbers[-1:], size[-1:], "o", color=colour, markersize=4)
    axes.set_ylim(0, 1.04)
    axes.grid(axis="y", color="#eceff2", linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("how many, the largest first", fontsize=9, color=INK)
    axes.legend(frameon=False, fontsize=9, labelcolor=QUIET, loc="lower left")
