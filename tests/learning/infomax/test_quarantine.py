"""Rows that say nothing, or something wrong, teach nothing, age nothing, and are counted and reported."""

import numpy as np
import pytest
import reference
from helpers.mixtures import amari

from stream_infomax import OnlineInfomax
from stream_infomax.learning.infomax import signal_kernels

K, BLOCK = 6, 64
MIXING = np.random.default_rng(0).standard_normal((K, K))

DEVIATIONS = np.sqrt(2 * np.sum(MIXING**2, axis=1))


def good(n, seed):
    return np.random.default_rng(seed).laplace(size=(n, K)) @ MIXING.T


def stuck(rows):
    rows[:, 2] = 1.25
    return rows


def silent(rows):
    return np.zeros_like(rows)


def clipped(rows):
    return np.clip(rows, -DEVIATIONS, DEVIATIONS)


def saturated(rows):
    return np.clip(rows, 1e3, 1e3)


def one_clipped(rows):
    rows[:, 4] = np.clip(rows[:, 4], -1, 1)
    return rows


def error_code(rows):
    rows[:, 1] = 1e10
    return rows


FAULTS = {"stuck": stuck, "silent": silent, "clipped": clipped}


@pytest.fixture(scope="module")
def settled():
    return OnlineInfomax().partial_fit(good(20_032, 0))


def copy_of(learner, **settings):
    made = OnlineInfomax(**{**learner.get_params(), **settings})
    made.restore(learner.state())
    return made


@pytest.mark.parametrize("adapt", ["fixed", "follow", "hold"])
@pytest.mark.parametrize(("reason", "fault"), [*FAULTS.items(), ("silent", saturated), ("clipped", one_clipped)])
def test_a_fault_teaches_nothing_ages_nothing_and_is_reported(settled, reason, fault, adapt):
    learner = copy_of(settled, adapt=adapt)
    if reason == "clipped":  # is known by what stays where it is for some blocks
        learner.partial_fit(fault(good(3 * BLOCK, 3)))
    components, updates, rows = learner.components_, learner.n_updates_, learner.n_rows_seen_
    learner.partial_fit(fault(good(20_032, 1)))
    np.testing.assert_array_equal(learner.components_, components)
    assert (learner.n_updates_, learner.n_rows_seen_) == (updates, rows + 20_032)
    assert learner.n_set_aside_ == {"not finite": 0, reason: 20_032}
    assert [event.kind for event in learner.events_] == ["quarantine"]
    learner.partial_fit(good(6400, 2))
    assert [event.kind for event in learner.events_] == ["quarantine", "release"]
    assert learner.n_updates_ > updates + 80
    assert amari(learner.components_ @ MIXING) < 1.2 * amari(components @ MIXING)


def test_an_error_code_of_one_channel_does_no_harm(settled):
    learner = copy_of(settled, adapt="follow")
    before = amari(learner.components_ @ MIXING)
    learner.partial_fit(error_code(good(20_032, 1))).partial_fit(good(6400, 2))
    assert amari(learner.components_ @ MIXING) < 1.2 * before


def test_what_is_usual_is_no_fault():
    rng = np.random.default_rng(0)
    rows = good(20_000, 0)
    rows[:, 0] = np.maximum(rows[:, 0], 0)  # half of a channel's values are its least one
    rows[:, 1] = np.round(rows[:, 1])
    rows[:, 2] = np.where(rng.random(len(rows)) < 0.02, rows[:, 2], 0)  # hardly ever anything
    learner = OnlineInfomax().partial_fit(rows)
    assert learner.n_set_aside_ == {"not finite": 0}
    assert learner.events_ == []


def test_short_silences_are_counted_and_not_reported(settled):
    learner = copy_of(settled)
    for seed in range(5):
        learner.partial_fit(silent(good(5 * BLOCK, 1))).partial_fit(good(5 * BLOCK, seed))
    assert learner.n_set_aside_ == {"not finite": 0, "silent": 25 * BLOCK}
    assert learner.events_ == []
    assert learner.n_updates_ == settled.n_updates_ + 25


def test_silence_forgets_nothing_with_a_half_life():
    learner = OnlineInfomax(half_life=500.0).partial_fit(good(5000, 0))
    before = learner.transform(good(500, 1))
    learner.partial_fit(np.zeros((50_000, K)))
    np.testing.assert_array_equal(learner.transform(good(500, 1)), before)


def test_a_channel_that_stays_dead_is_taken_as_usual_in_the_end(settled):
    learner = copy_of(settled)
    learner.partial_fit(stuck(good(210_000, 1)))
    assert [event.kind for event in learner.events_][:2] == ["quarantine", "release"]
    assert 200_000 < learner.n_set_aside_["stuck"] < 201_000
    assert np.isfinite(learner.components_).all()


@pytest.mark.parametrize("fault", [lambda rows: rows, *FAULTS.values(), one_clipped, error_code])
def test_the_kernel_finds_what_its_naive_twin_finds(fault):
    rng = np.random.default_rng(0)
    usual = rng.uniform(0, 0.2, (2, K)).astype(np.float32) * np.float32([[1] * K, [0.1] * K])
    expected, rails, wanted = usual.copy(), *np.zeros((2, 3, K), np.float32)
    for seed in range(6):
        rows = fault(good(BLOCK, seed)).astype(np.float32)
        faults, constant, expected, wanted = reference.channel_faults(rows, expected, wanted, 0.25)
        made = np.zeros(K, np.float32)
        counts = signal_kernels.channel_faults(rows, usual, rails, 0.25, made)
        np.testing.assert_array_equal(made, faults)
        assert counts == (np.sum(faults == 1), np.sum(faults == 2), constant)
        np.testing.assert_allclose(usual, expected, atol=1e-6)
        np.testing.assert_allclose(rails, wanted)
