"""Bases of any shape and scale, without learning; and rows such as they stand for."""

import numpy as np

from stream_infomax.learning.infomax.encoder import Encoder
from stream_infomax.learning.infomax.neurons import start_beta


def basis(n=8, rank=None, components=None, *, output="potential", seed=0, mean=0.0, spread=3.0, bias=0.0):
    """Return an encoder of rows of n numbers whose principal deviations go from 1 down to 1 / spread."""
    rank, rng = rank or n, np.random.default_rng(seed)
    components = components or rank
    directions = np.linalg.qr(rng.standard_normal((n, rank)))[0]
    deviations = np.geomspace(1, 1 / spread, rank)
    rotation = np.linalg.qr(rng.standard_normal((components, rank)))[0].T
    amplitude = np.sqrt(components / rank)
    return Encoder(
        mean=mean * (1 + 0.1 * rng.standard_normal(n)),
        components=(amplitude * (directions / deviations) @ rotation).T.astype(np.float32),
        mixing=((directions * deviations) @ rotation / amplitude).astype(np.float32),
        amplitude=float(amplitude),
        beta=np.full(components, start_beta(components, rank), np.float32),
        bias=np.full(components, bias, np.float32),
        output=output,
        seed=0,
    )


def rows_of(encoder, n=200, seed=1):
    """Return rows (n, K), float32, with sparse components."""
    drawn = np.random.default_rng(seed).laplace(size=(n, encoder.n_components)) / np.sqrt(2)
    return (encoder.mean + encoder.amplitude * drawn @ encoder.mixing.T.astype(np.float64)).astype(np.float32)
