"""OnlineInfomax: the warm-up, and what it does with bad input and bad settings."""

import numpy as np
import pytest
from helpers.mixtures import same

from stream_infomax.learning.infomax.estimator import OnlineInfomax


def test_warm_up_rows_are_nan_and_transform_says_what_is_missing(rows):
    learner = OnlineInfomax(4, warmup=100)
    with pytest.raises(ValueError, match="not over"):
        learner.transform(rows)
    out = learner.partial_fit_transform(rows[:60])
    assert out.shape == (60, 4)
    assert np.isnan(out).all()
    with pytest.raises(ValueError, match="68 more rows"):
        learner.transform(rows)
    assert np.isnan(learner.partial_fit_transform(rows[60:200])).all()
    assert np.isfinite(learner.partial_fit_transform(rows[200:210])).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_set_aside(rows, bad):
    clean = OnlineInfomax().partial_fit(rows)
    dirty = np.insert(rows, [0, 5, 700, 3000], np.full(6, 1.0), axis=0)
    where = [0, 6, 702, 3003]
    for i, column in zip(where, [0, 5, 3, 2], strict=True):
        dirty[i, column] = bad
    learner = OnlineInfomax().partial_fit(dirty)
    np.testing.assert_array_equal(learner.components_, clean.components_)
    assert learner.n_set_aside_ == {"not finite": 4}
    assert learner.n_rows_seen_ == len(rows)
    encoded = learner.transform(dirty)
    assert np.flatnonzero(np.isnan(encoded).any(axis=1)).tolist() == where
    assert np.isnan(encoded[where]).all()
    np.testing.assert_array_equal(np.delete(encoded, where, axis=0), clean.transform(rows))


@pytest.mark.filterwarnings("ignore:overflow encountered in matmul")
@pytest.mark.parametrize("code", [3.4e38, 1e300, -np.finfo(np.float64).max])
def test_error_codes_of_any_size_among_the_first_rows_do_no_harm(rows, code):
    X = rows.astype(np.float64)
    X[[0, 3, 50], 2] = code
    learner, plain = OnlineInfomax().fit(X), OnlineInfomax().fit(rows)
    np.testing.assert_allclose(np.abs(learner.components_ @ plain.mixing_).max(axis=1), 1, atol=0.1)


@pytest.mark.parametrize("components", [None, 9])
def test_constant_and_repeated_channels(rows, components):
    X = np.concatenate([rows, np.full((len(rows), 1), 3.5, np.float32), rows[:, :1]], axis=1)
    learner = OnlineInfomax(components, overcomplete=components is not None).fit(X)
    assert learner.n_rank_ == 6
    assert np.isfinite(learner.components_).all()
    np.testing.assert_allclose(learner.inverse_transform(learner.transform(X)), X, atol=1e-3)


def test_all_zeros_never_warm_up_and_a_signal_later_does(rows):
    learner = OnlineInfomax().partial_fit(np.zeros((500, 6)))
    with pytest.raises(ValueError, match="vary"):
        learner.transform(rows)
    learner.partial_fit(rows)
    assert np.isfinite(learner.components_).all()


@pytest.mark.parametrize("share", [0.03, 0.1])
def test_a_stream_that_begins_between_silences_gets_its_whole_rank(rows, share):
    heard = np.random.default_rng(0).random(len(rows)) < share
    learner = OnlineInfomax().partial_fit(np.where(heard[:, None], rows, 0)).partial_fit(rows)
    assert learner.n_rank_ == 6
    assert np.abs(learner.components_).max() < 100


@pytest.mark.parametrize("heard", [1, 2, 5])
def test_the_first_rows_after_a_silence_do_not_decide_the_rank(rows, heard, tmp_path):
    X = np.concatenate([np.full((6400 - heard, 6), 0.5, np.float32), rows])
    learner = OnlineInfomax().partial_fit(X)
    assert learner.n_rank_ == 6
    parts = OnlineInfomax().partial_fit(X[:6430])
    parts.save(tmp_path / "learner.safetensors")
    parts = OnlineInfomax.load(tmp_path / "learner.safetensors").partial_fit(X[6430:])
    assert same(parts.state(), learner.state()) is None


