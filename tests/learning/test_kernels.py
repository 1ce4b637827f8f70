"""Every kernel does what its naive twin does, compiled and as plain Python."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stream_infomax.learning import kernels

sys.path.insert(0, str(Path(__file__).parents[1]))
import reference

RNG = np.random.default_rng(0)
Y = (3 * RNG.standard_normal((13, 7))).astype(np.float32)
BETA = RNG.uniform(0.5, 3, 7).astype(np.float32)
BIAS = RNG.normal(size=7).astype(np.float32)
TANH = np.tanh((BETA * Y + BIAS) / 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_finite_rows(dtype, bad):
    rows = Y.astype(dtype)
    rows[0, 0] = rows[5, 3] = rows[12, 6] = bad
    rows[7] = np.finfo(dtype).max
    finite = np.empty(13, np.bool_)
    assert kernels.finite_rows(rows, finite) == 10
    np.testing.assert_array_equal(finite, reference.finite_rows(rows))


def test_infinities_that_cancel_are_not_finite():
    finite = np.empty(1, np.bool_)
    assert kernels.finite_rows(np.array([[np.inf, -np.inf]]), finite) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centre_rows(dtype):
    rows = (Y + 1e6).astype(dtype)
    mean = np.full(7, 1e6)
    out = np.empty((13, 7), np.float32)
    kernels.centre_rows(rows, mean, 0.25, out)
    np.testing.assert_array_equal(out, reference.centre_rows(rows, mean, 0.25))


def test_score_block():
    sign = np.where(np.arange(7) % 2, 1, -1).astype(np.float32)
    linear = RNG.uniform(0, 1, 7).astype(np.float32)
    psi, slope, product = np.empty_like(Y), np.empty(7, np.float32), np.empty(7, np.float32)
    kernels.score_block(Y, TANH, BETA, sign, linear, psi, slope, product)
    expected = reference.score_block(Y.astype(float), BETA.astype(float), BIAS.astype(float), sign, linear)
    for made, wanted in zip((psi, slope, product), expected, strict=True):
        np.testing.assert_allclose(made, wanted, rtol=2e-5, atol=2e-6)


def test_a_row_of_zeros_has_finite_scores():
    y = np.zeros((2, 3), np.float32)
    ones = np.ones(3, np.float32)
    psi = np.empty_like(y)
    kernels.score_block(y, y, ones, ones, ones, psi, ones.copy(), ones.copy())
    np.testing.assert_array_equal(psi, 0)


def test_overcomplete_block():
    row, unit, linear = (RNG.uniform(0, 2, n).astype(np.float32) for n in (13, 7, 7))
    omega, sums = np.empty_like(Y), np.empty((3, 7), np.float32)
    kernels.overcomplete_block(Y, TANH, BETA, row, unit, linear, omega, sums)
    expected = reference.overcomplete_block(Y.astype(float), BETA.astype(float), BIAS.astype(float), row, unit, linear)
    np.testing.assert_allclose(omega, expected[0], rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(sums, expected[1], rtol=2e-4)


def test_minus_log_density_also_where_the_density_underflows():
    made = kernels.minus_log_density(Y, BETA)
    assert made == pytest.approx(reference.minus_log_density(Y.astype(float), BETA.astype(float)), rel=1e-6)
    assert kernels.minus_log_density(np.full((1, 1), 1e4, np.float32), np.ones(1, np.float32)) == pytest.approx(1e4)


def test_warmup_leaves_nothing_to_compile():
    code = (
        "from stream_infomax.learning import kernels; import numpy as np; kernels.warmup();"
        "from numba.core.registry import CPUDispatcher;"
        "found = [k for k in vars(kernels).values() if isinstance(k, CPUDispatcher)];"
        "before = [len(k.signatures) for k in found];"
        "from stream_infomax.learning.infomax import OnlineInfomax;"
        "X = np.random.default_rng(0).laplace(size=(800, 4));"
        "[OnlineInfomax(n).fit(Z).transform(Z) for n in (3, 4, 9) for Z in (X, X.astype('f4'),"
        " np.frombuffer(X.astype('f4').tobytes(), 'f4').reshape(X.shape))];"
        "assert all(before) and before == [len(k.signatures) for k in found], (before, found)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="this is the plain run already")
def test_the_same_as_plain_python():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "not warmup"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
