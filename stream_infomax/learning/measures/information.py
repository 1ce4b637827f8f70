"""What a basis is worth, in bits: coefficient entropy, conditional entropy, transmitted information, Amari distance.

Huang & Zhang 2017, section "Quantitative methods" (3.100-3.105). Outputs are rows of potentials y = aŷ = (x - μ) W with
a = sqrt(K1/K0), what `OnlineInfomax.transform` publishes; C (K0, K1), C Cᵀ = I, holds the filters in whitened space.
All of it is exact and slow enough to be called now and then; :class:`RunningEntropy` and :class:`RunningInformation`
are the versions that a live learner reports from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.neurons import density
from stream_infomax.learning.measures.kernels import add_information, add_to_histogram
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

NEURONS = 10**6
SLOPE = math.pi / math.sqrt(3)
"""β of the potentials y at the start: the logistic density φ = |g′| of unit variance."""

_CELLS = 256
_EDGES = np.linspace(-2, 2, _CELLS + 1)[1:-1] / (1 - np.abs(np.linspace(-2, 2, _CELLS + 1)[1:-1]) / 2)
# The two outermost cells reach to infinity; their width is taken as that of their inner neighbours.
_CELL_WIDTHS = np.diff(_EDGES, prepend=2 * _EDGES[0] - _EDGES[1], append=2 * _EDGES[-1] - _EDGES[-2])


def coefficient_entropy(Y: Floats, filters: Floats | None = None) -> float:
    """Mean differential entropy of the outputs in bits (3.100-3.103); smaller means a more efficient code.

    The paper scales the filters so that their mean length is one, estimates each output's density with a normal kernel
    of adaptive width, quantises with a step Δ, and averages -Δ Σ p(nΔ) log2 p(nΔ). It leaves open the space in which a
    filter has its length, the width and Δ. Taken here: lengths in whitened space, where all rotations are alike
    and a row has unit variance (so a Gaussian output has 2.05 bits); the width that is best for normal densities, with
    a robust deviation, σ = median |y - median| / 0.6745, h = σ (4 / 3n)^(1/5); Δ = h / 4.

    Parameters
    ----------
    Y
        Held-out potentials, shape (n_rows, n_components).
    filters
        C, shape (n_rank, n_components), where Y = x̂ C was made with filters whose mean length is not one.
        None: it is one (as it is for y = aŷ, up to the spread of lengths).

    Raises
    ------
    ValueError
        Where Y is not a finite matrix of at least two rows.
    """
    entropy = float(np.mean(output_entropies(Y)))
    if filters is not None:
        entropy -= math.log2(float(np.mean(np.linalg.norm(filters, axis=0))))
    return entropy


def output_entropies(Y: Floats) -> Floats:
    """Differential entropy of each output in bits, shape (n_components,); -inf for a constant one.

    The estimate is the one described at :func:`coefficient_entropy`.
    """
    Y = _finite_matrix(Y, "Y", 2)
    return np.array([_kernel_entropy(np.sort(y)) for y in Y.T.astype(np.float64)])


def _kernel_entropy(y: Floats) -> float:
    """Entropy of the kernel density of sorted values, which are put on a grid of Δ = h/4 first."""
    n = len(y)
    middle = y[n // 2]
    deviation = float(np.median(np.abs(y - middle))) / 0.6745
    # More than half of the values may be equal (a silent channel with spikes): the plain deviation is left then.
    deviation = deviation if deviation > 0 else float(np.std(y))
    if deviation == 0:
        return -math.inf
    width = deviation * (4 / (3 * n)) ** 0.2
    step = width / 4
    # Far outliers would make the grid long: only the cells that are within reach of a value are kept.
    cells, counts = np.unique(np.rint((y - middle) / step).astype(np.int64), return_counts=True)
    reach = np.arange(-20, 21)
    kernel = np.exp(-((reach * step / width) ** 2) / 2)
    kernel /= kernel.sum()
    gaps = np.minimum(np.diff(cells, prepend=cells[0]), 2 * len(reach))
    position = np.cumsum(gaps)
    line = np.zeros(position[-1] + 1)
    line[position] = counts / n
    mass = np.convolve(line, kernel)
    mass = mass[mass > 0]
    return float(-(mass @ np.log2(mass)) + math.log2(step))


def conditional_entropy(C: Floats, Y: Floats, n_neurons: float = NEURONS, slope: float = SLOPE) -> float:
    """h1 = -½⟨ln det((N/K0 · C Φ̂ Cᵀ + I) / 2πe)⟩ in nats (3.105): what the responses leave open about the input.

    Smaller means that more information is transmitted. Φ̂ = diag(φ(y_k)²) with φ = dg/dy of the logistic tuning
    function; N/K0 · C Φ̂ Cᵀ is the Fisher information of N Poisson neurons in K1 equal classes about the whitened input,
    I the curvature of its Gaussian prior. With many neurons and K1 = K0 it is Q plus a constant.

    Parameters
    ----------
    C
        Filters in whitened space, shape (n_rank, n_components), C Cᵀ = I.
    Y
        Potentials y = sqrt(K1/K0) x̂ C, shape (n_rows, n_components). K1 > K0 costs one determinant of K0 × K0 a row.
    n_neurons
        N, the size of the population.
    slope
        β of the potentials y.

    Raises
    ------
    ValueError
        Where the shapes don't fit or Y is not finite.
    """
    n_rank = len(C)
    return 0.5 * n_rank * math.log(2 * math.pi * math.e) - 0.5 * float(np.mean(_log_det(C, Y, n_neurons, slope)))


def transmitted_information(
    C: Floats, Y: Floats, n_neurons: float = NEURONS, slope: float = SLOPE, input_entropy: float | None = None
) -> float:
    """I(X; R) ≈ ½⟨ln det(G / 2πe)⟩ + H(X̂) in bits a row, the paper's asymptotic formula for large N.

    G = N/K0 · C Φ̂ Cᵀ + I as in :func:`conditional_entropy`. H(X̂) is the same number for every basis, and is not known
    for real data. Without `input_entropy` its upper bound is used, the entropy ½ K0 ln 2πe of a Gaussian of
    the same covariance, and the figure is an upper bound too: ½⟨log2 det G⟩. A tighter bound is the sum of
    :func:`output_entropies` of the best complete basis known; use one number for all that are compared.

    Parameters
    ----------
    C, Y, n_neurons, slope
        As in :func:`conditional_entropy`.
    input_entropy
        H(X̂) of the whitened input in bits.
    """
    if input_entropy is None:
        input_entropy = 0.5 * len(C) * math.log2(2 * math.pi * math.e)
    return input_entropy - conditional_entropy(C, Y, n_neurons, slope) / math.log(2)


def _log_det(C: Floats, Y: Floats, n_neurons: float, slope: float) -> Floats:
    """ln det(N/K0 · C Φ̂ Cᵀ + I) of each row, shape (n_rows,)."""
    Y = _finite_matrix(Y, "Y", 1)
    n_rank, n_components = C.shape
    if Y.shape[1] != n_components:
        raise ValueError(f"Y has {Y.shape[1]} outputs and C {n_components} columns; they must be as many")
    information = n_neurons / n_rank * density(Y.astype(np.float64), slope) ** 2
    identity = np.eye(n_rank)
    if n_rank == n_components and np.allclose(C @ C.T, identity, atol=1e-4):
        # A rotation leaves the determinant as it is.
        return np.asarray(np.log1p(information).sum(axis=1))
    C = C.astype(np.float64)
    logs = np.empty(len(Y))
    for i, weights in enumerate(information):
        factor = np.linalg.cholesky((C * weights) @ C.T + identity)
        logs[i] = 2 * np.log(np.diagonal(factor)).sum()
    return logs


def amari_distance(P: Floats) -> float:
    """How far a square matrix is from a scaled permutation: 0 is one, K - 1 the largest (as picard and mmica use it).

    ½K⁻¹ (Σ_i Σ_j p_ij² / max_j p_ij² + the same over columns) - 1 for P = (unmixing) · (mixing), shape (K, K).

    Raises
    ------
    ValueError
        Where P is not square or has a row or column of zeros.
    """
    if P.ndim != 2 or P.shape[0] != P.shape[1]:
        raise ValueError(f"P must be a square matrix, got the shape {P.shape}")
    squares = P.astype(np.float64) ** 2
    if not (squares.max(axis=0).all() and squares.max(axis=1).all()):
        raise ValueError("P has a row or a column of zeros: the Amari distance is for invertible matrices")
    rows = (squares.sum(axis=1) / squares.max(axis=1)).sum()
    columns = (squares.sum(axis=0) / squares.max(axis=0)).sum()
    return float((rows + columns) / (2 * len(P)) - 1)


def excess_kurtosis(Y: Floats) -> Floats:
    """⟨(y-⟨y⟩)⁴⟩ / ⟨(y-⟨y⟩)²⟩² - 3 of each output, shape (n_components,); NaN for a constant one, 0 for a Gaussian."""
    Y = _finite_matrix(Y, "Y", 2).astype(np.float64)
    squares = (Y - Y.mean(axis=0)) ** 2
    variance = squares.mean(axis=0)
    kurtosis = np.full(len(variance), np.nan)
    np.divide((squares**2).mean(axis=0), variance**2, out=kurtosis, where=variance > 0)
    return np.asarray(kurtosis - 3)


def _finite_matrix(Y: Floats, name: str, least: int) -> Floats:
    Y = np.asarray(Y)
    if Y.ndim != 2 or len(Y) < least:
        raise ValueError(f"{name} must be a matrix of at least {least} row(s), got the shape {Y.shape}")
    if not np.isfinite(Y).all():
        raise ValueError(f"{name} holds NaN or infinities; leave those rows out")
    return Y


class RunningEntropy(Kept):
    """Coefficient entropy of the most recent rows of a stream, from one histogram an output.

    A value y falls into one of 256 cells of equal width in t = y / (1 + |y| / 2): 0.016 wide at y = 0, 0.4 at 8, and no
    value is too large. The entropy of a cell's mass p and width w is -p log2(p / w), and (cells hit - 1) / 2n nats
    (Miller & Madow) are added for what few rows miss. It is meant for outputs of about unit variance; there it is
    within about 0.02 bits of :func:`coefficient_entropy`.
    The last `window` to 2 · `window` rows count: two histograms take turns, so nothing decays and the same rows give
    the same value however they were cut into frames. 2 kB an output.

    Parameters
    ----------
    window
        Rows after which a histogram is full.
    """

    kept = ("window", "_rows", "_counts")
    free: ClassVar = {"_counts": (1,)}

    def __init__(self, window: int = 8192) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1 row, got {window}")
        self.window = window
        self._rows = np.zeros(2, np.int64)
        self._counts = np.zeros((2, 0, _CELLS), np.int32)

    def partial_fit(self, Y: Floats) -> RunningEntropy:
        """Count the rows of Y (n_rows, n_components); rows that are not finite are passed over.

        Raises
        ------
        ValueError
            Where the number of outputs changes.
        """
        Y = np.ascontiguousarray(Y, np.float32)
        if not self._counts.shape[1]:
            self._counts = np.zeros((2, Y.shape[1], _CELLS), np.int32)
        if Y.shape[1] != self._counts.shape[1]:
            raise ValueError(f"rows of {self._counts.shape[1]} outputs were counted before, got {Y.shape[1]}")
        start = 0
        while start < len(Y):
            room = self.window - int(self._rows[0])
            counted, start = add_to_histogram(Y, start, room, self._counts[0])
            self._rows[0] += counted
            if self._rows[0] == self.window:
                self._counts, self._rows = self._counts[::-1].copy(), self._rows[::-1].copy()
                self._counts[0], self._rows[0] = 0, 0
        return self

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned. Raises ValueError, naming the key, where it does not fit."""
        super().restore(state)
        check_window(self.window, self._rows[0])

    @property
    def values(self) -> Floats:
        """Entropy of each output in bits, shape (n_components,); NaN before the first row."""
        n = int(self._rows.sum())
        if not n:
            return np.full(self._counts.shape[1], np.nan)
        counts = self._counts.sum(axis=0)
        mass = counts / n
        logs = np.log2(mass / _CELL_WIDTHS, out=np.zeros_like(mass), where=counts > 0)
        missed = (np.count_nonzero(counts, axis=1) - 1) / (2 * n) / math.log(2)
        return np.asarray(missed - (mass * logs).sum(axis=1))

    @property
    def value(self) -> float:
        """Mean of the outputs' entropies in bits; NaN before the first row."""
        return float(self.values.mean()) if self._rows.any() else math.nan


