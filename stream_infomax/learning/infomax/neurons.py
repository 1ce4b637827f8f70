"""Tuning functions of the neurons: the logistic sigmoid, what follows from it, and what a stage may publish.

Huang & Zhang 2017: a neuron fires with the Poisson rate g²/4, g = σ(βŷ + b); its density is φ = |g′|.
Everything here is plain numpy on arrays; the kernels hold the fused versions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Output = Literal["potential", "rate", "poisson", "halves", "log"]
OUTPUTS: tuple[str, ...] = get_args(Output)

LOG_FLOOR = 0.1
# No rate g²/4 exceeds 1/4, for which more spikes than this have a probability of 10⁻²⁸.
MOST_SPIKES = 20
# Numbers of all filters that are few.
FEW = 1024


def start_beta(n_components: int, n_rank: int) -> float:
    """Return β0 = (π/√3) sqrt(K1/K0), for which the logistic density has the potentials' variance."""
    return math.pi / math.sqrt(3) * math.sqrt(n_components / n_rank)


def gain(y: Floats, beta: Any = 1.0, bias: Any = 0.0) -> Floats:
    """Return g = σ(βy + b), written with tanh: no exponential overflows."""
    with np.errstate(over="ignore"):  # tanh of infinity is 1
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * (beta * y + bias)))


def density(y: Floats, beta: Any = 1.0, bias: Any = 0.0) -> Floats:
    """Return φ = g′ = β g (1 - g), the density that the tuning function assumes."""
    g = gain(y, beta, bias)
    return np.asarray(beta * g * (1 - g))


def minus_log_density(y: Floats, beta: Any = 1.0, bias: Any = 0.0) -> Floats:
    """Return -ln φ, exact where φ itself underflows."""
    u = np.abs(beta * y + bias)
    return np.asarray(u + 2 * np.log1p(np.exp(-u)) - np.log(beta))


def score(y: Floats, beta: Any = 1.0, bias: Any = 0.0) -> Floats:
    """Return ψ = -φ′/φ = β tanh((βy + b)/2)."""
    return np.asarray(beta * np.tanh(0.5 * (beta * y + bias)))


def score_slope(y: Floats, beta: Any = 1.0, bias: Any = 0.0) -> Floats:
    """Return ψ′ = β²/2 (1 - tanh²((βy + b)/2))."""
    return np.asarray(0.5 * beta**2 * (1 - np.tanh(0.5 * (beta * y + bias)) ** 2))


def derivative_error(function: Callable[[Floats], Floats], derivative: Callable[[Floats], Floats]) -> float:
    """Return the largest difference of a derivative from the central difference of its function on [-8, 8].

    Every tuning function is checked with it, a user's own as well (after picard's `check_density`).
    """
    y = np.linspace(-8, 8, 401)
    step = 1e-5
    numerical = (function(y + step) - function(y - step)) / (2 * step)
    return float(np.max(np.abs(numerical - derivative(y))))


def width(output: str, n_components: int) -> int:
    """Return the number of columns of an output: `halves` has two for each component."""
    return 2 * n_components if output == "halves" else n_components


def potentials(centred: Floats, filters: Floats) -> Floats:
    """Return centred rows (n, K) times filters (K1, K), (n, K1) float32.

    In float32 the last bit of a row depends on how many rows come with it. Where filters are few it costs nothing to
    do without that: what is rounded from float64 does not.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # rows near the largest float32
        if filters.size > FEW:
            return np.asarray(centred @ filters.T)
        return (centred.astype(np.float64) @ filters.T.astype(np.float64)).astype(np.float32)


def publish(potential: Floats, output: str, amplitude: float, beta: Floats, bias: Floats) -> Floats:
    """Return an output (n, width) for potentials.

    Parameters
    ----------
    potential
        y, (n, K1) float32.
    output
        "potential" is y itself, "halves" its rectified halves [max(y, 0), max(-y, 0)], "rate" the firing rate g²/4 at
        ŷ (for "poisson" too: :func:`spike_counts` draws what is published), "log" the log magnitude ln(|ŷ| + 0.1).
    amplitude
        a = sqrt(K1/K0) of y = aŷ.
    beta, bias
        Of the neurons, (K1,) float32.
    """
    if output == "potential":
        return potential
    if output == "halves":
        return np.concatenate([np.maximum(potential, 0), np.maximum(-potential, 0)], axis=1)
    raw = potential / np.float32(amplitude)
    if output == "log":
        return np.asarray(np.log(np.abs(raw) + np.float32(LOG_FLOOR)))
    return np.asarray(gain(raw, beta, bias) ** 2 / np.float32(4))


def spike_counts(rate: Floats, seed: int, first: int) -> Floats:
    """Return the numbers of spikes of Poisson neurons, (n, K1) float32.

    The paper's neurons fire with mean g²/4 in the time that one row takes. The chance behind a count depends on
    (seed, number of the row, neuron) alone: a counter makes it (Philox; Salmon et al. 2011), and neither the cut of a
    stream nor a restart changes it. One uniform number is inverted a count.

    Parameters
    ----------
    rate
        Expected numbers, (n, K1), at most 1/4.
    seed
        Of all draws.
    first
        The number of the first row in its stream.
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
