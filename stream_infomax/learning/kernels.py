"""The numba kernels of the learner: free functions on arrays, each with a naive twin in tests/reference.py.

A kernel is here because a measurement showed that it beats numpy at the sizes of a block: fused passes over small
arrays do, matrix products do not (numpy calls the same BLAS, and `@` inside numba would need SciPy).
All are serial and cached, write into arrays that the caller owns, and keep IEEE rules for NaN and infinities.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

# Sums may be regrouped and products fused; NaN and infinities keep their meaning.
REGROUP = {"reassoc", "contract"}


@njit(cache=True)
def finite_rows(rows: Array, finite: Array) -> int:
    """Mark in `finite` (n,) the rows (n, K) without NaN or infinity, and return how many there are."""
    n, width = rows.shape
    count = 0
    for i in range(n):
        bad = 0
        for j in range(width):
            bad += not abs(rows[i, j]) < np.inf
        finite[i] = bad == 0
        count += bad == 0
    return count


@njit(cache=True)
def centre_rows(rows: Array, reference: Array, scale: float, out: Array) -> None:
    """Write (rows - reference) * scale as float32 into `out`, the difference taken in float64."""
    n, width = rows.shape
    for i in range(n):
        for j in range(width):
            out[i, j] = (rows[i, j] - reference[j]) * scale


@njit(cache=True, fastmath=REGROUP)
def score_block(
    y: Array, tanh: Array, beta: Array, sign: Array, linear: Array, psi: Array, slope: Array, product: Array
) -> None:
    """Weighted scores s_k (ψ_k(ŷ_i) - a_k ŷ_i) / r_i of a block, and per unit the plain means of ψ′ and of ψŷ.

    `y` ŷ, `tanh` = tanh((βŷ + b)/2) and `psi` are (n, K1) float32; `beta`, `sign` s, `linear` a, `slope`, `product`
    (K1,) float32. A row's weight is 1/r, r its root mean square over the units: contrast is no matter of rotation,
    and it makes a few rows drown all others. The linear part of a score says nothing about rotations of
    uncorrelated outputs; taking it out takes out its noise. (numpy's tanh is faster than what numba makes of one.)
    """
    n, units = y.shape
    one = np.float32(1)
    for k in range(units):
        slope[k] = 0
        product[k] = 0
    for i in range(n):
        row, t, out = y[i], tanh[i], psi[i]
        square = np.float32(0)
        for k in range(units):
            square += row[k] * row[k]
        weight = one / np.sqrt(square / np.float32(units) + np.float32(1e-12))
        for k in range(units):
            slope[k] += one - t[k] * t[k]
        for k in range(units):
            score = beta[k] * t[k]
            product[k] += score * row[k]
            out[k] = (score - linear[k] * row[k]) * (sign[k] * weight)
    share = one / np.float32(n)
    for k in range(units):
        slope[k] *= np.float32(0.5) * beta[k] * beta[k] * share
        product[k] *= share


@njit(cache=True, fastmath=REGROUP)
def overcomplete_block(
    y: Array, tanh: Array, beta: Array, row: Array, unit: Array, linear: Array, omega: Array, sums: Array
) -> None:
    """Terms of algorithm 2: ω̂_ik = row_i unit_k (φ′(ŷ_ik) + a_k ŷ_ik), and row-weighted sums of φ, -φ′ŷ and ŷ².

    `y` ŷ, `tanh` = tanh((βŷ + b)/2) and `omega` are (n, K1) float32; `row` (n,) holds the weights of the rows; `beta`,
    `unit` = d_k s_k (2.98) and `linear` a_k are (K1,), `sums` (3, K1), all float32.
    """
    n, units = y.shape
    one = np.float32(1)
    for k in range(units):
        sums[0, k] = 0
        sums[1, k] = 0
        sums[2, k] = 0
    density, product, square = sums[0], sums[1], sums[2]
    for i in range(n):
        potential, t, out = y[i], tanh[i], omega[i]
        weight = row[i]
        for k in range(units):
            phi = np.float32(0.25) * beta[k] * (one - t[k] * t[k])
            slope = -beta[k] * t[k] * phi
            out[k] = weight * unit[k] * (slope + linear[k] * potential[k])
            density[k] += weight * phi
        for k in range(units):
            phi = np.float32(0.25) * beta[k] * (one - t[k] * t[k])
            product[k] += weight * beta[k] * t[k] * phi * potential[k]
            square[k] += weight * potential[k] * potential[k]


@njit(cache=True)
def minus_log_density(y: Array, beta: Array) -> float:
    """Sum of -ln φ(ŷ) over all rows and units at b = 0; `y` (n, K1) float32, `beta` (K1,) float32 (2.83)."""
    n, units = y.shape
    total = 0.0
    for i in range(n):
        row = 0.0
        for k in range(units):
            u = abs(float(beta[k]) * float(y[i, k]))
            row += u + 2.0 * math.log1p(math.exp(-u))
        total += row
    shift = 0.0
    for k in range(units):
        shift += math.log(float(beta[k]))
    return float(total - n * shift)


def warmup() -> None:
    """Compile every kernel for every type it is called with, so that no service compiles while it streams."""
    y = np.zeros((2, 3), np.float32)
    unit = np.ones(3, np.float32)
    for dtype in (np.float32, np.float64):
        for writeable in (True, False):  # arrays read from a message are not writeable, and a type of their own
            rows = np.zeros((2, 3), dtype)
            rows.flags.writeable = writeable
            finite_rows(rows, np.zeros(2, np.bool_))
            centre_rows(rows, np.zeros(3), 1.0, y.copy())
    score_block(y, y, unit, unit, unit, y.copy(), unit.copy(), unit.copy())
    overcomplete_block(y, y, unit, unit[:2], unit, unit, y.copy(), np.zeros((3, 3), np.float32))
    minus_log_density(y, unit)
