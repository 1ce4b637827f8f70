"""StreamingWhitener: running mean and covariance, the rank they support, and a whitening that follows them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels
from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.rank import Precision, directions
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

# The most that is added to every variance, as a share of their sum; and as a share of the least variance that is kept.
RIDGE, RIDGE_OF_LEAST = 1e-8, 0.01
# Where a direction has less than this share of its channels' variance, sums in float32 say too little about it.
WIDE_SUMS = 1e-5
# The series of the inverse root is used for eigenvalues up to here; and for eigenvalues as near to 1 as this it leaves
# less than 63/256 of the fifth power, which float32 rows do not notice.
SERIES_END = 1.9
SERIES_EXACT = 0.25
# Rows that are widened to float64 at a time.
FIRST_ROWS = 1024
NEWTON_SCHULZ_LIMIT = 12


class StreamingWhitener(Kept):
    """Mean, covariance and a continuous whitening of a stream of rows.

    Rows come as float32 relative to `reference`, which moves to the running mean at every refresh: an offset never eats
    the precision of the products. The whitening V (K, K0) satisfies Vᵀ Σ V = I; of all the matrices that do, a refresh
    takes the nearest to the one before,

        V ← P (Pᵀ Σ P)^(-1/2),  P = V projected on the leading K0 directions of Σ,

    which is V·polar(V⁺ V_old) of any fresh whitening V: a rotation C learnt on top of V stays valid as it is.
    (Huang & Zhang 2017, (2.41)-(2.49), give the whitening of a batch; how it is carried along is ours.)

    Parameters
    ----------
    reference
        Where rows are counted from at first, (K,): they arrive as (x - reference) * scale.
    scale
        Of each channel, (K,) or one for all; see there.
    horizon
        Says what is forgotten. The learner's own: it is not part of the state here.

    Attributes
    ----------
    weight, sum, scatter
        Σ 1, Σ x (K,) and Σ x xᵀ (K, K) of the rows, each with its weight; float64.
    whiten, dewhiten
        V and Σ V, the transpose of its inverse, (K, K0) float64; K0 = 0 before `settle`.
    settled_variance
        The variance of each channel in `settle`, (K,).
    metric
        M (K,), in the units of x: the kept directions span M Σ V (see
        :class:`~stream_infomax.learning.infomax.rank.Directions`).
    ridge
        What is added to every variance while they are as in `settle`, as a share of it.
    wide
        Whether products are summed in float64: some directions have so little variance.
    """

    kept = (
        "reference",
        "weight",
        "sum",
        "scatter",
        "settled_variance",
        "metric",
        "ridge",
        "wide",
        "whiten",
        "dewhiten",
        "_target",
        "_approach",
    )
    free: ClassVar = {"whiten": (1,), "dewhiten": (1,), "_target": (0, 1), "_approach": (0, 1)}

    def __init__(self, reference: Floats, scale: Floats | float = 1.0, horizon: Horizon | None = None) -> None:
        n_features = reference.shape[0]
        self.horizon = horizon or Horizon()
        self.reference: Floats = np.array(reference, np.float64)
        self.scale: Floats = np.full(n_features, scale, np.float64)
        self.weight = 0.0
        self.sum: Floats = np.zeros(n_features)
        self.scatter: Floats = np.zeros((n_features, n_features))
        self.settled_variance: Floats = np.zeros(n_features)
        self.metric: Floats = np.ones(n_features)
        self.ridge = 0.0
        self.wide = False
        self.rank = 0
        self.whiten: Floats = np.zeros((n_features, 0))
        self.dewhiten: Floats = np.zeros((n_features, 0))
        # Of a refresh that is under way: the covariance that it leads to, and how far the whitening has come.
        self._target: Floats = np.zeros((0, 0))
        self._approach: Floats = np.zeros((0, 0))
        self._product: Floats = np.zeros((n_features, n_features), np.float32)  # what `add` writes before it reads it

    @property
    def n_rank(self) -> int:
        """K0, the number of whitened dimensions; 0 before `settle`."""
        return int(self.whiten.shape[1])

    def add(self, rows: Floats) -> None:
        """Take in a block of rows (n, K), float32, relative to `reference` and scaled."""
        decay = self.horizon.decay(len(rows))
        if decay < 1:
            self.weight *= decay
            self.sum *= decay
            self.scatter *= decay
        self.weight += len(rows)
        if self.wide:
            rows = rows.astype(np.float64)
            self.sum += rows.sum(axis=0)
            self.scatter += rows.T @ rows
            return
        self.sum += np.ones(len(rows), np.float32) @ rows
        kernels.accumulate(self.scatter, np.matmul(rows.T, rows, out=self._product))

    def begin(self, rows: Floats) -> None:
        """Take in the first rows (n, K): as `add`, but summed in float64."""
        for start in range(0, len(rows), FIRST_ROWS):
            part = rows[start : start + FIRST_ROWS].astype(np.float64)
            self.weight += len(part)
            self.sum += part.sum(axis=0)
            self.scatter += part.T @ part

    def mean(self) -> Floats:
        """Return the running mean (K,) relative to `reference`."""
        return self.sum / max(self.weight, 1.0)

    def covariance(self) -> Floats:
        """Return the running covariance (K, K)."""
        mean = self.mean()
        return np.asarray(self.scatter / max(self.weight, 1.0) - np.outer(mean, mean))

    def settle(
        self,
        n_rank: int | None,
        energy: float,
        n_components: int | None,
        eps: float = float(np.finfo(np.float32).eps),
    ) -> int:
        """Decide K0 once (2.49), whiten for the first time, and return K0; 0 where nothing varies yet.

        Parameters
        ----------
        n_rank
            K0 itself, unless the rank is lower; None to let `energy` decide.
        energy
            Square root of the share of variance that the kept dimensions hold; 1 keeps the numerical rank.
        n_components
            K1, which K0 never exceeds; None for K0.
        eps
            Of the coarsest numbers that the rows came in.
        """
        self._recentre()
        covariance = self.covariance()
        variance = diagonal(covariance).copy()
        floor = Precision(eps, self.reference * self.scale).floor(variance)
        self.rank, self.whiten, self.metric = directions(covariance, floor, self.scale, n_rank, energy, n_components)
        if self.rank == 0:
            return 0
        self.settled_variance = variance
        # The inverse of the least variance, as a share of what the channels have.
        in_deviations = np.sqrt(variance)[:, None] * self.whiten
        steepest = float(np.linalg.norm(in_deviations, 2)) ** 2
        self.ridge = min(RIDGE * float(np.count_nonzero(variance)), RIDGE_OF_LEAST / steepest)
        self.wide = steepest > 1 / WIDE_SUMS
        # The signs of eigenvectors are the library's accident: they are fixed, and a start is the same everywhere.
        largest = in_deviations[np.argmax(np.abs(in_deviations), axis=0), np.arange(self.n_rank)]
        self.whiten *= np.where(largest < 0, -1.0, 1.0)
        self.dewhiten = covariance @ self.whiten
        return self.n_rank

    def unseen(self) -> list[int]:
        """Return the channels that vary, but have no part in what is kept: less than half of their variance."""
        explained = np.einsum("ij,ij->i", self.dewhiten, self.dewhiten)
        variance = self.settled_variance
        return [int(i) for i in np.flatnonzero((variance > 0) & ~(explained > 0.5 * variance))]

    def refresh(self) -> bool:
        """Renew the whitening from the running covariance, and move the origin of the rows to the mean.

        Returns whether that is done. Where the whitening has far to go, it takes several calls, none of them long;
        until the last of them it stays what it was.
        """
        if not len(self._target):
            self._target, self._approach = self._destination()
        covariance, projected = self._target, self._approach
        moved = covariance @ projected
        gram = projected.T @ moved
        # Corrections are small beside what they correct: float32 will do.
        correction, exact = inverse_root(gram)
        if exact:
            self.dewhiten = moved + moved.astype(np.float32) @ correction
        projected += projected.astype(np.float32) @ correction
        if exact:
            self.whiten = projected
            self._target = self._approach = np.zeros((0, 0))
        return exact

    def rest(self) -> float:
        """Return the mean variance, in the units of x, of a direction that the whitening leaves out; 0 for none."""
        left = len(self.whiten) - self.n_rank
        if left == 0:
            return 0.0
        total = float(np.sum(diagonal(self.covariance()) / np.square(self.scale)))
        return max(total - float(np.square(self.dewhiten / self.scale[:, None]).sum()), 0.0) / left

    def rescale(self, mean: Floats, factors: Floats) -> Floats:
        """Go on with rows of another mean (K,), whose channels are larger by factors (K,): only their unit changes.

        Returns the mean that they had before.
        """
        self._recentre()
        before, self.reference = self.reference, np.array(mean, np.float64)
        self.scale = self.scale / factors
        return before

    def move(self, mean: Floats, scale: Floats, whiten: Floats, dewhiten: Floats, covariance: Floats) -> None:
        """Go on from another mean (K,), V, Σ V (K, K0) and Σ (K, K), given in the units of x, as of one row."""
        by = scale[:, None]
        self.reference, self.scale = np.array(mean, np.float64), np.array(scale)
        self.whiten, self.dewhiten = whiten / by, dewhiten * by
        self.scatter = covariance * by * scale
        self.sum, self.weight = np.zeros(len(mean)), 1.0
        self.settled_variance = diagonal(self.scatter).copy()
        self._target = self._approach = np.zeros((0, 0))

    def weigh(self, weight: float) -> None:
        """Let what is known count as much as so many rows."""
        factor = weight / max(self.weight, 1e-300)
        self.sum *= factor
        self.scatter *= factor
        self.weight = weight

    def _destination(self) -> tuple[Floats, Floats]:
        """Return the covariance to whiten, and the whitening that a refresh begins with."""
        self._recentre()
        covariance = self.scatter / max(self.weight, 1.0)
        diagonal(covariance)[:] += self._ridge(diagonal(covariance))
        if self.n_rank == len(covariance):
            return covariance, self.whiten.copy()
        # One subspace iteration: the span of M Σ V is nearer to the leading directions than that of V.
        metric = self.metric * np.square(np.min(self.scale) / self.scale)
        moved = metric[:, None] * (covariance @ self.whiten)
        return covariance, np.asarray(moved @ np.linalg.solve(moved.T @ moved, moved.T @ self.whiten))

    def _ridge(self, variance: Floats) -> Floats:
        # Keeps the whitening bounded when a direction dies; the settled variance counts when most of them do.
        varied = self.settled_variance > 0
        if not varied.any():
            return self.settled_variance
        level = float(np.median(variance[varied] / self.settled_variance[varied]))
        return self.ridge * max(level, 1e-6) * self.settled_variance

    def _recentre(self) -> None:
        mean = self.mean()
        self.scatter -= np.multiply.outer(self.weight * mean, mean)
        self.sum = np.zeros_like(self.sum)
        self.reference = self.reference + mean / self.scale


def diagonal(matrix: Floats) -> Floats:
    """Return the diagonal of a matrix as a view that can be written to."""
    return np.asarray(np.einsum("ii->i", matrix))


def inverse_root(matrix: Floats) -> tuple[Floats, bool]:
    """Return M^(-1/2) - I of a symmetric positive definite M (K, K), and whether that is exact.

    The series in Δ = M/m - I up to Δ⁴, m the mean eigenvalue: two products, where eigenvectors cost as much as fifty.
    Where eigenvalues are further apart than the series bears, m grows until all of M/m lie below SERIES_END; then the
    result is no inverse root, but makes every eigenvalue of R M R nearer to 1, some six times where it is small.
    """
    mean = max(float(np.trace(matrix)) / len(matrix), np.finfo(np.float64).tiny)
    delta = matrix.copy()
    diagonal(delta)[:] -= mean
    delta = np.multiply(delta, 1 / mean).astype(np.float32)
    square = delta.T @ delta
    distance = math.sqrt(float(np.linalg.norm(square)))  # at least the largest |eigenvalue| of Δ
    if distance > SERIES_END - 1:
        factor = (1 + distance) / SERIES_END
        square += (2 - 2 * factor) * delta
        square /= factor**2
        diagonal(square)[:] += (1 / factor - 1) ** 2
        delta /= factor
        diagonal(delta)[:] += 1 / factor - 1
        mean *= factor
    series = square * np.float32(35 / 128)
    delta *= -5 / 16
    series += delta
    root = square @ series
    square *= 3 / 8
    root += square
    delta *= 8 / 5
    root += delta
    root /= math.sqrt(mean)
    diagonal(root)[:] += 1 / math.sqrt(mean) - 1
    return root, distance < SERIES_EXACT


def polar(matrix: Floats) -> Floats:
    """Return the nearest matrix with orthonormal rows: (C Cᵀ)^(-1/2) C."""
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray(left @ right)


def nearest_rotation(matrix: Floats) -> Floats:
    """Return `polar` of a float32 matrix that is not far from it, by Newton-Schulz; a tenth of the time."""
    rotation = matrix
    for _ in range(NEWTON_SCHULZ_LIMIT):
        gram = rotation @ rotation.T
        if not np.linalg.norm(gram) < 2 * math.sqrt(len(gram)):
            break
        diagonal(gram)[:] -= 1
        done = bool(np.abs(gram).max() < 1e-3)
        gram *= np.float32(-0.5)
        diagonal(gram)[:] += 1
        rotation = gram @ rotation
        if done:  # the iteration squares the error: this one went below float32's own
            return rotation
    return polar(matrix.astype(np.float64)).astype(np.float32)
