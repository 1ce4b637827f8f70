"""Running mean and variance, and what they standardise."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infomax.learning.measures.moments import BOUND, RobustMoments, RunningMoments


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


@pytest.mark.parametrize("offset", [0.0, 3e5, 1e6, 1e9, -1e12])
def test_a_large_offset_hides_nothing_that_float64_holds(offset):
    rows = offset + 3 * np.random.default_rng(0).standard_normal((100, 2))
    rows[:, 1] = offset + 0.1
    moments = RunningMoments(2)
    for piece in np.split(rows, 10):
        moments.update(piece)
    out = moments.standardised(rows)
    assert out[:, 0].std() == pytest.approx(1, abs=1e-3)
    assert not out[:, 1].any()


def test_restore():
    moments = RunningMoments(2)
    moments.update(np.eye(2))
    other = RunningMoments(2)
    other.restore(moments.state())
    assert np.array_equal(other.standardised(np.ones((1, 2))), moments.standardised(np.ones((1, 2))))
    with pytest.raises(ValueError, match=r"mean: an array of shape \(2,\) .* accepted is \(3\)"):
        RunningMoments(3).restore(moments.state())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.sampled_from([None, 20.0, 300.0]), st.booleans())
def test_held_rows_against_a_naive_twin(seed, n, half_life, heavy):
    rng = np.random.default_rng(seed)
    rows = 5 + (rng.standard_cauchy((n, 2)) if heavy else rng.standard_normal((n, 2)))
    moments = RobustMoments(2, half_life)
    moments.update(rows)
    for channel in range(2):
        mean, variance = reference.robust_moments(rows[:, channel], moments.most)
        assert moments.mean[channel] == pytest.approx(mean, rel=1e-9, abs=1e-9)
        assert moments.variance[channel] == pytest.approx(variance, rel=1e-9, abs=1e-15)


def test_without_outliers_they_are_the_plain_moments():
    rows = np.random.default_rng(1).uniform(-1, 1, (3000, 4))
    robust, plain = RobustMoments(4, renew=128), RunningMoments(4)
    for row in rows:
        robust.update(row[None])
    plain.update(rows)
    np.testing.assert_allclose(robust.mean, plain.mean, atol=1e-12)
    np.testing.assert_allclose(robust.variance, plain.variance, rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 1499),
    st.sampled_from([1e2, 1e6, 1e30, -1e300]),
    st.sampled_from([None, 500.0]),
)
def test_one_glitch_wherever_it_is_leaves_the_scale(seed, place, size, half_life):
    rows = np.random.default_rng(seed).standard_normal((1500, 3))
    rows[place, seed % 3] = size
    moments = RobustMoments(3, half_life, renew=128)
    for row in rows:
        moments.update(row[None])
        assert np.abs(moments.standardised(row)).max() <= BOUND
    np.testing.assert_allclose(np.sqrt(moments.variance), 1, atol=0.2)
    np.testing.assert_allclose(moments.mean, 0, atol=0.2)


@pytest.mark.parametrize("half_life", [None, 400.0])
@pytest.mark.parametrize("factor", [1e-6, 1e-3, 0.04, 30.0, 1e3, 1e6])
def test_a_lasting_change_of_scale_is_followed(factor, half_life):
    rows = np.random.default_rng(2).normal([0, 5, -5], 1, (4000, 3))
    rows[2000:] *= factor
    moments = RobustMoments(3, half_life, renew=128)
    for row in rows:
        moments.update(row[None])
    deviation = moments.standardised(rows[2000:]).std(0)
    assert np.all((deviation > 0.3) & (deviation < 3)), deviation


def test_what_comes_again_and_again_is_no_glitch():
    """A channel that speaks for one class of 25 only keeps its say."""
    rows = np.zeros((2000, 1))
    rows[::25] = 1 + 0.01 * np.random.default_rng(3).standard_normal((80, 1))
    rows[3::7] += 1e-3
    moments = RobustMoments(1)
    for row in rows:
        moments.update(row[None])
    assert np.sqrt(moments.variance[0]) == pytest.approx(rows.std(), rel=0.2)
    assert RobustMoments(1).standardised(np.ones((1, 1))) == 0
