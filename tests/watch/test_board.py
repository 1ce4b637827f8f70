"""The live view and the plain lines: what stands there, how wide they are, and what is not alarming."""

import io
from typing import Any, ClassVar

import pytest
from helpers.wire import status as said_on_tap
from rich.console import Console

from stream_infomax.frames.event import Event
from stream_infomax.frames.measure import Kind, Measure
from stream_infomax.transport.messages import Status
from stream_infomax.watch.board import LINE, Board, clock
from stream_infomax.watch.service_row import ServiceRow


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


class TestRow:
    def test_a_service_whose_buffer_is_full_waits_for_the_next_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr("stream_infomax.watch.service_row.time.monotonic", lambda: now)
        board = Board("x", ["source", "learner"])
        board.change("source", "running", 0)
        board.update("source", status(99, log_fill=1.0))
        board.update("source", status(99, log_fill=1.0))
        assert "running" in drawn(board)
        now += 2.0
        text = drawn(board)
        assert "waiting" in text
        assert "100%" not in text
        board.update("source", status(100, log_fill=1.0))
        assert "waiting" not in drawn(board)

    def test_a_source_whose_journal_takes_nothing_says_so(self) -> None:
        row = ServiceRow()
        row.change("running", 0)
        row.update(status(9, counts={"source": {"journal full": 1}}))
        assert row.state == "disk full"
        row.update(status(9, counts={"source": {"journal full": 0}}))
        assert row.state == "running"

    def test_the_state_of_one_that_stopped_or_whose_buffer_has_room_stays(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 100.0
        monkeypatch.setattr("stream_infomax.watch.service_row.time.monotonic", lambda: now)
        for said, state in (("stopping", status(9, log_fill=1.0)), ("running", status(9, log_fill=0.5))):
            row = ServiceRow()
            row.change(said, 0)
            row.update(state)
            now += 4.0
            assert row.state == said

    def test_a_service_that_runs_and_says_nothing_is_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr("stream_infomax.watch.service_row.time.monotonic", lambda: now)
        board = Board("x", ["source", "learner"])
        for name in ("source", "learner"):
            board.change(name, "running", 0)
            board.update(name, status(9, finished=name == "source"))
        now += 6.0
        lines = drawn(board).splitlines()
        assert "no word for 6 s" in lines[4]
        assert "learner  silent" in lines[3]
        assert "running" in lines[2], "one that has finished has no more to say"
        assert "frame 10 of 400  learner silent  0 frames/s" in board.line()
        board.change("learner", "starting", 1)
        assert "silent" not in drawn(board)

    def test_stages_that_learn_nothing_are_named(self) -> None:
        board = Board("x", ["learner"])
        board.change("learner", "running", 0)
        board.update("learner", status(9, counts={"a": {"paused": 1}, "b": {"on hold": 2}, "c": {"examining": 0}}))
        assert "a paused; b on hold" in drawn(board)
        assert "examining" not in drawn(board)


HOSTILE = "[/x] \x1b[2J\x1b]0;title\x07\u202e\n[bold]"


class TestHostileText:
    def test_nothing_of_a_name_is_obeyed_or_taken_for_markup(self) -> None:
        board = Board(HOSTILE, [HOSTILE])
        board.change(HOSTILE, "running", 0)
        measures = [Measure(HOSTILE, HOSTILE, "accuracy", 0.5, 99), Measure(HOSTILE, "", "objective", 0.5, 99)]
        board.update(HOSTILE, status(99, lost={HOSTILE: 2}, measures=measures))
        text = drawn(board, width=400)
        assert text.count("[/x] \\x1b[2J\\x1b]0;title\\x07\\u202e\\n[bold]") >= 4
        assert all(line.isprintable() for line in text.splitlines())
        assert board.line().isprintable()


def happened(position: int, text: str = "rows are 1.65 times as long as before over 6 blocks") -> Event:
    return Event(stage="learner", position=position, kind="change", text=text)


class TestEvents:
    def test_the_newest_stands_below_in_a_line_that_fits(self) -> None:
        board = Board("a", ["learner"])
        board.update("learner", status(10, events=[happened(1000), happened(12_000)]))
        lines = drawn(board, 80).splitlines()
        (line,) = (line for line in lines if "change" in line)
        assert line.startswith("learner, row 12,000, change: rows are 1.65 times as long as before")
        assert max(map(len, lines)) <= 80

    def test_each_is_told_once_and_not_again_after_a_restart(self) -> None:
        board = Board("a", ["learner"])
        board.update("learner", status(-1))
        board.update("learner", status(10, events=[happened(1000)]))
        board.update("learner", status(11, events=[happened(1000), happened(2000)]))
        assert board.untold() == [happened(1000), happened(2000)]
        board.update("learner", status(9, events=[happened(1000)]))
        board.update("learner", status(12, events=[happened(1000), happened(2000), happened(3000)]))
        assert board.untold() == [happened(3000)]

    def test_their_text_is_text(self) -> None:
        board = Board("a", ["learner"])
        board.update("learner", status(10, events=[happened(1000, "[bold]\x1b[2J\n")]))
        assert r"[bold]\x1b[2J\n" in drawn(board, 80)


class TestWidth:
    """The worst that there is, in terminals of any width."""

    names = ("microphone-array-in-the-north-hall", "an-even-longer-name-of-a-learner-than-names-usually-are", "probe")
    levels = ("windows", "learner", "module1", "module2", "module3", "learner+module1+module2+module3")
    text = "rows are 12.65 times as long as before over 6 blocks of 64 rows; they are set aside until it is over"
    lost: ClassVar = {"never arrived": 123_456_789, "not written, disk full": 12_345, "files that are gone": 3}

    def board(self) -> Board:
        source, learner, probe = self.names
        board = Board("/home/somebody/sounds.toml → /data/runs/sounds", self.names)
        for name, state, restarts in zip(self.names, ("running", "restarting", "running"), (0, 12, 0), strict=True):
            board.change(name, state, restarts)
        board.update(source, status(10**9, expected=10**10, counts={"source": {"journal full": 1}}, lost=self.lost))
        board.update(learner, status(10**9, refused={"request": 12, "reader": 3}, events=[happened(10**9, self.text)]))
        measures = [Measure("probe", level, "accuracy", 0.615, 1500) for level in self.levels]
        measures += [Measure("probe", level, "baseline", 0.11, 1500) for level in ("chance", "majority class")]
        board.update(probe, status(10**9, step_p50=12.5, step_p99=123.4, measures=measures))
        return board

    @pytest.mark.parametrize("width", [40, 60, 80, 120])
    def test_no_word_is_cut_and_no_line_too_long(self, width: int) -> None:
        text = drawn(self.board(), width)
        lines = [line.rstrip() for line in text.splitlines()]
        assert max(map(len, lines)) <= width
        assert "…" not in text
        words = set(text.split())
        told = [*self.levels, *" ".join([self.text, *self.lost]).replace("disk full", "disk full),").split()]
        for word in ("disk", "full", "restarting", "1,000,000,001", "12×;", "61.5%", "11.0%", "500.0", "(request),"):
            assert word in words
        joined = " ".join(text.split())
        for word in told:
            assert word.strip("),") in joined
        for name in self.names:
            assert (name in words) or len(name) > width

    def test_at_80_columns_all_numbers_are_there(self) -> None:
        text = drawn(self.board(), 80)
        for words in ("123,469,137", "12.5 / 123 s", "latency p50/p99", "lost", "so far"):
            assert words in text

    def test_a_low_terminal_shows_what_happens_and_how_far_it_is(self) -> None:
        console = Console(width=80, height=24, record=True, force_terminal=True, file=io.StringIO())
        console.print(self.board())
        lines = console.export_text().splitlines()
        assert len(lines) <= 24
        assert any("learner, row 1,000,000,000, change: rows are" in line for line in lines)
        assert "a higher terminal shows them" in lines[-3]
        assert "of 400 frames" in lines[-1]


class TestBoard:
    def test_shows_every_service_and_the_learning(self) -> None:
        board = Board("photographs.toml", ["source", "learner"])
        board.change("source", "running", 0)
        board.change("learner", "running", 2)
        board.update("learner", status(99, lost={"gone": 3}, refused={"request": 1}))
        text = drawn(board)
        for words in (
            "restarted 2×; lost 3 (gone); refused 1 (request)",
            "1.20 / 310 ms",
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

    def test_the_line_for_logs_is_never_long(self) -> None:
        names = [f"service{i}" for i in range(9)]
        board = Board("x", names)
        for name in names:
            measures = [Measure(f"{name}-{i}", "", "score", 0.7, 1500) for i in range(4)]
            board.update(name, status(1_234_567, lost={"gone": 10**9}, expected=10**9, measures=measures))
            assert 60 < len(board.line()) <= LINE
        short = Board("x", ["learner", "probe"])
        short.update("learner", status(99))
        short.update("probe", status(99, measures=[Measure("probe", "a", "accuracy", 0.5, 100)]))
        for words in ("learner objective 180.10 nats", "probe accuracy (last 200) 50.0%"):
            assert words in short.line()

    def test_the_first_shares_of_a_handful_of_results_are_not_shown(self) -> None:
        board = Board("x", ["probe"])
        board.update("probe", status(1, measures=[Measure("probe", "a", "accuracy", 1.0, 2)]))
        assert "100.0%" not in drawn(board)
        board.update("probe", status(99, measures=[Measure("probe", "a", "accuracy", 0.25, 100)]))
        assert "25.0%" in drawn(board)
        assert board.curves()["probe", "a", "accuracy"].values == [0.25]

    def test_shares_of_one_stage_have_one_axis_from_zero(self) -> None:
        board = Board("x", ["probe"])
        for newest in range(99, 131):
            values = {"good": 0.8, "poor": 0.1}
            measures = [Measure("probe", level, "accuracy", value, newest) for level, value in values.items()]
            board.update("probe", status(newest, measures=measures))
        lines = drawn(board).splitlines()
        assert any("good" in line and line.rstrip().endswith("███") for line in lines)
        assert any("poor" in line and line.rstrip().endswith("▂▂▂") for line in lines)

    def test_it_says_which_direction_is_good(self) -> None:
        board = Board("x", ["learner"])
        board.update("learner", status(9))
        text = drawn(board)
        assert "objective ↓" in text
        assert "information ↑" in text
        assert "lower" in text

    def test_throughput_is_over_the_last_seconds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr("stream_infomax.watch.service_row.time.monotonic", lambda: now)
        row = ServiceRow()
        for newest in range(0, 1000, 10):  # 10 frames each 0.1 s
            row.update(status(newest))
            now += 0.1
        assert row.throughput() == pytest.approx((100.0, 25600.0))
        now += 20.0
        row.update(status(990))
        assert row.throughput() == (0.0, 0.0)
        row.update(status(5))  # restarted: the counts begin at 0
        assert row.throughput() == (0.0, 0.0)

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
        assert " –" in drawn(board)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3661, "1:01:01")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_an_event_that_a_status_has_twice_is_told_once() -> None:
    board = Board("x", ["learner"])
    event = Event(stage="learner", position=7, kind="change", text="the variance doubled")
    board.update("learner", status(9, events=[event, event]))
    assert board.untold() == [event]
