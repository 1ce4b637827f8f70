"""How the learning went: each measure over the rows or frames of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from stream_infomax.history import KINDS, Kind
from stream_infomax.plots.style import INK, LINES, QUIET, new_figure, panel

Columns = Mapping[str, Sequence[float]]


def learning(curves: Mapping[str, Columns]) -> Figure:
    """Draw the curves of a run, one panel for each kind of measure.

    Parameters
    ----------
    curves
        For each measure ("learner.objective") its columns ``position`` and ``value``, of one length.

    Returns
    -------
    matplotlib.figure.Figure
    """
    groups = {
        kind: {name.rpartition(".")[0]: columns for name, columns in curves.items() if name.rpartition(".")[2] == kind}
        for kind in KINDS
    }
    groups = {kind: group for kind, group in groups.items() if group}
    width, height, gap = 5.2, 3.2, 1.15
    lines = -(-len(groups) // 2)
    figure = new_figure(2 * width + 1.9, lines * (height + gap) + 0.25, "How the learning went")
    for i, (kind, group) in enumerate(groups.items()):
        left = 0.75 + (i % 2) * (width + 0.75)
        bottom = 0.55 + (lines - 1 - i // 2) * (height + gap)
        _draw(
            panel(figure, left, bottom, width, height, f"{KINDS[kind].title} ({KINDS[kind].unit})"), KINDS[kind], group
        )
    return figure


def _draw(axes: Axes, kind: Kind, group: Mapping[str, Columns]) -> None:
    for i, (name, columns) in enumerate(group.items()):
        colour = LINES[i % len(LINES)]
        position, value = np.asarray(columns["position"]), np.asarray(columns["value"])
        axes.plot(position, value, color=colour, linewidth=1.6, label=name.rpartition(".")[2])
        axes.plot(position[-1:], value[-1:], "o", color=colour, markersize=4)
        if len(group) == 1:
            axes.set_title(kind.text(value[-1]), loc="right", fontsize=11, color=colour, pad=6)
    axes.set_xlabel(kind.position, fontsize=9.5, color=INK)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if kind.unit == "share":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color="#eceff2", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.02, y=0.12)
    if len(group) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=QUIET)
