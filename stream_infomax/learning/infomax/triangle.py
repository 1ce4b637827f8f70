"""Symmetric matrices as their upper triangles: half the numbers, for what is sent."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def packed(matrix: Floats) -> Floats:
    """Return the upper triangle (K(K+1)/2,) of a symmetric matrix (K, K), row by row."""
    return np.asarray(matrix.reshape(-1)[_places(len(matrix))])


def unpacked(triangle: Floats) -> Floats:
    """Return the symmetric matrix (K, K) of an upper triangle (K(K+1)/2,)."""
    K = (math.isqrt(8 * len(triangle) + 1) - 1) // 2
    matrix = np.zeros((K, K))
    matrix.reshape(-1)[_places(K)] = triangle
    below = matrix.T.copy()
    np.fill_diagonal(below, 0)
    below += matrix
    return below


@lru_cache(maxsize=4)
def _places(K: int) -> NDArray[np.intp]:
    rows, columns = np.triu_indices(K)
    return np.asarray(rows * K + columns)
