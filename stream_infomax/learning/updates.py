"""The two learning rules: how a block of whitened rows moves the rotation C (Huang & Zhang 2017)."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning import kernels
from stream_infomax.learning.tuning import start_beta
from stream_infomax.learning.whitening import polar

Array = NDArray[Any]

# A skew step with a spectral norm above √2 makes Newton-Schulz diverge; stay well below.
LARGEST_TURN = 0.7
CURVATURE_FLOOR = 0.3
STATISTICS_ROWS = 2000.0
AVERAGE_POWER = 4.0
COMPLETE_RATE = 0.2
COMPLETE_DECAY = 4.0
OVERCOMPLETE_RATE = 0.1
OVERCOMPLETE_DECAY = 10.0


class Rotation:
    """What both rules share: C (K0, K1) with C Cᵀ = I, its running average, and β = β0, b = 0."""

    def __init__(self, n_rank: int, n_components: int, seed: int, half_life: float | None) -> None:
        self.n_rank = n_rank
        self.n_components = n_components
        self.half_life = half_life
        start = np.random.default_rng(seed).standard_normal((n_rank, n_components))
        self.rotation = polar(start).astype(np.float32)
        self.average = self.rotation.copy()
        self.beta = np.full(n_components, start_beta(n_components, n_rank), np.float32)
        self.bias = np.zeros(n_components, np.float32)
        self.n_steps = 0

    def _orthonormalise(self) -> None:
        """One Newton-Schulz iteration towards (C Cᵀ)^(-1/2) C; exact polar where that would diverge."""
        gram = self.rotation @ self.rotation.T
        deviation = float(np.abs(gram - np.eye(len(gram), dtype=np.float32)).max())
        if not deviation < 0.9:
            self.rotation = polar(self.rotation.astype(np.float64)).astype(np.float32)
            return
        gram *= np.float32(-0.5)
        gram[np.diag_indices_from(gram)] += np.float32(1.5)
        self.rotation = gram @ self.rotation

    def _horizon(self, rows: float) -> float:
        """Rows that count: all learnt so far, or those within the half-life."""
        return rows if self.half_life is None else min(rows, self.half_life)

    def _advance_average(self, n: int) -> None:
        """Average with weights that grow polynomially (Shamir & Zhang 2013): the start is forgotten."""
        self.n_steps += 1
        steps = float(self.n_steps) if self.half_life is None else min(self.n_steps, self.half_life / n)
        weight = (AVERAGE_POWER + 1) / (AVERAGE_POWER + max(1.0, steps))
        self.average += np.float32(weight) * (self.rotation - self.average)

    def published(self) -> Array:
        """The nearest admissible C to the average, (K0, K1) float64."""
        return polar(self.average.astype(np.float64))


class CompleteRule(Rotation):
    """Algorithm 1: minimise Q1 = -⟨Σ ln φ(ŷ_k)⟩ along C(G - Gᵀ), G = ⟨ψ ŷᵀ⟩ (2.83, 2.87).

    The entries of G - Gᵀ are divided by κ_i + κ_j, κ = ⟨ψ′⟩ - ⟨ψŷ⟩, the second derivative of Q1 for independent
    outputs. Where κ is negative a unit's source is sub-Gaussian, and the sign of its score turns, as in extended
    infomax (Lee, Girolami & Sejnowski 1999) and Picard-O.
    """

    def __init__(self, n_rank: int, seed: int, half_life: float | None) -> None:
        super().__init__(n_rank, n_rank, seed, half_life)
        self.curvature = np.full(n_rank, 0.5)

    def objective(self, x: Array) -> float:
        """Q1 of whitened rows x (n, K0) at β0, b = 0, in nats."""
        return float(kernels.minus_log_density(x @ self.rotation, self.beta)) / len(x)

    def step(self, x: Array, rows: int) -> None:
        """Learn from whitened rows x (n, K0), float32; `rows` of the stream have been learnt from by now."""
        n, units = x.shape
        rate = min(COMPLETE_RATE, COMPLETE_DECAY * n / self._horizon(rows))
        y = x @ self.rotation
        psi = np.empty_like(y)
        slope = np.empty(units, np.float32)
        product = np.empty(units, np.float32)
        kernels.score_block(y, self.beta, self.bias, psi, slope, product)
        self.curvature += n / (n + STATISTICS_ROWS) * ((slope - product) / n - self.curvature)
        gain = psi.T @ y
        gain /= np.float32(n)
        sign = np.where(self.curvature < 0, np.float32(-1), np.float32(1))
        turn = np.empty_like(gain)
        kernels.skew_direction(gain, sign, np.abs(self.curvature).astype(np.float32), CURVATURE_FLOOR, turn)
        turn *= np.float32(rate)
        largest = spectral_norm(turn)
        if largest > LARGEST_TURN:
            turn *= np.float32(LARGEST_TURN / largest)
        self.rotation += self.rotation @ turn
        self._orthonormalise()
        self._advance_average(n)

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on with the same bits."""
        return {
            "rotation": self.rotation,
            "average": self.average,
            "curvature": self.curvature,
            "n_steps": self.n_steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.rotation = np.array(state["rotation"], np.float32)
        self.average = np.array(state["average"], np.float32)
        self.curvature = np.array(state["curvature"], np.float64)
        self.n_steps = int(state["n_steps"])


class OvercompleteRule(Rotation):
    """Algorithm 2: minimise Q̂ = -½ ln det(C D² Cᵀ), D = ⟨Φ⟩ (2.98).

    dQ̂/dC = -(M⁻¹ C D² + ⟨x̂ ω̂ᵀ⟩), M = C D² Cᵀ, ω̂_k = d_k φ′(ŷ_k) c_kᵀ M⁻¹ c_k; the paper does not spell this out.
    D is a running average over the stream. The step is μ = v/κ with κ the mean relative length of the columns'
    steps (2.91, 2.92).
    """

    def __init__(self, n_rank: int, n_components: int, seed: int, half_life: float | None) -> None:
        super().__init__(n_rank, n_components, seed, half_life)
        # ⟨φ⟩ before any row: what matters is only that it is the same for all units.
        self.density = np.full(n_components, 0.2 * float(self.beta[0]))
        self.density_rows = 0.0

    def objective(self, x: Array) -> float:
        """Q̂ in nats at the running D."""
        weighted = self.rotation * (self.density**2).astype(np.float32)
        return -0.5 * float(np.linalg.slogdet((weighted @ self.rotation.T).astype(np.float64))[1])

    def step(self, x: Array, rows: int) -> None:
        """Learn from whitened rows x (n, K0), float32; `rows` of the stream have been learnt from by now."""
        n = len(x)
        rate = OVERCOMPLETE_RATE / math.sqrt(1 + self._horizon(rows) / (OVERCOMPLETE_DECAY * self.n_components))
        units = self.rotation.shape[1]
        y = x @ self.rotation
        omega = np.empty_like(y)
        total = np.empty(units, np.float32)
        solved = self._solve()
        leverage = np.einsum("ij,ij->j", self.rotation, solved)
        weight = (self.density * leverage).astype(np.float32)
        kernels.overcomplete_block(y, self.beta, self.bias, weight, omega, total)
        self.density_rows = min(self.density_rows + n, STATISTICS_ROWS)
        self.density += n / self.density_rows * (total / n - self.density)
        pull = x.T @ omega
        pull /= np.float32(n)
        direction = solved * (self.density**2).astype(np.float32) - self.rotation
        direction += pull - (self.rotation @ pull.T) @ self.rotation
        lengths = np.sqrt(np.einsum("ij,ij->j", direction, direction))
        sizes = np.sqrt(np.einsum("ij,ij->j", self.rotation, self.rotation))
        relative = float(np.mean(lengths / np.maximum(sizes, np.float32(1e-6))))
        step = rate / max(relative, 1e-12)
        largest = step * spectral_norm(direction)
        if largest > LARGEST_TURN:
            step *= LARGEST_TURN / largest
        self.rotation += np.float32(step) * direction
        self._orthonormalise()
        self._advance_average(n)

    def _solve(self) -> Array:
        """M⁻¹ C at the present C and D."""
        weighted = self.rotation * (self.density**2).astype(np.float32)
        matrix = (weighted @ self.rotation.T).astype(np.float64)
        return np.asarray(np.linalg.solve(matrix, self.rotation.astype(np.float64)).astype(np.float32))

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on with the same bits."""
        return {
            "rotation": self.rotation,
            "average": self.average,
            "density": self.density,
            "density_rows": self.density_rows,
            "n_steps": self.n_steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.rotation = np.array(state["rotation"], np.float32)
        self.average = np.array(state["average"], np.float32)
        self.density = np.array(state["density"], np.float64)
        self.density_rows = float(state["density_rows"])
        self.n_steps = int(state["n_steps"])


def spectral_norm(matrix: Array) -> float:
    """The largest singular value, to about a tenth: four power iterations from the longest column."""
    lengths = np.einsum("ij,ij->j", matrix, matrix)
    vector = matrix[:, int(np.argmax(lengths))]
    norm = 0.0
    for _ in range(4):
        image = vector @ matrix
        size = math.sqrt(float(vector @ vector))
        if not size > 0:
            return 0.0
        norm = math.sqrt(float(image @ image)) / size
        vector = matrix @ image
        scale = float(np.abs(vector).max())
        if not scale > 0:
            return norm
        vector = vector / np.float32(scale)
    return norm


def make_rule(n_rank: int, n_components: int, seed: int, half_life: float | None) -> CompleteRule | OvercompleteRule:
    """Algorithm 1 where there are as many components as dimensions, algorithm 2 where there are more."""
    if n_components == n_rank:
        return CompleteRule(n_rank, seed, half_life)
    return OvercompleteRule(n_rank, n_components, seed, half_life)
