"""The learning rules: their directions are those of numerical derivatives, their steps stay orthonormal."""

import numpy as np
import pytest
import reference

from stream_infomax.learning.infomax.complete import CompleteRule
from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.matrices import nearest_rotation
from stream_infomax.learning.infomax.overcomplete import OvercompleteRule, largest_eigenvalue, retracted

RNG = np.random.default_rng(0)
K = 4
WHITE = np.eye(K, dtype=np.float32), np.eye(K, dtype=np.float32)


def make_rule(components, seed=0):
    if components == K:
        return CompleteRule(*WHITE, seed, Horizon())
    return OvercompleteRule(*WHITE, components, seed, Horizon())


def on_a_sphere(n):
    """Rows of one length, whitened exactly, on which weights and control terms change nothing."""
    x = RNG.laplace(size=(n, K))
    x = np.concatenate([x, -x])
    for _ in range(200):
        x *= np.sqrt(K) / np.linalg.norm(x, axis=1, keepdims=True)
        x = x @ np.linalg.inv(np.linalg.cholesky(reference.covariance(x))).T
    return x


def learn(rule, x):
    rule.horizon.rows += len(x)
    return rule.step(x, len(x))


def taken_step(rule, x, learnt):
    before = rule.rotation.astype(np.float64)
    rule.horizon.rows = learnt
    rule.step(x.astype(np.float32), len(x))
    return before, rule.rotation.astype(np.float64) - before


def test_algorithm_1_steps_along_the_constrained_gradient():
    x = on_a_sphere(40)
    rule = CompleteRule(*WHITE, 0, Horizon())
    rule.means[0] += RNG.uniform(0, 3, K)
    size = np.abs(rule.curvature)
    learnt = 10**12  # so small a step that its second order vanishes
    before, moved = taken_step(rule, x, learnt)
    slope = reference.gradient(lambda C: reference.objective_complete(C, x, rule.beta), before)
    turn = before.T @ (-slope + before @ slope.T @ before)  # C(G - Gᵀ) = C turn (2.87)
    expected = before @ (turn / np.maximum(size[:, None] + size, 1))
    cosine = np.sum(moved * expected) / np.linalg.norm(moved) / np.linalg.norm(expected)
    assert cosine > 0.9999


def test_algorithm_2_steps_along_the_constrained_gradient():
    x = on_a_sphere(40)
    row = np.full(len(x), 1 / len(x))
    rule = OvercompleteRule(*WHITE, 7, 0, Horizon())
    zeros = np.zeros(7)
    C = rule.rotation.astype(np.float64)
    rule.density = reference.overcomplete_block(x @ C, rule.beta, row, zeros, zeros)[1][0]
    before, moved = taken_step(rule, x, 10**12)
    slope = reference.gradient(lambda C: reference.objective_overcomplete(C, x, rule.beta, row), before)
    expected = -slope + before @ slope.T @ before
    cosine = np.sum(moved * expected) / np.linalg.norm(moved) / np.linalg.norm(expected)
    assert cosine > 0.999


@pytest.mark.parametrize("components", [K, 9])
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e-3])
def test_rotations_stay_orthonormal_whatever_comes(components, scale):
    rule = make_rule(components)
    for _i in range(100):
        x = (scale * RNG.standard_t(1.5, size=(16, K))).astype(np.float32)
        learn(rule, x)
    np.testing.assert_allclose(np.linalg.svd(rule.rotation, compute_uv=False), 1, atol=0.25)
    np.testing.assert_allclose(
        nearest_rotation(rule.averaged()) @ nearest_rotation(rule.averaged()).T, np.eye(K), atol=1e-5
    )


def test_the_start_is_orthonormal_and_seeded():
    start = make_rule(9, 3).rotation
    np.testing.assert_allclose(start @ start.T, np.eye(K), atol=1e-6)
    np.testing.assert_array_equal(start, make_rule(9, 3).rotation)
    assert not np.array_equal(start, make_rule(9, 4).rotation)


