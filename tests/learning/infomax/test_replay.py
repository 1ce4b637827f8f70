"""RowMemory keeps the last rows, and draws by a counter."""

import numpy as np
import pytest
import reference

from stream_infomax.learning.infomax.replay import RowMemory, draw


@pytest.mark.parametrize(("seed", "number", "filled"), [(0, 0, 10), (7, 3, 20_000), (2**32 - 1, 10**9, 1)])
def test_draw(seed, number, filled):
    np.testing.assert_array_equal(draw(seed, number, filled, 50), reference.draw_rows(seed, number, filled, 50))


def test_draws_are_uniform_and_differ():
    first, second = draw(1, 0, 10, 20_000), draw(1, 1, 10, 20_000)
    assert np.abs(np.bincount(first, minlength=10) - 2000).max() < 200
    assert np.mean(first == second) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("cut", [1, 3, 7, 30])
def test_keeps_the_last_rows_within_its_bytes(cut):
    memory = RowMemory(10 * 2 * 4 + 7, 2, seed=0)
    rows = np.arange(60, dtype=np.float32).reshape(30, 2)
    for start in range(0, 30, cut):
        memory.add(rows[start : start + cut])
    assert memory.rows.nbytes <= 10 * 2 * 4 + 7
    assert memory.filled == 10
    assert sorted(memory.rows[:, 0]) == list(rows[-10:, 0])


def test_drawn_rows_are_shifted():
    memory = RowMemory(1000, 2, seed=0)
    memory.add(np.array([[3, 4]], np.float32))
    out = np.empty((5, 2), np.float32)
    memory.draw(np.array([1, 1], np.float32), out)
    np.testing.assert_array_equal(out, np.tile([[2, 3]], (5, 1)))


def test_a_state_goes_on():
    memory, again = RowMemory(400, 2, seed=3), RowMemory(400, 2, seed=3)
    memory.add(np.random.default_rng(0).standard_normal((70, 2)).astype(np.float32))
    again.restore(memory.state())
    drawn = np.empty((2, 9, 2), np.float32)
    for one, out in zip((memory, again), drawn, strict=True):
        one.add(np.ones((3, 2), np.float32))
        one.draw(np.zeros(2, np.float32), out)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    with pytest.raises(ValueError, match="room for"):
        RowMemory(80, 2, seed=3).restore(memory.state())


def test_draws_of_the_last_rows_are_of_the_last_rows():
    memory = RowMemory(10 * 4, 1, seed=0)
    memory.add(np.arange(13, dtype=np.float32)[:, None])
    out = np.empty((200, 1), np.float32)
    memory.draw(np.zeros(1, np.float32), out, last=3)
    assert set(out[:, 0]) == {10.0, 11.0, 12.0}
    memory.draw(np.zeros(1, np.float32), out)
    assert set(out[:, 0]) == set(range(3, 13))
