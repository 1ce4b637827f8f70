"""Every kernel does what its naive twin does, compiled and as plain Python."""

import os
import subprocess
import sys

import numpy as np
import pytest
import reference

from stream_infomax.learning.infomax import kernels

RNG = np.random.default_rng(0)
Y = (3 * RNG.standard_normal((13, 7))).astype(np.float32)
BETA = 2.2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("made", [np.float32, np.float64])
def test_take_rows(dtype, bad, made):
    rows = (Y + 1e6).astype(dtype)
    rows[0, 0] = rows[5, 3] = rows[12, 6] = bad
    mean, scale = np.full(7, 1e6), np.exp2(np.arange(-3.0, 4.0))
    out, wanted = np.zeros((2, 8, 7), made)
    where = filled = 0
    expected = 0, 0
    for _ in range(2):  # `out` is full before the rows end, then it has room again
        where, filled = kernels.take_rows(rows, where, mean, scale, out, filled)
        expected = reference.take_rows(rows, expected[0], mean, scale, wanted, expected[1])
        assert (where, filled) == expected
        np.testing.assert_array_equal(out[:filled], wanted[:filled])
        expected, filled = (where, 1), 1
    assert where == 13


@pytest.mark.filterwarnings("ignore:overflow")
def test_rows_that_overflow_float32_or_cancel_are_not_taken():
    rows = np.array([[1e300, 0.0], [np.inf, -np.inf], [1.0, 2.0]])
    out = np.zeros((3, 2), np.float32)
    assert kernels.take_rows(rows, 0, np.zeros(2), np.ones(2), out, 0) == (3, 1)
    assert out[0].tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_centre_rows(dtype, bad):
    rows = (Y + 1e6).astype(dtype)
    rows[0, 0] = rows[5, 3] = bad
    mean = np.full(7, 1e6)
    finite, out = np.empty(13, np.bool_), np.empty((13, 7), np.float32)
    assert kernels.centre_rows(rows, mean, finite, out) == 11
    for made, wanted in zip((finite, out), reference.centre_rows(rows, mean), strict=True):
        np.testing.assert_array_equal(made, wanted)


def test_tanh_is_as_good_as_it_says():
    values = np.concatenate([np.linspace(-12, 12, 4001), np.geomspace(1e-30, 1, 300)]).astype(np.float32)
    made = np.array([kernels.tanh(value) for value in values])
    np.testing.assert_allclose(made, np.tanh(values.astype(np.float64)), rtol=3e-7)
    assert kernels.tanh(np.float32(0)) == 0
    assert np.isnan(kernels.tanh(np.float32(np.nan)))
    assert abs(kernels.tanh(np.float32(-np.inf)) + 1) < 1e-6


def test_score_block():
    sign = np.where(np.arange(7) % 2, 1, -1).astype(np.float32)
    linear = RNG.uniform(0, 1, 7).astype(np.float32)
    psi, means = np.empty_like(Y), np.empty((3, 7), np.float32)
    kernels.score_block(Y, BETA, sign, linear, psi, means)
    expected = reference.score_block(Y.astype(float), BETA, sign, linear)
    for made, wanted in zip((psi, means), expected, strict=True):
        np.testing.assert_allclose(made, wanted, rtol=2e-5, atol=2e-6)


def test_a_row_of_zeros_has_finite_scores():
    y = np.zeros((2, 3), np.float32)
    ones = np.ones(3, np.float32)
    psi = np.empty_like(y)
    kernels.score_block(y, 1.0, ones, ones, psi, np.ones((3, 3), np.float32))
    np.testing.assert_array_equal(psi, 0)


