"""Algorithm 2 (Huang & Zhang 2017): more components than dimensions."""

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

STATISTICS_ROWS = 2000.0
# ⟨φ⟩ in units of β, which lies near 0.2; it vanishes where a sensor's gain jumps, and M would be singular.
DENSITY_FLOOR = 1e-3
# Steps are longer by this factor than those of algorithm 1, however many components there are: second derivatives are
# no larger for K1/K0 = 12 than for 2.
STEP_FACTOR = 6.0
# No step is longer than this share of C's own length (Frobenius): where M is nearly singular, as it is for log-mel
# patches and sub-Gaussian sources, the gradient is far longer than the way on which it holds.
LONGEST_STEP = 0.2
# A direction that is longer is shortened to entries of 1, and then as others are.
LONGEST_DIRECTION = 1e6


class OvercompleteRule(Rule):
    """Minimise Q̂ = -½ ln det(C D² Cᵀ), D = ⟨Φ⟩ (2.98).

    dQ̂/dC = -(M⁻¹ C D² + ⟨x̂ ω̂ᵀ⟩), M = C D² Cᵀ, ω̂_k = d_k φ′(ŷ_k) c_kᵀ M⁻¹ c_k; the paper does not spell this out.
    ⟨·⟩ weights rows by 1/‖x̂‖, as in algorithm 1; D is a running average over the stream. From φ′ its linear part
    -a_k ŷ_k is taken, whose mean -a_k ⟨x̂ x̂ᵀ⟩ c_k is known better from the stream than from a block.

    Parameters
    ----------
    whiten, dewhiten, n_components, horizon
        As for :class:`~stream_infomax.learning.infomax.rules.Rule`.
    seed
        Of the random C to start with; None where it comes from elsewhere.

    Attributes
    ----------
    rotation
        C, (K0, K1) float32.
    density, linear
        D = ⟨φ⟩ and a of each unit, (K1,).
    second_moment
        ⟨x̂ x̂ᵀ⟩, (K0, K0).
    statistics_rows
        Rows that these averages are of.
    """

    kept: ClassVar[tuple[str, ...]] = (
        *Rule.kept,
        "rotation",
        "density",
        "linear",
        "second_moment",
        "statistics_rows",
    )
    learnt = "rotation"
    running = ("density", "linear", "second_moment")

    def __init__(self, whiten: Floats, dewhiten: Floats, n_components: int, seed: int | None, horizon: Horizon) -> None:
        super().__init__(whiten, dewhiten, n_components, horizon)
        self.rotation: Floats = random_rotation(self.n_rank, n_components, seed)
        self.average = self.rotation.copy()
        # ⟨φ⟩ before any row: what matters is only that it is the same for all units.
        self.density: Floats = np.full(n_components, 0.2 * self.beta)
        self.linear: Floats = np.zeros(n_components)
        self.second_moment: Floats = np.eye(self.n_rank)
        self.statistics_rows = 0.0
        self._moving, self._pulled, self._other = (np.zeros_like(self.rotation) for _ in range(3))

    def step(self, rows: Floats, n_new: int) -> Step:
        with np.errstate(over="ignore", invalid="ignore"):  # rows near the largest float32
            x = rows @ self.whiten
        shortened = self.reach.shorten(rows[:n_new], x[:n_new])
        self._make_room(len(x))
        y = np.matmul(x, self.rotation, out=self._y)
        inverse = np.linalg.inv(self._weighted_gram()).astype(np.float32)
        direction = self._direction(x, y, inverse, n_new)
        direction *= np.float32(STEP_FACTOR * self.learning_rate(len(rows), n_new))
        self._advance(direction, self.share(n_new))
        return Step(shortened.rows, y[:n_new], shortened.lengths, shortened.bound)

    def _weighted_gram(self) -> Floats:
        """Return M = C D² Cᵀ (K0, K0), float64."""
        weighted = np.multiply(self.rotation, self.density.astype(np.float32), out=self._other)
        return np.asarray(weighted @ weighted.T, np.float64)

    def _direction(self, x: Floats, y: Floats, inverse: Floats, n_new: int) -> Floats:
        """Return -dQ̂/dC + C (dQ̂/dC)ᵀ C, (K0, K1), for whitened rows x̂, potentials ŷ and M⁻¹; averages follow."""
        direction = np.matmul(inverse, self.rotation, out=self._moving)
        unit = (self.density * np.einsum("ij,ij->j", self.rotation, direction)).astype(np.float32)
        pull = self._pull(x, y, unit, n_new)
        direction *= (self.density**2).astype(np.float32)
        direction += pull
        inwards = self.rotation @ pull.T
        diagonal(inwards)[:] += 1
        direction -= np.matmul(inwards, self.rotation, out=self._other)
        return direction

    def _pull(self, x: Floats, y: Floats, unit: Floats, n_new: int) -> Floats:
        """Return ⟨x̂ ω̂ᵀ⟩ of whitened rows, (K0, K1); the running averages follow."""
        row = 1 / np.sqrt(np.einsum("ij,ij->i", x, x) / np.float32(self.n_rank) + np.float32(1e-12))
        row /= row.sum()
        omega, sums = self._scores, np.empty((3, self.n_components), np.float32)
        linear = self.linear.astype(np.float32)
        kernels.overcomplete_block(y, self.beta, row, unit, linear, omega, sums)
        pull = np.matmul(self.second_moment.astype(np.float32), self.rotation, out=self._pulled)
        pull *= -linear * unit
        pull += np.matmul(x.T, omega, out=self._other)
        self.statistics_rows = min(self.statistics_rows + n_new, STATISTICS_ROWS)
        share = n_new / self.statistics_rows
        self.density += share * (np.maximum(sums[0], DENSITY_FLOOR * self.beta) - self.density)
        self.linear += share * (sums[1] / np.maximum(sums[2], np.float32(1e-12)) - self.linear)
        self.second_moment += share * ((x * row[:, None]).T @ x - self.second_moment)
        return pull

    def _advance(self, direction: Floats, share: float) -> None:
        """C ← C + direction, made orthonormal, and its average by `share` of their distance."""
        with np.errstate(over="ignore"):
            length = float(np.linalg.norm(direction))
        if not length < LONGEST_DIRECTION:  # its squares may be beyond float32
            largest = float(np.abs(direction).max())
            direction *= np.float32(1 / largest) if largest < math.inf else np.float32(0)
            np.nan_to_num(direction, copy=False)
            length = float(np.linalg.norm(direction))
        longest = LONGEST_STEP * math.sqrt(self.n_rank)
        if length > longest:
            direction *= np.float32(longest / length)
        moved = retracted(self.rotation, direction, self._pulled, self._other)
        moved -= self.rotation
        kernels.advance(self.rotation, moved, self.average, share)

    def objective(self, step: Step) -> float:
        """Return Q̂ in nats at the running D, to which the rows of the last step belong."""
        return -0.5 * float(np.linalg.slogdet(self._weighted_gram())[1])

    def outputs(self, n: int) -> Floats:
        """Return the filters of the first whitened dimensions (K, n): the outputs are more than these."""
        return self.whiten[:, :n]

    def linear_part(self, n: int) -> Floats:
        """Return nothing (n,): of whitened dimensions the scores say nothing."""
        return np.zeros(n)

    def turn_to(self, rotation: Floats) -> None:
        """Go on from another C (K0, K1), which is its average as well."""
        self.rotation[:] = rotation
        self.average[:] = rotation

    def renew(self, whiten: Floats, dewhiten: Floats) -> None:
        """Go on in another whitening: C and its average stay as they are."""
        self.whiten[:], self.dewhiten[:] = whiten, dewhiten

    def recover(self) -> None:
        self.turn_to(sound(self.rotation))

    def averaged(self) -> Floats:
        return self.average


