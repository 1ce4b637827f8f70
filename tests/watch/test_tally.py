"""What a run has counted: over deaths and restarts, without what is dead, and in few series whatever comes."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from helpers.extras import extra
from helpers.ledgers import balance
from helpers.wire import status

extra("prometheus_client")
from helpers.tallies import layout, of, parsed, series  # noqa: E402  (needs it)

from stream_infomax.frames.event import Event  # noqa: E402
from stream_infomax.frames.measure import Kind, Measure  # noqa: E402
from stream_infomax.watch.metrics import METRICS, Exposition  # noqa: E402
from stream_infomax.watch.processes import PAGES, START, SYSTEM, USER, Processes  # noqa: E402
from stream_infomax.watch.service_row import SILENT_AFTER  # noqa: E402
from stream_infomax.watch.tally import LEVELS, REASONS, Tally  # noqa: E402

HOSTILE = 'a"}\n# TYPE evil counter\nevil 1\x1b[2J\u202e\\'


def running(*services: str) -> Tally:
    tally = Tally(layout())
    for name in services or ("source", "learner", "sink"):
        tally.change(name, "starting", 0)
        tally.change(name, "running", 0)
    return tally


class TestDeaths:
    def test_counters_live_on_and_gauges_vanish(self) -> None:
        tally = running()
        tally.update("learner", status(9, started=1.0, frames=10, rows=100, log_frames=4, lost={"gone": 2}))
        before = series(tally)
        assert before[of("queue_frames", service="learner")] == 4
        tally.change("learner", "restarting", 1)
        tally.update("learner", status(10, started=1.0, frames=11, rows=110, lost={"gone": 3}))  # its last words
        dead = series(tally)
        assert dead[of("service_up", service="learner")] == 0
        assert dead[of("restarts_total", service="learner")] == 1
        assert dead[of("frames_total", service="learner")] == 11
        assert dead[of("lost_frames_total", service="learner", reason="gone")] == 3
        gone = {METRICS[name].kind for name, _ in before.keys() - dead.keys() if name in METRICS}
        assert gone == {"gauge"}
        tally.change("learner", "starting", 1)
        tally.change("learner", "running", 1)
        assert of("queue_frames", service="learner") not in series(tally)
        tally.update("learner", status(7, started=2.0, frames=1, rows=10, log_frames=1, lost={"gone": 1}))
        after = series(tally)
        assert after[of("queue_frames", service="learner")] == 1
        assert after[of("frames_total", service="learner")] == 12
        assert after[of("lost_frames_total", service="learner", reason="gone")] == 3
        counters = [key for key in dead if key[0].endswith(("_total", "_bucket", "_count", "_sum"))]
        assert all(after[key] >= dead[key] >= before.get(key, 0) for key in counters)

    def test_a_service_that_hangs_has_stamps_and_no_figures(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr("stream_infomax.watch.tally.time.monotonic", lambda: now)
        tally = running()
        tally.update("learner", status(9, started=1.0, log_frames=4))
        now += SILENT_AFTER + 1
        found = series(tally)
        assert found[of("service_up", service="learner")] == 1
        assert found[of("service_silent_seconds", service="learner")] == SILENT_AFTER + 1
        assert of("queue_frames", service="learner") not in found

    @pytest.mark.parametrize("state", ["finished", "failed", "stopped"])
    def test_one_that_has_ended_counts_and_says_nothing_of_now(self, state: str) -> None:
        tally = running()
        tally.update("sink", status(9, started=1.0, frames=10, finished=True))
        tally.change("sink", state, 0)
        found = series(tally)
        assert found[of("service_state", service="sink", state=state)] == 1
        assert found[of("frames_total", service="sink")] == 10
        assert of("offset", service="sink") not in found


class TestResumed:
    def test_what_an_earlier_start_of_the_run_has_counted_is_not_counted_again(self) -> None:
        ledger = [balance("learner", "stage", accepted=500, processed=500)]
        tally = Tally(layout(), {"learner": ({"gone": 7}, ledger)})
        tally.change("learner", "running", 0)
        assert series(tally)[of("lost_frames_total", service="learner", reason="gone")] == 0
        old, new = (Event(stage="learner", position=row, kind="change", text="") for row in (10, 900))
        later = [balance("learner", "stage", accepted=600, processed=600)]
        counts = {"learner": {"shortened": 5.0}}
        said = {"started": 1.0, "lost": {"gone": 8}, "ledger": later}
        tally.update("learner", status(9, counts=counts, events=[old], **said))
        tally.update("learner", status(9, counts={"learner": {"shortened": 6.0}}, events=[old, new], **said))
        found = series(tally)
        assert found[of("lost_frames_total", service="learner", reason="gone")] == 1
        assert found[of("rows_learnt_total", service="learner", stage="learner")] == 100
        assert found[of("rows_shortened_total", service="learner", stage="learner")] == 1
        assert found[of("events_total", service="learner", stage="learner", kind="change")] == 1


class TestFew:
    def test_thousands_of_reasons_and_streams_are_few_series(self) -> None:
        tally = running()
        streams = {f"stream {number}": 1 for number in range(64)}
        for turn in range(20):
            reasons = {f"reason {number}": 1 for number in range(turn * 500, turn * 500 + 500)}
            measures = [Measure("learner", f"stream {number}", "objective", 1.0, turn) for number in reasons.values()]
            measures += [Measure("learner", f"stream {turn} {number}", "objective", 1.0, 1) for number in range(500)]
            ledger = [
                balance("learner", "stage", accepted=1, processed=1, aside=dict.fromkeys(reasons, streams), dropped={}),
                balance(f"place {turn}", "stage", accepted=1, processed=1),
            ]
            events = [Event(stage=f"stage {turn}", position=turn, kind="change", text="")]
            said = {"lost": reasons, "refused": reasons, "measures": measures, "ledger": ledger, "events": events}
            tally.update("learner", status(turn, started=1.0, counts={f"stage {turn}": {"collapsed": 1.0}}, **said))
        found = series(tally)
        assert len(found) < 4 * (REASONS + LEVELS) + 150
        for name in ("lost_frames_total", "refused_requests_total", "rows_set_aside_total"):
            mine = {dict(labels)["reason"]: value for (of, labels), value in found.items() if of == name}
            assert len(mine) == REASONS + 1
            assert mine["other"] > 0
        assert sum(name == "objective_nats" for name, _ in found) <= LEVELS
        assert found[of("figures_left_out", service="learner")] > 400

    def test_hostile_names_are_values_of_labels_and_nothing_else(self) -> None:
        tally = running()
        measures = [Measure("learner", HOSTILE, "accuracy", 0.5, 99), Measure(HOSTILE, "", "accuracy", 0.5, 99)]
        ledger = [balance("learner", "stage", accepted=3, processed=1, aside={HOSTILE: {HOSTILE: 2}})]
        said = {"lost": {HOSTILE: 2, "": 1}, "refused": {HOSTILE: 1}, "measures": measures, "ledger": ledger}
        tally.update("learner", status(9, started=1.0, **said))
        found = series(tally)
        shown = 'a"}\\n# TYPE evil counter\\nevil 1\\x1b[2J\\u202e\\'
        assert found[of("lost_frames_total", service="learner", reason=shown)] == 2
        assert found[of("rows_set_aside_total", service="learner", stage="learner", reason=shown)] == 2
        ends = ("", "_total", "_bucket", "_sum", "_count")
        known = {name + end for name in METRICS for end in ends}
        assert not {name for name, _ in found if not name.startswith("process_")} - known


class TestLag:
    def test_frames_and_seconds_behind_the_service_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr("stream_infomax.watch.tally.time.monotonic", lambda: now)
        tally = running()
        for newest in (9, 19, 29):
            tally.update("source", status(newest, started=1.0))
            now += 1.0
        tally.update("learner", status(9, started=1.0))
        found = series(tally)
        assert found[of("lag_frames", service="learner")] == 20
        assert found[of("lag_seconds", service="learner")] == 2.0
        assert of("lag_frames", service="source") not in found

    def test_who_has_read_everything_is_not_behind(self) -> None:
        tally = running()
        for name in ("source", "learner"):
            tally.update(name, status(9, started=1.0))
        assert series(tally)[of("lag_seconds", service="learner")] == 0


def test_what_the_ledger_lacks_is_shown(tmp_path: Path) -> None:
    tally = running()
    tally.update("learner", status(9, started=1.0, ledger=[balance("learner", "stage", accepted=5, processed=3)]))
    assert series(tally)[of("ledger_off", service="learner", place="learner", part="stage")] == 2


def test_what_keeps_a_stage_from_learning_is_shown() -> None:
    tally = running()
    tally.update("learner", status(9, started=1.0, counts={"learner": {"rows": 1.0}}))
    keys = [of(name, service="learner", stage="learner") for name in ("learning_paused", "learners_on_hold")]
    assert [series(tally)[key] for key in keys] == [0, 0]
    tally.update("learner", status(9, started=1.0, counts={"learner": {"paused": 1.0, "on hold": 3.0}}))
    assert [series(tally)[key] for key in keys] == [1, 3]


def test_how_old_the_basis_is(tmp_path: Path) -> None:
    tally = Tally(layout(tmp_path))
    tally.change("learner", "running", 0)
    tally.update("learner", status(99, started=1.0, counts={"learner": {}}))
    exposed = Exposition(tally)
    folder = tmp_path / "learner"
    folder.mkdir()
    for number, (offset, written) in enumerate(((40, 1000), (7, 500), (64, 2000))):
        path = folder / f"basis-learner-{offset}-0123456789ab.safetensors"
        path.touch()
        os.utime(path, (written, written))
        os.utime(folder, ns=(0, number))  # the clock of a file system may be coarse
    found = parsed(exposed.page().body.decode())
    assert found[of("basis_offset", service="learner")] == 64
    assert found[of("basis_timestamp_seconds", service="learner")] == 2000


class TestProcesses:
    def write(self, proc: Path, pid: int, parent: int, ticks: int, start: int) -> None:
        fields = ["S", str(parent), *"0" * 20]
        fields[USER], fields[SYSTEM], fields[START], fields[PAGES] = str(ticks), "0", str(start), "3"
        (proc / str(pid) / "fd").mkdir(parents=True, exist_ok=True)
        (proc / str(pid) / "fd" / "0").touch()
        (proc / str(pid) / "stat").write_text(f"{pid} (a) b (c) {' '.join(fields)}")

    def test_cpu_time_adds_up_over_lives_and_strangers_are_left_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("stream_infomax.watch.processes.PROC", tmp_path)
        tick = os.sysconf("SC_CLK_TCK")
        processes = Processes()
        self.write(tmp_path, 10, os.getpid(), 5 * tick, start=1)
        self.write(tmp_path, 11, 1, 9 * tick, start=1)  # somebody else has the number by now
        used = processes.look({"learner": 10, "source": 11, "sink": 12})
        assert used == {"learner": (3 * os.sysconf("SC_PAGE_SIZE"), 1)}
        self.write(tmp_path, 10, os.getpid(), 2 * tick, start=7)  # the next life has the same number
        processes.look({"learner": 10})
        processes.look({})
        assert processes.seconds() == {"learner": 7.0}


def test_there_is_no_metric_that_nobody_scrapes(tmp_path: Path) -> None:
    (tmp_path / "learner").mkdir()
    (tmp_path / "learner" / "basis-learner-7-0123456789ab.safetensors").touch()
    tally = Tally(layout(tmp_path))
    tally.pids = lambda: {"learner": os.getpid()}
    tally.change("learner", "running", 0)
    kinds: tuple[Kind, ...] = get_args(Kind)
    ledger = [
        balance("learner", part, 3, 1, aside={"why": {"a": 1}}, dropped={"why": {"a": 1}}) for part in ("log", "stage")
    ]
    said = {
        "last_frame": 2.0,
        "last_checkpoint": 2.0,
        "expected": 100,
        "lost": {"gone": 1},
        "refused": {"nonsense": 1},
        "ledger": ledger,
        "measures": [Measure("learner", "", kind, 0.5, 1) for kind in kinds],
        "counts": {"learner": {"collapsed": 1.0, "shortened": 2.0}},
    }
    for name in ("source", "learner"):
        tally.update(name, status(9, started=1.0, **said))
    page = Exposition(tally).page().body.decode()
    found = {name for name, _ in parsed(page) if not name.startswith("process_")}
    ends = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    assert found == {name + end for name, one in METRICS.items() for end in ends[one.kind]}
    if shutil.which("promtool"):
        checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")
