"""The peers benchmark judges and times what it says it does."""

import math

import numpy as np
import pytest
from helpers.extras import extra

extra("matplotlib")
extra("PIL")
from peers import EnoughError, Problem, Watch, fast_ica, ours, whitened  # noqa: E402
from photographs import Whitening, judge, random_patches  # noqa: E402
from reference_learners import batch_infomax  # noqa: E402
from time_to_quality import seconds_to  # noqa: E402

from stream_infomax.learning.measures.information import coefficient_entropy  # noqa: E402


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    rows = (rng.laplace(size=(3000, 4)) @ rng.standard_normal((4, 4)) + 3).astype(np.float32)
    whitening = Whitening.of(rows)
    x = whitening.apply(rows)
    start = np.linalg.qr(rng.standard_normal((4, 4)))[0].astype(np.float32)
    return Problem(rows, whitening, x, x, start, 0.0)


def test_patches_come_from_the_pictures_and_do_not_change():
    images = [np.arange(80.0, dtype=np.float32).reshape(8, 10), np.full((6, 6), 500, np.float32)]
    rows = random_patches(images, 200, 3, seed=0)
    np.testing.assert_array_equal(rows, random_patches(images, 200, 3, seed=0))
    first = rows[rows[:, 0] < 500]
    np.testing.assert_array_equal(first - first[:, :1], np.tile([0, 1, 2, 10, 11, 12, 20, 21, 22], (len(first), 1)))
    assert 60 < len(first) < 140


def test_whitening_and_back(problem):
    x = problem.whitened
    np.testing.assert_allclose(x.T @ x / len(x), np.eye(4), atol=1e-4)
    C = problem.start.astype(np.float64)
    np.testing.assert_allclose(problem.whitening.rotation(problem.whitening.forward @ C), C, atol=1e-6)


def test_judge_takes_the_nearest_rotation(problem):
    scores = judge(3 * problem.start, problem.held_out)
    assert scores["entropy"] == pytest.approx(coefficient_entropy(problem.held_out @ problem.start))
    assert scores == pytest.approx(judge(problem.start, problem.held_out), rel=1e-6)


def three_passes(watch):
    ours(watch, passes=3, memory=0)


@pytest.mark.filterwarnings("ignore:FastICA did not converge")
@pytest.mark.parametrize("learner", [three_passes, whitened(batch_infomax, epochs=60), fast_ica])
def test_learners_are_followed_to_a_better_basis(problem, learner):
    watch = Watch(problem, cap=60)
    learner(watch)
    seconds = [point["cpu"] for point in watch.points]
    assert seconds == sorted(seconds)
    assert watch.points[-1]["Q"] < judge(problem.start, problem.held_out)["Q"]


def test_a_learner_is_stopped_at_its_cap(problem):
    watch = Watch(problem, cap=0.05)
    with pytest.raises(EnoughError):
        whitened(batch_infomax, epochs=100_000)(watch)
    assert watch.points[-1]["cpu"] < 1


def test_seconds_to_a_quality_are_interpolated():
    points = [{"cpu": 1.0, "entropy": 2.0}, {"cpu": 4.0, "entropy": 1.0}]
    assert seconds_to(points, 1.5) == pytest.approx(2)
    assert seconds_to(points, 2.5) == 1
    assert seconds_to(points, 0.5) == math.inf