def test_a_channel_that_dies_does_not_blow_up(rows):
    dead = rows.copy()
    dead[:, 2] = 0
    learner = OnlineInfomax(half_life=200.0).partial_fit(rows)
    for _ in range(5):
        learner.partial_fit(dead)
    assert np.isfinite(learner.components_).all()
    learner.partial_fit(np.zeros((5000, 6)))
    assert np.isfinite(learner.components_).all()


@pytest.mark.parametrize("shape", [(1, 6), (0, 6), (1, 1)])
def test_few_rows(shape):
    learner = OnlineInfomax()
    assert learner.partial_fit_transform(np.zeros(shape)).shape == shape


def test_one_feature():
    X = np.random.default_rng(0).laplace(size=(500, 1))
    assert OnlineInfomax().fit(X).components_.shape == (1, 1)


def test_another_width_is_refused(rows):
    learner = OnlineInfomax().partial_fit(rows)
    with pytest.raises(ValueError, match=r"5 features.* 6"):
        learner.partial_fit(rows[:, :5])
    with pytest.raises(ValueError, match=r"5 features.* 6"):
        learner.transform(rows[:, :5])


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((2, 0)), np.zeros((2, 3), complex), np.array([["a"]])])
def test_what_is_no_matrix_of_numbers_is_refused(bad):
    with pytest.raises(ValueError, match="accepted are real numbers"):
        OnlineInfomax().partial_fit(bad)


@pytest.mark.parametrize("factor", [1e-6, 1e6, 1e-30, 1e30])
def test_scale_and_offset_do_not_matter(rows, factor):
    plain = OnlineInfomax().fit(rows.astype(np.float64))
    moved = OnlineInfomax().fit(factor * (rows.astype(np.float64) + 100.0))
    np.testing.assert_allclose(moved.components_ * factor, plain.components_, atol=2e-3)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"n_components": 0}, "n_components = 0; accepted: a whole number >= 1"),
        ({"n_rank": 0}, "n_rank = 0"),
        ({"energy": 0.0}, r"energy = 0\.0"),
        ({"energy": 1.5}, r"energy = 1\.5; accepted: a number > 0 and <= 1"),
        ({"block": 0}, "block = 0"),
        ({"memory": -1}, "memory = -1"),
        (
            {"memory": 10},
            "memory = '10 B': it holds 0 rows of 6 numbers, a block has 64",
        ),
        ({"half_life": 0}, "half_life = 0"),
        ({"output": "voltage"}, "output = 'voltage'"),
        ({"warmup": 1}, "warmup = 1; accepted: a whole number >= 2"),
        ({"overcomplete": True}, "overcomplete = True: how many filters there are is missing"),
        ({"n_components": 5, "n_rank": 4}, "n_components = 5; accepted: n_components <= n_rank = 4, or overcomplete"),
        ({"block": 64.0}, r"block = 64\.0; accepted: a whole number"),
        ({"random_state": -1}, "random_state = -1"),
    ],
)
def test_settings_are_checked(rows, settings, name):
    with pytest.raises(ValueError, match=name):
        OnlineInfomax(**settings).partial_fit(rows)


def test_settings_may_be_numpy_numbers(rows, tmp_path):
    settings = {"n_components": np.int64(4), "block": np.int32(64), "random_state": np.int64(3)}
    OnlineInfomax(**settings).fit(rows).save(tmp_path / "learner.safetensors")
    loaded = OnlineInfomax.load(tmp_path / "learner.safetensors")
    np.testing.assert_array_equal(loaded.components_, OnlineInfomax(4, block=64, random_state=3).fit(rows).components_)
