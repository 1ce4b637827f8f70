"""A stream that changes: what `follow`, `hold` and `fixed` make of it, and that a calm one is left alone."""

import numpy as np
import pytest
from helpers.mixtures import amari, same

from stream_infomax import OnlineInfomax

K = 6


def mixings(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, K, K))


def rows_of(mixing, n, seed):
    return np.random.default_rng(seed).laplace(size=(n, K)) @ mixing.T


def kinds(learner):
    return [event.kind for event in learner.events_]


@pytest.fixture(scope="module")
def settled():
    """A learner that has seen 20,000 rows of the first of two rooms, and the mixings of both."""
    first, second = mixings(2)
    return OnlineInfomax(adapt="follow").partial_fit(rows_of(first, 20_000, 0)), first, second


def copy_of(learner, **settings):
    made = OnlineInfomax(**{**learner.get_params(), **settings})
    made.restore(learner.state())
    return made


def test_where_nothing_changes_following_changes_no_bit():
    first = mixings(1)[0]
    fixed, follow = (OnlineInfomax(adapt=adapt).partial_fit(rows_of(first, 40_000, 0)) for adapt in ("fixed", "follow"))
    assert follow.events_ == []
    np.testing.assert_array_equal(fixed.components_, follow.components_)


def test_another_mixing_is_followed_about_as_fast_as_by_a_fresh_learner(settled):
    learner, _, second = settled
    learner, fresh = copy_of(learner), OnlineInfomax()
    rows = rows_of(second, 6000, 1)
    for one in (learner, fresh):
        one.partial_fit(rows)
    assert kinds(learner) == ["change"]
    assert learner.events_[0].position < 21_000
    assert amari(learner.components_ @ second) < 1.5 * amari(fresh.components_ @ second) < 0.06


@pytest.mark.parametrize("unit", [1e-5, 1e5])
def test_a_channel_in_another_unit_hides_no_change(unit):
    units = np.where(np.arange(K) == 2, unit, 1.0)
    first, second = mixings(2)
    learner = OnlineInfomax(adapt="follow").partial_fit(rows_of(first, 20_000, 0) * units)
    learner.partial_fit(rows_of(second, 10_000, 1) * units)
    assert kinds(learner) == ["change"]
    assert "another covariance" in learner.events_[0].text
    assert amari(learner.components_ * units @ second) < 0.06


def test_fixed_only_reports_a_change(settled):
    learner, _, second = settled
    fixed = copy_of(learner, adapt="fixed").partial_fit(rows_of(second, 2000, 1))
    assert kinds(fixed)[:1] == ["change"]
    assert fixed._learner.horizon.rows > 20_000


def test_back_in_the_first_room_the_first_basis_is_back(settled):
    learner, first, second = settled
    learner = copy_of(learner)
    before = learner.components_ @ first
    learner.partial_fit(rows_of(second, 20_000, 1)).partial_fit(rows_of(first, 1000, 2))
    assert kinds(learner) == ["change", "undo"]
    assert amari(learner.components_ @ first) < 1.2 * amari(before)


def test_hold_waits_for_a_person(settled):
    learner, first, second = settled
    held = copy_of(learner, adapt="hold")
    held.partial_fit(rows_of(first, 1000, 3))
    updates = held.n_updates_
    held.partial_fit(rows_of(second, 3000, 1))
    assert kinds(held) == ["hold"]
    components, updates = held.components_, held.n_updates_
    held.partial_fit(rows_of(second, 3000, 2))
    np.testing.assert_array_equal(held.components_, components)
    assert held.n_updates_ == updates
    held.resume().partial_fit(rows_of(second, 8000, 4))
    assert kinds(held) == ["hold", "resume", "change"]
    assert amari(held.components_ @ second) < 0.06


@pytest.mark.parametrize("before", [20_300, 20_400, 21_500])
def test_a_state_taken_in_the_midst_of_a_change_goes_on_with_the_same_bits(settled, before):
    learner, _, second = settled
    learner = copy_of(learner)
    rows = rows_of(second, 4000, 1)
    learner.partial_fit(rows[: before - 20_000])
    again = copy_of(learner)
    for one in (learner, again):
        one.partial_fit(rows[before - 20_000 :])
    assert same(learner.state(), again.state()) is None
    assert kinds(again) == ["change"]


@pytest.mark.parametrize(("gain", "offset"), [(1e3, 0), (1e-3, 0), (1, 1e4), (50, -300)])
def test_a_jump_of_gain_or_offset_costs_nothing(settled, gain, offset):
    learner, first, _ = settled
    learner = copy_of(learner)
    before = amari(learner.components_ @ first)
    learner.partial_fit(gain * rows_of(first, 3000, 1) + offset)
    assert kinds(learner) == ["change"]
    assert amari(learner.components_ @ first) < 1.4 * before
    outputs = learner.transform(gain * rows_of(first, 4000, 2) + offset)
    np.testing.assert_allclose(outputs.std(axis=0), 1, atol=0.1)
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=0.15)


@pytest.mark.parametrize("n", [4000, 6000])
def test_an_early_change_is_followed(n):
    first, second = mixings(2)
    learner = OnlineInfomax(adapt="follow").partial_fit(rows_of(first, n, 0)).partial_fit(rows_of(second, 10_000, 1))
    assert kinds(learner) == ["change"]
    assert learner.events_[0].position < n + 1000
    assert amari(learner.components_ @ second) < 0.06


def test_an_overcomplete_basis_follows_and_goes_back():
    first, second = mixings(2)
    learner = OnlineInfomax(9, overcomplete=True, adapt="follow").partial_fit(rows_of(first, 40_000, 0))
    assert learner.events_ == []
    fixed = OnlineInfomax(9, overcomplete=True).partial_fit(rows_of(first, 40_000, 0))
    np.testing.assert_array_equal(learner.components_, fixed.components_)
    before = learner.version_
    learner.partial_fit(rows_of(second, 10_000, 1))
    white = learner.transform(rows_of(second, 5000, 2)) @ np.linalg.pinv(learner.rotation_)
    np.testing.assert_allclose(np.cov(white.T), np.eye(K) * 1.5, atol=0.4)  # times K1/K0
    learner.partial_fit(rows_of(first, 1000, 3))
    assert kinds(learner) == ["change", "undo"]
    assert learner.version_ == before
