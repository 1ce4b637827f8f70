"""Online recursive ICA (Akhtar et al. 2012; Hsu et al. 2016).

W ← W + λ/(1-λ) (I - y fᵀ / (1 + λ(fᵀy - 1))) W, then W ← (W Wᵀ)^(-1/2) W, with the published settings: blocks of 8
rows, f = -2 tanh(y) for super-Gaussian sources and 2 tanh(y) for sub-Gaussian ones (their number has to be given),
λ = 0.995 / t^0.6, and rows whitened to a deviation of 2 (the authors' program doubles the sphering matrix). With these,
the denominator 1 + λ(fᵀy - 1) is negative until λ < 1 / |fᵀy|: for 144 outputs that takes thousands of rows, in which
the updates go astray. It is left as published; eigenvalues are floored so that W survives.
"""

from collections.abc import Iterator

import numpy as np

BLOCK = 8
DEVIATION = 2.0


def orica(X, C, passes=10, n_sub_gaussian=0, decay=0.6, start=0.995, every=64) -> Iterator[np.ndarray]:
    """Yield Wᵀ after every `every` blocks."""
    n, units = X.shape
    W = C.T.astype(np.float64)
    signs = np.where(np.arange(units) < n_sub_gaussian, 2, -2).astype(np.float64)[:, None]
    count = 0
    for _ in range(passes):
        for first in range(0, n - BLOCK + 1, BLOCK):
            y = W @ (DEVIATION * X[first : first + BLOCK].T)
            f = signs * np.tanh(y)
            forget = start / np.arange(count * BLOCK + 1, (count + 1) * BLOCK + 1.0) ** decay
            weight = forget / (1 + forget * (np.sum(f * y, axis=0) - 1))
            W = W - (y * weight) @ (f.T @ W)
            # The product of 1/(1-λ) that multiplies W falls out of the orthonormalisation.
            values, vectors = np.linalg.eigh(W @ W.T)
            W = (vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1]))) @ vectors.T @ W
            count += 1
            if count % every == 0:
                yield W.T
