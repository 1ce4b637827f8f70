"""Curves in bounded memory, and their sparklines."""

import math

import pytest

from stream_infomax.watch.curve import BoundedCurve, sparkline


class TestCurve:
    def test_memory_is_bounded_and_the_shape_stays(self) -> None:
        curve = BoundedCurve(capacity=64)
        for value in range(10_000):
            curve.add(value, float(value))
        assert len(curve.values) <= 64
        assert curve.values == sorted(curve.values)
        assert curve.last == 9999
        steps = {after - before for before, after in zip(curve.values, curve.values[1:], strict=False)}
        assert len(steps) == 1

    def test_what_is_not_finite_is_passed_over(self) -> None:
        curve = BoundedCurve()
        for position, value in enumerate((math.nan, 1.0, math.inf)):
            curve.add(position, value)
        assert curve.values == [1.0]

    @pytest.mark.parametrize(
        ("values", "line"), [([], ""), ([1.0], "▁"), ([2.0, 2.0], "▁▁"), ([0.0, 7.0], "▁█"), ([7.0, 3.0, 0.0], "█▄▁")]
    )
    def test_sparkline(self, values: list[float], line: str) -> None:
        assert sparkline(values) == line

    def test_a_long_curve_keeps_its_ends(self) -> None:
        line = sparkline(list(range(1000)), width=16)
        assert len(line) == 16
        assert line[0] == "▁"
        assert line[-1] == "█"

    def test_it_moves_only_when_there_is_something_new(self) -> None:
        curve = BoundedCurve()
        for position in (1, 2, 2, 1, 3):
            curve.add(position, float(position))
        assert curve.values == [1.0, 2.0, 3.0]

    def test_one_first_value_far_off_does_not_hide_the_others(self) -> None:
        line = sparkline([1000.0, *(40.0 - i for i in range(40))], width=41)
        assert line[0] == line[1] == "█"
        assert set(line) == set("▁▂▃▄▅▆▇█")

    def test_with_given_limits_what_is_beyond_is_cut(self) -> None:
        assert sparkline([-1.0, 0.0, 1.0, 9.0], limits=(0.0, 1.0)) == "▁▁██"
