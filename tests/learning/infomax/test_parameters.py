"""Parameters of OnlineInfomax and what was learnt with them: neither changes behind the other's back."""

import numpy as np
import pytest
from helpers.mixtures import same

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.scikit import NotFittedError

CHANGES = [{"block": 16}, {"block": 128}, {"memory": 0}, {"half_life": 100.0}, {"n_rank": 2}, {"n_components": 3}]


@pytest.mark.parametrize("change", [*CHANGES, {"energy": 0.5}, {"warmup": 1000}, {"random_state": 7}])
def test_parameters_count_from_the_next_fresh_start_on(rows, change, tmp_path):
    plain = OnlineInfomax().partial_fit(rows[:1030])
    learner = OnlineInfomax().partial_fit(rows[:1030]).set_params(**change)
    learner.save(tmp_path / "learner.safetensors")
    loaded = OnlineInfomax.load(tmp_path / "learner.safetensors")
    for one in (plain, learner, loaded):
        one.partial_fit(rows[1030:])
    assert same(learner.state(), plain.state()) is None
    assert same(loaded.state(), plain.state()) is None
    fresh = learner.fit(rows).state()
    assert same(fresh, OnlineInfomax(**change).fit(rows).state()) is None
    assert same(fresh, OnlineInfomax().fit(rows).state()) is not None


def test_the_output_counts_at_once(rows, tmp_path):
    learner = OnlineInfomax().fit(rows).set_params(output="halves")
    assert learner.transform(rows).shape == (len(rows), 12)
    assert learner.width_ == 12
    learner.save(tmp_path / "learner.safetensors")
    assert OnlineInfomax.load(tmp_path / "learner.safetensors").output == "halves"


@pytest.mark.parametrize("use", ["fit", "partial_fit", "partial_fit_transform", "transform", "inverse_transform"])
def test_a_misspelt_output_is_refused_at_every_use(rows, use):
    learner = OnlineInfomax().fit(rows).set_params(output="rates")
    with pytest.raises(ValueError, match="output = 'rates'; accepted: \"potential\""):
        getattr(learner, use)(rows)


def test_parameters_are_set_all_or_none():
    learner = OnlineInfomax()
    with pytest.raises(ValueError, match="unknown parameter 'blok'"):
        learner.set_params(block=3, blok=3)
    assert learner.block == 64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"half_life": np.inf}, "half_life = inf: not finite; accepted: a number > 0"),
        ({"half_life": "100"}, "half_life = '100'; accepted: a number > 0"),
        ({"energy": "0.9"}, r"energy = '0\.9'; accepted: a number > 0 and <= 1"),
        ({"block": None}, "block = None; accepted: a whole number"),
        ({"memory": None}, "memory = None; accepted: a number with a unit"),
        ({"output": None}, "output = None"),
        ({"random_state": "0"}, "random_state = '0'"),
    ],
)
def test_a_parameter_of_a_wrong_kind_is_named(rows, settings, message):
    with pytest.raises(ValueError, match=message):
        OnlineInfomax(**settings).fit(rows)


# ---------------------------------------------------------------- seeds


def test_a_random_state_gives_a_seed_at_every_start(rows):
    def learn(source):
        return OnlineInfomax(random_state=source).fit(rows)

    for kind in (np.random.RandomState, np.random.default_rng):
        np.testing.assert_array_equal(learn(kind(3)).components_, learn(kind(3)).components_)
        learner = learn(kind(3))
        first = learner.components_
        assert not np.array_equal(learner.fit(rows).components_, first)


def test_what_a_random_state_began_is_restored(rows, tmp_path):
    learner = OnlineInfomax(random_state=np.random.RandomState(3)).partial_fit(rows[:1000])
    learner.save(tmp_path / "learner.safetensors")
    loaded = OnlineInfomax.load(tmp_path / "learner.safetensors").partial_fit(rows[1000:])
    np.testing.assert_array_equal(loaded.components_, learner.partial_fit(rows[1000:]).components_)


# ---------------------------------------------------------------- what is refused changes nothing


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((5, 6), complex), "Complex"),
        (np.zeros((0, 6)), r"0 sample\(s\)"),
        (np.zeros((50, 6)), "n_samples=50, of which 50 are finite, and nothing varies"),
        (np.full((50, 6), np.nan), "n_samples=50, of which 0 are finite"),
        (np.ones((1, 3)), "n_samples=1"),
    ],
)
def test_a_refused_fit_leaves_the_learner_as_it_was(rows, bad, message):
    learner = OnlineInfomax().partial_fit(rows)
    before = learner.state()
    with pytest.raises(ValueError, match=message):
        learner.fit(bad)
    assert same(learner.state(), before) is None
    with pytest.raises(ValueError, match="block = 0"):
        learner.set_params(block=0).fit(rows)
    assert same(learner.state(), before) is None
    with pytest.raises(ValueError, match="not over: no row"):
        learner.set_params(block=64)
        OnlineInfomax().transform(rows)


def test_a_refused_state_leaves_the_learner_as_it_was(rows):
    learner, other = OnlineInfomax().partial_fit(rows), OnlineInfomax().partial_fit(rows[:, :4])
    before, state = learner.state(), other.state()
    del state["learner"]["whitener"]["scatter"]
    with pytest.raises(KeyError, match=r"learner\.whitener\.scatter"):
        learner.restore(state)
    assert same(learner.state(), before) is None


# ---------------------------------------------------------------- rows that are too few