def test_the_sign_of_a_score_follows_the_data():
    rule = CompleteRule(WHITE[0][:2, :2], WHITE[1][:2, :2], 0, Horizon())
    rule.filters = np.eye(2, dtype=np.float32)
    for _i in range(100):
        x = np.stack([RNG.laplace(scale=0.5**0.5, size=200), RNG.uniform(-(3**0.5), 3**0.5, size=200)], axis=1)
        learn(rule, x.astype(np.float32))
    assert np.sign(rule.curvature).tolist() == [1, -1]


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_a_variance_that_is_not_one_changes_no_sign(scale):
    rule = CompleteRule(WHITE[0][:3, :3], WHITE[1][:3, :3], 0, Horizon())
    rule.filters = np.eye(3, dtype=np.float32)
    for _i in range(100):
        x = np.stack(
            [RNG.laplace(size=200) / 2**0.5, RNG.standard_normal(200), RNG.uniform(-1, 1, 200) * 3**0.5], axis=1
        )
        rule.filters = np.eye(3, dtype=np.float32)
        learn(rule, (scale * x).astype(np.float32))
    laplace, normal, uniform = rule.curvature
    assert laplace > 0.05
    assert uniform < -0.02
    assert abs(normal) < 0.04


@pytest.mark.parametrize("components", [K, 9])
def test_a_renewed_whitening_carries_the_rotation_over(components):
    rule = make_rule(components)
    rotation, average = rule.rotation.copy(), nearest_rotation(rule.averaged())
    whiten = np.linalg.qr(RNG.standard_normal((K, K)))[0].astype(np.float32) * np.float32(3)
    rule.renew(whiten, whiten / 9)
    np.testing.assert_allclose(rule.rotation, rotation, atol=1e-6)
    np.testing.assert_allclose(nearest_rotation(rule.averaged()), average, atol=1e-6)
    x = RNG.laplace(size=(50, K)).astype(np.float32)
    same = make_rule(components)
    learn(same, x @ whiten)
    learn(rule, x)
    np.testing.assert_allclose(rule.rotation, same.rotation, atol=1e-5)


def test_turns_that_add_up_leave_the_lengths_as_they_are():
    rule = CompleteRule(*WHITE, 0, Horizon())
    worst = 0.0
    for _i in range(300):
        learn(rule, RNG.laplace(size=(20, K)).astype(np.float32))
        values = np.linalg.svd(rule.rotation, compute_uv=False)
        worst = max(worst, float(np.abs(values - 1).max()))
    assert worst < 0.15


@pytest.mark.parametrize("length", [0.01, 0.5, 20.0])
def test_retracted_is_the_nearest_after_a_step_that_is_not_too_long(length):
    rotation = make_rule(9).rotation
    direction = RNG.standard_normal((K, 9))
    direction -= rotation @ direction.T @ rotation
    direction *= length / np.linalg.norm(direction, 2)
    moved = retracted(rotation, direction.astype(np.float32), *np.empty((2, K, 9), np.float32))
    np.testing.assert_allclose(moved @ moved.T, np.eye(K), atol=0.02)
    expected = reference.polar(rotation + direction * min(1, 0.7 / length))
    np.testing.assert_allclose(moved, expected, atol=0.05)


def test_largest_eigenvalue():
    square = RNG.standard_normal((30, 30))
    for matrix in (square @ square.T, -square @ square.T, np.diag([5.0, 1, 1]), np.zeros((3, 3)), np.ones((4, 4))):
        exact = np.linalg.norm(matrix, 2)
        assert 0.9 * exact <= largest_eigenvalue(matrix) <= exact * 1.0001


@pytest.mark.parametrize("size", [10.0, 1e6, 1e30])
def test_no_step_of_the_overcomplete_rule_is_longer_than_a_share_of_c(size):
    rule = OvercompleteRule(*WHITE, 9, 0, Horizon())
    before = rule.rotation.copy()
    outwards = RNG.standard_normal(before.shape).astype(np.float32)
    tangent = outwards - before @ outwards.T @ before
    rule._advance(np.float32(size) * tangent, 0.5)
    assert 0.1 < np.linalg.norm(rule.rotation - before) / np.linalg.norm(before) < 0.21
