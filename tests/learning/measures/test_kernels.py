"""Every kernel of the measures does what its naive twin does, compiled and as plain Python."""

import os
import subprocess
import sys

import numpy as np
import pytest
import reference

from stream_infomax.learning.measures.kernels import add_information, add_to_histogram

RNG = np.random.default_rng(0)


def test_histogram():
    Y = RNG.laplace(size=(300, 3)).astype(np.float32) * np.array([0.1, 1, 1e6], np.float32)
    Y[17, 1], Y[40, 0] = np.nan, np.inf
    counts = np.zeros((3, 64), np.int32)
    assert add_to_histogram(Y, 0, 1000, counts) == (298, 300)
    np.testing.assert_array_equal(counts, reference.histogram(Y.astype(np.float64), 64))
    assert add_to_histogram(Y, 10, 20, counts) == (20, 31)


@pytest.mark.parametrize("square", [True, False])
def test_information(square):
    Y = (2 * RNG.laplace(size=(50, 70))).astype(np.float32)
    sums = np.zeros(4)
    total = add_information(Y, 1.8, 1e4, square, sums)
    minus_log_density, bits = reference.information(Y.astype(np.float64), 1.8, 1e4)
    expected = [50, minus_log_density, 50, bits] if square else [50, minus_log_density, 0, 0]
    np.testing.assert_allclose(sums, expected, rtol=1e-10)
    assert total == pytest.approx(bits if square else 0)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="this is the plain run already")
def test_the_same_as_plain_python():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
