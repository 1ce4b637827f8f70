"""Tuning: β and b of the neurons follow their potentials (stage 2 of Huang & Zhang 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

# Least share of a Newton step by which β and b move.
LEAST_SHARE = 0.02
LARGEST_MOVE = 0.5


class Tuning(Kept):
    """β and b of each neuron, on their way to p(ŷ) ∝ |g′|, the likeliest logistic density.

    The learning itself stays at β0 and b = 0, where Q is defined; what is tuned is published.

    Parameters
    ----------
    n_components
        K1.
    beta
        β0, where every β starts.

    Attributes
    ----------
    beta, bias
        β and b, (K1,) float64.
    n
        Blocks of potentials so far.
    """

    kept = ("beta", "bias", "n")

    def __init__(self, n_components: int, beta: float) -> None:
        self.beta: Floats = np.full(n_components, beta)
        self.bias: Floats = np.zeros(n_components)
        self.n = 0

    def follow(self, y: Floats) -> None:
        """Move β and b by a falling share of a Newton step on ⟨-ln φ⟩ in ln β and b for potentials ŷ (n, K1)."""
        self.n += 1
        share = max(1 / (1 + self.n), LEAST_SHARE)
        sums = np.empty((3, len(self.beta)), np.float32)
        kernels.tuning_sums(y, self.beta.astype(np.float32), self.bias.astype(np.float32), sums)
        mean, product, slope = sums.astype(np.float64) / len(y)
        excess = self.beta * product - 1
        shift = mean / np.maximum(0.5 * slope, 1e-3)
        # What is bounded is the step and not the block's slope, or loud blocks would not outweigh many silent ones.
        self.beta *= np.exp(np.clip(-share * excess, -LARGEST_MOVE, LARGEST_MOVE))
        self.bias -= np.clip(share * shift, -LARGEST_MOVE, LARGEST_MOVE)
