"""StreamingWhitener: running mean and covariance, the rank they support, and a whitening that follows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels
from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.matrices import diagonal
from stream_infomax.learning.infomax.moments import Moments
from stream_infomax.learning.infomax.rank import Precision, directions
from stream_infomax.learning.infomax.refresh import Refresh
from stream_infomax.learning.infomax.triangle import packed, unpacked
from stream_infomax.state.file import Tree
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

# The most that is added to every variance, as a share of their sum; and as a share of the least variance that is kept.
RIDGE, RIDGE_OF_LEAST = 1e-8, 0.01
# Where a direction has less than this share of its channels' variance, sums in float32 say too little about it.
WIDE_SUMS = 1e-6
# Rows that are widened to float64 at a time.
FIRST_ROWS = 1024


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
    since
        Where else rows are counted: what a learner that learns with others has seen since they met; it is kept there.
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
        "_refresh",
    )
    free: ClassVar = {"whiten": (1,), "dewhiten": (1,)}

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
        self.since: Moments | None = None
        self._refresh = Refresh()
        # What `add` writes before it reads it.
        self._centred: Floats = np.zeros((0, n_features), np.float32)
        self._product: Floats = np.zeros((n_features, n_features), np.float32)

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
        # About the block's own mean (Chan, Golub & LeVeque 1983): float32 products of rows that lie far from
        # `reference` would drown what varies, and leave a matrix that is no covariance.
        mean = (np.ones(len(rows), np.float32) @ rows) / np.float32(len(rows))
        if len(self._centred) != len(rows):
            self._centred = np.zeros_like(rows)
        rest = kernels.centre(rows, mean, self._centred)
        # Σ x xᵀ = Σ (x - m)(x - m)ᵀ + m Σ xᵀ + Σ (x - m) mᵀ
        mean, gram = mean.astype(np.float64), self._gram(self._centred)
        total = len(rows) * mean + rest
        kernels.accumulate(self.scatter, gram, mean, total, rest)
        self.sum += total
        if self.since is not None:
            self.since.add(len(rows), mean + (self.reference - self.since.point) * self.scale, gram, rest, decay)

    def _gram(self, rows: Floats) -> Floats:
        """Return Xᵀ X (K, K) of centred rows."""
        if self.wide:
            wide = rows.astype(np.float64)
            return np.asarray(wide.T @ wide)
        return np.matmul(rows.T, rows, out=self._product)

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

    @property
    def refreshing(self) -> bool:
        """Whether a renewal of the whitening is under way."""
        return self._refresh.under_way

    def refresh(self) -> bool:
        """Do the next piece of a renewal of the whitening; return whether it is renewed now.

        The first piece moves the origin of the rows to the mean. Until the last the whitening stays what it was.
        """
        way = self._refresh
        if not way.under_way:
            self._recentre()
            if not np.isfinite(self.scatter).all():
                self._forget()
            way.begin(self._destination(), self.whiten)
            return False
        if not way.done:
            way.step(self.whiten, self._metric())
            return False
        self.whiten, self.dewhiten = way.approach, way.moved
        way.clear()
        return True

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
        self._refresh.clear()

    def weigh(self, weight: float) -> None:
        """Let what is known count as much as so many rows."""
        factor = weight / max(self.weight, 1e-300)
        self.sum *= factor
        self.scatter *= factor
        self.weight = weight

    def compact(self) -> Tree:
        """Return all that `expand` needs, renewed: Σ as its upper triangle, about the mean."""
        state = self.state()
        for name in ("sum", "dewhiten", "refresh"):
            del state[name]
        return state | {"scatter": packed(self.scatter)}

    def expand(self, compact: Mapping[str, Any]) -> None:
        """Go on from what `compact` returned; raises KeyError, ValueError as `Kept`."""
        self._refresh.clear()
        self.restore(
            {
                **compact,
                "scatter": unpacked(np.asarray(compact["scatter"])),
                "sum": np.zeros(len(self.sum)),
                "dewhiten": self.dewhiten,
                "refresh": self._refresh.state(),
            }
        )
        self.dewhiten = self._destination() @ self.whiten

    def renew(self) -> None:
        """Renew the whitening at once, about the mean."""
        self._refresh.clear()
        while not self.refresh():
            pass

    def _destination(self) -> Floats:
        """Return the covariance to whiten."""
        covariance = self.scatter / max(self.weight, 1.0)
        diagonal(covariance)[:] += self._ridge(diagonal(covariance))
        return np.asarray(covariance)

    def _metric(self) -> Floats:
        """Return M (K,) for channels in the unit that they have now."""
        return np.asarray(self.metric * np.square(np.min(self.scale) / self.scale))

    def _ridge(self, variance: Floats) -> Floats:
        # Keeps the whitening bounded when a direction dies; the settled variance counts when most of them do.
        varied = self.settled_variance > 0
        if not varied.any():
            return self.settled_variance
        ratios = np.sort(variance[varied] / self.settled_variance[varied])
        level = float(ratios[len(ratios) // 2])
        return self.ridge * max(level, 1e-6) * self.settled_variance

    def _forget(self) -> None:
        """Go on from the covariance that the whitening stands for, as of one row."""
        self.scatter = self.dewhiten @ self.dewhiten.T
        self.sum, self.weight = np.zeros_like(self.sum), 1.0

    def _recentre(self) -> None:
        mean = self.mean()
        self.scatter -= np.multiply.outer(self.weight * mean, mean)
        self.sum = np.zeros_like(self.sum)
        self.reference = self.reference + mean / self.scale
