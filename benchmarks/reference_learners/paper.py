"""The paper's algorithms 1 and 2, full batch (Huang & Zhang 2017), in plain numpy and in blocks."""

import math
from collections.abc import Callable, Iterator

import numpy as np

EPOCHS = 300
V1, TAU, T0 = 0.4, 0.8, 50
BLOCK = 256


def start_beta(n_rank, n_components):
    return math.pi / math.sqrt(3) * math.sqrt(n_components / n_rank)


def batch_infomax(X, C, epochs=EPOCHS, v=V1, tau=TAU, t0=T0) -> Iterator[np.ndarray]:
    """Algorithm 1 as published: gradient (2.87) and Q (2.83) over all rows, step v/κ, v ← τv when Q does not fall."""
    return _rotate(lambda C, beta: _plain_pass(X, C, beta), X, C, epochs, v, tau, t0)


def batch_infomax_blocks(X, C, epochs=EPOCHS, v=V1, tau=TAU, t0=T0) -> Iterator[np.ndarray]:
    """The same, computed as the project's learner computes: in place, by blocks that stay in the cache."""
    return _rotate(lambda C, beta: _blocked_pass(X, C, beta), X, C, epochs, v, tau, t0)


def batch_overcomplete(X, C, epochs=100, v=V1, tau=TAU, t0=T0) -> Iterator[np.ndarray]:
    """Algorithm 2 (2.98): Q̂ = -½ ln det(C D² Cᵀ), D = ⟨Φ⟩; dQ̂/dC = -(M⁻¹ C D² + ⟨x̂ ω̂ᵀ⟩), see docs/learning.md."""
    return _rotate(lambda C, beta: _overcomplete_pass(X, C, beta), X, C, epochs, v, tau, t0)


def _rotate(pass_over: Callable, X, C, epochs, v, tau, t0):
    beta0 = start_beta(*C.shape)
    last = math.inf
    for epoch in range(epochs):
        beta = beta0 / 2 if epoch < t0 else beta0
        Q, direction = pass_over(C, beta)
        if epoch == t0:
            last = math.inf  # Q at another β is another function
        if not last > Q:
            v *= tau
        last = Q
        relative = np.linalg.norm(direction, axis=0) / np.linalg.norm(C, axis=0)
        C = orthonormal(C + v / relative.mean() * direction)
        yield C


def orthonormal(C):
    """(C Cᵀ)^(-1/2) C."""
    values, vectors = np.linalg.eigh((C @ C.T).astype(np.float64))
    return ((vectors / np.sqrt(values)) @ vectors.T @ C).astype(C.dtype)


def _plain_pass(X, C, beta):
    Y = X @ C
    psi = beta * np.tanh(beta / 2 * Y)
    G = psi.T @ Y / len(X)
    u = np.abs(beta * Y)
    Q = float(np.sum(np.mean(u + 2 * np.log1p(np.exp(-u)), axis=0))) - C.shape[1] * math.log(beta)
    return Q, C @ (G - G.T)


def _blocked_pass(X, C, beta):
    units = C.shape[1]
    G = np.zeros((units, units), X.dtype)
    Q = 0.0
    Y, T = np.empty((BLOCK, units), X.dtype), np.empty((BLOCK, units), X.dtype)
    for first in range(0, len(X), BLOCK):
        rows = X[first : first + BLOCK]
        y, t = Y[: len(rows)], T[: len(rows)]
        np.matmul(rows, C, out=y)
        np.multiply(y, X.dtype.type(beta / 2), out=t)
        np.tanh(t, out=t)
        G += t.T @ y
        np.abs(y, out=y)
        y *= X.dtype.type(-beta)
        Q -= float(y.sum())
        np.exp(y, out=y)
        np.log1p(y, out=y)
        Q += 2 * float(y.sum())
    G *= X.dtype.type(beta / len(X))
    return Q / len(X) - units * math.log(beta), C @ (G - G.T)


def _overcomplete_pass(X, C, beta):
    T = np.tanh(beta / 2 * (X @ C))
    phi = beta / 4 * (1 - T * T)
    D = phi.mean(axis=0, dtype=np.float64)
    M = (C * D**2) @ C.T.astype(np.float64)
    solved = np.linalg.solve(M, C)
    weight = (D * np.einsum("ij,ij->j", C, solved)).astype(X.dtype)
    pull = X.T @ (-beta * T * phi * weight) / len(X)
    uphill = (solved * D**2).astype(X.dtype) + pull
    return -0.5 * float(np.linalg.slogdet(M)[1]), uphill - C @ (uphill.T @ C)
