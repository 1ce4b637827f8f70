"""Cutting rows into excerpts, and the bounded memory of them."""

import numpy as np
import pytest

from stream_infomax.learning.contrast.excerpts import Cutter, ExcerptMemory, pad


def ramp(rows, start=0, width=2):
    return np.arange(start * width, (start + rows) * width, dtype=np.float32).reshape(rows, width)


def test_cuts_do_not_depend_on_the_frames():
    rows = ramp(50)
    whole = Cutter(2, longest=20, shortest=3).add(rows, last=True)
    cutter, pieces = Cutter(2, longest=20, shortest=3), []
    for start in range(0, 50, 7):
        pieces += cutter.add(rows[start : start + 7], last=start + 7 >= 50)
    assert [len(excerpt) for excerpt in whole] == [20, 20, 10]
    assert all(np.array_equal(one, other) for one, other in zip(whole, pieces, strict=True))


def test_nothing_reaches_across_a_gap_or_a_segment():
    rows = ramp(30)
    rows[10] = np.nan
    rows[11, 1] = np.inf
    cutter = Cutter(2, longest=100, shortest=3)
    first = cutter.add(rows, last=False)
    rest = cutter.add(ramp(2, 30), last=True)
    following = cutter.add(ramp(5, 40), last=True)
    assert [excerpt[:, 0].tolist() for excerpt in first] == [list(range(0, 20, 2))]
    assert [excerpt[0, 0] for excerpt in rest + following] == [24, 80]
    assert len(rest[0]) == 20


def test_runs_too_short_for_one_prediction_are_counted():
    cutter = Cutter(2, longest=10, shortest=4)
    assert cutter.add(ramp(3), last=True) == []
    assert [len(excerpt) for excerpt in cutter.add(ramp(13), last=True)] == [10]
    assert cutter.dropped == {"short": 2}
    with pytest.raises(ValueError, match="received 11"):
        Cutter(2, longest=10, shortest=11)


def test_pad():
    batch = pad([ramp(3), ramp(1)])
    assert batch.rows.shape == (2, 3, 2)
    assert batch.lengths.tolist() == [3, 1]
    assert not batch.rows[1, 1:].any()


def test_memory_is_bounded_half_recent_half_old():
    memory = ExcerptMemory(limit=100 * 10 * 2 * 4, seed=1)
    for number in range(1000):
        memory.add(np.full((10, 2), number, np.float32))
        assert memory.nbytes <= memory.limit
    kept = [int(rows[0, 0]) for _, rows in memory.recent]
    old = sorted(int(rows[0, 0]) for *_, rows in memory.sample)
    assert kept == list(range(950, 1000))
    assert len(old) == 50
    assert max(old) < 950
    # Uniform over 0 … 949: mean 475, of 50 draws within four standard errors (274 / sqrt(50) = 39).
    assert abs(np.mean(old) - 475) < 4 * 39


def test_sample_is_uniform_over_excerpts():
    hits = np.zeros(40)
    for seed in range(300):
        memory = ExcerptMemory(limit=20 * 8, reservoir=0.5, seed=seed)
        for number in range(40):
            memory.add(np.full((2, 1), number, np.float32))
        for *_, rows in memory.sample:
            hits[int(rows[0, 0])] += 1
    assert len(memory.sample) == 10
    expected = 300 * 10 / 30
    assert np.abs(hits[:30] - expected).max() < 5 * np.sqrt(expected)
    assert not hits[30:].any()


def test_without_a_reservoir_only_the_newest_are_kept():
    memory = ExcerptMemory(limit=5 * 80, reservoir=0.0)
    for number in range(9):
        memory.add(np.full((10, 2), number, np.float32))
    assert [int(rows[0, 0]) for _, rows in memory.recent] == [4, 5, 6, 7, 8]
    assert not memory.sample


def test_one_excerpt_larger_than_the_memory_is_still_there():
    memory = ExcerptMemory(limit=10)
    memory.add(ramp(30))
    assert len(memory) == 1


def test_draw_has_the_newest_and_no_excerpt_twice():
    memory = ExcerptMemory(limit=10_000, seed=2)
    for number in range(40):
        memory.add(np.full((5 + number % 7, 2), number, np.float32))
    drawn = memory.draw(100, number=3)
    numbers = [int(rows[0, 0]) for rows in drawn]
    assert numbers[0] == 39
    assert len(set(numbers)) == len(numbers)
    assert 100 - 11 < sum(map(len, drawn)) <= 100
    again = memory.draw(100, number=3)
    assert all(np.array_equal(one, other) for one, other in zip(drawn, again, strict=True))
    assert [int(rows[0, 0]) for rows in memory.draw(100, number=4)] != numbers


def test_draw_of_small_memories():
    memory = ExcerptMemory(limit=10_000)
    with pytest.raises(ValueError, match="empty"):
        memory.draw(100, 0)
    memory.add(ramp(60))
    assert len(memory.draw(10, 0)) == 1
    memory.add(ramp(60))
    assert len(memory.draw(10, 0)) == 2, "two excerpts even where they are more rows than asked for"


def test_restored_memory_goes_on_alike():
    one = ExcerptMemory(limit=2_000, seed=4)
    for number in range(60):
        one.add(ramp(3 + number % 5, number))
    other = ExcerptMemory(limit=2_000, seed=4)
    other.restore(one.state())
    for number in range(60, 90):
        one.add(ramp(3 + number % 5, number))
        other.add(ramp(3 + number % 5, number))
        for left, right in zip(one.draw(50, number), other.draw(50, number), strict=True):
            assert np.array_equal(left, right)
    one.clear()
    other.restore(one.state())
    assert len(other) == 0
    assert other.count == 90


@pytest.mark.parametrize(("limit", "reservoir"), [(0, 0.5), (10, 1.0), (10, -0.1)])
def test_impossible_memories(limit, reservoir):
    with pytest.raises(ValueError, match="received"):
        ExcerptMemory(limit, reservoir)


def test_excerpts_are_drawn_with_the_numbers_of_their_streams():
    one = ExcerptMemory(3000, 0.5)
    for number in range(40):
        one.add(np.full((3 + number % 5, 4), number, np.float32), number % 3 - 1)
    assert len(one.streams) == len(one) < 40
    other = ExcerptMemory(3000, 0.5)
    other.restore(one.state())
    for memory in (one, other):
        excerpts, streams = memory.draw_streams(60, 0)
        assert streams.tolist() == [int(rows[0, 0]) % 3 - 1 for rows in excerpts]
    alone = ExcerptMemory(3000)
    alone.add(np.ones((3, 4), np.float32), 7)
    assert alone.draw_streams(60, 0)[1] is None
