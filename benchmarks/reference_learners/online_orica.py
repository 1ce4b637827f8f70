"""ORICA as an online program runs it: whitening and rotation follow the stream, by one of two rules of forgetting.

Whitening (Hsu et al. 2016), row by row, v = M x: M ← (M - λ v (vᵀM) / (1 + λ(vᵀv - 1))) / (1 - λ); rotation in blocks
of eight as in `orica`. λ follows either rule:

* cooling, the default of the authors' program: λ = 0.995 / t^0.6;
* adaptive: λ ← (1 + g) λ - 0.02 λ² for every row, from 0.1 on, g = 10⁻³ (1 + tanh(z - 5)) / 2. z is how far the
  rotation is from its fixed point, ‖mean of I + y f(y)ᵀ‖ (a leaky mean, 0.01 a block), over the least that this has
  ever been, which counts as 1 where it is smaller.

Whitened rows have unit deviation, which the adaptive rule's index needs: at twice that, as `orica` has them, it never
comes down. Both rules begin with mean and whitening of ten rows for each channel: the first λ are near 1, where the
formulas alone go astray. The mean of the rows follows with the same λ.
"""

import numpy as np

from reference_learners.orica import BLOCK

WARMUP_ROWS_A_CHANNEL = 10
COOLING_START, COOLING_POWER = 0.995, 0.6
ADAPTIVE_START, GAIN, DECAY, TURN = 0.1, 1e-3, 0.02, 5.0
LEAK = 0.01


class OnlineOrica:
    """Learns from rows as they come; `components_` (K, K) are filters for x - mean."""

    def __init__(self, adaptive=False):
        self.adaptive = adaptive
        self.forget = ADAPTIVE_START
        self.n_rows_seen_ = 0
        self._pending = None
        self._sphere = None

    @property
    def components_(self):
        """Filters as they stand."""
        if self._sphere is None:
            raise AttributeError("components_")
        return self._rotation @ self._sphere

    def partial_fit(self, rows):
        """Learn from rows (n, K)."""
        rows = np.asarray(rows, np.float64)
        pending = rows if self._pending is None else np.concatenate([self._pending, rows])
        K = rows.shape[1]
        start = 0
        if self._sphere is None and len(pending) >= WARMUP_ROWS_A_CHANNEL * K:
            start = WARMUP_ROWS_A_CHANNEL * K
            self._begin(pending[:start])
        if self._sphere is not None:
            while start + BLOCK <= len(pending):
                self._learn(pending[start : start + BLOCK])
                start += BLOCK
        self._pending = pending[start:]
        return self

    def _begin(self, rows):
        K = rows.shape[1]
        values, vectors = np.linalg.eigh(np.cov(rows.T))
        self._sphere = (vectors / np.sqrt(values)) @ vectors.T
        self._mean = rows.mean(axis=0)
        self._rotation = np.eye(K)
        self._away, self._least = None, np.inf
        self.n_rows_seen_ = len(rows)

    def _learn(self, block):
        forgets = self._forgets()
        whitened = np.array([self._whiten(row, forget) for row, forget in zip(block, forgets, strict=True)])
        y = self._rotation @ whitened.T
        f = -2 * np.tanh(y)
        weight = forgets / (1 + forgets * (np.sum(f * y, axis=0) - 1))
        W = self._rotation - (y * weight) @ (f.T @ self._rotation)
        values, vectors = np.linalg.eigh(W @ W.T)
        self._rotation = (vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1]))) @ vectors.T @ W
        away = np.eye(len(y)) + y @ f.T / BLOCK
        self._away = away if self._away is None else self._away + LEAK * (away - self._away)
        self.n_rows_seen_ += BLOCK

    def _forgets(self):
        """λ of the eight rows that come."""
        if not self.adaptive:
            return COOLING_START / np.arange(self.n_rows_seen_ + 1.0, self.n_rows_seen_ + BLOCK + 1) ** COOLING_POWER
        ratio = 1.0
        if self._away is not None:
            index = float(np.linalg.norm(self._away))
            self._least = max(min(self._least, index), 1.0)
            ratio = index / self._least
        gain = GAIN * 0.5 * (1 + np.tanh(ratio - TURN))
        forgets = np.empty(BLOCK)
        for i in range(BLOCK):
            self.forget += gain * self.forget - DECAY * self.forget**2
            forgets[i] = self.forget
        return forgets

    def _whiten(self, row, forget):
        self._mean += forget * (row - self._mean)
        v = self._sphere @ (row - self._mean)
        self._sphere = (self._sphere - np.outer(v * (forget / (1 + forget * (v @ v - 1))), v @ self._sphere)) / (
            1 - forget
        )
        return self._sphere @ (row - self._mean)
