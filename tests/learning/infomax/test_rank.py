"""As many dimensions as vary by more than rounding, in any units, and a word where they are fewer than asked for."""

import warnings

import numpy as np
import pytest
from helpers.mixtures import amari

from stream_infomax.learning.infomax.estimator import OnlineInfomax

K = 6


def mixed(mixing, n=20_000, seed=0):
    return np.random.default_rng(seed).laplace(size=(n, len(mixing))) @ mixing


def mixing_of(condition, k=K, seed=0):
    """A mixing with singular values from 1 to 1/condition."""
    left, _, right = np.linalg.svd(np.random.default_rng(seed).standard_normal((k, k)))
    return left * np.geomspace(1, 1 / condition, k) @ right


def fit(rows, *args, **settings):
    """The learner, and the warnings that came."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        learner = OnlineInfomax(*args, **settings).fit(rows)
    return learner, [str(warning.message) for warning in said]


def average_reference(n_channels=10):
    rows = mixed(np.random.default_rng(1).standard_normal((n_channels - 1, n_channels)))
    return rows - rows.mean(axis=1, keepdims=True)


def test_as_many_filters_as_dimensions_and_a_word():
    learner, said = fit(average_reference(), 10)
    assert learner.components_.shape == (9, 10)
    assert learner.n_rank_ == learner.width_ == 9
    assert said == [
        "n_components = 10, but the rows have rank 9: 9 filters are learnt, as many as there are dimensions; "
        "overcomplete=True learns 10"
    ]
    plain = OnlineInfomax().fit(average_reference())
    np.testing.assert_array_equal(learner.components_, plain.components_)


def test_more_filters_than_dimensions_where_that_is_asked_for():
    learner, said = fit(average_reference(), 10, overcomplete=True)
    assert learner.components_.shape == (10, 10)
    assert learner.n_rank_ == 9
    assert not said
    assert fit(average_reference(), 4, overcomplete=True)[0].rotation_.shape == (4, 4)


@pytest.mark.parametrize(
    ("settings", "shape", "word"),
    [
        ({"n_components": 8, "energy": 0.5}, (1, 1), "n_components = 8, but energy = 0.5 keeps 1 dimensions"),
        ({"n_rank": 10}, (9, 9), "n_rank = 10, but the rows have rank 9: 9 dimensions are kept"),
        ({"n_rank": 5}, (5, 5), None),
        ({"n_components": 5, "n_rank": 10}, (5, 5), None),
        ({"n_components": 12, "n_rank": 10, "overcomplete": True}, (9, 12), "n_rank = 10, but the rows have rank 9"),
    ],
)
def test_what_is_said_of_other_settings(settings, shape, word):
    rows = average_reference()
    if "energy" in settings:
        rows = rows + 100 * np.random.default_rng(5).laplace(size=(len(rows), 1))
    learner, said = fit(rows, **settings)
    assert learner.rotation_.shape == shape
    assert len(said) == (word is not None)
    assert word is None or said[0].startswith(word)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rank", "n_channels"), [(1, 8), (2, 32), (3, 40)])
def test_exactly_low_rank(rank, n_channels, dtype):
    rows = mixed(np.random.default_rng(rank).standard_normal((rank, n_channels))).astype(dtype)
    learner = OnlineInfomax().fit(rows)
    assert learner.n_rank_ == rank
    np.testing.assert_allclose(learner.transform(rows).std(axis=0), 1, atol=0.1)
    channels = np.random.default_rng(0).standard_normal((n_channels, n_channels))
    learner = OnlineInfomax().fit((rows.astype(np.float64) @ channels).astype(dtype))
    assert learner.n_rank_ == rank


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_low_rank_of_float32_on_an_offset(offset):
    rows = (mixed(np.random.default_rng(3).standard_normal((3, 12))) + offset).astype(np.float32)
    assert OnlineInfomax().fit(rows).n_rank_ == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("condition", [1e2, 2e3, 2e4])
def test_what_varies_little_is_kept(condition, dtype):
    mixing = mixing_of(condition)
    learner = OnlineInfomax().fit(mixed(mixing, 40_000).astype(dtype))
    assert learner.n_rank_ == K
    assert amari(learner.components_ @ mixing.T) < 0.05


def test_float64_keeps_what_float32_cannot():
    mixing = mixing_of(30)
    rows = mixed(mixing, 40_000) + 1e7
    learner = OnlineInfomax().fit(rows)
    assert learner.n_rank_ == K
    assert amari(learner.components_ @ mixing.T) < 0.05
    coarse, said = fit(rows.astype(np.float32))
    assert coarse.n_rank_ < K
    assert "vary only as rounding does" in said[0]


@pytest.mark.parametrize("unit", [1e-9, 1e-5, 1e5, 1e9])
def test_a_channel_in_another_unit_drops_no_sensor(unit):
    units = np.where(np.arange(K) == 2, unit, 1.0)
    mixing = np.eye(K) * units
    learner = OnlineInfomax().fit(mixed(mixing))
    assert learner.n_rank_ == K
    assert amari(learner.components_ @ mixing.T) < 0.05
    assert amari(OnlineInfomax().fit(mixed(mixing_of(5) * units)).components_ @ (mixing_of(5) * units).T) < 0.05


@pytest.mark.parametrize("settings", [{"n_rank": 2}, {"energy": 0.999}])
def test_leading_directions_are_those_of_the_units_that_the_rows_have(settings):
    units = np.array([1, 100, 1, 50, 1, 1])
    learner = OnlineInfomax(**settings).fit(mixed(np.eye(K) * units))
    assert learner.n_rank_ == 2
    weight = np.abs(learner.mixing_).max(axis=1)
    assert set(np.argsort(weight)[-2:]) == {1, 3}
    assert np.sort(weight)[-3] < 0.05 * weight.max()


def test_channels_that_vary_as_rounding_does_are_named():
    rows = np.random.default_rng(0).laplace(size=(5000, 4)).astype(np.float32)
    rows[:, 1] = np.float32(100) + np.float32(7.6e-6) * (rows[:, 1] > 0)
    rows[:, 3] = 5
    learner, said = fit(rows)
    assert learner.n_rank_ == 2
    assert said == ["of 4 channels these vary only as rounding does, and are left out: [1]"]


def test_a_channel_that_is_silent_at_first_is_scaled_with_the_others():
    rows = 1e20 * mixed(mixing_of(5), 5000)
    rows[:64, 0] = 0
    learner = OnlineInfomax(warmup=1000).fit(rows)
    assert learner.n_rank_ == K
    assert np.isfinite(learner.transform(rows)).all()
