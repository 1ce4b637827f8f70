"""A stream that drifts slowly shortens what counts, as much as it needs; one that rests does not."""

import math

import numpy as np
import pytest
from helpers.mixtures import amari

from stream_infomax import OnlineInfomax

K, FRAME = 6, 128


def turning(rows, turn, white, seed=0):
    """Frames of sources whose mixing turns once in so many rows, and the mixing at each."""
    rng = np.random.default_rng(seed)
    start, frame = rng.standard_normal((K, K)), np.linalg.qr(rng.standard_normal((K, K)))[0]
    if white:
        start = np.linalg.qr(start)[0]
    for first in range(0, rows, FRAME):
        angle = 2 * math.pi * first / turn
        plane = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        mixing = frame @ np.kron(np.eye(K // 2), plane) @ frame.T @ start
        yield rng.laplace(size=(FRAME, K)) @ mixing.T, mixing


def mean_distance(rows, turn, white, **settings):
    learner, distances = OnlineInfomax(**settings), []
    for i, (frame, mixing) in enumerate(turning(rows, turn, white)):
        if i * FRAME > rows // 2:
            distances.append(amari(learner.components_ @ mixing))
        learner.partial_fit(frame)
    return np.mean(distances), learner


# Of a white mixing the covariance never changes: what lags is the rotation alone.
@pytest.mark.parametrize(("white", "half_lives"), [(False, (300.0, 1000.0, 3000.0)), (True, (1000.0, 3000.0, 9000.0))])
def test_a_turning_mixing_is_followed_as_with_the_best_half_life(white, half_lives):
    constant = [mean_distance(60_000, 4e5, white, half_life=half_life)[0] for half_life in half_lives]
    followed, learner = mean_distance(60_000, 4e5, white, adapt="follow")
    assert followed < 1.1 * min(constant)
    assert learner._learner.horizon.bound < 10_000


def test_where_nothing_drifts_all_rows_count_and_again_after_a_drift():
    rng = np.random.default_rng(1)
    learner = OnlineInfomax(adapt="follow")
    for frame, _ in turning(40_000, 4e5, False):
        learner.partial_fit(frame)
    drifting = learner._learner.horizon.length
    mixing = rng.standard_normal((K, K))
    resting = OnlineInfomax(adapt="follow").partial_fit(rng.laplace(size=(60_000, K)) @ mixing.T)
    assert resting._learner.horizon.length > 50_000
    *_, (_, last) = turning(40_000, 4e5, False)
    learner.partial_fit(rng.laplace(size=(40_000, K)) @ last.T)
    assert learner._learner.horizon.length > 3 * drifting
