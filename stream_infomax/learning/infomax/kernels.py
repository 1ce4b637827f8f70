"""The numba kernels of the learner: free functions on arrays, each with a naive twin in tests/reference.py.

A kernel is here because a measurement showed that it beats numpy at the sizes of a block: fused passes over small
arrays do, matrix products do not (numpy calls the same BLAS, and `@` inside numba would need SciPy).
All are serial and cached, write into arrays that the caller owns, and keep IEEE rules for NaN and infinities.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.compiling import kernel

Floats = NDArray[np.floating[Any]]

# Sums may be regrouped and products fused; NaN and infinities keep their meaning.
REGROUP = {"reassoc", "contract"}
# Without Python's check of a division by zero, loops that divide are vectorised.
DIVISION: Final = "numpy"

# tanh v ≈ v P(v²)/Q(v²), a minimax fit for |v| <= TANH_END, beyond which v is held (benchmarks/tanh_fit.py).
TANH_END = np.float32(8.0)
P0, P1, P2, P3, P4 = np.array([1.17639697, 0.15816091, 4.20164643e-3, 2.57572901e-5, 1.79176673e-8], np.float32)
Q0, Q1, Q2, Q3, Q4 = np.array([1.17639697, 0.550293148, 3.07798833e-2, 4.0130812e-4, 1.00260479e-6], np.float32)
# Matrices are transposed tile by tile, through a copy: their rows would drive each other out of the cache.
TILE = 32
# A row whose sum of squares is larger counts for nothing, and is infinitely long: products of float32 would overflow.
FARTHEST = np.float32(1e30)
# Power iterations for the largest angle of a turn.
POWERS = 6


@kernel(error_model=DIVISION)
def take_rows(rows: Floats, start: int, reference: Floats, scale: Floats, out: Floats, filled: int) -> tuple[int, int]:
    """Write (rows - reference) * scale into `out` from row `filled` on, until either array ends.

    `rows` (n, K) are read from row `start` on, the difference is taken in float64. A row that is not finite in `out`
    (m, K) is passed over. Returns the next row to read, and how many rows of `out` are filled.
    """
    n, width = rows.shape
    while start < n and filled < len(out):
        row, to = rows[start], out[filled]
        finite = True
        for j in range(width):
            to[j] = (row[j] - reference[j]) * scale[j]
            finite &= abs(to[j]) < np.inf
        filled += finite
        start += 1
    return start, filled


@kernel()
def centre_rows(rows: Floats, reference: Floats, finite: NDArray[np.bool_], out: Floats) -> int:
    """Write rows - reference as float32 into `out` (n, K), the difference taken in float64.

    Marks in `finite` (n,) the rows without NaN or infinity, writes zeros for the others, and returns how many there
    are.
    """
    n, width = rows.shape
    count = 0
    for i in range(n):
        row, to = rows[i], out[i]
        bad = 0
        for j in range(width):
            to[j] = row[j] - reference[j]
            bad += not abs(row[j]) < np.inf
        finite[i] = bad == 0
        count += bad == 0
        if bad:
            to[:] = 0
    return count


@kernel(fastmath=REGROUP, error_model=DIVISION, inline="always")
def tanh(value: Any) -> Any:
    """Return tanh of a float32, to 3·10⁻⁷ of its value and never beyond ±1; NaN stays NaN.

    The error is that of rounding: the fit itself errs by 7·10⁻⁹.
    """
    v = min(max(value, -TANH_END), TANH_END)
    q = v * v
    top = v * (P0 + q * (P1 + q * (P2 + q * (P3 + q * P4))))
    return top / (Q0 + q * (Q1 + q * (Q2 + q * (Q3 + q * Q4))))


@kernel(fastmath=REGROUP, error_model=DIVISION)
def score_block(y: Floats, beta: float, sign: Floats, linear: Floats, psi: Floats, means: Floats) -> None:
    """Weighted scores s_k (ψ_k(ŷ_i) - a_k ŷ_i) / r_i of a block, and per unit the plain means of ψ′, ψŷ and ŷ².

    `y` ŷ and `psi` are (n, K1) float32; `sign` s and `linear` a (K1,), `means` (3, K1) float32; ψ = β tanh(βŷ/2). A
    row's weight is 1/r, r its root mean square over the units: contrast is no matter of rotation, and it makes a
    few rows drown all others. The linear part of a score says nothing about rotations of uncorrelated outputs;
    taking it out takes out its noise.
    """
    n, units = y.shape
    one, full = np.float32(1), np.float32(beta)
    half = np.float32(0.5) * full
    means[:] = 0
    slope, product, power = means[0], means[1], means[2]
    for i in range(n):
        row, out = y[i], psi[i]
        square = np.float32(0)
        for k in range(units):
            potential = row[k]
            squared = potential * potential
            square += squared
            power[k] += squared
            t = tanh(half * potential)
            slope[k] += one - t * t
            product[k] += t * potential
            out[k] = sign[k] * (full * t - linear[k] * potential)
        weight = one / np.sqrt(square / np.float32(units) + np.float32(1e-12))
        for k in range(units):
            out[k] *= weight
    share = one / np.float32(n)
    for k in range(units):
        slope[k] *= half * full * share
        product[k] *= full * share
        power[k] *= share


@kernel(fastmath=REGROUP, error_model=DIVISION)
def shorten(y: Floats, bound: float, usual: float, lengths: Floats) -> tuple[int, int]:
    """Multiply the rows of ŷ (n, K0), float32, whose root mean square r exceeds a bound b by (b/r)², in place.

    Writes every row's r into `lengths` (n,), and returns how many exceeded b, and how many the length `usual`. A row
    whose squares come to more than 10³⁰ becomes 0, its r infinity.
    """
    n, units = y.shape
    count, beyond = 0, 0
    for i in range(n):
        row = y[i]
        square = np.float32(0)
        for k in range(units):
            square += row[k] * row[k]
        if not square < FARTHEST:
            lengths[i] = np.inf
            row[:] = 0
            count += 1
            beyond += 1
            continue
        length = np.sqrt(square / np.float32(units))
        lengths[i] = length
        beyond += length > usual
        if length > bound:
            factor = np.float32(bound) / length
            factor *= factor
            for k in range(units):
                row[k] *= factor
            count += 1
    return count, beyond


@kernel(fastmath=REGROUP, error_model=DIVISION)
def tuning_sums(y: Floats, beta: Floats, bias: Floats, sums: Floats) -> None:
    """Sums over rows of t, of tŷ and of 1 - t², t = tanh((βŷ + b)/2), for the tuning of β and b.

    `y` ŷ (n, K1), `beta`, `bias` (K1,), `sums` (3, K1) float32.
    """
    n, units = y.shape
    one, half = np.float32(1), np.float32(0.5)
    sums[:] = 0
    mean, product, slope = sums[0], sums[1], sums[2]
    for i in range(n):
        row = y[i]
        for k in range(units):
            t = tanh(half * (beta[k] * row[k] + bias[k]))
            mean[k] += t
            product[k] += t * row[k]
            slope[k] += one - t * t


@kernel()
def transpose(matrix: Floats, out: Floats) -> None:
    """Write Gᵀ of a float32 matrix (K, K) into `out`, where numpy takes ten times as long from K = 512 on."""
    K = len(matrix)
    tile = np.empty((TILE, TILE), np.float32)
    for first in range(0, K, TILE):
        rows = min(TILE, K - first)
        for left in range(0, K, TILE):
            columns = min(TILE, K - left)
            for j in range(columns):
                source = matrix[left + j, first : first + rows]
                for i in range(rows):
                    tile[i, j] = source[i]
            for i in range(rows):
                row, to = tile[i], out[first + i, left : left + columns]
                for j in range(columns):
                    to[j] = row[j]


@kernel(fastmath=REGROUP, error_model=DIVISION)
def skew(matrix: Floats, curvature: Floats, step: float, floor: float, turn: Floats, squares: Floats) -> float:
    """Write T_ij = step (G_ij - G_ji) / max(κ_i + κ_j, floor) into `turn`; all (K, K) and (K,) are float32.

    `squares` (K,) gets the squared lengths of T's rows, which are those of its columns; returns their sum.
    """
    K = len(matrix)
    length, least = np.float32(step), np.float32(floor)
    transpose(matrix, turn)
    total = 0.0
    for i in range(K):
        row, to, own = matrix[i], turn[i], curvature[i]
        square = np.float32(0)
        for j in range(K):
            value = length * (row[j] - to[j]) / max(own + curvature[j], least)
            to[j] = value
            square += value * value
        squares[i] = square
        total += float(square)
    return total


@kernel(fastmath=REGROUP, error_model=DIVISION)
def largest_turn(turn: Floats, squares: Floats) -> float:
    """The largest singular value of a skew T (K, K) float32, to about a tenth, by power iteration from its longest row.

    `squares` (K,) holds the squared lengths of its rows.
    """
    K = len(turn)
    vector, image = turn[np.argmax(squares)].copy(), np.empty(K, np.float32)
    largest = np.float32(0)
    for _ in range(POWERS + 1):
        square = np.float32(0)
        for i in range(K):
            row, value = turn[i], np.float32(0)
            for j in range(K):
                value += row[j] * vector[j]
            image[i] = value
            square += value * value
        if not square > 0:
            break
        largest = np.sqrt(square)
        vector, image = image, vector
        scale = np.float32(1) / largest
        for i in range(K):
            vector[i] *= scale
    return float(largest)


@kernel(fastmath=REGROUP, error_model=DIVISION)
def overcomplete_block(
    y: Floats, beta: float, row: Floats, unit: Floats, linear: Floats, omega: Floats, sums: Floats
) -> None:
    """Terms of algorithm 2: ω̂_ik = row_i unit_k (φ′(ŷ_ik) + a_k ŷ_ik), and row-weighted sums of φ, -φ′ŷ and ŷ².

    `y` ŷ and `omega` are (n, K1) float32; `row` (n,) holds the weights of the rows; `unit` = d_k s_k (2.98) and
    `linear` a_k are (K1,), `sums` (3, K1), all float32.
    """
    n, units = y.shape
    one, full = np.float32(1), np.float32(beta)
    half, quarter = np.float32(0.5) * full, np.float32(0.25) * full
    sums[:] = 0
    density, product, square = sums[0], sums[1], sums[2]
    for i in range(n):
        potentials, out = y[i], omega[i]
        weight = row[i]
        for k in range(units):
            potential = potentials[k]
            t = tanh(half * potential)
            phi = quarter * (one - t * t)
            slope = -full * t * phi
            out[k] = weight * unit[k] * (slope + linear[k] * potential)
            density[k] += weight * phi
            product[k] -= weight * slope * potential
            square[k] += weight * potential * potential


@kernel(fastmath=REGROUP)
def unit_columns(turn: Floats, squares: Floats, factor: float) -> None:
    """Turn T (K, K) into (I + f T) S - I in place, S such that the columns of (I + f T) S have unit length; float32.

    `squares` (K,) holds the squared lengths of T's columns, which are skew: orthogonal to the unit vectors of I.
    """
    K = len(turn)
    scale = np.float32(factor)
    length = np.float32(1) / np.sqrt(np.float32(1) + scale * scale * squares)
    for i in range(K):
        row = turn[i]
        for j in range(K):
            row[j] *= scale * length[j]
        row[i] += length[i] - np.float32(1)


@kernel(fastmath=REGROUP)
def advance(value: Floats, moved: Floats, average: Floats, share: float) -> None:
    """Add what it has moved to a value (n, m), and to its average `share` of their distance; float32."""
    n, units = average.shape
    step = np.float32(share)
    for i in range(n):
        new, by, mean = value[i], moved[i], average[i]
        for k in range(units):
            new[k] += by[k]
            mean[k] += step * (new[k] - mean[k])


@kernel(fastmath=REGROUP)
def centre(rows: Floats, mean: Floats, out: Floats) -> Floats:
    """Write x - m of float32 rows (n, K) into `out` for `mean` m (K,) float32; return the sums of what is there (K,).

    They would be 0 if m were exact.
    """
    n, width = rows.shape
    sums = np.zeros(width)
    for i in range(n):
        row, to = rows[i], out[i]
        for j in range(width):
            to[j] = row[j] - mean[j]
            sums[j] += to[j]
    return sums


@kernel(fastmath=REGROUP)
def accumulate(total: Floats, part: Floats, mean: Floats, sums: Floats, rest: Floats) -> None:
    """Add P + m sᵀ + r mᵀ to a float64 matrix (K, K); P is float32 or float64, m, s and r (K,) are float64."""
    n, m = total.shape
    for i in range(n):
        to, row = total[i], part[i]
        by, more = mean[i], rest[i]
        for j in range(m):
            to[j] += row[j] + by * sums[j] + more * mean[j]


def call_all() -> None:
    """Call every kernel with every type it is called with, which compiles it."""
    y = np.ones((3, 3), np.float32)
    unit = np.ones(3, np.float32)
    for dtype in (np.float32, np.float64):
        for writeable in (True, False):  # arrays read from a message are not writeable, and a type of their own
            rows = np.zeros((3, 3), dtype)
            rows.flags.writeable = writeable
            take_rows(rows, 0, np.zeros(3), np.ones(3), y.copy(), 0)
            take_rows(rows, 0, np.zeros(3), np.ones(3), np.zeros((3, 3)), 0)
            centre_rows(rows, np.zeros(3), np.zeros(3, np.bool_), y.copy())
    tanh(np.float32(1))
    score_block(y, 1.0, unit, unit, y.copy(), y.copy())
    overcomplete_block(y, 1.0, unit, unit, unit, y.copy(), np.zeros((3, 3), np.float32))
    shorten(y.copy(), 1.0, 1.0, unit.copy())
    tuning_sums(y, unit, unit, y.copy())
    transpose(y, y.copy())
    skew(y, unit, 1.0, 1.0, y.copy(), unit.copy())
    largest_turn(y, unit)
    unit_columns(y.copy(), unit, 1.0)
    advance(y.copy(), y, y.copy(), 1.0)
    centre(y, unit, y.copy())
    for part in (y, np.ones((3, 3))):
        accumulate(np.ones((3, 3)), part, np.ones(3), np.ones(3), np.ones(3))
