"""The numba kernels of the running measures: serial, cached; naive twins in tests/reference.py.

They read a block once and keep everything in registers; numpy needs several passes and temporary arrays for the same
(the histogram 10 times slower at 144 outputs, the sums 3 times).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.compiling import kernel

Floats = NDArray[np.floating[Any]]


@kernel()
def add_to_histogram(Y: Floats, start: int, room: int, counts: NDArray[np.int32]) -> tuple[int, int]:
    """Count at most `room` finite rows of Y (n, K1) float32, from row `start` on, in counts (K1, cells) int32.

    The cells have equal width in t = y / (1 + |y| / 2), which lies in (-2, 2). Returns how many rows were counted and
    the row to go on from.
    """
    n, outputs = Y.shape
    cells = counts.shape[1]
    scale = np.float32(cells / 4)
    half = np.float32(0.5)
    one = np.float32(1)
    two = np.float32(2)
    counted = 0
    i = start
    while i < n and counted < room:
        finite = True
        for k in range(outputs):
            finite &= math.isfinite(Y[i, k])
        if finite:
            for k in range(outputs):
                y = Y[i, k]
                cell = int((y / (one + abs(y) * half) + two) * scale)
                counts[k, min(cell, cells - 1)] += 1
            counted += 1
        i += 1
    return counted, i


@kernel()
def add_information(Y: Floats, slope: float, strength: float, square: bool, sums: Floats) -> float:
    """Add finite rows of Y (n, K1), one by one, to sums (4,) float64, and return the sum of their bits.

    sums: rows; Σ -ln φ(y); and, where `square`, rows again and the bits ½ Σ log2(1 + strength · φ(y)²), φ logistic of
    slope β. With e = exp(-β|y|): φ = β e / (1 + e)². Logarithms are taken of products of 32 factors, not of each.
    """
    n, outputs = Y.shape
    log_slope = math.log(slope)
    total = 0.0
    for i in range(n):
        minus_log_density = -outputs * log_slope
        log_det = 0.0
        for first in range(0, outputs, 32):
            normaliser = 1.0
            information = 1.0
            for k in range(first, min(first + 32, outputs)):
                u = slope * abs(float(Y[i, k]))
                e = math.exp(-u)
                minus_log_density += u
                normaliser *= 1 + e
                phi = slope * e / ((1 + e) * (1 + e))
                information *= 1 + strength * phi * phi
            minus_log_density += 2 * math.log(normaliser)
            log_det += math.log(information)
        bits = 0.5 * log_det / math.log(2)
        sums[0] += 1
        sums[1] += minus_log_density
        if square:
            sums[2] += 1
            sums[3] += bits
            total += bits
    return total


def call_all() -> None:
    """Call every kernel with every type it is called with, which compiles it."""
    y = np.ones((3, 3), np.float32)
    add_to_histogram(y, 0, 3, np.zeros((3, 8), np.int32))
    add_information(y, 1.0, 1.0, True, np.zeros(4))
