"""The numba kernels that watch a stream: signals of a block, their charts, and what is wrong with a channel.

Each is one call a block, and has a naive twin in tests/reference.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.compiling import kernel
from stream_infomax.learning.infomax.kernels import DIVISION, REGROUP

Floats = NDArray[np.floating[Any]]

# Lengths beyond e^±LONGEST of the usual one are as bad as those.
LONGEST = 5.0
# Columns of a chart: its reference's mean and deviation, then of either side the sum, the blocks since it was 0, and
# the values in these blocks.
MEAN, DEVIATION, UP, UP_N, UP_SUM, DOWN, DOWN_N, DOWN_SUM = range(8)
COLUMNS = 8
# A deviation counts for so many at most; what a block may deviate without a change.
WINSOR, SLACK = 5.0, 0.5
# Time scales of a signal's wandering: batches of 4^0 … 4^(SCALES-1) blocks.
SCALES, BASE = 6, 4


@kernel(fastmath=REGROUP, error_model=DIVISION)
def block_signals(y: Floats, lengths: Floats, sign: Floats, share: float, power: Floats, values: Floats) -> None:
    """Write what a block says about the stream into `values` (3,) float64: level, shape, spread.

    Level is the mean of ln r, `lengths` r (n,) float32. Shape is the mean of s_k |u_k| over rows and units, u the row
    of `y` ŷ (n, K1) at unit root mean square: smaller where outputs are further from normal, whatever their level;
    `sign` s (K1,) float32. Spread is ln mean (p_k - 1)², p the mean of u_k² over the newest blocks: `power` (K1,)
    float32 moves by `share` towards that of this block.
    """
    n, units = y.shape
    sums = np.zeros(units, np.float32)
    level, shape, count = 0.0, 0.0, 0
    for i in range(n):
        length = float(lengths[i])
        level += min(max(np.log(max(length, 1e-30)), -LONGEST), LONGEST)
        row = y[i]
        square = np.float32(0)
        for k in range(units):
            square += row[k] * row[k]
        if not (square > np.float32(1e-30) and square < np.float32(1e30)):
            continue
        count += 1
        inverse = np.float32(units) / square
        total = np.float32(0)
        for k in range(units):
            total += sign[k] * abs(row[k])
            sums[k] += row[k] * row[k] * inverse
        shape += float(total * np.sqrt(inverse))
    values[0] = level / n
    values[1] = shape / (max(count, 1) * units)
    step = np.float32(share) / np.float32(max(count, 1))
    distance = np.float32(0)
    for k in range(units):
        if count:
            power[k] += step * sums[k] - np.float32(share) * power[k]
        distance += (power[k] - np.float32(1)) ** 2
    values[2] = np.log(max(float(distance) / units, 1e-12))


@kernel(error_model=DIVISION)
def follow_charts(values: Floats, two_sided: NDArray[np.bool_], charts: Floats, sums: Floats, batches: Floats) -> float:
    """Take a block's signals (S,) into CUSUM charts and into what is known of their wandering; float64.

    `charts` is (S, COLUMNS); `sums` (S, 2) gathers the values for the next reference, winsorised, and their number;
    `batches` (S, SCALES, 5) holds for each time scale the sum and number of parts of the batch under way, the mean of
    the batch before (NaN where there is none), and the sum and number of squared differences of neighbouring batches.
    Returns the highest of all sums of the charts, 0 before there is a reference.
    """
    highest = 0.0
    for s in range(len(values)):
        chart, value = charts[s], values[s]
        deviation = chart[DEVIATION]
        if deviation > 0:
            z = (value - chart[MEAN]) / deviation
            z = min(max(z, -WINSOR), WINSOR)
            kept = chart[MEAN] + z * deviation
            for side in range(2 if two_sided[s] else 1):
                first = UP if side == 0 else DOWN
                total = chart[first] + (z if side == 0 else -z) - SLACK
                if total > 0:
                    chart[first] = total
                    chart[first + 1] += 1
                    chart[first + 2] += value
                    highest = max(highest, total)
                else:
                    chart[first] = chart[first + 1] = chart[first + 2] = 0
        else:
            kept = value
        sums[s, 0] += kept
        sums[s, 1] += 1
        mean = kept
        for scale in range(SCALES):
            batch = batches[s, scale]
            batch[0] += mean
            batch[1] += 1
            if scale > 0 and batch[1] < BASE:
                break
            mean = batch[0] / batch[1]
            if batch[2] == batch[2]:
                batch[3] += (mean - batch[2]) ** 2
                batch[4] += 1
            batch[0] = batch[1] = 0
            batch[2] = mean
    return highest


def call_all() -> None:
    """Call every kernel with every type it is called with, which compiles it."""
    y, unit, values = np.ones((3, 3), np.float32), np.ones(3, np.float32), np.zeros(3)
    block_signals(y, unit, unit, 1.0, unit.copy(), values)
    charts, batches = np.zeros((3, COLUMNS)), np.zeros((3, SCALES, 5))
    follow_charts(values, np.ones(3, np.bool_), charts, np.zeros((3, 2)), batches)
