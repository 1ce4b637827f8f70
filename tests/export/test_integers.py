"""Filters of 8 and 16 bits: as exact as the header says, with sums that cannot overflow."""

import re

import numpy as np
import pytest
from helpers.bases import basis, rows_of
from helpers.clients import has
from helpers.fronts import encoded, subject
from helpers.headers import COMPILERS, VALGRIND, build, features

from stream_infomax.export.c import header
from stream_infomax.export.integers import LARGEST, Integers
from stream_infomax.export.subject import Subject

SANITIZE = ("-fsanitize=undefined", "-fno-sanitize-recover=all")
# Of the potentials' deviation: twice what the rows of these tests come to.
MOST = {8: 0.05, 16: 2e-4}


@has("gcc")
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_compiler(tmp_path, compiler, bits):
    encoder = basis(40, 30, 45, mean=3.0)
    X = rows_of(encoder, 500)
    X[3, 2], X[7, 0] = np.nan, -np.inf
    flags = ("-O2", *(SANITIZE if compiler == "gcc" else ()))
    text = header(Subject(encoder), weights=f"int{bits}")
    found = features(build(tmp_path, text, compiler=compiler, flags=flags), X, 45)
    expected = encoder.transform(X)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert 0 < np.nanstd(found - expected) / np.nanstd(expected) < MOST[bits]
    whole = Integers.of(encoder, bits)
    finite = np.isfinite(X).all(axis=1)
    off = np.abs(found[finite] - whole(X[finite]))
    ties = 2 * whole.steps(X[finite])[:, None] * np.abs(whole.weights * whole.scales[:, None]).max()
    assert (off <= 1e-5 * np.abs(expected[finite]).max() + ties).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_the_stated_error_is_that_of_rows(bits):
    encoder = basis(60, spread=100.0)
    X = rows_of(encoder, 20000)
    whole = Integers.of(encoder, bits)
    exact = encoder.transform(X).astype(np.float64)
    error = np.sqrt(((whole(X) - exact) ** 2).mean(axis=0) / (exact**2).mean(axis=0))
    stated = np.sqrt(whole.filter_error**2 + whole.row_error**2)
    assert (error < 1.2 * stated).all()
    assert (error > 0.8 * whole.filter_error).all()


def test_errors_fall_where_rows_hardly_vary():
    encoder = basis(60, spread=300.0)
    X = rows_of(encoder, 2000)
    whole, exact = Integers.of(encoder, 8), encoder.transform(X)
    filters = encoder.components / whole.units / whole.scales[:, None]
    nearest = np.rint(filters) * whole.scales[:, None] * whole.units
    plain = np.std((X - encoder.mean) @ nearest.T - exact) / np.std(exact)
    assert 2 * np.std(whole(X) - exact) / np.std(exact) < plain


@has("gcc")
@pytest.mark.parametrize(("bits", "K", "narrow"), [(8, 516, True), (8, 517, False), (16, 30, False)])
def test_the_largest_row_does_not_overflow(tmp_path, bits, K, narrow):
    encoder = basis(K, 2)
    flat = 1e-3 * np.ones((2, K), np.float32)  # every weight and every number at its largest
    encoder = type(encoder)(
        mean=np.zeros(K),
        components=flat,
        mixing=flat.T,
        amplitude=1.0,
        beta=encoder.beta,
        bias=encoder.bias,
        output="potential",
    )
    whole = Integers.of(encoder, bits)
    assert whole.is_narrow == narrow
    largest = int(np.abs(whole.weights.astype(np.int64)).sum(axis=1).max()) * LARGEST
    assert (largest < 2**31) == narrow
    text = header(Subject(encoder), weights=f"int{bits}")
    assert (f"int{32 if narrow else 64}_t sum" in text) and f"sums of {32 if narrow else 64} bits" in text
    X = np.ones((1, K), np.float32)
    found = features(build(tmp_path, text, flags=("-O2", *SANITIZE)), X, 2)
    np.testing.assert_allclose(found, encoder.transform(X), rtol=1e-2)


@has("gcc")
@pytest.mark.parametrize(("value", "scale"), [(0.0, 1.0), (1e-38, 1.0), (1e37, 1.0), (3e38, 0.01), (-3e38, 0.01)])
def test_rows_of_no_size_and_of_any(tmp_path, value, scale):
    one = basis(6)
    smaller = {"mixing": scale * one.mixing, "components": one.components / np.float32(scale)}
    encoder = type(one)(**{**vars(one), **smaller})
    X = np.full((1, 6), value, np.float32)
    binary = build(tmp_path, header(Subject(encoder), weights="int8"), program=PRINT, flags=("-O2", *SANITIZE))
    found = features(binary, X, 6)
    if scale < 1:  # more than float32 holds
        assert np.isnan(found).all()
    else:
        expected = X.astype(np.float64) @ encoder.components.T.astype(np.float64)
        assert np.abs(found - expected).max() <= 1e-30 + 0.05 * value * np.abs(encoder.components).max()


PRINT = """
#include "NAME.h"
#include <stdio.h>
int main(void)
{
    float x[NAME_INPUTS], y[NAME_OUTPUTS];
    return fread(x, sizeof x, 1, stdin) != 1 || NAME_encode(x, y) > NAME_NOT_FINITE
        || fwrite(y, sizeof y, 1, stdout) != 1;
}
"""


@has("gcc", "valgrind")
@pytest.mark.parametrize("output", ["halves", "rate", "log"])
def test_outputs_and_valgrind(tmp_path, output):
    encoder = basis(20, 15, output=output, mean=2.0)
    X = rows_of(encoder, 30)
    binary = build(tmp_path, header(Subject(encoder), weights="int16"), flags=("-O1", "-g"))
    np.testing.assert_allclose(features(binary, X, encoder.width, *VALGRIND), encoder.transform(X), atol=0.02)


@has("gcc")
def test_the_own_mean_of_patches(tmp_path):
    one = subject("patches", patch=5, center=True, mean=0.1)
    patches = np.random.default_rng(0).uniform(size=(9, 5, 5)).astype(np.float32)
    found = features(build(tmp_path, header(one, weights="int16")), patches, one.encoder.width)
    expected = encoded(one, patches)
    assert np.std(found - expected) < 1e-3 * np.std(expected)


def test_a_quarter_and_half_of_the_constants():
    one = Subject(basis(64))
    sizes = [
        int(re.search(r"([\d,]+) bytes of constants", header(one, weights=weights))[1].replace(",", ""))
        for weights in ("float32", "int16", "int8")
    ]
    assert sizes == [64 * 64 * 4 + 256, 64 * 64 * 2 + 1024, 64 * 64 + 1024]
    assert header(one, weights="int8") == header(Subject(basis(64)), weights="int8")
