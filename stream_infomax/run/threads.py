"""The environment in which every process of a run works; it has to be set before NumPy is there."""

from __future__ import annotations

# Results must not depend on how many cores a machine has; the processes share the cores among them.
THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
