"""Running mean and variance, and what they standardise."""

import numpy as np
import pytest

from stream_infomax.learning.measures.moments import RunningMoments


def test_pieces_give_the_mean_and_deviation_of_all_rows():
    rows = 3 + 5 * np.random.default_rng(0).standard_normal((500, 4)).astype(np.float32)
    moments = RunningMoments(4)
    for piece in np.split(rows, [1, 8, 300]):
        moments.update(piece)
    moments.update(rows[:0])
    np.testing.assert_allclose(moments.mean, rows.mean(0, dtype=np.float64))
    np.testing.assert_allclose(moments.variance, rows.var(0, dtype=np.float64))
    out = moments.standardised(rows)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(0), 1, atol=1e-5)


def test_half_life_follows_a_change():
    moments = RunningMoments(1, half_life=100)
    moments.update(np.zeros((1000, 1)))
    for _ in range(100):
        moments.update(np.ones((1, 1)))
    assert moments.mean[0] == pytest.approx(0.5, abs=0.01)


def test_dead_channels_give_zero():
    rows = np.ones((10, 3)) * [0.0, 1e6, 1.0]
    rows[::2, 2] = 2.0
    moments = RunningMoments(3)
    moments.update(rows)
    out = moments.standardised(rows)
    assert not out[:, :2].any()
    assert np.abs(out[:, 2]).min() == 1.0
    assert not RunningMoments(3).standardised(rows).any()


def test_restore():
    moments = RunningMoments(2)
    moments.update(np.eye(2))
    other = RunningMoments(2)
    other.restore(moments.state())
    assert np.array_equal(other.standardised(np.ones((1, 2))), moments.standardised(np.ones((1, 2))))
    with pytest.raises(ValueError, match=r"mean: an array of shape \(2,\) .* accepted is \(3\)"):
        RunningMoments(3).restore(moments.state())
