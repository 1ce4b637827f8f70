"""What counts grows with the stream, is bounded by a half-life, and is cut by a change."""

import math

import pytest

from stream_infomax.learning.infomax.horizon import Horizon


def test_without_a_half_life_every_row_counts():
    horizon = Horizon()
    horizon.first, horizon.rows = 100.0, 900.0
    assert (horizon.length, horizon.in_all, horizon.limit, horizon.recent) == (900, 1000, math.inf, None)
    assert horizon.decay(64) == 1


def test_the_shorter_of_two_bounds_holds():
    horizon = Horizon(500.0)
    horizon.rows = 900.0
    assert (horizon.length, horizon.recent, horizon.decay(500)) == (500, 500, 0.5)
    horizon.bound = 300.0
    assert (horizon.length, horizon.recent, horizon.decay(300)) == (300, 300, 0.5)
    horizon.bound = 900.0
    assert horizon.length == 500


@pytest.mark.parametrize(("left", "rows"), [(50.0, 50.0), (2000.0, 900.0)])
def test_a_cut_never_lets_more_rows_count_than_there_were(left, rows):
    horizon = Horizon()
    horizon.first, horizon.rows = 100.0, 900.0
    horizon.cut(left)
    assert (horizon.rows, horizon.in_all) == (rows, rows)
