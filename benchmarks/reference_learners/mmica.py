"""Online majorisation-minimisation ICA (Ablin, Gramfort, Cardoso & Bach, AISTATS 2019).

-ln density of a super-Gaussian source is the lower envelope of parabolas u y²/2 + f(u), touched at u*(y) = ψ(y)/y. For
fixed u the loss is quadratic in each row of W given the others: -ln|det W| + ½ Σ_i w_iᵀ A_i w_i with A_i = ⟨u_i x xᵀ⟩
(K × K × K numbers of memory). A batch moves A_i by the step (n + 1)^-0.7; then every row is minimised in turn:
K s = e_i with K = W A_i Wᵀ, by ten conjugate-gradient steps.
"""

import math
from collections.abc import Iterator

import numpy as np

BETA = math.pi / math.sqrt(3)


def mmica(X, C, passes=20, batch=1000, step_power=0.7, cg_steps=10) -> Iterator[np.ndarray]:
    """Yield Wᵀ after every batch; the density is the logistic of unit variance, as everywhere here.

    The first batch alone makes A, so it has to hold several times as many rows as there are outputs.
    """
    X = X.astype(np.float64)
    n, units = X.shape
    W = C.T.astype(np.float64)
    A = np.zeros((units, units, units))
    count = 0
    for _ in range(passes):
        for start in range(0, n - batch + 1, batch):
            rows = X[start : start + batch].T
            Y = W @ rows
            # tanh(x)/x is 1 at 0; the smallest number keeps 0/0 away.
            half = BETA / 2 * np.abs(Y) + np.finfo(float).tiny
            curvature = BETA**2 / 2 * np.tanh(half) / half
            step = (count + 1) ** -step_power
            A *= 1 - step
            for i in range(units):
                A[i] += (step / batch) * (rows * curvature[i]) @ rows.T
            for i in range(units):
                s = _solve_unit(W @ A[i] @ W.T, i, cg_steps)
                W[i] = s @ W / math.sqrt(s[i])
            count += 1
            yield W.T


def _solve_unit(K, i, steps):
    """K s = e_i by conjugate gradients, from the start e_i / K_ii."""
    s = np.zeros(len(K))
    s[i] = 1 / K[i, i]
    residual = -K[:, i] * s[i]
    residual[i] += 1
    direction = residual.copy()
    square = residual @ residual
    for _ in range(steps):
        if square < 1e-20:
            break
        image = K @ direction
        length = square / (direction @ image)
        s += length * direction
        residual -= length * image
        new_square = residual @ residual
        direction = residual + new_square / square * direction
        square = new_square
    return s
