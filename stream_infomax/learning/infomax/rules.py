"""The two learning rules: how a block of rows moves the rotation C of the whitened space (Huang & Zhang 2017)."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels
from stream_infomax.learning.infomax.neurons import start_beta
from stream_infomax.learning.infomax.outliers import Reach
from stream_infomax.learning.infomax.whitening import diagonal, nearest_rotation

Array = NDArray[Any]

# Steps are kept below this angle (radians, of the plane that turns most): beyond, neither the series of the
# exponential nor Newton-Schulz holds.
LARGEST_TURN = 0.7
# Sum of the squared largest angles after which C is made orthonormal again; they bound what turns add to its length.
LARGEST_DRIFT = 0.5
CURVATURE_FLOOR = 1.0
STATISTICS_ROWS = 2000.0
# Rows that κ is a mean of, so few that a unit's sign turns soon where it must; and what its start, +½, counts for.
SIGN_ROWS, SIGN_PRIOR_ROWS = 1000.0, 500.0
# Least ⟨ŷ²⟩: outputs that fall silent have no sign.
POWER_FLOOR = 1e-6
# Least share of a Newton step by which β and b move.
TUNING_SHARE = 0.02
LARGEST_TUNING = 0.5
# ⟨φ⟩ in units of β, which lies near 0.2; it vanishes where a sensor's gain jumps, and M would be singular.
DENSITY_FLOOR = 1e-3
# The learning rate and its decay, for all data alike: found on photographs, tried on everything (docs/learning.md).
RATE = 0.77
RATE_ROWS = 64.0
LARGEST_RATE = 1.0
# Steps of algorithm 2 are longer by this factor, however many components there are: its second derivatives are no
# larger for K1/K0 = 12 than for 2.
OVERCOMPLETE_STEP = 6.0


class Rule:
    """What both rules share: the whitening, rates, β = β0 and b = 0, and the tuning of what is published."""

    average: Array

    def __init__(self, whiten: Array, dewhiten: Array, n_components: int, half_life: float | None) -> None:
        """Start in the whitening V; `dewhiten` is Σ V, the transpose of its inverse; both are (K, K0)."""
        self.whiten, self.dewhiten = whiten.astype(np.float32), dewhiten.astype(np.float32)
        self.n_rank = whiten.shape[1]
        self.n_components = n_components
        self.half_life = half_life
        self.beta = start_beta(n_components, self.n_rank)
        self.tuned_beta = np.full(n_components, self.beta)
        self.tuned_bias = np.zeros(n_components)
        self.n_tuned = 0
        self.n_steps = 0
        # Room for what every step makes: memory that is new to the process costs as much as the passes over it.
        self._potentials, self._scores = np.empty((2, 0, n_components), np.float32)
        self.reach = Reach()

    def tune(self, y: Array) -> None:
        """Move β and b of the neurons towards p(ŷ) ∝ |g′| (stage 2 of the paper), the likeliest logistic density.

        Newton steps on ⟨-ln φ⟩ in ln β and b for potentials (n, K1), a falling share of each. The learning itself stays
        at β0 and b = 0, where Q is defined; what is tuned is published.
        """
        self.n_tuned += 1
        share = max(1 / (1 + self.n_tuned), TUNING_SHARE)
        sums = np.empty((3, self.n_components), np.float32)
        kernels.tuning_sums(y, self.tuned_beta.astype(np.float32), self.tuned_bias.astype(np.float32), sums)
        mean, product, slope = sums.astype(np.float64) / len(y)
        excess = self.tuned_beta * product - 1
        shift = mean / np.maximum(0.5 * slope, 1e-3)
        # What is bounded is the step and not the block's slope, or loud blocks would not outweigh many silent ones.
        self.tuned_beta *= np.exp(np.clip(-share * excess, -LARGEST_TUNING, LARGEST_TUNING))
        self.tuned_bias -= np.clip(share * shift, -LARGEST_TUNING, LARGEST_TUNING)

    def state(self) -> dict[str, Any]:
        """The average, the tuning of the neurons, the reach of rows and the number of steps."""
        return {
            "average": self.average,
            "tuning": {"beta": self.tuned_beta, "bias": self.tuned_bias, "n": self.n_tuned},
            "reach": self.reach.state(),
            "n_steps": self.n_steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.average = np.array(state["average"], np.float32)
        self.tuned_beta = np.array(state["tuning"]["beta"], np.float64)
        self.tuned_bias = np.array(state["tuning"]["bias"], np.float64)
        self.n_tuned = int(state["tuning"]["n"])
        self.reach.restore(state["reach"])
        self.n_steps = int(state["n_steps"])

    def _rate(self, rows: int, n: int, block: int) -> float:
        """Length of a step from n rows, of which a new block: falls with the square root of the rows that count."""
        horizon = rows if self.half_life is None else min(rows, self.half_life)
        decay = math.sqrt(1 + horizon / (RATE_ROWS * self.n_rank))
        return float(min(LARGEST_RATE, RATE * math.sqrt(n * block) / self.n_rank / decay))

    def _share(self, block: int, learnt: int) -> float:
        """The newest C's share of the average.

        Weights grow polynomially (Shamir & Zhang 2013), so that the start is forgotten. The power falls from 3 to 1 as
        rows come in: forgetting matters early, the number of steps averaged later.
        """
        self.n_steps += 1
        steps = float(self.n_steps) if self.half_life is None else min(self.n_steps, self.half_life / block)
        power = 1 + 2 / (1 + learnt / (1000 * self.n_rank))
        return float((power + 1) / (power + max(1.0, steps)))


class CompleteRule(Rule):
    """Algorithm 1: minimise Q1 = -⟨Σ ln φ(ŷ_k)⟩ along C(G - Gᵀ), G = ⟨ψ ŷᵀ⟩ (2.83, 2.87).

    The entries of G - Gᵀ are divided by κ_i + κ_j, κ = ⟨ψ′⟩ - ⟨ψŷ⟩/⟨ŷ²⟩, the second derivative of Q1 for independent
    outputs; it is 0 for normal ones of whatever variance (the whitening may lag behind the stream). Where κ is negative
    a unit's source is sub-Gaussian, and the sign of its score turns, as in extended infomax (Lee, Girolami & Sejnowski
    1999) and Picard-O.

    What is kept, turned and averaged is W = V C, so that ŷ is one product. C stays orthonormal as in the landing
    algorithm (Ablin & Peyré 2022): it is turned by I + T with columns of unit length, and where the turns have added
    up, the step also leads back, W ← W (I + T + (I - CᵀC)/2).
    """

    def __init__(self, whiten: Array, dewhiten: Array, seed: int, half_life: float | None) -> None:
        super().__init__(whiten, dewhiten, whiten.shape[1], half_life)
        self.filters: Array = self.whiten @ random_rotation(self.n_rank, self.n_rank, seed)
        self.average = self.filters.copy()
        # Running means of ψ′, ψŷ and ŷ².
        self.means = np.repeat([[1.5], [1.0], [1.0]], self.n_rank, axis=1)
        self.drift = 0.0
        self._gain, self._turn = np.empty((2, self.n_rank, self.n_rank), np.float32)
        self._moved = np.empty_like(self.filters)

    @property
    def rotation(self) -> Array:
        """C (K0, K0)."""
        return np.asarray(self.dewhiten.T @ self.filters)

    @property
    def linear(self) -> Array:
        """The linear part of every score, a = ⟨ψŷ⟩/⟨ŷ²⟩ (K0,)."""
        return np.asarray(self.means[1] / np.maximum(self.means[2], POWER_FLOOR))

    @property
    def curvature(self) -> Array:
        """κ of every unit (K0,)."""
        return np.asarray(self.means[0] - self.linear)

    def renew(self, whiten: Array, dewhiten: Array) -> None:
        """Carry C and its average over to another whitening."""
        self.whiten[:] = whiten
        for carried in (self.filters, self.average):
            np.matmul(self.whiten, np.matmul(self.dewhiten.T, carried, out=self._gain), out=carried)
        self.dewhiten[:] = dewhiten

    def watch(self, block: int) -> float:
        """Tune the neurons to the new rows of the last step, as they were before it; returns their Q1 in nats."""
        y, u = self._potentials[:block], self._scores[:block]
        self.tune(self.reach.drawn_out(y))
        # -ln φ = |u| + 2 ln(1 + exp(-|u|)) - ln β, u = βŷ
        np.abs(np.multiply(y, np.float32(self.beta), out=u), out=u)
        total = np.sum(u, dtype=np.float64)
        np.exp(np.negative(u, out=u), out=u)
        total += 2 * np.sum(np.log1p(u, out=u), dtype=np.float64)
        return float(total) / block - self.n_components * math.log(self.beta)

    def step(self, rows: Array, block: int, learnt: int) -> None:
        """Learn from rows (n, K), float32, of which the first `block` are new; `learnt` of the stream are by now.

        New rows that are outlying are shortened in place.
        """
        n = len(rows)
        if len(self._scores) != n:
            self._potentials, self._scores = np.empty((2, n, self.n_rank), np.float32)
        y, psi = self._potentials, self._scores
        np.matmul(rows, self.filters, out=y)
        self.reach.shorten(y[:block], rows[:block])
        means = np.empty((3, self.n_rank), np.float32)
        linear = self.linear
        curvature = self.means[0] - linear
        sign = np.where(curvature < 0, np.float32(-1), np.float32(1))
        kernels.score_block(y, self.beta, sign, linear.astype(np.float32), psi, means)
        self.means += block / min(SIGN_PRIOR_ROWS + learnt, SIGN_ROWS + block) * (means - self.means)
        np.matmul(psi.T, y, out=self._gain)
        size = np.abs(curvature).astype(np.float32)
        np.matmul(self.filters, self._turned(size, self._rate(learnt, n, block) / n), out=self._moved)
        kernels.advance(self.filters, self._moved, self.average, self._share(block, learnt))

    def _turned(self, size: Array, rate: float) -> Array:
        """W's move as a factor of W: T = rate (G - Gᵀ) / (|κ_i| + |κ_j|), shortened where it is too long, and back."""
        turn, squares = self._turn, np.empty(self.n_rank, np.float32)
        total = kernels.skew(self._gain, size, rate, CURVATURE_FLOOR, turn, squares)
        # The singular values of a skew matrix come in pairs, so that often its Frobenius norm says that all is well.
        largest = math.sqrt(0.5 * total)
        if not largest <= LARGEST_TURN:
            largest = kernels.largest_turn(turn, squares)
        factor = 1.0 if largest <= LARGEST_TURN else LARGEST_TURN / largest
        kernels.unit_columns(turn, squares, factor)
        self.drift += (factor * largest) ** 2
        if self.drift > LARGEST_DRIFT:
            self.drift = 0.0
            rotation = np.matmul(self.dewhiten.T, self.filters, out=self._gain)
            gram = np.matmul(rotation.T, rotation, out=self._moved[: self.n_rank])
            gram *= np.float32(-0.5)
            turn += gram
            diagonal(turn)[:] += np.float32(0.5)
        return turn

    def published(self) -> Array:
        """The nearest admissible C to the average, (K0, K1) float32."""
        return nearest_rotation(self.dewhiten.T @ self.average)

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on with the same bits."""
        return {
            **super().state(),
            "filters": self.filters,
            "means": self.means,
            "drift": self.drift,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        super().restore(state)
        self.filters = np.array(state["filters"], np.float32)
        self.means = np.array(state["means"], np.float64)
        self.drift = float(state["drift"])


class OvercompleteRule(Rule):
    """Algorithm 2: minimise Q̂ = -½ ln det(C D² Cᵀ), D = ⟨Φ⟩ (2.98).

    dQ̂/dC = -(M⁻¹ C D² + ⟨x̂ ω̂ᵀ⟩), M = C D² Cᵀ, ω̂_k = d_k φ′(ŷ_k) c_kᵀ M⁻¹ c_k; the paper does not spell this out.
    ⟨·⟩ weights rows by 1/‖x̂‖, as in algorithm 1; D is a running average over the stream. From φ′ its linear part
    -a_k ŷ_k is taken, whose mean -a_k ⟨x̂ x̂ᵀ⟩ c_k is known better from the stream than from a block.
    """

    def __init__(self, whiten: Array, dewhiten: Array, n_components: int, seed: int, half_life: float | None) -> None:
        super().__init__(whiten, dewhiten, n_components, half_life)
        self.rotation = random_rotation(self.n_rank, n_components, seed)
        self.average = self.rotation.copy()
        # ⟨φ⟩ before any row: what matters is only that it is the same for all units.
        self.density = np.full(n_components, 0.2 * self.beta)
        self.linear = np.zeros(n_components)
        self.second_moment = np.eye(self.n_rank)
        self.statistics_rows = 0.0
        self._room = np.empty((3, *self.rotation.shape), np.float32)

    def renew(self, whiten: Array, dewhiten: Array) -> None:
        """Go on in another whitening: C and its average stay as they are."""
        self.whiten[:], self.dewhiten[:] = whiten, dewhiten

    def watch(self, block: int) -> float:
        """Tune the neurons to the new rows of the last step, as they were before it; returns Q̂ at the running D."""
        self.tune(self.reach.drawn_out(self._potentials[:block]))
        return -0.5 * float(np.linalg.slogdet(self._weighted_gram())[1])

    def _weighted_gram(self) -> Array:
        """M = C D² Cᵀ (K0, K0), float64."""
        weighted = np.multiply(self.rotation, self.density.astype(np.float32), out=self._room[0])
        return np.asarray(weighted @ weighted.T, np.float64)

    def step(self, rows: Array, block: int, learnt: int) -> None:
        """Learn from rows (n, K), float32, of which the first `block` are new; `learnt` of the stream are by now.

        New rows that are outlying are shortened in place.
        """
        x = rows @ self.whiten
        self.reach.shorten(x[:block], rows[:block])
        if len(self._potentials) != len(x):
            self._potentials, self._scores = np.empty((2, len(x), self.n_components), np.float32)
        direction, pull, other = self._room
        inverse = np.linalg.inv(self._weighted_gram()).astype(np.float32)
        np.matmul(inverse, self.rotation, out=direction)
        unit = (self.density * np.einsum("ij,ij->j", self.rotation, direction)).astype(np.float32)
        self._pull(x, unit, block, pull, other)
        direction *= (self.density**2).astype(np.float32)
        direction += pull
        inwards = self.rotation @ pull.T
        diagonal(inwards)[:] += 1
        direction -= np.matmul(inwards, self.rotation, out=other)
        direction *= np.float32(OVERCOMPLETE_STEP * self._rate(learnt, len(rows), block))
        moved = retracted(self.rotation, direction, pull, other)
        moved -= self.rotation
        kernels.advance(self.rotation, moved, self.average, self._share(block, learnt))

    def _pull(self, x: Array, unit: Array, block: int, pull: Array, other: Array) -> None:
        """Write ⟨x̂ ω̂ᵀ⟩ of a block of whitened rows into `pull`; the running averages follow."""
        row = 1 / np.sqrt(np.einsum("ij,ij->i", x, x) / np.float32(self.n_rank) + np.float32(1e-12))
        row /= row.sum()
        y, omega = self._potentials, self._scores
        np.matmul(x, self.rotation, out=y)
        sums = np.empty((3, self.n_components), np.float32)
        linear = self.linear.astype(np.float32)
        kernels.overcomplete_block(y, self.beta, row, unit, linear, omega, sums)
        np.matmul(self.second_moment.astype(np.float32), self.rotation, out=pull)
        pull *= -linear * unit
        pull += np.matmul(x.T, omega, out=other)
        self.statistics_rows = min(self.statistics_rows + block, STATISTICS_ROWS)
        share = block / self.statistics_rows
        self.density += share * (np.maximum(sums[0], DENSITY_FLOOR * self.beta) - self.density)
        self.linear += share * (sums[1] / np.maximum(sums[2], np.float32(1e-12)) - self.linear)
        self.second_moment += share * ((x * row[:, None]).T @ x - self.second_moment)

    def published(self) -> Array:
        """The nearest admissible C to the average, (K0, K1) float32."""
        return nearest_rotation(self.average)

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on with the same bits."""
        return {
            **super().state(),
            "rotation": self.rotation,
            "density": self.density,
            "linear": self.linear,
            "second_moment": self.second_moment,
            "statistics_rows": self.statistics_rows,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        super().restore(state)
        self.rotation = np.array(state["rotation"], np.float32)
        self.density = np.array(state["density"], np.float64)
        self.linear = np.array(state["linear"], np.float64)
        self.second_moment = np.array(state["second_moment"], np.float64)
        self.statistics_rows = float(state["statistics_rows"])


def random_rotation(n_rank: int, n_components: int, seed: int) -> Array:
    """A random C (K0, K1) float32 with orthonormal rows."""
    start = np.random.default_rng(seed).standard_normal((n_components, n_rank))
    return np.ascontiguousarray(np.linalg.qr(start)[0].T, np.float32)


def retracted(rotation: Array, direction: Array, out: Array, moved: Array) -> Array:
    """C after a step along a tangent: (M Mᵀ)^(-1/2) M, M = C + direction, which is shortened where it is too long.

    Two iterations of Newton-Schulz at once, for all that they need is M Mᵀ (K0, K0). Since the step is a tangent,
    M Mᵀ is about C Cᵀ + Δ Δᵀ, which gives Δ's largest singular value. `out` and `moved` are room of C's shape; `out` is
    what is returned.
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


def largest_eigenvalue(matrix: Array) -> float:
    """The largest absolute eigenvalue of a symmetric matrix, to about a tenth: eight power iterations."""
    vector = matrix[:, int(np.argmax(np.abs(matrix).max(axis=0)))]
    size = 0.0
    for _ in range(8):
        size = float(np.linalg.norm(vector))
        if not size > 0:
            return 0.0
        vector = matrix @ (vector / np.float32(size))
    return float(np.linalg.norm(vector))


def make_rule(
    whiten: Array, dewhiten: Array, n_components: int, seed: int, half_life: float | None
) -> CompleteRule | OvercompleteRule:
    """Algorithm 1 where there are as many components as dimensions, algorithm 2 where there are more."""
    if n_components == whiten.shape[1]:
        return CompleteRule(whiten, dewhiten, seed, half_life)
    return OvercompleteRule(whiten, dewhiten, n_components, seed, half_life)
