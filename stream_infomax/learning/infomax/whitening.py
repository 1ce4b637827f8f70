"""StreamingWhitener: running mean and covariance, the rank they support, and a whitening that follows them."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels

Array = NDArray[Any]

# Directions with less than this share of the total variance are rounding noise of float32 rows, not signal.
RANK_FLOOR = 1e-8
# The series of the inverse root is used for eigenvalues up to here; and for eigenvalues as near to 1 as this it leaves
# less than 63/256 of the fifth power, which float32 rows do not notice.
SERIES_END = 1.9
SERIES_EXACT = 0.25
NEWTON_SCHULZ_LIMIT = 12


class StreamingWhitener:
    """Mean, covariance and a continuous whitening of a stream of rows.

    Rows come as float32 relative to `reference`, which moves to the running mean at every refresh, so that an
    offset never eats the precision of the products. The whitening V (K, K0) satisfies Vᵀ Σ V = I; of all the
    matrices that do, a refresh takes the nearest to the one before,

        V ← P (Pᵀ Σ P)^(-1/2),  P = V projected on the leading K0 directions of Σ,

    which is V·polar(V⁺ V_old) of any fresh whitening V: a rotation C learnt on top of V stays valid as it is.
    (Huang & Zhang 2017, (2.41)-(2.49), give the whitening of a batch; how it is carried along is ours.)
    """

    def __init__(self, reference: Array, scale: float = 1.0, half_life: float | None = None) -> None:
        """Rows arrive as (x - reference) * scale; their weights halve after `half_life` rows."""
        n_features = reference.shape[0]
        self.half_life = half_life
        self.reference = np.array(reference, np.float64)
        self.scale = scale
        self.weight = 0.0
        self.sum = np.zeros(n_features)
        self.scatter = np.zeros((n_features, n_features))
        self.settled_variance = 0.0
        self.whiten = np.zeros((n_features, 0))
        self.dewhiten = np.zeros((n_features, 0))
        self._under_way = False
        self._make_room()

    def _make_room(self) -> None:
        """Room that is kept: memory that is new to the process costs as much as the passes over it."""
        shape = self.whiten.shape
        n_features, n_rank = shape
        self._product = np.empty((n_features, n_features), np.float32)
        # The covariance that a refresh is under way to, and how far it has come.
        self._target = np.empty((n_features, n_features))
        self._approach, self._moved = np.empty(shape), np.empty(shape)
        self._gram = np.empty((n_rank, n_rank))
        self._work = np.empty((4, n_rank, n_rank), np.float32)

    @property
    def n_rank(self) -> int:
        """K0, the number of whitened dimensions; 0 before `settle`."""
        return int(self.whiten.shape[1])

    def add(self, rows: Array) -> None:
        """Take in a block of rows (n, K), float32, relative to `reference` and scaled."""
        if self.half_life is not None:
            decay = 0.5 ** (len(rows) / self.half_life)
            self.weight *= decay
            self.sum *= decay
            self.scatter *= decay
        self.weight += len(rows)
        self.sum += np.ones(len(rows), np.float32) @ rows
        kernels.accumulate(self.scatter, np.matmul(rows.T, rows, out=self._product))

    def mean(self) -> Array:
        """The running mean (K,) relative to `reference`."""
        return self.sum / max(self.weight, 1.0)

    def covariance(self) -> Array:
        """The running covariance (K, K)."""
        mean = self.mean()
        return np.asarray(self.scatter / max(self.weight, 1.0) - np.outer(mean, mean))

    def settle(self, n_rank: int | None, energy: float, n_components: int | None) -> int:
        """Decide K0 once (2.49), whiten for the first time, and return K0; 0 where nothing varies yet."""
        self._recentre()
        covariance = self.covariance()
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = values[::-1], vectors[:, ::-1]
        total = float(np.trace(covariance))
        if not total > 0:
            return 0
        rank = int(np.sum(values > RANK_FLOOR * total))
        if n_rank is not None:
            wanted = n_rank
        elif energy < 1:
            share = np.sqrt(np.cumsum(np.maximum(values, 0)) / np.maximum(values, 0).sum())
            wanted = int(np.searchsorted(share, energy) + 1)
        else:
            wanted = rank
        rank = max(1, min(rank, wanted, n_components or rank))
        self.settled_variance = total
        self.whiten = vectors[:, :rank] / np.sqrt(values[:rank] + self._ridge(total))
        # The signs of eigenvectors are the library's accident: fix them, so that a start is the same everywhere.
        largest = self.whiten[np.argmax(np.abs(self.whiten), axis=0), np.arange(rank)]
        self.whiten *= np.where(largest < 0, -1.0, 1.0)
        self.dewhiten = covariance @ self.whiten
        self._make_room()
        return rank

    def refresh(self) -> bool:
        """Renew the whitening from the running covariance, and move the origin of the rows to the mean.

        Returns whether that is done. Where the whitening has far to go, it takes several calls, so that none is long;
        until the last of them it stays what it was.
        """
        covariance, moved, gram = self._target, self._moved, self._gram
        if not self._under_way:
            self._under_way = True
            self._recentre()
            np.divide(self.scatter, max(self.weight, 1.0), out=covariance)
            diagonal(covariance)[:] += self._ridge(float(np.trace(covariance)))
            self._approach[:] = self.whiten
            if self.n_rank < len(covariance):
                # One subspace iteration: the span of Σ V is nearer to the leading eigenvectors than that of V.
                np.matmul(covariance, self.whiten, out=moved)
                self._approach[:] = moved @ np.linalg.solve(moved.T @ moved, moved.T @ self.whiten)
        projected = self._approach
        np.matmul(covariance, projected, out=moved)
        np.matmul(projected.T, moved, out=gram)
        # Corrections are small beside what they correct: float32 will do.
        correction, exact = inverse_root(gram, self._work)
        if exact:
            self.dewhiten = np.add(moved, moved.astype(np.float32) @ correction, out=self.dewhiten)
        projected += projected.astype(np.float32) @ correction
        if exact:
            self._under_way = False
            self.whiten, self._approach = projected, self.whiten
        return exact

    def _ridge(self, total: float) -> float:
        # Keeps the whitening bounded when a direction dies; the settled variance counts when all of them do.
        return RANK_FLOOR * max(total, 1e-6 * self.settled_variance)

    def _recentre(self) -> None:
        mean = self.mean()
        self.scatter -= np.multiply.outer(self.weight * mean, mean, out=self._target)
        self.sum = np.zeros_like(self.sum)
        self.reference = self.reference + mean / self.scale

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on with the same bits."""
        return {
            "reference": self.reference,
            "weight": self.weight,
            "sum": self.sum,
            "scatter": self.scatter,
            "settled_variance": self.settled_variance,
            "whiten": self.whiten,
            "target": self._target if self._under_way else np.zeros((0, 0)),
            "approach": self._approach if self._under_way else np.zeros((0, 0)),
            "dewhiten": self.dewhiten,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        for name in ("reference", "sum", "scatter", "whiten", "dewhiten"):
            setattr(self, name, np.array(state[name], np.float64))
        self._make_room()
        self._under_way = len(state["target"]) > 0
        if self._under_way:
            self._target[:] = state["target"]
            self._approach[:] = state["approach"]
        self.weight = float(state["weight"])
        self.settled_variance = float(state["settled_variance"])


def diagonal(matrix: Array) -> Array:
    """The diagonal of a matrix as a view that can be written to."""
    return np.asarray(np.einsum("ii->i", matrix))


def inverse_root(matrix: Array, work: Array) -> tuple[Array, bool]:
    """M^(-1/2) - I of a symmetric positive definite M (K, K), and whether that is exact.

    The series in Δ = M/m - I up to Δ⁴, m the mean eigenvalue: two products, where eigenvectors cost as much as fifty.
    Where eigenvalues are further apart than the series bears, m grows until all of M/m lie below SERIES_END; then the
    result is no inverse root, but makes every eigenvalue of R M R nearer to 1, some six times where it is small.

    `work` (4, K, K) float32 is room for it, in which the result lies; M is spoilt.
    """
    delta, square, series, root = work
    mean = max(float(np.trace(matrix)) / len(matrix), np.finfo(np.float64).tiny)
    diagonal(matrix)[:] -= mean
    np.multiply(matrix, 1 / mean, out=delta, casting="same_kind")
    np.matmul(delta.T, delta, out=square)
    distance = math.sqrt(float(np.linalg.norm(square)))  # at least the largest |eigenvalue| of Δ
    if distance > SERIES_END - 1:
        factor = (1 + distance) / SERIES_END
        square += (2 - 2 * factor) * delta
        square /= factor**2
        diagonal(square)[:] += (1 / factor - 1) ** 2
        delta /= factor
        diagonal(delta)[:] += 1 / factor - 1
        mean *= factor
    np.multiply(square, 35 / 128, out=series)
    delta *= -5 / 16
    series += delta
    np.matmul(square, series, out=root)
    square *= 3 / 8
    root += square
    delta *= 8 / 5
    root += delta
    root /= math.sqrt(mean)
    diagonal(root)[:] += 1 / math.sqrt(mean) - 1
    return root, distance < SERIES_EXACT


def polar(matrix: Array) -> Array:
    """The nearest matrix with orthonormal rows: (C Cᵀ)^(-1/2) C."""
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray(left @ right)


def nearest_rotation(matrix: Array) -> Array:
    """`polar` of a float32 matrix that is not far from it, by Newton-Schulz; a tenth of the time."""
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
        if done:  # the iteration squares the error, so that this one went below float32's own
            return rotation
    return polar(matrix.astype(np.float64)).astype(np.float32)
