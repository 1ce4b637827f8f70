"""Infomax ICA (Bell & Sejnowski 1995) with the natural gradient (Amari 1996), and its extended version.

Blocks, rate and annealing are those that EEG programs run it with (runica, MNE): blocks of sqrt(n / 3) rows in a new
random order every epoch, rate 0.01 / ln K², times 0.98 whenever successive epochs' changes of W stand at more than 60
degrees. Extended: Lee, Girolami & Sejnowski 1999.
"""

import math
from collections.abc import Iterator

import numpy as np

YIELDS_AN_EPOCH = 8


def infomax_ica(X, C, epochs=200, extended=False, seed=0) -> Iterator[np.ndarray]:
    """Yield Wᵀ: columns are filters, not orthonormal. `extended` lets each output's sign follow its kurtosis."""
    rng = np.random.default_rng(seed)
    n, units = X.shape
    W = C.T.astype(X.dtype)
    bias = np.zeros((units, 1), X.dtype)
    rate = 0.01 / math.log(units**2)
    block = max(1, math.floor(math.sqrt(n / 3)))
    starts = range(0, n - block + 1, block)
    pauses = {round(part * len(starts) / YIELDS_AN_EPOCH) for part in range(1, YIELDS_AN_EPOCH)}
    signs = np.ones((units, 1), X.dtype)
    last_change = None
    for _ in range(epochs):
        before, order = W.copy(), rng.permutation(n)
        for i, start in enumerate(starts):
            rows = X[order[start : start + block]].T
            u = W @ rows + bias
            if extended:
                if i % 10 == 0:
                    signs = _signs(W @ X[rng.integers(n, size=min(n, 6000))].T)
                change = block * np.eye(units, dtype=X.dtype) - (signs * np.tanh(u)) @ u.T - u @ u.T
                W = W + rate * change @ W
            else:
                score = 1 - 2 / (1 + np.exp(-u))
                W = W + rate * (block * np.eye(units, dtype=X.dtype) + score @ u.T) @ W
                bias += rate * score.sum(axis=1, keepdims=True)
            if i in pauses:
                yield W.T
        yield W.T
        change = W - before
        if last_change is not None:
            cosine = np.sum(change * last_change) / (np.linalg.norm(change) * np.linalg.norm(last_change))
            rate *= 0.98 if cosine < 0.5 else 1
        last_change = change


def _signs(Y):
    squares = Y**2
    kurtosis = np.mean(squares**2, axis=1) / np.mean(squares, axis=1) ** 2 - 3
    return np.where(kurtosis >= 0, 1, -1).astype(Y.dtype)[:, None]
