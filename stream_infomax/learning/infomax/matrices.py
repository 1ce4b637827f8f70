"""Small matrix functions that several parts of the learner need."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def diagonal(matrix: Floats) -> Floats:
    """Return the diagonal of a matrix as a view that can be written to."""
    return np.asarray(np.einsum("ii->i", matrix))


def polar(matrix: Floats) -> Floats:
    """Return the nearest matrix with orthonormal rows: (C Cᵀ)^(-1/2) C."""
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray(left @ right)


def nearer_rotation(matrix: Floats) -> tuple[Floats, bool]:
    """Return what Newton-Schulz makes of a float32 matrix C (K0, K1), and whether that is polar(C).

    It converges where the singular values of C lie below √3; where C is so far from a rotation that they may not, the
    singular values are computed.
    """
    gram = matrix @ matrix.T
    if not np.linalg.norm(gram) < 2 * math.sqrt(len(gram)):
        return polar(matrix.astype(np.float64)).astype(np.float32), True
    diagonal(gram)[:] -= 1
    done = bool(np.abs(gram).max() < 1e-3)  # the iteration squares the error: this one goes below float32's own
    gram *= np.float32(-0.5)
    diagonal(gram)[:] += 1
    return np.asarray(gram @ matrix), done


def nearest_rotation(matrix: Floats, limit: int = 12) -> Floats:
    """Return `polar` of a float32 matrix that is not far from it, by Newton-Schulz; a tenth of the time."""
    rotation = matrix
    for _ in range(limit):
        rotation, done = nearer_rotation(rotation)
        if done:
            return rotation
    return polar(matrix.astype(np.float64)).astype(np.float32)
