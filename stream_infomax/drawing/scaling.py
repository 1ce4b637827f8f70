"""Signs and scales by which components are shown, and mosaics of them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from stream_infomax.drawing.component_order import columns_for

Floats = npt.NDArray[np.float64]


def heavier_side_up(basis: Floats) -> Floats:
    """Return ±1 for each of (n, ...): a component and its negative are the same one."""
    return np.where((basis.reshape(len(basis), -1) ** 3).sum(1) < 0, -1.0, 1.0)


def largest(values: Floats) -> Floats:
    """Return the largest magnitude of each of (n, ...), kept broadcastable; 1 where all is zero."""
    most = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
    return np.where(most > 0, most, 1.0)


def typical(rows: Floats) -> Floats:
    """Return the 98th percentile of each row's magnitudes, at least half its largest; 1 where all is zero."""
    magnitudes = np.abs(rows)
    most = np.maximum(np.percentile(magnitudes, 98, axis=1), magnitudes.max(1) / 2)
    return np.where(most > 0, most, 1.0)[:, None]


def spread(n: int, most: int) -> npt.NDArray[np.intp]:
    """Return at most `most` of the numbers below `n`, evenly chosen."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.intp))


def mosaic(tiles: Floats) -> Floats:
    """Return tiles (n, y, x[, colour]), each scaled to ±1 (colours to 0…1), side by side on white."""
    n, height, width, *colour = tiles.shape
    columns = columns_for(n)
    lines = math.ceil(n / columns)
    scaled = tiles / largest(tiles)
    canvas = np.ones((lines * (height + 1) - 1, columns * (width + 1) - 1, *colour))
    for i in range(n):
        y, x = (i // columns) * (height + 1), (i % columns) * (width + 1)
        canvas[y : y + height, x : x + width] = scaled[i] if not colour else (scaled[i] + 1) / 2
    return canvas


def amplitudes(signals: Floats) -> Floats:
    """Return the amplitude spectra of signals (n, sample), from 0 to half the rate: (n, frequencies)."""
    n_fft = max(128, 4 * signals.shape[1])
    return np.abs(np.fft.rfft(signals, n=n_fft, axis=1))
