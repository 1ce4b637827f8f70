"""The order in which components are shown: from low to high frequency, and in each line by orientation."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def columns_for(n: int, aspect: float = 1.0) -> int:
    """Return how many columns make a mosaic of `n` tiles of width/height `aspect` about square, never a high one."""
    return max(1, min(n, math.ceil(math.sqrt(n / aspect) - 1e-9)))


def of_patches(patches: Floats, columns: int = 0) -> npt.NDArray[np.intp]:
    """Return the order of patches (n, y, x[, colour]): lines of like frequency, turned from left to right.

    A line has so many `columns`; by default those of a mosaic that is about square.
    """
    n, height, width = patches.shape[:3]
    planes = np.moveaxis(patches.reshape(n, height, width, -1), -1, 1)
    planes = planes - planes.mean((2, 3), keepdims=True)
    power = (np.abs(np.fft.fft2(planes, s=(2 * height, 2 * width))) ** 2).sum(1)
    v, u = np.meshgrid(np.fft.fftfreq(2 * height), np.fft.fftfreq(2 * width), indexing="ij")
    total = power.sum((1, 2)) + np.finfo(float).tiny
    frequency = (power * np.hypot(u, v)).sum((1, 2)) / total
    # Orientation has period π: the mean of the doubled angle.
    doubled = (power * np.exp(2j * np.arctan2(v, u))).sum((1, 2))
    orientation = (np.angle(doubled) / 2).round(6)  # rounding errors must not decide
    columns = columns or columns_for(n)
    line = np.empty(n, dtype=np.intp)
    line[np.argsort(frequency, kind="stable")] = np.arange(n) // columns
    return np.lexsort((orientation, line))


def of_signals(filters: Floats, basis: Floats) -> npt.NDArray[np.intp]:
    """Return the order of filters and basis, both (n, sample), by the centre of the spectrum that they have in common.

    Either alone may be rough: filters where there is no signal, the basis where neighbours leak into it.
    """
    common = np.abs(np.fft.rfft(filters, axis=1) * np.fft.rfft(basis, axis=1))
    centre = common @ np.arange(common.shape[1]) / (common.sum(1) + np.finfo(float).tiny)
    return np.argsort(centre, kind="stable")


def of_planes(planes: Floats) -> npt.NDArray[np.intp]:
    """Return the order of planes of shape (n, time, band): by the centre of energy over the bands."""
    energy = (planes**2).sum(1)
    centre = energy @ np.arange(energy.shape[1]) / (energy.sum(1) + np.finfo(float).tiny)
    return np.argsort(centre, kind="stable")
