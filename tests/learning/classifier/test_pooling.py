"""What is pooled of a segment: mean and deviation, thirds."""

import numpy as np
import pytest
import reference

from stream_infomax.learning.classifier.pooling import STRETCHES, Pooling, Thirds, pool


def test_pooling_in_pieces_leaves_out_what_is_not_finite():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((50, 3)).astype(np.float32)
    rows[[4, 30]] = np.nan
    pool = Pooling(3)
    for start in range(0, 50, 8):
        pool.add(rows[start : start + 8])
    good = rows[np.isfinite(rows).all(1)].astype(np.float64)
    np.testing.assert_allclose(pool.result(), np.concatenate([good.mean(0), good.std(0)]), rtol=1e-6)
    other = Pooling(3)
    other.restore(pool.state())
    assert np.array_equal(other.result(), pool.result())
    assert np.isnan(Pooling(3).result()).all()


def test_a_whole_segment_at_once():
    rows = np.array([[1.0, 2.0], [3.0, 2.0], [np.nan, 0.0]])
    assert pool(rows).tolist() == [2, 2, 1, 0]
    assert np.isnan(pool(rows[2:])).all()


def in_pieces(rows, size):
    pool = Thirds(rows.shape[1])
    for start in range(0, len(rows), size):
        pool.add(rows[start : start + size])
    return pool


@pytest.mark.parametrize("n", [1, 2, 7, STRETCHES - 1, STRETCHES, 2 * STRETCHES, 8 * STRETCHES])
def test_thirds_of_short_segments_and_of_full_stretches_are_exact(n):
    rows = np.random.default_rng(n).standard_normal((n, 2)).astype(np.float32)
    np.testing.assert_allclose(in_pieces(rows, 5).result(), reference.thirds(rows), atol=1e-6)


def test_thirds_of_any_segment_are_close_and_the_same_in_any_pieces():
    times = np.linspace(0, 1, 1001)[:, None]
    rows = np.concatenate([times, np.sin(7 * times), 1 - times**2], 1)
    rows[[3, 500]] = np.nan
    whole = in_pieces(rows, 2000)
    np.testing.assert_allclose(whole.result(), reference.thirds(rows[np.isfinite(rows).all(1)]), atol=0.01)
    assert np.array_equal(whole.sums, in_pieces(rows, 13).sums)
    assert whole.sums.shape == (STRETCHES, 3)
    assert np.isnan(Thirds(3).result()).all()
    assert len(Thirds(3).result()) == len(whole.result()) == 12


@pytest.mark.parametrize("changed", [{"length": 0}, {"rows": 25.0}, {"rows": -1.0}])
def test_thirds_refuse_a_state_whose_stretches_do_not_hold_its_rows(changed):
    thirds = Thirds(2)
    thirds.add(np.ones((5, 2)))
    with pytest.raises(ValueError, match="length"):
        Thirds(2).restore(thirds.state() | changed)
