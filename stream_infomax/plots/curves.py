"""The learner's curves over a run: objective and coefficient entropy against the rows learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from stream_infomax.plots.style import INK, LINES, QUIET, new_figure, panel

MEASURES = (("objective", "objective Q (nats)"), ("entropy", "coefficient entropy (bits)"))


def learning(history: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Draw how the objective and the coefficient entropy fell.

    Parameters
    ----------
    history
        For each learner its columns ``rows``, ``objective`` and ``entropy``, of one length. Points that are not finite
        (nothing was learnt yet) are left out.

    Returns
    -------
    matplotlib.figure.Figure
    """
    width, height = 5.2, 3.4
    figure = new_figure(
        2 * width + 1.9, height + 1.75, "How the learning went", "lower is better; both over rows learnt"
    )
    for i, (measure, title) in enumerate(MEASURES):
        axes = panel(figure, 0.75 + i * (width + 0.75), 0.6, width, height, title)
        for name, columns, colour in zip(history, history.values(), LINES * len(history), strict=False):
            rows, values = _finite(columns["rows"], columns[measure])
            if not rows.size:
                continue
            axes.plot(rows, values, color=colour, linewidth=1.6, label=name)
            axes.plot(rows[-1:], values[-1:], "o", color=colour, markersize=4)
            axes.annotate(
                f"{values[-1]:.4g}",
                (rows[-1], values[-1]),
                xytext=(0, 8),
                textcoords="offset points",
                ha="right",
                fontsize=9.5,
                color=INK,
            )
        axes.set_xlabel("rows", fontsize=9.5, color=INK)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.grid(axis="y", color="#eceff2", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.margins(x=0.02, y=0.12)
        if len(history) > 1 and axes.lines:
            axes.legend(frameon=False, fontsize=9, labelcolor=QUIET)
    return figure


def _finite(rows: Sequence[float], values: Sequence[float]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    x, y = np.asarray(rows, dtype=np.float64), np.asarray(values, dtype=np.float64)
    x, first = np.unique(x, return_index=True)  # after a restart some rows are learnt from again
    y = y[first]
    kept = np.isfinite(x) & np.isfinite(y) & (x > 0)
    return x[kept], y[kept]
