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

# tanh(x) ~ x P(x²) / Q(x²) on |x| <= 7.9053, minimax coefficients as in Eigen's float tanh (MPL-2.0 documents the
# same table as a fact of approximation theory): largest error 3e-7 absolute, checked in tests/learning/test_kernels.py.
_TANH_BOUND = np.float32(7.90531110763549805)
_P0, _P1, _P2, _P3 = (
    np.float32(4.89352455891786e-03),
    np.float32(6.37261928875436e-04),
    np.float32(1.48572235717979e-05),
    np.float32(5.12229709037114e-08),
)
_P4, _P5, _P6 = (
    np.float32(-8.60467152213735e-11),
    np.float32(2.00018790482477e-13),
    np.float32(-2.76076847742355e-16),
)
_Q0, _Q1, _Q2, _Q3 = (
    np.float32(4.89352518554385e-03),
    np.float32(2.26843463243900e-03),
    np.float32(1.18534705686654e-04),
    np.float32(1.19825839466702e-06),
)


@njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def _tanh(x: Any) -> Any:
    x = min(max(x, -_TANH_BOUND), _TANH_BOUND)
    s = x * x
    p = _P0 + s * (_P1 + s * (_P2 + s * (_P3 + s * (_P4 + s * (_P5 + s * _P6)))))
    q = _Q0 + s * (_Q1 + s * (_Q2 + s * _Q3))
    return x * p / q


@njit(cache=True)  # type: ignore[untyped-decorator]
def finite_rows(rows: Array, finite: Array) -> int:
    """Mark in `finite` (n,) the rows (n, K) without NaN or infinity, and return how many there are."""
    n, width = rows.shape
    count = 0
    for i in range(n):
        # x - x is 0 for a finite number and NaN otherwise: one sum to look at instead of a branch per element.
        total = 0.0
        for j in range(width):
            total += rows[i, j] - rows[i, j]
        finite[i] = total == 0.0
        count += finite[i]
    return count


@njit(cache=True)  # type: ignore[untyped-decorator]
def centre_rows(rows: Array, reference: Array, scale: float, out: Array) -> None:
    """Write (rows - reference) * scale as float32 into `out`, the difference taken in float64."""
    n, width = rows.shape
    for i in range(n):
        for j in range(width):
            out[i, j] = (rows[i, j] - reference[j]) * scale


@njit(cache=True)  # type: ignore[untyped-decorator]
def score_block(y: Array, beta: Array, bias: Array, psi: Array, slope: Array, product: Array) -> None:
    """Scores ψ = β tanh((βŷ + b)/2) of a block, and per unit the sums of ψ′ and of ψŷ over its rows.

    `y`, `psi` are (n, K1) float32; `beta`, `bias`, `slope`, `product` are (K1,) float32.
    """
    n, units = y.shape
    half = np.float32(0.5)
    one = np.float32(1)
    for k in range(units):
        slope[k] = 0
        product[k] = 0
    for i in range(n):
        for k in range(units):
            t = _tanh(half * (beta[k] * y[i, k] + bias[k]))
            psi[i, k] = beta[k] * t
            slope[k] += one - t * t
            product[k] += psi[i, k] * y[i, k]
    for k in range(units):
        slope[k] *= half * beta[k] * beta[k]


@njit(cache=True)  # type: ignore[untyped-decorator]
def overcomplete_block(y: Array, beta: Array, bias: Array, weight: Array, omega: Array, density: Array) -> None:
    """Terms of algorithm 2: ω̂ = weight φ′(ŷ), and per unit the sum of φ(ŷ) over the rows of a block.

    `y`, `omega` are (n, K1) float32; `weight` is d_k s_k of the paper's (2.98); all others are (K1,) float32.
    """
    n, units = y.shape
    half = np.float32(0.5)
    quarter = np.float32(0.25)
    one = np.float32(1)
    for k in range(units):
        density[k] = 0
    for i in range(n):
        for k in range(units):
            t = _tanh(half * (beta[k] * y[i, k] + bias[k]))
            phi = quarter * beta[k] * (one - t * t)
            density[k] += phi
            omega[i, k] = -weight[k] * beta[k] * t * phi


@njit(cache=True)  # type: ignore[untyped-decorator]
def skew_direction(gain: Array, sign: Array, curvature: Array, floor: float, out: Array) -> float:
    """Write (s_i G_ij - s_j G_ji) / max(κ_i + κ_j, floor) into `out`; return the mean length of its columns.

    `gain` G and `out` are (K1, K1) float32; `sign` s = ±1 and `curvature` κ >= 0 are (K1,) float32.
    """
    units = gain.shape[0]
    smallest = np.float32(floor)
    tile = 16
    for i0 in range(0, units, tile):
        i1 = min(i0 + tile, units)
        for j0 in range(i0, units, tile):
            j1 = min(j0 + tile, units)
            for i in range(i0, i1):
                for j in range(max(j0, i), j1):
                    value = (sign[i] * gain[i, j] - sign[j] * gain[j, i]) / max(curvature[i] + curvature[j], smallest)
                    out[i, j] = value
                    out[j, i] = -value
    total = 0.0
    for i in range(units):
        # A column and a row of a skew matrix have the same length.
        square = 0.0
        for j in range(units):
            square += out[i, j] * out[i, j]
        total += math.sqrt(square)
    return total / units


@njit(cache=True)  # type: ignore[untyped-decorator]
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
    return total - n * shift


@njit(cache=True)  # type: ignore[untyped-decorator]
def draw_rows(seed: int, draw: int, filled: int, out: Array) -> None:
    """Fill `out` with indices in 0…filled-1 that depend on (seed, draw, position) alone (splitmix64).

    A counter instead of a running generator: nothing to save, and a draw costs nanoseconds.
    """
    state = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(draw) * np.uint64(0xD1342543DE82EF95)
    for i in range(out.shape[0]):
        state += np.uint64(0x9E3779B97F4A7C15)
        z = state
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        # The upper 32 bits times the range, shifted back: no division, and uniform enough for 2^32 >> filled.
        out[i] = np.int64(((z >> np.uint64(32)) * np.uint64(filled)) >> np.uint64(32))


@njit(cache=True)  # type: ignore[untyped-decorator]
def gather_rows(ring: Array, index: Array, shift: Array, out: Array) -> None:
    """Write ring[index] - shift into `out`, all float32; ring (m, K), index (n,), shift (K,)."""
    width = ring.shape[1]
    for i in range(index.shape[0]):
        for j in range(width):
            out[i, j] = ring[index[i], j] - shift[j]


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
    score_block(y, unit, unit, y.copy(), unit.copy(), unit.copy())
    overcomplete_block(y, unit, unit, unit, y.copy(), unit.copy())
    skew_direction(np.zeros((3, 3), np.float32), unit, unit, 0.1, np.zeros((3, 3), np.float32))
    minus_log_density(y, unit)
    index = np.zeros(2, np.int64)
    draw_rows(0, 0, 2, index)
    gather_rows(y, index, unit, y.copy())
