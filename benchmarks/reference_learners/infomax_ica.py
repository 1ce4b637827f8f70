"""Infomax ICA (Bell & Sejnowski 1995) with the natural gradient (Amari 1996), and its extended version.

Blocks, rate and annealing are those that EEG programs run it with (runica, MNE): blocks of sqrt(n / 3) rows in a new
random order every epoch, rate 0.01 / ln K², times 0.98 whenever successive epochs' changes of W stand at more than 60
degrees; W that blows up begins again at 0.9 of the rate. Extended: Lee, Girolami & Sejnowski 1999.
"""

import math
from collections.abc import Iterator

import numpy as np

YIELDS_AN_EPOCH = 8
LARGEST_WEIGHT = 1e8


def infomax_ica(X, C, epochs=200, extended=False, seed=0) -> Iterator[np.ndarray]:
    """Yield Wᵀ: columns are filters, not orthonormal. `extended` lets each output's sign follow its kurtosis."""
    rng = np.random.default_rng(seed)
    n, units = X.shape
    W, bias, before = C.T.astype(X.dtype), np.zeros((units, 1), X.dtype), C.T.astype(X.dtype)
    rate = 0.01 / math.log(units**2)
    block = max(1, math.floor(math.sqrt(n / 3)))
    starts = range(0, n - block + 1, block)
    pauses = {round(part * len(starts) / YIELDS_AN_EPOCH) for part in range(1, YIELDS_AN_EPOCH)}
    signs = np.ones((units, 1), X.dtype)
    last_change = None
    for _ in range(epochs):
        order = rng.permutation(n)
        for i, start in enumerate(starts):
            rows = X[order[start : start + block]].T
            if extended and i % 10 == 0:
                signs = _signs(W @ X[rng.integers(n, size=min(n, 6000))].T)
            change, bias_change = _gradient(W @ rows + bias, signs, extended)
            W, bias = W + rate * change @ W, bias + rate * bias_change
            if not np.abs(W).max() < LARGEST_WEIGHT:
                W, bias, last_change = C.T.astype(X.dtype), np.zeros_like(bias), None
                before = W
                rate *= 0.9
            if i in pauses:
                yield W.T
        yield W.T
        change, before = W - before, W
        if last_change is not None:
            cosine = np.sum(change * last_change) / (np.linalg.norm(change) * np.linalg.norm(last_change))
            rate *= 0.98 if cosine < 0.5 else 1
        last_change = change


def _gradient(u, signs, extended):
    """Sums over a block of the natural gradient (without its factor W) and of the bias's gradient."""
    identity = u.shape[1] * np.eye(len(u), dtype=u.dtype)
    if extended:
        return identity - (signs * np.tanh(u)) @ u.T - u @ u.T, np.zeros((len(u), 1), u.dtype)
    score = -np.tanh(u / 2)  # 1 - 2 σ(u)
    return identity + score @ u.T, score.sum(axis=1, keepdims=True)


def _signs(Y):
    squares = Y**2
    kurtosis = np.mean(squares**2, axis=1) / np.mean(squares, axis=1) ** 2 - 3
    return np.where(kurtosis >= 0, 1, -1).astype(Y.dtype)[:, None]
