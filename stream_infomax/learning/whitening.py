"""StreamingWhitener: running mean and covariance, the rank they support, and a whitening that follows them."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Directions with less than this share of the total variance are rounding noise of float32 rows, not signal.
RANK_FLOOR = 1e-8
# Up to this distance from the identity (Frobenius) the inverse root is taken from its series.
SERIES_BOUND = 0.5
SERIES_EXACT = 0.01
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
        self.scatter += rows.T @ rows

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
        return rank

    def refresh(self) -> None:
        """Renew the whitening from the running covariance, and move the origin of the rows to the mean."""
        self._recentre()
        covariance = self.covariance()
        total = float(np.trace(covariance))
        covariance[np.diag_indices_from(covariance)] += self._ridge(total)
        projected = self.whiten
        if self.n_rank < len(covariance):
            # One subspace iteration: the span of Σ V is nearer to the leading eigenvectors than that of V.
            moved = covariance @ projected
            projected = moved @ np.linalg.solve(moved.T @ moved, moved.T @ projected)
        self.whiten = projected @ inverse_root(projected.T @ covariance @ projected)
        self.dewhiten = covariance @ self.whiten

    def _ridge(self, total: float) -> float:
        # Keeps the whitening bounded when a direction dies; the settled variance counts when all of them do.
        return RANK_FLOOR * max(total, 1e-6 * self.settled_variance)

    def _recentre(self) -> None:
        mean = self.mean()
        self.scatter -= self.weight * np.outer(mean, mean)
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
            "dewhiten": self.dewhiten,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        for name in ("reference", "sum", "scatter", "whiten", "dewhiten"):
            setattr(self, name, np.array(state[name], np.float64))
        self.weight = float(state["weight"])
        self.settled_variance = float(state["settled_variance"])


def inverse_root(matrix: Array) -> Array:
    """M^(-1/2) of a symmetric positive definite matrix; tiny eigenvalues are floored, never inverted.

    Near the identity, where the running whitening mostly is, by the series S = I - Δ/2 + 3Δ²/8 of what S M S still
    lacks, which triples the correct digits each time and takes a fraction of the time of eigenvectors.
    """
    matrix = 0.5 * (matrix + matrix.T)
    diagonal = np.diag_indices_from(matrix)
    root = None
    delta = matrix.copy()
    delta[diagonal] -= 1
    distance = float(np.linalg.norm(delta))
    if distance < SERIES_BOUND:
        while True:
            series = np.asarray(0.375 * (delta @ delta) - 0.5 * delta)
            series[diagonal] += 1
            root = series if root is None else series @ root
            if distance < SERIES_EXACT:
                return root
            matrix = series @ matrix @ series
            delta = matrix.copy()
            delta[diagonal] -= 1
            distance = float(np.linalg.norm(delta))
    values, vectors = np.linalg.eigh(matrix)
    floor = np.finfo(matrix.dtype).eps * max(float(values[-1]), np.finfo(matrix.dtype).tiny)
    return np.asarray((vectors / np.sqrt(np.maximum(values, floor))) @ vectors.T)


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
        diagonal = np.diag_indices_from(gram)
        gram[diagonal] -= 1
        done = bool(np.abs(gram).max() < 1e-3)
        gram *= np.float32(-0.5)
        gram[diagonal] += 1
        rotation = gram @ rotation
        if done:  # the iteration squares the error, so that this one went below float32's own
            return rotation
    return polar(matrix.astype(np.float64)).astype(np.float32)
