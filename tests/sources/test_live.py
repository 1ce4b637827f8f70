"""What live sources share: rows in any portions become frames and segments; a thread hands over to the loop."""

import select
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infomax.sources.arrivals import Arrivals
from stream_infomax.sources.live import Cutter, LiveSettings

RATE = 100.0
T0 = 1_800_000_000.0  # 2027-01-15T08:00:00Z


def cutter(rate=RATE, **settings):
    return Cutter("mic", ("time", "channel"), rate, LiveSettings(**settings))


def taken(cut):
    frames = []
    while (frame := cut.take()) is not None:
        frames.append(frame)
    return frames


def rows(n, start=0):
    return np.arange(start, start + n, dtype=np.float32)[:, None]


@given(st.lists(st.integers(0, 70), max_size=12), st.integers(1, 40), st.integers(1, 90))
def test_portions_do_not_matter(portions, frame, segment):
    cut = cutter(frame=frame, segment_seconds=segment / RATE)
    total = 0
    for n in portions:
        cut.add(rows(n, total), T0 + total / RATE)
        total += n
    cut.flush()
    found = taken(cut)
    values = [frame.arrays["mic"].data[:, 0] for frame in found]
    np.testing.assert_array_equal(np.concatenate([[], *values]), np.arange(total))
    assert all(len(one) == frame for one in values[:-1])
    for one, first in zip(found, np.cumsum([0, *map(len, values)]), strict=False):
        assert one.time == pytest.approx(T0 + first / RATE, abs=1e-6)
    expected, names, in_segment = [], 0, 0
    for one in values:
        names += in_segment == 0
        in_segment += len(one)
        expected.append(in_segment >= segment)
        in_segment = 0 if expected[-1] else in_segment
    assert [one.last for one in found] == expected
    assert len({one.segment for one in found}) == names


def test_a_gap_begins_another_segment():
    cut = cutter(frame=10)
    cut.add(rows(15), T0)
    cut.gap()
    cut.add(rows(10), T0 + 1)
    before, short, after = taken(cut)
    assert (before.segment, short.segment) == ("2027-01-15T08:00:00.000Z",) * 2
    assert short.arrays["mic"].n_rows == 5
    assert not short.last
    assert after.segment == "2027-01-15T08:00:01.000Z"


def test_segments_have_different_names_whatever_the_clock_says():
    cut = cutter(frame=5)
    for time in (0.0, 0.0, 0.0, 1e300, 1e300):
        cut.add(rows(5), time)
        cut.gap()
    names = [frame.segment for frame in taken(cut)]
    assert len(set(names)) == 5


def test_it_ends_after_its_duration_and_takes_nothing_more():
    cut = cutter(frame=10, duration=0.25)
    cut.add(rows(100), T0)
    found = taken(cut)
    assert [frame.end for frame in found] == [False, False, True]
    assert cut.ended
    cut.add(rows(10), T0 + 1)
    cut.end()
    assert taken(cut) == []


def test_the_duration_goes_over_a_restart():
    cut = cutter(frame=10, duration=0.3)
    cut.add(rows(20), T0)
    taken(cut)
    again = cutter(frame=10, duration=0.3)
    again.given = cut.given
    again.add(rows(20), T0 + 5)
    assert [frame.end for frame in taken(again)] == [True]


def test_an_end_from_outside_is_a_frame_without_rows():
    cut = cutter(frame=10)
    cut.add(rows(12), T0)
    cut.end()
    *_, short, last = taken(cut)
    assert short.arrays["mic"].n_rows == 2
    assert last.arrays["mic"].data.shape == (0, 1)
    assert last.end
    assert last.segment == short.segment
    assert cut.ended


def test_irregular_rows_keep_their_times():
    cut = cutter(rate=0.0, segment_seconds=2.0)
    for time in (0.0, 0.5, 2.5, 2.6):
        cut.add(rows(1), T0 + time)
    found = taken(cut)
    assert [frame.time - T0 for frame in found] == pytest.approx([0.0, 0.5, 2.5, 2.6])
    assert [frame.last for frame in found] == [False, False, True, False]


def test_a_thread_hands_over_and_the_loop_is_woken():
    queue = Arrivals(100)
    threading.Thread(target=lambda: [queue.put(n) for n in range(20)]).start()
    found = []
    while len(found) < 20:
        assert select.select([queue.socket], [], [], 10)[0], "nobody rang"
        while (item := queue.get()) is not None:
            found.append(item)
    assert found == list(range(20))
    assert not select.select([queue.socket], [], [], 0)[0], "nothing is there"
    queue.close()


def test_the_oldest_gives_way_and_is_counted():
    queue = Arrivals(3)
    for n in range(5):
        queue.put(n)
    assert queue.dropped == 2
    assert [queue.get() for _ in range(4)] == [2, 3, 4, None]
    queue.close()


def test_what_gave_way_is_known_of_the_item_that_came_behind_it():
    queue = Arrivals(3)
    for n in range(3):
        queue.put(n)
    assert (queue.get(), queue.missed) == (0, 0)
    for n in range(3, 6):
        queue.put(n)
    assert (queue.dropped, queue.missed) == (2, 0)  # nothing is missing before 0
    assert (queue.get(), queue.missed) == (3, 2)
    queue.close()


def test_an_error_comes_after_what_came_before_it():
    queue = Arrivals(3)
    queue.put(1)
    queue.fail(OSError("unplugged"))
    assert queue.get() == 1
    with pytest.raises(OSError, match="unplugged"):
        queue.get()
    queue.close()
    queue.put(2)  # the library's thread may be late
