"""The learning rules: their directions are those of numerical derivatives, their steps stay orthonormal."""

import sys
from pathlib import Path

import numpy as np
import pytest

from stream_infomax.learning.updates import CompleteRule, OvercompleteRule, make_rule, spectral_norm

sys.path.insert(0, str(Path(__file__).parents[1]))
import reference

RNG = np.random.default_rng(0)
K = 4


def on_a_sphere(n):
    """Rows of one length, whitened exactly, on which weights and control terms change nothing."""
    x = RNG.laplace(size=(n, K))
    x = np.concatenate([x, -x])
    for _ in range(200):
        x *= np.sqrt(K) / np.linalg.norm(x, axis=1, keepdims=True)
        x = x @ np.linalg.inv(np.linalg.cholesky(reference.covariance(x))).T
    return x


def taken_step(rule, x, learnt):
    before = rule.rotation.astype(np.float64)
    rule.step(x.astype(np.float32), np.eye(K, dtype=np.float32), len(x), learnt)
    return before, rule.rotation.astype(np.float64) - before


def test_algorithm_1_steps_along_the_constrained_gradient():
    x = on_a_sphere(40)
    rule = CompleteRule(K, 0, None)
    learnt = 10**12  # so small a step that its second order vanishes
    before, moved = taken_step(rule, x, learnt)
    slope = reference.gradient(lambda C: reference.objective_complete(C, x, rule.beta.astype(float)), before)
    turn = before.T @ (-slope + before @ slope.T @ before)  # C(G - Gᵀ) = C turn (2.87)
    expected = before @ (turn * rule.inverse)
    cosine = np.sum(moved * expected) / np.linalg.norm(moved) / np.linalg.norm(expected)
    assert cosine > 0.9999


def test_algorithm_2_steps_along_the_constrained_gradient():
    x = on_a_sphere(40)
    row = np.full(len(x), 1 / len(x))
    rule = OvercompleteRule(K, 7, 0, None)
    beta = rule.beta.astype(float)
    zeros = np.zeros(7)
    C = rule.rotation.astype(np.float64)
    rule.density = reference.overcomplete_block(x @ C, beta, zeros, row, zeros, zeros)[1][0]
    before, moved = taken_step(rule, x, 10**12)
    slope = reference.gradient(lambda C: reference.objective_overcomplete(C, x, beta, row), before)
    expected = -slope + before @ slope.T @ before
    cosine = np.sum(moved * expected) / np.linalg.norm(moved) / np.linalg.norm(expected)
    assert cosine > 0.999


@pytest.mark.parametrize("components", [K, 9])
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e-3])
def test_rotations_stay_orthonormal_whatever_comes(components, scale):
    rule = make_rule(K, components, 0, None)
    for i in range(100):
        x = (scale * RNG.standard_t(1.5, size=(16, K))).astype(np.float32)
        rule.step(x, np.eye(K, dtype=np.float32), 16, 16 * i)
    np.testing.assert_allclose(rule.rotation @ rule.rotation.T, np.eye(K), atol=0.15)
    np.testing.assert_allclose(rule.published() @ rule.published().T, np.eye(K), atol=1e-5)


def test_the_start_is_orthonormal_and_seeded():
    start = make_rule(K, 9, 3, None).rotation
    np.testing.assert_allclose(start @ start.T, np.eye(K), atol=1e-6)
    np.testing.assert_array_equal(start, make_rule(K, 9, 3, None).rotation)
    assert not np.array_equal(start, make_rule(K, 9, 4, None).rotation)


def test_the_sign_of_a_score_follows_the_data():
    rule = CompleteRule(2, 0, None)
    rule.rotation = np.eye(2, dtype=np.float32)
    for i in range(100):
        x = np.stack([RNG.laplace(scale=0.5**0.5, size=200), RNG.uniform(-(3**0.5), 3**0.5, size=200)], axis=1)
        rule.step(x.astype(np.float32), np.eye(2, dtype=np.float32), 200, 200 * i)
    assert rule.sign.tolist() == [1, -1]


def test_spectral_norm():
    for matrix in (RNG.standard_normal((30, 30)), np.diag([5.0, 1, 1]), np.zeros((3, 3)), np.outer([1, 2], [3, 4, 5])):
        exact = np.linalg.norm(matrix, 2)
        assert 0.9 * exact <= spectral_norm(matrix) <= exact * 1.0001