def check_window(window: int, rows: float) -> None:
    """Raise ValueError where so many rows cannot be those of a window that is not full."""
    if not 0 <= rows < window:
        raise ValueError(f"window: {window:.4g}; accepted are more than the {rows:.4g} rows that it has, at least 0")


class RunningInformation(Kept):
    """Objective Q and transmitted information of the most recent rows of a stream.

    Q = -⟨Σ ln φ(y_k)⟩ in nats (2.83) of every row, at β of the start. The information is that of
    :func:`transmitted_information` with the Gaussian bound, in bits a row: of every row where K1 = K0 (C a rotation),
    of every 64th where K1 > K0, because each costs a determinant. The last `window` to 2 · `window` rows count, as in
    :class:`RunningEntropy`.

    Parameters
    ----------
    n_neurons
        N, the size of the population.
    window
        Rows after which a sum is full.
    """

    kept = ("n_neurons", "window", "_sums")

    EVERY = 64

    def __init__(self, n_neurons: float = NEURONS, window: int = 8192) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1 row, got {window}")
        self.n_neurons = float(n_neurons)
        self.window = window
        # Newest and previous window: rows, sum of Σ -ln φ, rows with information, sum of bits.
        self._sums = np.zeros((2, 4))

    def partial_fit(self, Y: Floats, C: Floats) -> float:
        """Add rows of potentials Y (n_rows, n_components), made with C (n_rank, n_components).

        Returns the mean information of these rows in bits a row, the figure of a frame; NaN where none of them was
        measured. Rows that are not finite are passed over.
        """
        Y = np.ascontiguousarray(Y, np.float32)
        Y = Y[np.isfinite(Y).all(axis=1)]
        measured, bits = 0, 0.0
        while len(Y):
            part = Y[: self.window - int(self._sums[0, 0])]
            new_measured, new_bits = self._add(part, C)
            measured, bits = measured + new_measured, bits + new_bits
            if self._sums[0, 0] == self.window:
                self._sums = np.stack([np.zeros(4), self._sums[0]])
            Y = Y[len(part) :]
        return bits / measured if measured else math.nan

    def _add(self, Y: Floats, C: Floats) -> tuple[int, float]:
        """Add rows to the newest sums; return how many were measured and their bits.

        One by one: the sums have the same bits however the rows were cut.
        """
        n_rank, n_components = C.shape
        first = -int(self._sums[0, 0]) % self.EVERY
        square = n_rank == n_components
        total = add_information(Y, SLOPE, self.n_neurons / n_rank, square, self._sums[0])
        if square:
            return len(Y), total
        chosen = Y[first :: self.EVERY]
        bits = _log_det(C, chosen, self.n_neurons, SLOPE) / 2 / math.log(2) if len(chosen) else np.zeros(0)
        for value in bits:
            self._sums[0, 2:] += 1, value
        return len(chosen), float(bits.sum())

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned. Raises ValueError, naming the key, where it does not fit."""
        super().restore(state)
        check_window(self.window, self._sums[0, 0])

    @property
    def objective(self) -> float:
        """Q in nats; NaN before the first row."""
        rows, minus_log_density = self._sums.sum(axis=0)[:2]
        return float(minus_log_density / rows) if rows else math.nan

    @property
    def information(self) -> float:
        """Transmitted information in bits a row; NaN before the first row that was measured."""
        rows, bits = self._sums.sum(axis=0)[2:]
        return float(bits / rows) if rows else math.nan
