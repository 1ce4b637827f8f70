"""Panel: every row has the same chance."""

import numpy as np
import pytest

from stream_infomax.learning.measures.panel import Panel


def test_every_row_has_the_same_chance() -> None:
    counts = np.zeros(200)
    for seed in range(400):
        panel = Panel(20, seed)
        for part in np.split(np.arange(200, dtype=np.float32)[:, None], [3, 50, 51, 140]):
            panel.add(part)
        counts[panel.rows[:, 0].astype(int)] += 1
    assert counts.sum() == 400 * 20
    by_decile = counts.reshape(10, 20).sum(axis=1)  # 800 expected in each, deviation about 27
    assert np.abs(by_decile - 800).max() < 120


def test_it_keeps_all_until_it_is_full_and_passes_over_what_is_not_finite() -> None:
    panel = Panel(4)
    panel.add(np.array([[1, 2], [np.nan, 0], [3, 4]], np.float32))
    np.testing.assert_array_equal(panel.rows, [[1, 2], [3, 4]])
    assert panel.seen == 2
    panel.add(np.full((1, 2), np.inf, np.float32))
    assert panel.seen == 2
    with pytest.raises(ValueError, match="at least 1 row, got 0"):
        Panel(0)


def test_it_goes_on_with_the_same_draws() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    whole, first, second = Panel(16, 5), Panel(16, 5), Panel(16, 5)
    whole.add(rows[:170])
    first.add(rows[:170])
    second.restore(first.state())
    whole.add(rows[170:])
    second.add(rows[170:])
    np.testing.assert_array_equal(second.rows, whole.rows)


def test_after_it_was_cleared_only_what_comes_is_drawn() -> None:
    panel = Panel(16)
    panel.add(np.ones((100, 3), np.float32))
    panel.clear()
    assert (panel.seen, panel.rows.shape) == (0, (0, 3))
    panel.add(np.zeros((100, 3), np.float32))
    assert (panel.seen, panel.rows.shape) == (100, (16, 3))
    assert not panel.rows.any()


@pytest.mark.filterwarnings("error")
def test_what_float32_cannot_hold_does_not_get_in():
    panel = Panel(size=8)
    panel.add(np.ones((8, 2), np.float32))
    panel.add(np.full((500, 2), 1.7e308))
    panel.add(np.full((500, 2), 2.0))
    assert panel.seen == 508
    assert panel.rows.dtype == np.float32
    assert set(panel.rows.ravel()) <= {1.0, 2.0}
