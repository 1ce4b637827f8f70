"""Tuning functions of the neurons: the logistic sigmoid, what follows from it, and what a stage may publish.

Huang & Zhang 2017: a neuron fires with the Poisson rate g²/4, g = σ(βŷ + b); its density is φ = |g′|.
Everything here is plain numpy on arrays; the kernels hold the fused versions.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Output = Literal["potential", "rate", "poisson", "halves", "log"]
OUTPUTS: tuple[str, ...] = get_args(Output)

LOG_FLOOR = 0.1
# No rate g²/4 exceeds 1/4, for which more spikes than this have a probability of 10⁻²⁸.
MOST_SPIKES = 20


def start_beta(n_components: int, n_rank: int) -> float:
    """β0 = (π/√3) sqrt(K1/K0), for which the logistic density has the potentials' variance."""
    return math.pi / math.sqrt(3) * math.sqrt(n_components / n_rank)


def gain(y: Array, beta: Any = 1.0, bias: Any = 0.0) -> Array:
    """g = σ(βy + b), written with tanh so that no exponential overflows."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * (beta * y + bias)))


def density(y: Array, beta: Any = 1.0, bias: Any = 0.0) -> Array:
    """φ = g′ = β g (1 - g), the density that the tuning function assumes."""
    g = gain(y, beta, bias)
    return np.asarray(beta * g * (1 - g))


def minus_log_density(y: Array, beta: Any = 1.0, bias: Any = 0.0) -> Array:
    """-ln φ, exact where φ itself underflows."""
    u = np.abs(beta * y + bias)
    return np.asarray(u + 2 * np.log1p(np.exp(-u)) - np.log(beta))


def score(y: Array, beta: Any = 1.0, bias: Any = 0.0) -> Array:
    """ψ = -φ′/φ = β tanh((βy + b)/2)."""
    return np.asarray(beta * np.tanh(0.5 * (beta * y + bias)))


def score_slope(y: Array, beta: Any = 1.0, bias: Any = 0.0) -> Array:
    """ψ′ = β²/2 (1 - tanh²((βy + b)/2))."""
    return np.asarray(0.5 * beta**2 * (1 - np.tanh(0.5 * (beta * y + bias)) ** 2))


def derivative_error(function: Callable[[Array], Array], derivative: Callable[[Array], Array]) -> float:
    """Largest difference of a derivative from the central difference of its function on [-8, 8].

    Every tuning function is checked with it, a user's own as well (after picard's `check_density`).
    """
    y = np.linspace(-8, 8, 401)
    step = 1e-5
    numerical = (function(y + step) - function(y - step)) / (2 * step)
    return float(np.max(np.abs(numerical - derivative(y))))


def width(output: str, n_components: int) -> int:
    """Number of columns of an output: `halves` has two for each component."""
    return 2 * n_components if output == "halves" else n_components


def publish(potential: Array, output: str, amplitude: float, beta: Array, bias: Array) -> Array:
    """Turn potentials y (n, K1) into the chosen output (n, width).

    `amplitude` is a = sqrt(K1/K0) of y = aŷ. `potential` is y itself, `halves` its rectified halves [max(y, 0),
    max(-y, 0)], `rate` the firing rate g²/4 at ŷ (for `poisson` too: :func:`spike_counts` draws what is published),
    `log` the log magnitude ln(|ŷ| + 0.1).
    """
    if output == "potential":
        return potential
    if output == "halves":
        return np.concatenate([np.maximum(potential, 0), np.maximum(-potential, 0)], axis=1)
    raw = potential / np.float32(amplitude)
    if output == "log":
        return np.asarray(np.log(np.abs(raw) + np.float32(LOG_FLOOR)))
    return np.asarray(gain(raw, beta, bias) ** 2 / np.float32(4))


def spike_counts(rate: Array, seed: int, first: int) -> Array:
    """Numbers of spikes (n, K1) float32 of Poisson neurons with expected numbers `rate` (n, K1), at most 1/4.

    The paper's neurons fire with mean g²/4 in the time that one row takes. Row i is number `first` + i of a stream;
    the chance behind a count depends on (seed, number of the row, neuron) alone: a counter makes it (Philox; Salmon
    et al. 2011), so that neither the cut of a stream nor a restart changes it. One uniform number is inverted a count.
    """
    n, units = rate.shape
    counters = -(-units // 4)  # each gives four numbers
    generator = np.random.Generator(np.random.Philox(key=seed, counter=first * counters))
    uniform = generator.random((n, 4 * counters))[:, :units]
    mass = np.exp(-rate.astype(np.float64))
    below = mass.copy()
    counts = np.zeros((n, units), np.float32)
    for spikes in range(1, MOST_SPIKES + 1):
        more = uniform >= below
        if not more.any():
            break
        counts += more
        mass *= rate / spikes
        below += mass
    return counts
