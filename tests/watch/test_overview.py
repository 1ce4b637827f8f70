"""The overview of several runs: what it shows where there is room for little, and what it says of a run."""

import io
from dataclasses import dataclass, field

import pytest
from helpers.wire import status
from rich.console import Console

from stream_infomax.frames.event import Event
from stream_infomax.frames.measure import Measure
from stream_infomax.watch.board import Board
from stream_infomax.watch.overview import Overview
from stream_infomax.watch.report import report

HOSTILE = "[/x] \x1b[2J\x1b]0;title\x07\u202e\n[bold]"


@dataclass
class Run:
    """A run as the overview sees it."""

    board: Board
    state: str = "running"
    problem: str = ""
    names: list[str] = field(default_factory=list)


def run(title: str, *services: str, lost: int = 0) -> Run:
    board = Board(title, services, supervised=False)
    for name in services:
        measures = [Measure("learner", "", "objective", 5.25, 99)] if name == services[-1] else []
        said = {"expected": 1000, "frames": 100, "measures": measures, "lost": {"gone": lost} if lost else {}}
        board.hear(name, status(99, name=name, **said))
    return Run(board)


def drawn(runs: list[Run], width: int = 80, height: int = 24) -> list[str]:
    console = Console(width=width, height=height, record=True, force_terminal=True, file=io.StringIO())
    console.print(Overview(runs))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_each_run_stands_above_its_services() -> None:
    lines = drawn([run("runs/one", "source", "learner"), run("runs/two", "in-process", lost=7)])
    assert "2 runs   q quits" in lines[0]
    assert lines[2].split()[:2] == ["runs/one", "running"]
    assert lines[3] == "  learner objective 5.25 nats"
    assert [line.split()[0] for line in lines[4:]] == ["source", "learner", "runs/two", "learner", "in-process", "lost"]
    assert lines[-1] == "    lost 7 (gone)"
    assert lines[6].endswith("7")
    assert max(map(len, lines)) <= 80


def test_a_single_run_has_its_curves() -> None:
    text = "\n".join(drawn([run("runs/one", "source", "learner")]))
    assert "runs/one: running   q quits" in text
    assert "objective ↓" in text
    assert "100 of 1,000 frames" in text


@pytest.mark.parametrize(("width", "least"), [(40, 7), (80, 6)])  # the head takes two lines, or one
def test_where_there_is_little_room_what_is_wrong_stays(width: int, least: int) -> None:
    runs = [run(f"runs/{number}", "source", "learner", lost=7 if number == 2 else 0) for number in range(4)]
    lines = drawn(runs, width, height=17)
    assert len(lines) <= 17
    assert sum("runs/" in line for line in lines) == 4
    assert [line.strip() for line in lines if line.startswith("    lost")] == ["lost 7 (gone)"] * 2
    assert sum("source" in line or "learner " in line for line in lines if not line.startswith("  learner obj")) == 2
    lines = drawn(runs, width, height=least)
    assert (len(lines), sum("runs/" in line for line in lines)) == (least, 4)
    lines = drawn(runs * 3, width, height=least)
    assert (len(lines), lines[-1]) == (least, "… 9 more; a higher terminal shows them")


def test_nothing_of_a_name_is_obeyed_or_taken_for_markup() -> None:
    hostile = run(HOSTILE, HOSTILE)
    event = Event(stage=HOSTILE, position=1, kind="change", text=HOSTILE)
    hostile.board.hear(HOSTILE, status(100, name=HOSTILE, events=[event], lost={HOSTILE: 2}))
    for runs in ([hostile], [hostile, hostile]):
        lines = drawn(runs, 400)
        assert "\n".join(lines).count("[/x] \\x1b[2J\\x1b]0;title\\x07\\u202e\\n[bold]") >= 4
        assert all(line.isprintable() for line in lines)


def test_a_restart_is_known_by_when_the_process_started() -> None:
    one = run("runs/one", "learner")
    one.board.hear("learner", status(100, started=1.0))
    restarts = one.board.rows["learner"].restarts
    one.board.hear("learner", status(101, started=1.0))
    one.board.hear("learner", status(90, started=2.0))
    assert one.board.rows["learner"].restarts == restarts + 1


def test_what_never_said_anything_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("stream_infomax.watch.service_row.time.monotonic", lambda: now)
    board = Board("x", ["learner"], supervised=False)
    assert board.rows["learner"].state == "starting"
    now += 6
    assert board.rows["learner"].state == "silent"
    board.rows["learner"].rest("stopped", 9, {"gone": 3})
    now += 6
    assert (board.rows["learner"].state, board.last.newest, board.lost()) == ("stopped", 9, 3)


def test_a_report_tells_each_event_once() -> None:
    one = run("runs/one", "learner")
    event = Event(stage="learner", position=1, kind="change", text="the variance doubled")
    one.board.hear("learner", status(100, events=[event]))
    first, second = (report("runs/one", "id", "running", "", one.board) for _ in range(2))
    assert (first.events, second.events) == ([event], [])
    assert first.services["learner"].frame == 100
    assert [(measure.kind, measure.value) for measure in first.measures] == [("objective", 5.25)]
