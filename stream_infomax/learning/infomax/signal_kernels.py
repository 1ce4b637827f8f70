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
# A channel stands still where so many rows are equal to the one before and usually not so many are; it is cut where
# more rows lie at its extremes than this share, and a multiple of the usual one.
STILL, USUALLY_STILL = 0.9, 0.5
CUT, CUT_TIMES = 0.1, 3.0
# The ends lie in the same place where they differ by this share of what is between them; for so many blocks.
SAME, CUT_BLOCKS = 1e-3, 4
FARTHEST = 1e6
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


@kernel(fastmath=REGROUP, error_model=DIVISION)
def channel_faults(rows: Floats, usual: Floats, rails: Floats, share: float, faults: Floats) -> tuple[int, int, int]:
    """Find channels that stand still, or lie at their extremes, in a block more often than is usual.

    `rows` (n, K) float32, n > 2. `usual` (2, K) float32 holds the shares of rows that are equal to the row before, and
    that lie at the block's least or largest value beside the two that always do; they move by `share` towards those
    of the block where it has no fault, and the second of them only where it is no larger than usual. `rails` (3, K)
    float32 holds the least and largest values of the block before, and for how many blocks more values than usual
    have lain there, always in the same place: only then are they cut. Writes 1 for a channel that stands still, 2 for
    one that is cut, else 0 into `faults` (K,) float32, and returns how many channels stand still, how many are cut,
    and how many never vary. Of numbers beyond FARTHEST the rounding may be all that one sees: they have no fault.
    """
    n, width = rows.shape
    low, high = rows[0].copy(), rows[0].copy()
    equal, extreme = np.zeros(width, np.float32), np.zeros(width, np.float32)
    one, none = np.float32(1), np.float32(0)
    for i in range(1, n):
        before, row = rows[i - 1], rows[i]
        for j in range(width):
            equal[j] += one if row[j] == before[j] else none
            low[j] = min(low[j], row[j])
            high[j] = max(high[j], row[j])
    for i in range(n):
        row = rows[i]
        for j in range(width):
            extreme[j] += one if row[j] == low[j] or row[j] == high[j] else none
    still, cut, constant = 0, 0, 0
    for j in range(width):
        equal[j] /= np.float32(n - 1)
        extreme[j] = max(extreme[j] - np.float32(2), none) / np.float32(n)
        faults[j] = none
        if not max(abs(low[j]), abs(high[j])) < np.float32(FARTHEST):
            continue
        constant += low[j] == high[j]
        if equal[j] >= np.float32(STILL) and usual[0, j] < np.float32(USUALLY_STILL):
            faults[j] = one
            still += 1
            continue
        near = np.float32(SAME) * (high[j] - low[j])
        same = abs(low[j] - rails[0, j]) <= near or abs(high[j] - rails[1, j]) <= near
        many = extreme[j] > np.float32(CUT) + np.float32(CUT_TIMES) * usual[1, j]
        rails[0, j], rails[1, j] = low[j], high[j]
        rails[2, j] = rails[2, j] + one if many and (same or rails[2, j] == none) else none
        if rails[2, j] >= np.float32(CUT_BLOCKS):
            faults[j] = np.float32(2)
            cut += 1
    if still + cut == 0:
        for j in range(width):
            usual[0, j] += np.float32(share) * (equal[j] - usual[0, j])
            if rails[2, j] == none:
                usual[1, j] += np.float32(share) * (extreme[j] - usual[1, j])
    return still, cut, constant


def call_all() -> None:
    """Call every kernel with every type it is called with, which compiles it."""
    y, unit, values = np.ones((3, 3), np.float32), np.ones(3, np.float32), np.zeros(3)
    block_signals(y, unit, unit, 1.0, unit.copy(), values)
    channel_faults(y, np.zeros((2, 3), np.float32), y.copy(), 0.1, unit.copy())
    charts, batches = np.zeros((3, COLUMNS)), np.zeros((3, SCALES, 5))
    follow_charts(values, np.ones(3, np.bool_), charts, np.zeros((3, 2)), batches)
