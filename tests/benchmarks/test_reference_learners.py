"""The reference learners of the benchmarks recover known sources, and follow the equations they cite."""

from collections import deque

import numpy as np
import pytest
from reference_learners import (
    OnlineOrica,
    batch_infomax,
    batch_infomax_blocks,
    batch_overcomplete,
    infomax_ica,
    mmica,
    orica,
)
from reference_learners.paper import _overcomplete_pass, start_beta

from stream_infomax.learning.measures.information import amari_distance

UNITS = 5


def whitened(sources, seed=0):
    """Mixed and whitened rows, the mixing that made them, and a random start."""
    rng = np.random.default_rng(seed)
    mixed = sources @ rng.standard_normal((UNITS, UNITS))
    values, vectors = np.linalg.eigh(np.cov(mixed.T))
    X = (mixed - mixed.mean(axis=0)) @ (vectors / np.sqrt(values))
    mixing = np.linalg.lstsq(sources, X, rcond=None)[0]
    return X.astype(np.float32), mixing, np.linalg.qr(rng.standard_normal((UNITS, UNITS)))[0].astype(np.float32)


def laplace(rows=8000):
    return np.random.default_rng(7).laplace(size=(rows, UNITS))


def last(iterator):
    return deque(iterator, maxlen=1).pop()


@pytest.mark.parametrize(
    ("learner", "settings", "target"),
    [
        (batch_infomax, {"epochs": 150}, 0.01),
        (batch_infomax_blocks, {"epochs": 150}, 0.01),
        (batch_overcomplete, {"epochs": 150}, 0.02),
        (infomax_ica, {"epochs": 40}, 0.02),
        (infomax_ica, {"epochs": 40, "extended": True}, 0.02),
        (mmica, {"passes": 3, "batch": 100}, 0.02),
        (orica, {"passes": 3}, 0.05),
    ],
)
def test_known_sources_are_recovered(learner, settings, target):
    X, mixing, start = whitened(laplace())
    C = last(learner(X, start, **settings))
    assert amari_distance(mixing @ start) > 0.3
    assert amari_distance(mixing @ C) < target


def test_both_versions_of_algorithm_1_take_the_same_path():
    X, _, start = whitened(laplace(1000))
    plain, fused = batch_infomax(X, start, epochs=20), batch_infomax_blocks(X, start, epochs=20)
    np.testing.assert_allclose(last(plain), last(fused), atol=1e-3)


def test_extended_infomax_and_orica_separate_sub_gaussian_sources():
    rng = np.random.default_rng(3)
    sources = np.concatenate([rng.laplace(size=(20000, 3)), rng.uniform(-1, 1, size=(20000, 2))], axis=1)
    X, mixing, start = whitened(sources)
    assert amari_distance(mixing @ last(infomax_ica(X, start, epochs=20, extended=True))) < 0.05
    assert amari_distance(mixing @ last(orica(X, start, passes=2, n_sub_gaussian=2))) < 0.1


def test_overcomplete_direction_is_the_projected_derivative():
    rng = np.random.default_rng(0)
    X = rng.laplace(size=(200, 3))
    u, _, vt = np.linalg.svd(rng.standard_normal((3, 5)), full_matrices=False)
    C, beta, h = u @ vt, start_beta(3, 5), 1e-6
    numeric = np.zeros_like(C)
    for index in np.ndindex(C.shape):
        change = np.zeros_like(C)
        change[index] = h
        numeric[index] = (_overcomplete_pass(X, C + change, beta)[0] - _overcomplete_pass(X, C - change, beta)[0]) / (
            2 * h
        )
    np.testing.assert_allclose(_overcomplete_pass(X, C, beta)[1], -numeric + C @ numeric.T @ C, atol=1e-7)


@pytest.mark.parametrize("adaptive", [False, True])
def test_online_orica_unmixes_rows_as_they_come(adaptive):
    rng = np.random.default_rng(4)
    mixing = rng.standard_normal((UNITS, UNITS))
    learner = OnlineOrica(adaptive)
    for rows in np.array_split(rng.laplace(size=(20_000, UNITS)) @ mixing.T, 100):
        learner.partial_fit(rows)
    assert amari_distance(learner.components_ @ mixing) < 0.05
