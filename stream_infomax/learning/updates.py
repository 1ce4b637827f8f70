"""The two learning rules: how a block of whitened rows moves the rotation C (Huang & Zhang 2017)."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning import kernels
from stream_infomax.learning.tuning import start_beta
from stream_infomax.learning.whitening import nearest_rotation, polar

Array = NDArray[Any]

# Steps are kept below this angle (radians, of the plane that turns most): beyond, neither the series of the
# exponential nor Newton-Schulz holds.
LARGEST_TURN = 0.7
ORTHONORMALISE_EVERY = 4
PRECONDITION_EVERY = 16
CURVATURE_FLOOR = 1.0
STATISTICS_ROWS = 2000.0
# Least share of a Newton step by which β and b move.
TUNING_SHARE = 0.02
# ⟨φ⟩ in units of β, which lies near 0.2; it vanishes where a sensor's gain jumps, and M would be singular.
DENSITY_FLOOR = 1e-3
# The learning rate and its decay, for all data alike: found on photographs, tried on everything (docs/learning.md).
RATE = 0.77
RATE_ROWS = 64.0
LARGEST_RATE = 0.5


class Rotation:
    """What both rules share: C (K0, K1) with C Cᵀ = I, its running average, and β = β0, b = 0."""

    def __init__(self, n_rank: int, n_components: int, seed: int, half_life: float | None) -> None:
        self.n_rank = n_rank
        self.n_components = n_components
        self.half_life = half_life
        start = np.random.default_rng(seed).standard_normal((n_rank, n_components))
        self.rotation: Array = polar(start).astype(np.float32)
        self.average = self.rotation.copy()
        self.beta = np.full(n_components, start_beta(n_components, n_rank), np.float32)
        self.bias = np.zeros(n_components, np.float32)
        self.tuned_beta = self.beta.astype(np.float64)
        self.tuned_bias = np.zeros(n_components)
        self.n_tuned = 0
        self.n_steps = 0

    def _tanh(self, y: Array) -> Array:
        """tanh((βŷ + b)/2)."""
        t: Array = y * (np.float32(0.5) * self.beta)
        t += np.float32(0.5) * self.bias
        np.tanh(t, out=t)
        return t

    def tune(self, y: Array) -> None:
        """Move β and b of the neurons towards p(ŷ) ∝ |g′| (stage 2 of the paper), the likeliest logistic density.

        Newton steps on ⟨-ln φ⟩ in ln β and b for potentials (n, K1), a falling share of each. The learning itself stays
        at β0 and b = 0, where Q is defined; what is tuned is published.
        """
        self.n_tuned += 1
        share = max(1 / (1 + self.n_tuned), TUNING_SHARE)
        t = np.tanh(0.5 * (self.tuned_beta * y + self.tuned_bias))
        excess = self.tuned_beta * np.mean(y * t, axis=0) - 1
        shift = np.mean(t, axis=0) / np.maximum(0.5 * np.mean(1 - t * t, axis=0), 1e-3)
        self.tuned_beta *= np.exp(-share * np.clip(excess, -1, 1))
        self.tuned_bias -= share * np.clip(shift, -1, 1)

    def tuning_state(self) -> dict[str, Any]:
        """β, b and how often they have moved."""
        return {"beta": self.tuned_beta, "bias": self.tuned_bias, "n": self.n_tuned}

    def restore_tuning(self, state: dict[str, Any]) -> None:
        """Take over a state of the tuning."""
        self.tuned_beta = np.array(state["beta"], np.float64)
        self.tuned_bias = np.array(state["bias"], np.float64)
        self.n_tuned = int(state["n"])

    def _rate(self, rows: int, n: int, block: int) -> float:
        """Length of a step from n rows, of which a new block: falls with the square root of the rows that count."""
        horizon = rows if self.half_life is None else min(rows, self.half_life)
        decay = math.sqrt(1 + horizon / (RATE_ROWS * self.n_rank))
        return min(LARGEST_RATE, RATE * math.sqrt(n * block) / self.n_rank / decay)

    def _orthonormalise(self) -> None:
        """One Newton-Schulz iteration towards (C Cᵀ)^(-1/2) C."""
        gram = self.rotation @ self.rotation.T
        gram *= np.float32(-0.5)
        gram[np.diag_indices_from(gram)] += np.float32(1.5)
        self.rotation = gram @ self.rotation

    def _advance_average(self, block: int, learnt: int) -> None:
        """Average with weights that grow polynomially (Shamir & Zhang 2013), so that the start is forgotten.

        The power falls from 3 to 1 as rows come in: forgetting matters early, the number of steps averaged later.
        """
        self.n_steps += 1
        steps = float(self.n_steps) if self.half_life is None else min(self.n_steps, self.half_life / block)
        power = 1 + 2 / (1 + learnt / (1000 * self.n_rank))
        weight = (power + 1) / (power + max(1.0, steps))
        self.average += np.float32(weight) * (self.rotation - self.average)

    def published(self) -> Array:
        """The nearest admissible C to the average, (K0, K1) float32."""
        return nearest_rotation(self.average)


class CompleteRule(Rotation):
    """Algorithm 1: minimise Q1 = -⟨Σ ln φ(ŷ_k)⟩ along C(G - Gᵀ), G = ⟨ψ ŷᵀ⟩ (2.83, 2.87).

    The entries of G - Gᵀ are divided by κ_i + κ_j, κ = ⟨ψ′⟩ - ⟨ψŷ⟩, the second derivative of Q1 for independent
    outputs. Where κ is negative a unit's source is sub-Gaussian, and the sign of its score turns, as in extended
    infomax (Lee, Girolami & Sejnowski 1999) and Picard-O.
    """

    def __init__(self, n_rank: int, seed: int, half_life: float | None) -> None:
        super().__init__(n_rank, n_rank, seed, half_life)
        self.slope = np.full(n_rank, 1.5)
        self.product = np.full(n_rank, 1.0)
        self._precondition()

    def watch(self, rows: Array, whiten: Array) -> float:
        """Tune the neurons to rows (n, K), and return their Q1 at β0, b = 0, in nats."""
        y = self._project(rows, whiten)
        self.tune(y)
        return float(kernels.minus_log_density(y, self.beta)) / len(rows)

    def step(self, rows: Array, whiten: Array, block: int, learnt: int) -> None:
        """Learn from rows (n, K), float32, of which the first `block` are new; `learnt` of the stream are by now."""
        n = len(rows)
        y = self._project(rows, whiten)
        psi = np.empty_like(y)
        slope = np.empty(self.n_rank, np.float32)
        product = np.empty(self.n_rank, np.float32)
        kernels.score_block(y, self._tanh(y), self.beta, self.sign, self.linear, psi, slope, product)
        self.slope += block / (block + STATISTICS_ROWS) * (slope - self.slope)
        self.product += block / (block + STATISTICS_ROWS) * (product - self.product)
        if self.n_steps % PRECONDITION_EVERY == 0:
            self._precondition()
        gain = psi.T @ y
        gain *= np.float32(self._rate(learnt, n, block) / n)
        self._turn((gain - gain.T) * self.inverse)
        if self.n_steps % ORTHONORMALISE_EVERY == 0:  # a turn leaves its length to fourth order
            self._orthonormalise()
        self._advance_average(block, learnt)

    def _project(self, rows: Array, whiten: Array) -> Array:
        """ŷ, by the order of products that is cheaper."""
        if len(rows) > self.n_rank:
            return np.asarray(rows @ (whiten @ self.rotation))
        return np.asarray(rows @ whiten @ self.rotation)

    def _precondition(self) -> None:
        """Signs of the scores and the inverse curvature of every pair of units, from κ as it stands."""
        curvature = self.slope - self.product
        self.sign = np.where(curvature < 0, np.float32(-1), np.float32(1))
        self.linear = self.product.astype(np.float32)
        size = np.abs(curvature)
        self.inverse = (1 / np.maximum(size[:, None] + size, CURVATURE_FLOOR)).astype(np.float32)

    def _turn(self, turn: Array) -> None:
        """C exp(T) for a skew T, to second order; T is shortened where it turns too far for that."""
        square = turn.T @ turn  # -T²
        # The Frobenius norm bounds the square of the largest angle: mostly it says already that all is well.
        if not np.linalg.norm(square) <= LARGEST_TURN**2:
            largest = spectral_norm(turn)
            if largest > LARGEST_TURN:
                factor = np.float32(LARGEST_TURN / largest)
                turn *= factor
                square *= factor * factor
        square *= np.float32(-0.5)
        square += turn
        self.rotation += self.rotation @ square

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on with the same bits."""
        return {
            "rotation": self.rotation,
            "average": self.average,
            "slope": self.slope,
            "product": self.product,
            "sign": self.sign,
            "linear": self.linear,
            "inverse": self.inverse,
            "tuning": self.tuning_state(),
            "n_steps": self.n_steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.rotation = np.array(state["rotation"], np.float32)
        self.average = np.array(state["average"], np.float32)
        self.slope = np.array(state["slope"], np.float64)
        self.product = np.array(state["product"], np.float64)
        self.linear = np.array(state["linear"], np.float32)
        self.sign = np.array(state["sign"], np.float32)
        self.inverse = np.array(state["inverse"], np.float32)
        self.restore_tuning(state["tuning"])
        self.n_steps = int(state["n_steps"])


class OvercompleteRule(Rotation):
    """Algorithm 2: minimise Q̂ = -½ ln det(C D² Cᵀ), D = ⟨Φ⟩ (2.98).

    dQ̂/dC = -(M⁻¹ C D² + ⟨x̂ ω̂ᵀ⟩), M = C D² Cᵀ, ω̂_k = d_k φ′(ŷ_k) c_kᵀ M⁻¹ c_k; the paper does not spell this out.
    ⟨·⟩ weights rows by 1/‖x̂‖, as in algorithm 1; D is a running average over the stream. From φ′ its linear part
    -a_k ŷ_k is taken, whose mean -a_k ⟨x̂ x̂ᵀ⟩ c_k is known better from the stream than from a block.
    """

    def __init__(self, n_rank: int, n_components: int, seed: int, half_life: float | None) -> None:
        super().__init__(n_rank, n_components, seed, half_life)
        # ⟨φ⟩ before any row: what matters is only that it is the same for all units.
        self.density = np.full(n_components, 0.2 * float(self.beta[0]))
        self.linear = np.zeros(n_components)
        self.second_moment = np.eye(n_rank)
        self.statistics_rows = 0.0

    def watch(self, rows: Array, whiten: Array) -> float:
        """Tune the neurons to rows (n, K), and return Q̂ in nats at the running D."""
        self.tune(rows @ whiten @ self.rotation)
        weighted = self.rotation * (self.density**2).astype(np.float32)
        return -0.5 * float(np.linalg.slogdet((weighted @ self.rotation.T).astype(np.float64))[1])

    def step(self, rows: Array, whiten: Array, block: int, learnt: int) -> None:
        """Learn from rows (n, K), float32, of which the first `block` are new; `learnt` of the stream are by now."""
        x = rows @ whiten
        weighted = self.rotation * (self.density**2).astype(np.float32)
        gram = (weighted @ self.rotation.T).astype(np.float64)
        solved = np.linalg.solve(gram, self.rotation.astype(np.float64)).astype(np.float32)
        unit = (self.density * np.einsum("ij,ij->j", self.rotation, solved)).astype(np.float32)
        pull = self._pull(x, unit, block)
        direction = solved * (self.density**2).astype(np.float32) - self.rotation
        direction += pull - (self.rotation @ pull.T) @ self.rotation
        rate = self._rate(learnt, len(rows), block) * self.n_components / self.n_rank
        rate *= min(1.0, LARGEST_TURN / max(rate * spectral_norm(direction), 1e-12))
        self.rotation += np.float32(rate) * direction
        self._orthonormalise()
        self._orthonormalise()  # Q̂ moves with the length of C: once would leave what looks like a gain
        self._advance_average(block, learnt)

    def _pull(self, x: Array, unit: Array, block: int) -> Array:
        """⟨x̂ ω̂ᵀ⟩ of a block of whitened rows; the running averages follow."""
        row = 1 / np.sqrt(np.einsum("ij,ij->i", x, x) / np.float32(self.n_rank) + np.float32(1e-12))
        row /= row.sum()
        y = x @ self.rotation
        omega = np.empty_like(y)
        sums = np.empty((3, self.n_components), np.float32)
        linear = self.linear.astype(np.float32)
        kernels.overcomplete_block(y, self._tanh(y), self.beta, row, unit, linear, omega, sums)
        pull: Array = x.T @ omega
        pull -= (self.second_moment.astype(np.float32) @ self.rotation) * (linear * unit)
        self.statistics_rows = min(self.statistics_rows + block, STATISTICS_ROWS)
        share = block / self.statistics_rows
        self.density += share * (np.maximum(sums[0], DENSITY_FLOOR * self.beta) - self.density)
        self.linear += share * (sums[1] / np.maximum(sums[2], np.float32(1e-12)) - self.linear)
        self.second_moment += share * ((x * row[:, None]).T @ x - self.second_moment)
        return pull

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on with the same bits."""
        return {
            "rotation": self.rotation,
            "average": self.average,
            "density": self.density,
            "linear": self.linear,
            "second_moment": self.second_moment,
            "statistics_rows": self.statistics_rows,
            "tuning": self.tuning_state(),
            "n_steps": self.n_steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.rotation = np.array(state["rotation"], np.float32)
        self.average = np.array(state["average"], np.float32)
        self.density = np.array(state["density"], np.float64)
        self.linear = np.array(state["linear"], np.float64)
        self.second_moment = np.array(state["second_moment"], np.float64)
        self.statistics_rows = float(state["statistics_rows"])
        self.restore_tuning(state["tuning"])
        self.n_steps = int(state["n_steps"])


def spectral_norm(matrix: Array) -> float:
    """The largest singular value, to about a tenth: four power iterations from the longest column."""
    lengths = np.einsum("ij,ij->j", matrix, matrix)
    vector = matrix[:, int(np.argmax(lengths))]
    norm = 0.0
    for _ in range(4):
        size = float(np.abs(vector).max())
        if not size > 0:
            return 0.0
        vector = vector / np.float32(size)
        image = vector @ matrix
        norm = float(np.linalg.norm(image) / np.linalg.norm(vector))
        vector = matrix @ image
    return norm


def make_rule(n_rank: int, n_components: int, seed: int, half_life: float | None) -> CompleteRule | OvercompleteRule:
    """Algorithm 1 where there are as many components as dimensions, algorithm 2 where there are more."""
    if n_components == n_rank:
        return CompleteRule(n_rank, seed, half_life)
    return OvercompleteRule(n_rank, n_components, seed, half_life)
