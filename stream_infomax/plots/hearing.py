"""What modules hear: for each unit the excerpts that drive it most, as spectrograms, waveforms or patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stream_infomax.plots.style import BLUE, INK, LINES, QUIET, bare, drawable, new_figure, panel
from stream_infomax.watch.hearing import RANGE, SOUND, contrasts, spectrogram

Floats = npt.NDArray[np.float64]
Samples = npt.NDArray[np.float32]
# Inches of a panel and between two: of stretches of a signal, of patches.
WIDE, HIGH, PATCH, GAP = 1.25, 0.7, 0.8, 0.12


def hearing(
    module: str,
    units: Mapping[int, Sequence[tuple[str, Samples]]],
    rate: float = 0.0,
    note: str = "",
) -> Figure:
    """Draw what drives the units of a module: a row of panels for each.

    Parameters
    ----------
    module
        Its name.
    units
        By index (from 0; the picture counts from 1) the excerpts, the strongest first: where each comes from, and its
        samples (n, channels), or pixels (y, x) or (y, x, colour).
    rate
        Samples per second; 0 for pixels.
    note
        Stands under the title.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Where there is no unit.
    """
    if not units:
        raise ValueError(f"no unit of {module!r} to draw; at least one is accepted")
    width, height = (WIDE, HIGH) if rate else (PATCH, PATCH)
    below = 0.22 if rate else GAP
    columns = max(len(excerpts) for excerpts in units.values())
    longest = max((len(data) for excerpts in units.values() for _, data in excerpts), default=1)
    left, bottom = 0.85, 0.45
    total = bottom + len(units) * (height + below) + 1.0
    across = max(left + columns * (width + GAP) + 0.3, 6.9)
    figure = new_figure(across, total, f"What drives the units of {drawable(module)}", note)
    for row, (unit, excerpts) in enumerate(units.items()):
        y = total - 1.0 - (row + 1) * (height + below) + below
        place = y / total + height / total / 2
        figure.text((left - 0.12) / across, place, f"unit {unit + 1}", ha="right", va="center", fontsize=9.5, color=INK)
        patches = [] if rate else contrasts([data for _, data in excerpts])
        for column, (origin, data) in enumerate(excerpts):
            axes = bare(panel(figure, left + column * (width + GAP), y, width, height))
            if not rate:
                _patch(axes, patches[column])
                continue
            (_spectrogram if rate >= SOUND else _waveform)(axes, data, longest, rate)
            axes.set_xlabel(_name(origin), fontsize=7, color=QUIET, labelpad=1.5)
    return figure


def _spectrogram(axes: Axes, samples: Samples, longest: int, rate: float) -> None:
    """Draw power over time and frequency, in decibels below the loudest; stretches end at the right edge."""
    decibels = spectrogram(samples, longest, rate)
    axes.imshow(decibels.T, origin="lower", aspect="auto", cmap="magma", vmin=-RANGE, vmax=0)


def _waveform(axes: Axes, samples: Samples, longest: int, rate: float) -> None:
    """Draw each channel over time; stretches end at the right edge."""
    time = (np.arange(len(samples)) - len(samples) + 1) / rate
    shown = samples[:, : len(LINES)] if samples.shape[1] > 1 else samples
    for channel, line in enumerate(shown.T):
        axes.plot(time, line, color=LINES[channel] if len(shown.T) > 1 else BLUE, linewidth=0.8)
    axes.set_xlim(-longest / rate, 0)


def _patch(axes: Axes, pixels: Floats) -> None:
    """Draw a patch from -1, dark, to 1, bright."""
    axes.imshow((pixels + 1) / 2, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _name(origin: str) -> str:
    """Return the end of where an excerpt comes from, as far as there is room."""
    name = PurePath(origin).name
    return drawable(name if len(name) <= 24 else f"…{name[-23:]}")
