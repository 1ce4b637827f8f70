"""Running standardisation."""

import numpy as np
import pytest

from stream_infomax.learning.measures.standardise import RunningScale


def test_pieces_give_the_mean_and_deviation_of_all_rows():
    rows = 3 + 5 * np.random.default_rng(0).standard_normal((500, 4)).astype(np.float32)
    scale = RunningScale(4)
    for piece in np.split(rows, [1, 8, 300]):
        scale.update(piece)
    scale.update(rows[:0])
    np.testing.assert_allclose(scale.mean, rows.mean(0, dtype=np.float64))
    np.testing.assert_allclose(scale.variance, rows.var(0, dtype=np.float64))
    out = scale.apply(rows)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(0), 1, atol=1e-5)


def test_half_life_follows_a_change():
    scale = RunningScale(1, half_life=100)
    scale.update(np.zeros((1000, 1)))
    for _ in range(100):
        scale.update(np.ones((1, 1)))
    assert scale.mean[0] == pytest.approx(0.5, abs=0.01)


def test_dead_channels_give_zero():
    rows = np.ones((10, 3)) * [0.0, 1e6, 1.0]
    rows[::2, 2] = 2.0
    scale = RunningScale(3)
    scale.update(rows)
    out = scale.apply(rows)
    assert not out[:, :2].any()
    assert np.abs(out[:, 2]).min() == 1.0
    assert not RunningScale(3).apply(rows).any()


def test_restore():
    scale = RunningScale(2)
    scale.update(np.eye(2))
    other = RunningScale(2)
    other.restore(scale.state())
    assert np.array_equal(other.apply(np.ones((1, 2))), scale.apply(np.ones((1, 2))))
    with pytest.raises(ValueError, match="2 channels, this one 3"):
        RunningScale(3).restore(scale.state())