@pytest.mark.parametrize("n", [2, 3, 7, 20, 63, 64, 65, 100, 150])
def test_a_fit_settles_with_the_rows_there_are(n):
    X = np.random.default_rng(n).laplace(size=(n, 20)).cumsum(axis=0)
    learner = OnlineInfomax()
    with pytest.warns(UserWarning, match=f"the data end before the warm-up of 200 rows.* from {n} rows"):
        learner.fit(X)
    assert learner.n_rank_ == min(n - 1, 20)
    np.testing.assert_allclose(learner.inverse_transform(learner.transform(X)), X, atol=1e-3 * np.abs(X).max())
    for _ in range(10):
        learner.partial_fit(X)
    assert np.isfinite(learner.components_).all()
    assert learner.n_rows_seen_ == 11 * n


def test_a_fit_of_mostly_silence_settles_with_what_varies(rows):
    X = np.concatenate([np.zeros((500, 6)), rows[:70], np.zeros((500, 6))])
    with pytest.warns(UserWarning, match="data end"):
        learner = OnlineInfomax(warmup=2000).fit(X)
    assert learner.n_rank_ == 6


def test_a_fit_of_few_rows_publishes_what_it_learnt(rows):
    scores = [OnlineInfomax().fit(rows[:n]).score(rows) for n in (100, 200, 400, 800, 1600)]
    assert scores == sorted(scores)
    assert scores[2] > scores[0] + 0.02


@pytest.mark.parametrize("n", [64, 150, 1000, 3000])
def test_a_fit_is_what_partial_fits_of_the_same_rows_are(rows, n):
    whole, parts = OnlineInfomax().fit(rows[:n]), OnlineInfomax()
    for start in range(0, n, 50):
        parts.partial_fit(rows[start : min(start + 50, n)])
    assert same(whole.state(), parts.state()) is None


@pytest.mark.parametrize("n", [0, 1, 45, 64, 100, 130])
@pytest.mark.parametrize("settings", [{}, {"warmup": 100}, {"warmup": 300, "block": 50}])
@pytest.mark.parametrize("silence", [0, 400])
def test_the_number_of_rows_missing_is_true(n, settings, silence):
    rng = np.random.default_rng(0)
    learner = OnlineInfomax(**settings).partial_fit(rng.laplace(size=(n, 4)))
    learner.partial_fit(np.zeros((silence, 4)))
    if hasattr(learner, "components_"):
        return
    missing = learner._learner.n_missing
    with pytest.raises(NotFittedError, match=f" {missing} more rows"):
        learner.transform(np.zeros((1, 4)))
    learner.partial_fit(rng.laplace(size=(missing - 1, 4)))
    assert not hasattr(learner, "components_")
    learner.partial_fit(rng.laplace(size=(1, 4)))
    assert hasattr(learner, "components_")


# ---------------------------------------------------------------- score


def test_the_score_is_the_log_likelihood_of_the_neurons(rows):
    learner = OnlineInfomax().fit(rows)
    y = (rows - learner.mean_) @ learner.components_.T.astype(float)
    u = learner.beta_ * y + learner.bias_
    density = np.log(learner.beta_) - u - 2 * np.log1p(np.exp(-u))
    wanted = density.sum(axis=1).mean() + np.log(abs(np.linalg.det(learner.components_.astype(float))))
    assert learner.score(rows) == pytest.approx(wanted, abs=1e-6)
    dirty = np.insert(rows, 5, np.nan, axis=0)
    assert learner.score(dirty) == pytest.approx(learner.score(rows), abs=1e-12)
    with pytest.raises(ValueError, match="none of the 1 rows"):
        learner.score(dirty[5:6])


def test_the_score_of_more_components_than_dimensions_is_that_of_the_jacobian(rows):
    learner = OnlineInfomax(9, overcomplete=True).fit(rows)
    wanted = []
    for row in rows[:50].astype(float):
        drive = learner.beta_ * (learner.components_ @ (row - learner.mean_)) / np.sqrt(9 / 6) + learner.bias_
        gain = 1 / (1 + np.exp(-drive))
        jacobian = (learner.beta_ * gain * (1 - gain))[:, None] * learner.components_ / np.sqrt(9 / 6)
        wanted.append(0.5 * np.linalg.slogdet(jacobian.T @ jacobian)[1])
    assert learner.score(rows[:50]) == pytest.approx(np.mean(wanted), abs=1e-4)


def test_the_score_rises_as_it_learns_and_names_its_units(rows):
    learner = OnlineInfomax().partial_fit(rows[:128])
    first = learner.score(rows)
    assert learner.partial_fit(rows).score(rows) > first + 0.05
    assert OnlineInfomax().fit(2 * rows).score(2 * rows) == pytest.approx(
        OnlineInfomax().fit(rows).score(rows) - 6 * np.log(2), abs=1e-3
    )


def test_attributes_under_scikit_learns_names(rows):
    learner = OnlineInfomax(9, overcomplete=True, block=50).fit(rows)
    assert (learner.n_iter_, learner.n_samples_seen_) == (learner.n_updates_, learner.n_rows_seen_)
    assert learner.batch_size_ == 50
    wanted = np.sqrt(9 / 6) * learner.rotation_.T @ learner.whitening_
    np.testing.assert_allclose(learner.components_, wanted, atol=1e-5)
    white = (rows - learner.mean_) @ learner.whitening_.T
    np.testing.assert_allclose(white.T @ white / len(rows), np.eye(6), atol=0.1)
