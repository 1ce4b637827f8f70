"""Where the coefficients of the kernels' tanh come from, and how large its error is.

tanh v ≈ v P(v²)/Q(v²) for |v| <= END, with the largest relative error as small as it can be (minimax); beyond END, v is
held there. P and Q are found by iterated least squares: of |P - f Q| / (f Q before) for f(q) = tanh(√q)/√q, on
Chebyshev nodes of q, with weights that grow where the error is large (Lawson 1961). A common factor of P and Q changes
nothing but how they are rounded to float32: of some factors the one is taken with which the compiled function is best.

    python benchmarks/tanh_fit.py
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.polynomial import chebyshev, polynomial

from stream_infomax.learning.infomax import kernels

# From here on tanh is 1 within 2.3e-7.
END = 8.0
DEGREE = 4
NODES, ROUNDS, FACTORS = 4000, 60, 64


class Fit(NamedTuple):
    """Coefficients, lowest power of v² first, and the largest relative error of the quotient."""

    P: np.ndarray
    Q: np.ndarray
    error: float


def minimax(end: float = END, degree: int = DEGREE) -> Fit:
    """Return P and Q of a degree, Q's first coefficient 1."""
    t = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    v = np.sqrt((t + 1) / 2) * end
    f = np.tanh(v) / v
    basis = chebyshev.chebvander(t, degree)
    weights, before = np.ones(NODES), np.ones(NODES)
    best = np.inf, np.zeros((2, degree + 1))
    for _ in range(ROUNDS):
        rows = np.concatenate([basis, -f[:, None] * basis], axis=1) * (np.sqrt(weights) / (f * before))[:, None]
        found = np.linalg.svd(rows, full_matrices=False)[2][-1].reshape(2, -1)
        P, Q = basis @ found[0], basis @ found[1]
        error = np.abs(P / Q / f - 1)
        if error.max() < best[0]:
            best = error.max(), found
        before = np.abs(Q) / np.abs(Q).max()
        weights *= error / error.max() + 1e-3
        weights /= weights.mean()
    P, Q = (in_powers(series, end) for series in best[1])
    return Fit(P / Q[0], Q / Q[0], float(best[0]))


def in_powers(series: np.ndarray, end: float) -> np.ndarray:
    """Return a Chebyshev series in t = 2q/end² - 1 as a polynomial in q."""
    total, power = np.zeros(1), np.ones(1)
    for coefficient in chebyshev.cheb2poly(series):
        total = polynomial.polyadd(total, coefficient * power)
        power = polynomial.polymul(power, [-1, 2 / end**2])
    return total


def rounded(fit: Fit, end: float = END) -> Fit:
    """Return float32 coefficients with the factor that is best, and the largest relative error of what they compute."""
    best = Fit(fit.P, fit.Q, np.inf)
    for factor in 2.0 ** (np.arange(FACTORS) / FACTORS):
        P, Q = (factor * fit.P).astype(np.float32), (factor * fit.Q).astype(np.float32)
        error, largest = errors(quotient, P, Q, np.float32(end))
        if error < best.error and largest <= 1:
            best = Fit(P, Q, error)
    return best


@njit(fastmath=kernels.REGROUP, error_model=kernels.DIVISION)
def quotient(values, out, P, Q, end):
    """Write the quotient of values (n,) float32 into `out`, as the kernel computes it."""
    for i in range(len(values)):
        v = min(max(values[i], -end), end)
        q = v * v
        top = v * (P[0] + q * (P[1] + q * (P[2] + q * (P[3] + q * P[4]))))
        out[i] = top / (Q[0] + q * (Q[1] + q * (Q[2] + q * (Q[3] + q * Q[4]))))


@njit(fastmath=kernels.REGROUP, error_model=kernels.DIVISION)
def as_compiled(values, out):
    """Write the kernel's tanh of values (n,) float32 into `out`."""
    for i in range(len(values)):
        out[i] = kernels.tanh(values[i])


def errors(function, *arguments) -> tuple[float, float]:
    """Return the largest relative error of a function on float32 from 10⁻³⁰ to 12, and its largest value."""
    values = np.concatenate([np.geomspace(1e-30, 1, 100_001), np.linspace(0.1, 12, 1_000_001)]).astype(np.float32)
    made = np.empty_like(values)
    function(values, made, *arguments)
    return float(np.abs(made / np.tanh(values.astype(np.float64)) - 1).max()), float(made.max())


if __name__ == "__main__":
    fit = minimax()
    single = rounded(fit)
    for name, coefficients in (("P", single.P), ("Q", single.Q)):
        print(f"{name}:", ", ".join(f"{value:.9g}" for value in coefficients))
    print(f"largest relative error: {fit.error:.1e} of the quotient, {single.error:.2e} of it in float32")
    print("of the kernel as it is: {:.2e}; its largest value {:.9f}".format(*errors(as_compiled)))
