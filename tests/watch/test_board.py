"""The live view: what stands on it, and the curves behind it, which survive restarts."""

import math
from pathlib import Path
from typing import Any

import pytest
from helpers.wire import status as said_on_tap
from rich.console import Console

from stream_infomax.frames.measure import Kind, Measure
from stream_infomax.transport.messages import Status
from stream_infomax.watch.board import Board, Curve, Row, clock, sparkline
from stream_infomax.watch.history import History, read


def status(newest: int, **changes: Any) -> Status:
    """What a learner's service tells on its tap."""
    rows = 256 * (newest + 1)
    values: dict[Kind, float] = {"objective": 190 - newest / 10, "entropy": 2.0 - newest / 100, "information": 500.0}
    said = {
        "log_fill": 0.25,
        "frames": newest + 1,
        "rows": rows,
        "step_p50": 0.0012,
        "step_p99": 0.31,
        "expected": 400,
        "measures": [Measure("learner", "", kind, value, rows) for kind, value in values.items()],
    }
    return said_on_tap(newest, **{**said, **changes})


def drawn(board: Board, width: int = 140) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(board)
    return console.export_text()


class TestBoard:
    def test_shows_every_service_and_the_learning(self) -> None:
        board = Board("photographs.toml", ["source", "learner"])
        board.change("source", "running", 0)
        board.change("learner", "running", 2)
        board.update("learner", status(99, lost={"gone": 3}, refused={"request": 1}))
        text = drawn(board)
        for words in (
            "running (restarted 2×)",
            "25%",
            "1.20 / 310 ms",
            "3 gone, 1 refused (request)",
            "180.10 nats",
            "1.010 bits",
            "100 of 400 frames",
        ):
            assert words in text

    def test_a_service_that_has_said_nothing_has_an_empty_line(self) -> None:
        assert "starting" in drawn(Board("x", ["source"]))

    def test_a_process_beside_the_pipeline_has_a_line_too(self) -> None:
        board = Board("x", ["source"])
        board.change("recorder", "running", 0)
        assert "recorder" in drawn(board)

    def test_the_line_for_logs(self) -> None:
        board = Board("x", ["learner"])
        board.update("learner", status(99, lost={"gone": 3}))
        line = board.line()
        assert "frame 100 of 400" in line
        assert "3 frames lost" in line
        assert "learner objective 180.10 nats" in line

    def test_rates_are_over_the_last_seconds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr("stream_infomax.watch.board.time.monotonic", lambda: now)
        row = Row()
        for newest in range(0, 1000, 10):  # 10 frames each 0.1 s
            row.update(status(newest))
            now += 0.1
        assert row.rates() == pytest.approx((100.0, 25600.0))
        now += 10.0
        row.update(status(990))
        assert row.rates() == (0.0, 0.0)
        row.update(status(5))  # restarted: the counts begin anew
        assert row.rates() == (0.0, 0.0)

    def test_a_curve_moves_only_when_there_is_something_new(self) -> None:
        board = Board("x", ["learner"])
        for newest in (0, 1, 1, 1, 2):
            board.update("learner", status(newest))
        assert len(board.curves()["learner", "", "objective"].values) == 3

    def test_measures_stand_in_the_order_of_the_data(self) -> None:
        board = Board("x", ["learner", "probe"])
        board.update("probe", status(3, measures=[Measure("probe", "a", "accuracy", 0.5, 4)]))
        board.update("learner", status(3))
        assert [stage for stage, _, _ in board.curves()] == ["learner"] * 3 + ["probe"]

    def test_the_demo_fits_a_small_terminal(self) -> None:
        names = ["source", "learner", "contrast", "classifier"]
        board = Board("configs/photographs.toml → runs/photographs", names)
        levels = ("patches", "learner", "module1", "module2", "learner+module1+module2")
        baselines = ("chance", "majority class", "no change")
        measures = {
            "learner": status(1499).measures,
            "contrast": [Measure("module1", "", "score", 0.7, 1500), Measure("module2", "", "score", 0.6, 1500)],
            "classifier": [Measure("classifier", level, "accuracy", 0.615, 1500) for level in levels]
            + [Measure("classifier", level, "baseline", 0.11, 1500) for level in baselines],
        }
        for name in names:
            board.change(name, "running", 0)
            for newest in range(1400, 1500):
                board.update(name, status(newest, step_p99=0.999, measures=measures.get(name, [])))
        lines = drawn(board, width=80).splitlines()
        assert len(lines) <= 23
        assert "1,500 of 400 frames" in lines[-1]
        assert sum("1.20 / 999 ms" in line for line in lines) == 4
        assert "  learner+module1+module2" in lines[-6]
        assert "61.5%" in lines[-6]
        assert "baseline: chance" in lines[-5]
        assert "  no change" in lines[-3]
        assert "11.0%" in lines[-3]

    def test_no_latency_where_no_frame_came(self) -> None:
        board = Board("x", ["learner"])
        board.update("learner", status(-1, step_p50=None, step_p99=None))
        assert "– / –" in drawn(board)


class TestCurve:
    def test_memory_is_bounded_and_the_shape_stays(self) -> None:
        curve = Curve(capacity=64)
        for value in range(10_000):
            curve.append(float(value))
        assert len(curve.values) <= 64
        assert curve.values == sorted(curve.values)
        assert curve.last == 9999
        steps = {after - before for before, after in zip(curve.values, curve.values[1:], strict=False)}
        assert len(steps) == 1

    def test_what_is_not_finite_is_passed_over(self) -> None:
        curve = Curve()
        for value in (math.nan, 1.0, math.inf):
            curve.append(value)
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


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3661, "1:01:01")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def objective(position: int, value: float) -> Measure:
    return Measure("learner", "", "objective", value, position)


class TestHistory:
    def test_goes_on_after_a_restart_without_repeating_itself(self, tmp_path: Path) -> None:
        path = tmp_path / "history.csv"
        first = History(path)
        first.append(1.0, [objective(64, 5.0)])
        first.append(2.0, [objective(64, 5.0)])
        first.append(3.0, [objective(128, 4.0)])
        first.close()
        second = History(path)
        assert second.seconds == 3.0
        second.append(4.0, [objective(96, 4.5)])  # computed again from the checkpoint
        second.append(5.0, [objective(192, 3.0)])
        second.close()
        columns = {"seconds": [1.0, 3.0, 5.0], "position": [64.0, 128.0, 192.0], "value": [5.0, 4.0, 3.0]}
        assert read(path) == {("learner", "", "objective"): columns}

    def test_a_line_that_was_cut_off_is_left_out(self, tmp_path: Path) -> None:
        path = tmp_path / "history.csv"
        path.write_text("seconds,stage,level,kind,position,value\n1.0,learner,,objective,64,5\n2.0,learner,,obj")
        assert read(path)["learner", "", "objective"]["value"] == [5.0]
        after = History(path)
        after.append(3.0, [objective(128, 4.0)])
        after.close()
        assert read(path)["learner", "", "objective"]["value"] == [5.0, 4.0]
