"""Outlying rows: those that reach far beyond the others are shortened, and none of them decides what is learnt.

A row's length is r = ‖x̂‖/√K0 under the whitening as it stands, 1 in the root mean square. Rows with r beyond a bound
b become x (b/r)², shorter the farther they were: what lies 100 deviations off counts for nothing, what lies just
beyond counts nearly in full. Of a mixture of scales (rows times a heavy-tailed number, as contrast is) the tail is cut.
(A redescending M-estimator of the covariance, after Maronna 1976; in the warm-up it starts from Tyler's of 1987.)
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

# The bound b in lengths r, and in units of the length that a share of the rows exceeds.
BOUND = 3.0
SHARE, BOUND_OF_SHARE = 0.1, 1.75
# What tunes the neurons, whose rates are published for all rows, may be longer by this factor.
TUNING_BOUND = 3.0
# The step of ln(length) per row by which that length is followed.
STEP = 0.01
# Of the warm-up: rounds with Tyler's weights 1/r², which need no scale, then with those of the stream, or fewer,
# when no factor changes by more than SETTLED any longer.
TYLER_ROUNDS, ROUNDS, SETTLED = 2, 8, 0.02
# Of every variance, added to it in the warm-up: a length in float32 makes no finer distinction.
RIDGE = 1e-5
# The longest that a row of the warm-up is to begin with, in typical lengths: float32 holds its square.
LONGEST_FIRST = 1e4


class Shortened(NamedTuple):
    """Rows that have been shortened.

    Attributes
    ----------
    rows
        (n, K) float32; the array that came where none of them was outlying.
    lengths
        r of each row as it came, (n,) float32.
    bound
        The longest r that was left as it is.
    """

    rows: Floats
    lengths: Floats
    bound: float


class Reach(Kept):
    """How far rows reach: the length that a tenth of them exceeds, followed by stochastic approximation.

    What more than a tenth of the rows do is no outlier, however far it is: after a jump of the sensor's gain, or
    when sounds follow upon silence, the bound rises with them within some hundred rows.

    Attributes
    ----------
    length
        That length, as r.
    n_shortened
        Outlying rows so far.
    """

    kept = ("length", "n_shortened")

    def __init__(self) -> None:
        self.length = 1.0
        self.n_shortened = 0

    @property
    def bound(self) -> float:
        """The longest r that stays as it is."""
        return max(BOUND, BOUND_OF_SHARE * self.length)

    def settle(self, lengths: Floats) -> None:
        """Take the reach of rows with lengths r (n,) as that of the stream from now on."""
        self.length = max(float(np.quantile(lengths, 1 - SHARE)), 1e-3)

    def shorten(self, rows: Floats, whitened: Floats) -> Shortened:
        """Shorten what is outlying of a block, and follow its lengths.

        Parameters
        ----------
        rows
            (n, K) float32; they stay as they are.
        whitened
            The same rows whitened, turned or not, (n, K0) float32: shortened in place.
        """
        bound, lengths = self.bound, np.empty(len(rows), np.float32)
        n_shortened, beyond = kernels.shorten(whitened, bound, self.length, lengths)
        self.n_shortened += n_shortened
        self.length *= math.exp(STEP * (beyond - SHARE * len(lengths)))
        if n_shortened:
            rows = rows * shortening(lengths, bound)[:, None]
        return Shortened(rows, lengths, bound)


def lengthened(whitened: Floats, lengths: Floats, bound: float) -> Floats:
    """Return shortened whitened rows (n, K0) as long as they were, or three times the bound where they were longer."""
    if not float(lengths.max(initial=0)) > bound:
        return whitened
    factors = shortening(lengths, bound)
    wanted = np.minimum(lengths, TUNING_BOUND * bound) / np.maximum(lengths, bound)
    stretch = np.where(factors > 0, np.maximum(wanted, factors) / np.maximum(factors, 1e-30), 1)
    return whitened * stretch[:, None]


def typical(values: Floats) -> float:
    """Return the median of values that are 0 or more; where it is 0, their mean."""
    middle = float(np.median(values))
    return middle if middle > 0 else float(np.mean(values))


def shortening(lengths: Floats, bound: float) -> Floats:
    """Return the factors (n,) min(1, b/r)² for lengths r (n,); 0 for a length of infinity."""
    return np.asarray(np.square(bound / np.maximum(lengths, lengths.dtype.type(bound))))


def _cholesky(scatter: NDArray[np.float64]) -> Floats:
    """Return the lower root of a scatter matrix, with as much of a ridge as it takes.

    Channels that move together (the bands of silence) leave the sums of float32 without a positive definite rest.
    """
    ridge: NDArray[np.float64] = np.diag(np.diagonal(scatter) + np.diagonal(scatter).mean())
    root: Floats = np.sqrt(ridge)
    for share in (0.0, 1e-6, 1e-4, 1e-2):
        with suppress(np.linalg.LinAlgError):
            root = np.linalg.cholesky(scatter + share * ridge)
            break
    return root


def shorten_first(rows: Floats) -> tuple[Floats, int]:
    """Shorten what is outlying of the first rows of a stream, (n, K) float32, before anything is known of them.

    Returns the rows, shortened towards their middle, and how many were outlying. The covariance that gives lengths
    starts from directions alone (the rows' signs in space), which no outlier can sway by more than its number.
    """
    median = np.median(rows, axis=0)
    # In float64, until no length is beyond what float32 can square: channels of which most rows are silent have
    # deviations that say nothing of their size.
    x = rows.astype(np.float64) - median
    spread = np.array([typical(column) for column in np.abs(x).T])
    x /= np.where(spread > 0, spread, 1)
    lengths = np.sqrt(np.einsum("ij,ij->i", x, x))
    usual = typical(lengths)
    if not usual > 0:
        return rows, 0
    held = np.minimum(1, LONGEST_FIRST * usual / np.maximum(lengths, usual))
    x = (x * (held / usual)[:, None]).astype(np.float32)
    squares = np.einsum("ij,ij->i", x, x)
    weights = 1 / np.maximum(squares, 1e-9 * squares.mean())
    factors = np.ones_like(squares)
    for i in range(ROUNDS):
        scatter = ((x * weights[:, None]).T @ x).astype(np.float64)
        variance = np.diagonal(scatter)
        scatter[np.diag_indices_from(scatter)] += RIDGE * variance + 1e-12 * variance.mean()
        # Whitened by a root of the inverse: no rounding makes a sum of squares negative.
        root = np.linalg.inv(_cholesky(scatter)).astype(np.float32)
        whitened = x @ root.T
        squares = np.einsum("ij,ij->i", whitened, whitened)
        squares *= len(x) / (weights @ squares)
        if i < TYLER_ROUNDS:
            weights = 1 / np.maximum(squares, 1e-9 * squares.mean())
            continue
        if i == TYLER_ROUNDS:
            squares /= np.float32(typical(squares))
        lengths = np.sqrt(squares)
        bound = max(BOUND, BOUND_OF_SHARE * float(np.quantile(lengths, 1 - SHARE)))
        before, factors = factors, shortening(lengths, bound)
        if np.abs(factors - before).max() < SETTLED:
            break
        weights = factors * factors
    factors = held * factors
    outlying = factors < 1
    # Towards the mean of what counts, which lies among the rows: their median may lie outside of all that they span.
    rest = rows.astype(np.float64)
    mean = factors @ rest / factors.sum()
    shortened = rows.copy()
    shortened[outlying] = mean + (rest[outlying] - mean) * factors[outlying, None]
    return shortened, int(np.count_nonzero(outlying))
