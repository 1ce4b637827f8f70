"""Whitened is white, however the stream changes, and the whitening moves no further than it must."""

import numpy as np
import pytest
import reference

from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.matrices import nearest_rotation, polar
from stream_infomax.learning.infomax.refresh import inverse_root
from stream_infomax.learning.infomax.whitening import StreamingWhitener


def correlated(n, k=5, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((k, k))
    return rng.laplace(size=(n, k)) @ mixing + offset


def feed(whitener, rows, block=50):
    for start in range(0, len(rows), block):
        whitener.add(((rows[start : start + block] - whitener.reference) * whitener.scale).astype(np.float32))


def refresh(whitener):
    while not whitener.refresh():
        pass


def whitened(whitener, rows):
    return (rows - whitener.reference) * whitener.scale @ whitener.whiten


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_mean_and_covariance_are_those_of_all_rows(offset):
    rows = correlated(1000, offset=offset)
    whitener = StreamingWhitener(rows[0])
    feed(whitener, rows)
    np.testing.assert_allclose(whitener.reference + whitener.mean(), rows.mean(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(whitener.covariance(), reference.covariance(rows), rtol=1e-4, atol=1e-4)


def test_whitened_is_white_after_settling_and_after_a_refresh():
    rows = correlated(2000)
    whitener = StreamingWhitener(np.zeros(5), scale=0.25)
    feed(whitener, rows[:500])
    assert whitener.settle(None, 1.0, None) == 5
    np.testing.assert_allclose(reference.covariance(whitened(whitener, rows[:500])), np.eye(5), atol=1e-3)
    feed(whitener, rows[500:])
    refresh(whitener)
    np.testing.assert_allclose(reference.covariance(whitened(whitener, rows)), np.eye(5), atol=1e-3)
    np.testing.assert_allclose(whitener.whiten.T @ whitener.dewhiten, np.eye(5), atol=1e-4)


def test_a_refresh_takes_the_nearest_whitening():
    rows = correlated(4000)
    whitener = StreamingWhitener(np.zeros(5))
    feed(whitener, rows[:300])
    whitener.settle(None, 1.0, None)
    old = whitener.whiten
    feed(whitener, rows[300:])
    refresh(whitener)
    values, vectors = np.linalg.eigh(reference.covariance(rows))
    fresh, back = vectors / np.sqrt(values), vectors * np.sqrt(values)
    np.testing.assert_allclose(whitener.whiten, fresh @ polar(back.T @ old), atol=2e-3)


def test_a_lower_rank_follows_the_leading_directions():
    rng = np.random.default_rng(0)
    first = rng.standard_normal((2000, 4)) * [5, 4, 1, 0.5]
    whitener = StreamingWhitener(np.zeros(4), horizon=Horizon(200.0))
    feed(whitener, first)
    assert whitener.settle(2, 1.0, None) == 2
    assert np.abs(whitener.whiten[2:]).max() < 0.02
    for start in range(0, 2000, 100):
        feed(whitener, first[start : start + 100, ::-1])
        refresh(whitener)
    assert np.abs(whitener.whiten[:2]).max() < 0.02
    np.testing.assert_allclose(whitener.whiten.T @ whitener.covariance() @ whitener.whiten, np.eye(2), atol=1e-3)


@pytest.mark.parametrize(("energy", "rank"), [(1.0, 3), (0.9, 1), (0.95, 2), (0.999, 3)])
def test_rank_by_energy(energy, rank):
    # Shares of variance 0.83, 0.13, 0.04: roots of the sums 0.91, 0.98, 1.
    rows = np.random.default_rng(0).standard_normal((20_000, 4)) * [5, 2, 1, 0]
    whitener = StreamingWhitener(np.zeros(4))
    feed(whitener, rows)
    assert whitener.settle(None, energy, None) == rank


def test_half_life_forgets():
    whitener = StreamingWhitener(np.zeros(5), horizon=Horizon(100.0))
    feed(whitener, correlated(1000, offset=7.0))
    feed(whitener, correlated(2000, seed=1, offset=-3.0))
    np.testing.assert_allclose(whitener.mean(), -3.0, atol=2.0)
    assert whitener.weight == pytest.approx(100 / np.log(2), rel=0.2)


def test_nothing_that_varies_has_no_rank():
    whitener = StreamingWhitener(np.zeros(3))
    feed(whitener, np.zeros((100, 3)))
    assert whitener.settle(None, 1.0, None) == 0


def test_a_state_goes_on_with_the_same_bits():
    rows = correlated(1000)
    whitener = StreamingWhitener(rows[0])
    feed(whitener, rows[:500])
    whitener.settle(None, 1.0, None)
    again = StreamingWhitener(rows[0])
    again.restore(whitener.state())
    for one in (whitener, again):
        feed(one, rows[500:])
        refresh(one)
    np.testing.assert_array_equal(whitener.whiten, again.whiten)
    np.testing.assert_array_equal(whitener.reference, again.reference)


def test_polar_and_inverse_root():
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((4, 9))
    np.testing.assert_allclose(polar(matrix), reference.polar(matrix), atol=1e-12)
    square = matrix @ matrix.T
    square /= np.linalg.norm(square, 2)
    for distance, within, soon in ((100.0, 1e-4, False), (0.9, 1e-4, False), (0.3, 1e-3, True), (0.03, 1e-6, True)):
        matrix = 7 * (np.eye(4) + distance * square)
        correction, exact = inverse_root(matrix)
        assert exact == soon
        root = np.eye(4) + correction
        for _ in range(8):  # again from where the last has led
            if exact:
                break
            correction, exact = inverse_root(root.T @ matrix @ root)
            root = root @ (np.eye(4) + correction)
        np.testing.assert_allclose(root @ matrix @ root.T, np.eye(4), atol=within)


def test_a_whitening_that_had_far_to_go_is_exact_after_some_refreshes():
    whitener = StreamingWhitener(np.zeros(5), horizon=Horizon(1000.0))
    feed(whitener, correlated(1000))
    whitener.settle(None, 1.0, None)
    feed(whitener, correlated(1000, seed=1) * [1, 1, 1, 1, 3])
    before, pieces = whitener.whiten, 0
    while not whitener.refresh():  # a copy of every moment goes on with the same bits
        np.testing.assert_array_equal(whitener.whiten, before)
        again = StreamingWhitener(np.zeros(5), horizon=Horizon(1000.0))
        again.restore(whitener.state())
        pieces += 1
    assert pieces > 6
    assert again.refresh()
    np.testing.assert_array_equal(whitener.whiten, again.whiten)
    np.testing.assert_allclose(whitener.whiten.T @ whitener.covariance() @ whitener.whiten, np.eye(5), atol=1e-4)
    np.testing.assert_allclose(whitener.whiten.T @ whitener.dewhiten, np.eye(5), atol=1e-4)


@pytest.mark.parametrize("singular", [[1, 0.9, 0.3], [1, 1, 0.02], [1.4, 1, 1], [3, 1, 1]])
def test_nearest_rotation(singular):
    rng = np.random.default_rng(0)
    left, right = np.linalg.qr(rng.standard_normal((3, 3)))[0], np.linalg.qr(rng.standard_normal((7, 3)))[0].T
    near = nearest_rotation((left * singular @ right).astype(np.float32))
    assert near.dtype == np.float32
    np.testing.assert_allclose(near, left @ right, atol=1e-5)


def test_directions_are_followed_whatever_the_units():
    first, second = correlated(1000), correlated(3000, seed=1) * [1, 1.5, 0.7, 1, 2]
    found = []
    for scale in (np.ones(5), np.array([1, 4, 0.25, 2, 0.5])):
        whitener = StreamingWhitener(np.zeros(5), scale, Horizon(500.0))
        feed(whitener, first)
        whitener.settle(3, 1.0, None)
        feed(whitener, second)
        while not whitener.refresh():
            pass
        found.append(whitener.scale[:, None] * whitener.whiten)
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)