def retracted(rotation: Floats, direction: Floats, out: Floats, moved: Floats) -> Floats:
    """Return C after a step along a tangent: (M Mᵀ)^(-1/2) M, M = C + direction, shortened where it is too long.

    Two iterations of Newton-Schulz at once: all that they need is M Mᵀ (K0, K0). The step is a tangent, so M Mᵀ is
    about C Cᵀ + Δ Δᵀ, which gives Δ's largest singular value.

    Parameters
    ----------
    rotation, direction
        C and the step, (K0, K1) float32.
    out, moved
        Arrays of C's shape that are written to; `out` is what is returned.
    """
    np.add(rotation, direction, out=moved)
    gram = moved @ moved.T
    squares = gram.copy()
    diagonal(squares)[:] -= 1
    if not np.linalg.norm(squares) <= LARGEST_TURN**2:
        largest = largest_eigenvalue(squares)
        if not largest <= LARGEST_TURN**2:
            np.add(rotation, np.float32(LARGEST_TURN / math.sqrt(largest)) * direction, out=moved)
            gram = moved @ moved.T
    first = np.float32(-0.5) * gram
    diagonal(first)[:] += np.float32(1.5)
    second = np.float32(-0.5) * (first @ gram @ first)
    diagonal(second)[:] += np.float32(1.5)
    return np.matmul(second @ first, moved, out=out)


def largest_eigenvalue(matrix: Floats) -> float:
    """Return the largest absolute eigenvalue of a symmetric matrix, to about a tenth: eight power iterations."""
    vector = matrix[:, int(np.argmax(np.abs(matrix).max(axis=0)))]
    size = 0.0
    for _ in range(8):
        size = float(np.linalg.norm(vector))
        if not size > 0:
            return 0.0
        vector = matrix @ (vector / np.float32(size))
    return float(np.linalg.norm(vector))
