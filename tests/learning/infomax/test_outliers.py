"""Outliers decide nothing, heavy tails little, and what most rows do is no outlier."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.outliers import Reach, lengthened, shorten_first, shortening

K = 6
MIXING = np.random.default_rng(7).standard_normal((K, K))


def sources(n, seed=0):
    return np.random.default_rng(seed).laplace(size=(n, K)) / 2**0.5


def with_outliers(rows, share=0.01, size=100.0, seed=1):
    """The rows, of which a share has noise of so many deviations added."""
    rng = np.random.default_rng(seed)
    hit = rng.random(len(rows)) < share
    noise = size * rows.std() * rng.standard_normal(rows.shape)
    return rows + hit[:, None] * noise, hit


def leakage(learner):
    """How much of every output is not its own source: 0 where the sources are found."""
    product = np.abs(learner.components_ @ MIXING.T)
    product /= np.linalg.norm(product, axis=1, keepdims=True)
    assert sorted(product.argmax(axis=1)) == list(range(K))
    return 1 - product.max(axis=1).min()


@pytest.mark.parametrize("settings", [{}, {"memory": 0}, {"half_life": 5000.0}])
@pytest.mark.parametrize("size", [20.0, 100.0, 1e6, 1e25])
def test_outliers_change_little(settings, size):
    rows, hit = with_outliers(sources(20_000) @ MIXING, size=size)
    learner = OnlineInfomax(**settings).fit(rows)
    assert leakage(learner) < 0.02
    outputs = learner.transform(rows[~hit])
    np.testing.assert_allclose(np.cov(outputs.T), np.eye(K), atol=0.1)
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=0.1)
    assert 0.9 * hit.sum() < learner.n_shortened_ < hit.sum() + 0.02 * len(rows)


def test_outliers_leave_the_overcomplete_basis_useful():
    clean = sources(20_000) @ MIXING
    learner = OnlineInfomax(15, overcomplete=True).fit(with_outliers(clean)[0])
    outputs = learner.transform(clean).astype(float)
    assert np.all(np.abs(outputs.var(axis=0) / (15 / K) - np.sum(learner.rotation_**2, axis=0)) < 0.2)


def test_heavy_tails_are_taken():
    rng = np.random.default_rng(3)
    rows = sources(20_000) @ MIXING * np.abs(rng.standard_t(3, size=(20_000, 1)))
    assert leakage(OnlineInfomax().fit(rows)) < 0.02


@pytest.mark.parametrize("seed", range(6))
def test_a_square_wave_beside_a_source_without_variance(seed):
    # A few rows are hundreds of times as long as the others: they decide the correlation over all, but not the filters.
    rng = np.random.default_rng(seed)
    found = np.stack([np.sign(np.sin(0.2 * np.arange(5000))), 0.01 * rng.standard_cauchy(5000)], axis=1)
    rows = found @ np.array([[np.cos(0.6), np.sin(0.6)], [np.sin(0.6), -np.cos(0.6)]])
    learner = OnlineInfomax()
    for _ in range(10):
        learner.partial_fit(rows)
    usual = np.abs(found[:, 1]) < np.quantile(np.abs(found[:, 1]), 0.99)
    correlation = np.abs(np.corrcoef(found[usual].T, learner.transform(rows[usual]).T)[:2, 2:])
    assert correlation.max(axis=1).min() > 0.999


def test_clean_rows_are_hardly_touched():
    rows = sources(20_000) @ MIXING
    learner = OnlineInfomax().fit(rows)
    assert learner.n_shortened_ < 0.01 * len(rows)
    np.testing.assert_allclose(np.cov(learner.transform(rows).T), np.eye(K), atol=0.05)


@pytest.mark.parametrize("settings", [{}, {"half_life": 2000.0}])
@pytest.mark.parametrize("gain", [0.01, 100.0, 1e5])
def test_a_jump_of_the_gain_is_followed(settings, gain):
    learner = OnlineInfomax(**settings).partial_fit(sources(5_000) @ MIXING)
    after = gain * sources(30_000, seed=1) @ MIXING
    learner.partial_fit(after)
    if gain > 1 or settings:
        deviation = learner.transform(after[-5000:]).std(axis=0)
        assert np.all((deviation > 0.8) & (deviation < 3))
    assert leakage(learner) < 0.02
    shortened = learner.n_shortened_
    learner.partial_fit(after)
    assert learner.n_shortened_ - shortened < 0.01 * len(after)


def test_sounds_after_silence_are_no_outliers_for_long():
    rng = np.random.default_rng(4)
    silence = 1e-3 * rng.standard_normal((3_000, K))
    loud = sources(60_000) @ MIXING * (rng.random((60_000, 1)) < 0.2) + 1e-3 * rng.standard_normal((60_000, K))
    learner = OnlineInfomax().partial_fit(silence).partial_fit(loud)
    assert leakage(learner) < 0.02


def test_shortening():
    np.testing.assert_allclose(shortening(np.array([0.5, 3, 6, np.inf], np.float32), 3.0), [1, 1, 0.25, 0])


def test_reach_follows_the_length_that_a_tenth_exceeds():
    reach, rng = Reach(), np.random.default_rng(0)
    for _ in range(300):
        rows = rng.standard_normal((64, 3)).astype(np.float32) * np.float32(5)
        reach.shorten(rows, rows.copy())
    lengths = np.linalg.norm(5 * rng.standard_normal((10_000, 3)), axis=1) / 3**0.5
    assert reach.length == pytest.approx(np.quantile(lengths, 0.9), rel=0.1)
    assert reach.bound == 1.75 * reach.length
    again = Reach()
    again.restore(reach.state())
    assert again.state() == reach.state()


def test_rows_are_shortened_as_far_as_their_whitened_selves():
    reach = Reach()
    rows = np.array([[1, 0], [30, 40]], np.float32)
    whitened = rows / np.float32(2)
    came = rows.copy()
    shortened = reach.shorten(rows, whitened)
    np.testing.assert_array_equal(rows, came)
    np.testing.assert_allclose(shortened.rows, 2 * whitened, rtol=1e-6)
    assert shortened.rows[0].tolist() == [1, 0]
    assert np.linalg.norm(whitened[1]) / 2**0.5 == pytest.approx(9 / (25 / 2**0.5), rel=1e-5)
    assert reach.n_shortened == 1


def test_neurons_are_tuned_to_rows_up_to_three_bounds():
    reach = Reach()
    lengths = np.array([1, 2.9, 5, 9, 100, 1e25], np.float32)
    rows = np.stack([lengths, lengths], axis=1)
    shortened = reach.shorten(rows.copy(), rows)
    tuned = lengthened(rows, shortened.lengths, shortened.bound)
    np.testing.assert_allclose(tuned[:5, 0], [1, 2.9, 5, 9, 9], rtol=1e-5)
    assert tuned[5, 0] == 0
    shortened = reach.shorten(rows[:1].copy(), rows[:1])
    np.testing.assert_array_equal(lengthened(rows[:1], shortened.lengths, shortened.bound), rows[:1])


def test_the_first_rows_lose_their_outliers():
    clean = (sources(10 * K) @ MIXING + 50).astype(np.float32)
    rows, hit = with_outliers(clean.astype(float), share=0.1, size=100.0)
    made, n = shorten_first(rows.astype(np.float32))
    assert n == pytest.approx(hit.sum(), abs=2)
    # What is left of an outlier counts as a row at the median.
    expected = np.cov(clean[~hit].T) * np.mean(~hit)
    np.testing.assert_allclose(np.cov(made.T), expected, atol=0.1 * expected.max())
    same, n = shorten_first(clean)
    assert n <= 1
    assert np.abs(same - clean).max(axis=1).astype(bool).sum() <= 1


@pytest.mark.parametrize("constant", [0.0, 4.0])
def test_first_rows_that_hardly_vary(constant):
    rows = np.full((60, K), constant, np.float32)
    made, n = shorten_first(rows)
    assert n == 0
    np.testing.assert_array_equal(made, rows)
    rows[-1] += 1
    made, n = shorten_first(rows)
    assert np.isfinite(made).all()


def silent_and_loud(rng):
    """First rows of channels whose size has nothing to do with what most of their rows are."""
    n, k = int(rng.integers(2, 400)), int(rng.integers(1, 12))
    rows = rng.laplace(size=(n, k)) @ rng.standard_normal((k, k))
    # Each row and each channel, and some of their crossings, have a size of their own; some rows are repeated.
    rows *= 10.0 ** rng.integers(-12, 13, size=(n, 1)) ** int(rng.random() < 0.3)
    rows *= np.where(rng.random((n, k)) < rng.random(), 10.0 ** -rng.integers(0, 38), 1.0)
    rows *= 10.0 ** rng.integers(-18, 19, size=k)
    rows[:, rng.random(k) < 0.2] = rng.standard_normal()
    return np.clip(rows[rng.integers(0, n, size=n)], -1e38, 1e38).astype(np.float32)


@pytest.mark.parametrize("seed", range(150))
def test_first_rows_of_any_kind_stay_finite(seed):
    rows = silent_and_loud(np.random.default_rng(seed))
    made, n = shorten_first(rows)
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    assert n <= len(rows)
    assert np.all((made >= rows.min(axis=0)) & (made <= rows.max(axis=0)))


def test_shortening_the_first_rows_adds_no_dimension():
    first = sources(300)[:, :2]
    first[::30] *= 50
    rows = (first @ np.random.default_rng(1).standard_normal((2, 9))).astype(np.float32)
    made, n = shorten_first(rows)
    assert n > 0
    values = np.linalg.svd(made - made.mean(axis=0, dtype=np.float64), compute_uv=False)
    assert values[2] < 1e-6 * values[0]


def test_silence_of_half_the_first_rows_is_no_reason_to_stop():
    frames = np.full((1000, 20), -16, np.float32)  # log-mel of zeros: the same number in every band
    frames[:500] = np.random.default_rng(0).normal(size=(500, 20)) - 5
    rows = np.ascontiguousarray(sliding_window_view(frames, 8, axis=0).reshape(-1, 160))
    made, n = shorten_first(rows)
    assert np.isfinite(made).all()
    assert n < len(rows)
