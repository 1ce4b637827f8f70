"""Algorithm 1 (Huang & Zhang 2017): as many components as dimensions."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels
from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.matrices import diagonal
from stream_infomax.learning.infomax.rules import LARGEST_TURN, Rule, Step, random_rotation, sound

Floats = NDArray[np.floating[Any]]

# Sum of the squared largest angles after which C is made orthonormal again; they bound what turns add to its length.
LARGEST_DRIFT = 0.5
CURVATURE_FLOOR = 1.0
# Rows that κ is a mean of, so few that a unit's sign turns soon where it must; and what its start, +½, counts for.
SIGN_ROWS, SIGN_PRIOR_ROWS = 1000.0, 500.0
# Least ⟨ŷ²⟩: outputs that fall silent have no sign.
POWER_FLOOR = 1e-6


class CompleteRule(Rule):
    """Minimise Q1 = -⟨Σ ln φ(ŷ_k)⟩ along C(G - Gᵀ), G = ⟨ψ ŷᵀ⟩ (2.83, 2.87).

    The entries of G - Gᵀ are divided by |κ_i| + |κ_j|, κ = ⟨ψ′⟩ - ⟨ψŷ⟩/⟨ŷ²⟩, the second derivative of Q1 for
    independent outputs; it is 0 for normal ones of whatever variance (the whitening may lag behind the stream). Where κ
    is negative a unit's source is sub-Gaussian, and the sign of its score turns, as in extended infomax (Lee, Girolami
    & Sejnowski 1999) and Picard-O.

    What is kept, turned and averaged is W = V C: ŷ is one product. C stays orthonormal as in the landing algorithm
    (Ablin & Peyré 2022): it is turned by I + T with columns of unit length, and where the turns have added up, the step
    also leads back, W ← W (I + T + (I - CᵀC)/2).

    Parameters
    ----------
    whiten, dewhiten, horizon
        As for :class:`~stream_infomax.learning.infomax.rules.Rule`.
    seed
        Of the random C to start with; None where it comes from elsewhere.

    Attributes
    ----------
    filters
        W, (K, K0) float32.
    means
        Running means of ψ′, ψŷ and ŷ² of each unit, (3, K0).
    drift
        Sum of squared angles since C was orthonormal.
    """

    kept: ClassVar[tuple[str, ...]] = (*Rule.kept, "filters", "means", "drift")
    learnt = "filters"
    running = ("means",)

    def __init__(self, whiten: Floats, dewhiten: Floats, seed: int | None, horizon: Horizon) -> None:
        super().__init__(whiten, dewhiten, whiten.shape[1], horizon)
        self.filters: Floats = np.zeros_like(self.whiten)
        if seed is not None:
            np.matmul(self.whiten, random_rotation(self.n_rank, self.n_rank, seed), out=self.filters)
        self.average = self.filters.copy()
        self.means: Floats = np.repeat([[1.5], [1.0], [1.0]], self.n_rank, axis=1)
        self.drift = 0.0
        self._gradient, self._turned, self._other = (np.zeros((self.n_rank, self.n_rank), np.float32) for _ in range(3))
        self._moved: Floats = np.zeros_like(self.filters)

    @property
    def rotation(self) -> Floats:
        """C (K0, K0)."""
        return np.asarray(self.dewhiten.T @ self.filters)

    @property
    def linear(self) -> Floats:
        """The linear part of every score, a = ⟨ψŷ⟩/⟨ŷ²⟩ (K0,)."""
        return np.asarray(self.means[1] / np.maximum(self.means[2], POWER_FLOOR))

    @property
    def curvature(self) -> Floats:
        """κ of every unit (K0,)."""
        return np.asarray(self.means[0] - self.linear)

    def step(self, rows: Floats, n_new: int) -> Step:
        self._make_room(len(rows))
        y = self._project(rows)
        shortened = self.reach.shorten(rows[:n_new], y[:n_new])
        psi, curvature = self._score(y, n_new)
        gradient = np.matmul(psi.T, y, out=self._gradient)
        turn = self._turn(gradient, curvature, self.learning_rate(len(rows), n_new) / len(rows))
        self._advance(turn, self.share(n_new))
        return Step(shortened.rows, y[:n_new], shortened.lengths, shortened.bound)

    def _project(self, rows: Floats) -> Floats:
        """Return ŷ (n, K0)."""
        with np.errstate(over="ignore", invalid="ignore"):  # rows near the largest float32
            return np.matmul(rows, self.filters, out=self._y)

    def _score(self, y: Floats, n_new: int) -> tuple[Floats, Floats]:
        """Return the weighted scores (n, K0) of potentials and |κ| (K0,); the running means follow."""
        psi, means = self._scores, np.empty((3, self.n_rank), np.float32)
        linear = self.linear
        curvature = self.means[0] - linear
        self.sign = np.where(curvature < 0, np.float32(-1), np.float32(1))
        kernels.score_block(y, self.beta, self.sign, linear.astype(np.float32), psi, means)
        self.means += n_new / min(SIGN_PRIOR_ROWS + self.horizon.rows, SIGN_ROWS + n_new) * (means - self.means)
        return psi, np.abs(curvature).astype(np.float32)

    def _turn(self, gradient: Floats, curvature: Floats, rate: float) -> Floats:
        """Return T = rate (G - Gᵀ) / (|κ_i| + |κ_j|) (K0, K0): what W moves by is W T.

        It is shortened where it is too long, and where turns have added up it leads back.
        """
        turn, squares = self._turned, np.empty(self.n_rank, np.float32)
        total = kernels.skew(gradient, curvature, rate, CURVATURE_FLOOR, turn, squares)
        # The singular values of a skew matrix come in pairs: often its Frobenius norm says that all is well.
        largest = math.sqrt(0.5 * total)
        if not largest <= LARGEST_TURN:
            largest = kernels.largest_turn(turn, squares)
        if not largest < math.inf:  # rows of such a size say nothing
            turn[:] = 0
            return turn
        factor = 1.0 if largest <= LARGEST_TURN else LARGEST_TURN / largest
        kernels.unit_columns(turn, squares, factor)
        self.drift += (factor * largest) ** 2
        self.led_back = self.drift > LARGEST_DRIFT
        if self.led_back:
            self.drift = 0.0
            rotation = np.matmul(self.dewhiten.T, self.filters, out=self._gradient)
            with np.errstate(over="ignore", invalid="ignore"):
                gram = np.matmul(rotation.T, rotation, out=self._other)
                is_near = float(np.linalg.norm(gram)) < 2 * math.sqrt(self.n_rank)
            if not is_near:
                self.recover()
                turn[:] = 0
                return turn
            gram *= np.float32(-0.5)
            turn += gram
            diagonal(turn)[:] += np.float32(0.5)
        return turn

    def _advance(self, turn: Floats, share: float) -> None:
        """W ← W (I + T), and its average by `share` of their distance."""
        moved = np.matmul(self.filters, turn, out=self._moved)
        kernels.advance(self.filters, moved, self.average, share)

    def objective(self, step: Step) -> float:
        """Return Q1 in nats at the new rows of the last step, as they were before it."""
        u = np.multiply(step.y, np.float32(self.beta), out=self._scores[: len(step.y)])
        # -ln φ = |u| + 2 ln(1 + exp(-|u|)) - ln β, u = βŷ
        np.abs(u, out=u)
        total = np.sum(u, dtype=np.float64)
        np.exp(np.negative(u, out=u), out=u)
        total += 2 * np.sum(np.log1p(u, out=u), dtype=np.float64)
        return float(total) / len(u) - self.n_components * math.log(self.beta)

    def outputs(self, n: int) -> Floats:
        """Return the averaged filters of the first outputs, (K, n)."""
        return self.average[:, :n]

    def linear_part(self, n: int) -> Floats:
        """Return the linear part of their scores (n,)."""
        return self.linear[:n]

    def turn_to(self, rotation: Floats) -> None:
        """Go on from another C (K0, K0), which is its average as well."""
        self.filters[:] = self.whiten @ rotation
        self.average[:] = self.filters
        self.drift = 0.0

    def renew(self, whiten: Floats, dewhiten: Floats) -> None:
        """Carry C and its average over to another whitening."""
        self.whiten[:] = whiten
        for carried in (self.filters, self.average):
            np.matmul(self.whiten, np.matmul(self.dewhiten.T, carried, out=self._other), out=carried)
        self.dewhiten[:] = dewhiten

    def recover(self) -> None:
        self.turn_to(sound(self.rotation))

    def averaged(self) -> Floats:
        return np.asarray(self.dewhiten.T @ self.average)