def test_shorten():
    y = Y * np.geomspace(0.1, 100, len(Y), dtype=np.float32)[:, None]
    expected, wanted = reference.shorten(y.astype(float), 3.0)
    lengths = np.empty(len(y), np.float32)
    expected_counts = np.count_nonzero(wanted > 3), np.count_nonzero(wanted > 1)
    assert kernels.shorten(y, 3.0, 1.0, lengths) == expected_counts
    assert 0 < expected_counts[0] < expected_counts[1]
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    np.testing.assert_allclose(lengths, wanted, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("value", [1e30, np.inf, np.nan])
def test_a_row_too_long_for_float32_becomes_nothing(value):
    y = np.array([[1, 1], [value, 1]], np.float32)
    lengths = np.empty(2, np.float32)
    assert kernels.shorten(y, 3.0, 3.0, lengths) == (1, 1)
    assert y.tolist() == [[1, 1], [0, 0]]
    assert lengths.tolist() == [1, np.inf]


def test_overcomplete_block():
    row, unit, linear = (RNG.uniform(0, 2, n).astype(np.float32) for n in (13, 7, 7))
    omega, sums = np.empty_like(Y), np.empty((3, 7), np.float32)
    kernels.overcomplete_block(Y, BETA, row, unit, linear, omega, sums)
    expected = reference.overcomplete_block(Y.astype(float), BETA, row, unit, linear)
    np.testing.assert_allclose(omega, expected[0], rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(sums, expected[1], rtol=2e-4)


def test_tuning_sums():
    beta, bias = RNG.uniform(0.5, 3, (2, 7)).astype(np.float32)
    sums = np.empty((3, 7), np.float32)
    kernels.tuning_sums(Y, beta, bias, sums)
    expected = reference.tuning_sums(Y.astype(float), beta.astype(float), bias.astype(float))
    np.testing.assert_allclose(sums, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 7, 32, 75])  # within, at and beyond the tiles of the transpose
def test_skew(size):
    matrix, turn = RNG.standard_normal((2, size, size)).astype(np.float32)
    curvature, squares = RNG.uniform(0, 2, (2, size)).astype(np.float32)
    total = kernels.skew(matrix, curvature, 0.3, 1.0, turn, squares)
    expected = reference.skew(matrix.astype(float), curvature.astype(float), 0.3, 1.0)
    np.testing.assert_allclose(turn, expected[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(squares, expected[1], rtol=1e-5, atol=1e-12)
    assert total == pytest.approx(expected[1].sum(), rel=1e-5)
    transposed = np.empty_like(matrix)
    kernels.transpose(matrix, transposed)
    np.testing.assert_array_equal(transposed, matrix.T)


@pytest.mark.parametrize("size", [1, 2, 9, 60])
def test_largest_turn(size):
    matrix = RNG.standard_normal((size, size))
    turn = (matrix - matrix.T).astype(np.float32)
    exact = np.linalg.norm(turn.astype(float), 2)
    squares = (turn**2).sum(axis=1)
    assert 0.85 * exact <= kernels.largest_turn(turn, squares) <= exact * 1.0001


def test_unit_columns():
    matrix = RNG.standard_normal((9, 9))
    turn = (matrix - matrix.T).astype(np.float32)
    squares = (turn**2).sum(axis=0)
    expected = reference.unit_columns(turn.astype(float), 0.3)
    kernels.unit_columns(turn, squares, 0.3)
    np.testing.assert_allclose(turn, expected, atol=1e-6)


def test_advance():
    value, moved, average = RNG.standard_normal((3, 5, 7)).astype(np.float32)
    expected = value + moved, average + 0.3 * (value + moved - average)
    kernels.advance(value, moved, average, 0.3)
    for made, wanted in zip((value, average), expected, strict=True):
        np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-6)


def test_centre_and_accumulate():
    rows = (RNG.standard_normal((40, 5)) + 300).astype(np.float32)
    mean, centred = (rows.mean(axis=0) + np.float32(0.01)).astype(np.float32), np.empty_like(rows)
    rest = kernels.centre(rows, mean, centred)
    np.testing.assert_array_equal(centred, rows - mean)
    np.testing.assert_allclose(rest, (rows - mean).sum(axis=0, dtype=np.float64), rtol=1e-6)
    total = RNG.standard_normal((5, 5))
    expected = total + reference.scatter(rows)
    wide = mean.astype(np.float64)
    kernels.accumulate(total, centred.T @ centred, wide, len(rows) * wide + rest, rest)
    np.testing.assert_allclose(total, expected, rtol=1e-9)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="this is the plain run already")
def test_the_same_as_plain_python():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
