"""How well filters have found known sources."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stream_infomax.plots.style import INK, new_figure, panel


def recovery(product: npt.ArrayLike, distance: float | None = None) -> Figure:
    """Draw how well filters have found known sources.

    Parameters
    ----------
    product
        Filters times mixing, shape (n_components, n_sources): the weight of each source in each filter's output.
    distance
        The Amari distance of `product` from a scaled permutation, where it is known.

    Returns
    -------
    matplotlib.figure.Figure
    """
    weights = np.abs(np.asarray(product, dtype=np.float64))
    largest = weights.max(axis=1, keepdims=True)
    weights /= np.where(largest > 0, largest, 1.0)
    weights = weights[np.argsort(weights.argmax(1), kind="stable")]
    note = "A line is a filter, scaled to its largest weight. One dark field in a line: one source alone."
    if distance is not None:
        n = len(weights)
        note += f"\nAmari distance, of squared weights: {distance:.2g} (0: every source found, {n - 1}: none)"
    figure = new_figure(6.9, 6.8, "What was recovered of the known sources", note)
    axes = panel(figure, 0.75, 0.6, 5.0, 5.0)
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("source", fontsize=9.5, color=INK)
    axes.set_ylabel("filter", fontsize=9.5, color=INK)
    figure.colorbar(image, cax=panel(figure, 5.95, 0.6, 0.15, 5.0)).outline.set_visible(False)
    return figure
