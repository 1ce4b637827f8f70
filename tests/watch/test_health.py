"""Whether a run lives, and whether it does what it is for: told in words, by what it says of itself."""

import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.extras import extra
from helpers.wire import status

extra("prometheus_client")
from helpers.tallies import layout  # noqa: E402  (needs it)

from stream_infomax.frames.measure import Measure  # noqa: E402
from stream_infomax.transport.messages import Status  # noqa: E402
from stream_infomax.watch import health  # noqa: E402
from stream_infomax.watch.service_row import SILENT_AFTER  # noqa: E402
from stream_infomax.watch.tally import Tally  # noqa: E402

LEARNT = {"counts": {"learner": {"rows": 1.0}}, "measures": [Measure("learner", "", "objective", 1.0, 1)]}


def said(newest: int = 9, **changes: Any) -> Status:
    now = time.time()
    frames = {"frames": newest + 1, "started": now - 10, "last_frame": now, "checkpoint": newest}
    return status(newest, **{**frames, **LEARNT, **changes})


@pytest.fixture
def tally(tmp_path: Path) -> Tally:
    tally = Tally(layout(tmp_path))
    for name in tally.layout.upstream:
        tally.change(name, "running", 0)
        tally.update(name, said())
    return tally


def problems(tally: Tally) -> list[str]:
    answer = health.ready(tally)
    found = json.loads(answer.body)
    assert (answer.code, found["ready"]) == ((503, False) if found["problems"] else (200, True))
    return list(found["problems"])


def test_all_is_well(tally: Tally) -> None:
    assert not problems(tally)
    tally.change("source", "finished", 0)
    assert not problems(tally)


def test_a_service_that_does_not_run(tally: Tally) -> None:
    tally.change("learner", "restarting", 1)
    assert problems(tally) == ["service 'learner': restarting"]
    tally.change("learner", "running", 1)
    assert problems(tally) == ["service 'learner': nothing heard of it"]


def test_a_service_that_hangs(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.monotonic() + SILENT_AFTER + 1
    monkeypatch.setattr("stream_infomax.watch.tally.time.monotonic", lambda: later)
    assert problems(tally) == [f"service {name!r}: silent" for name in tally.layout.upstream]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"measures": []}, "stage 'learner': still in its warm-up"),
        ({"checkpoint": -1, "newest": 99}, "100 frames since its newest checkpoint, which is due every 16"),
        ({"last_frame": -100.0, "frames": 1000}, "no frame for 10"),
        ({"last_frame": -math.inf, "frames": 0, "started": -100.0}, "no frame for 10"),
    ],
)
def test_what_is_in_the_way_is_said(tally: Tally, changes: dict[str, Any], problem: str) -> None:
    now = time.time()
    times = {name: max(0.0, now + changes[name]) for name in ("last_frame", "started") if name in changes}
    tally.update("learner", said(**{**changes, **times}))
    (found,) = problems(tally)
    assert problem in found


def test_a_stream_of_rare_frames_may_take_its_time(tally: Tally) -> None:
    now = time.time()
    tally.update("source", said(started=now - 10_300, last_frame=now - 300, frames=50))
    assert not problems(tally)
    tally.update("source", said(started=now - 10_300, last_frame=now - 700, frames=50))
    assert len(problems(tally)) == 1


def test_a_stream_that_has_ended_gives_no_frames(tally: Tally) -> None:
    tally.update("source", said(last_frame=time.time() - 500, finished=True))
    assert not problems(tally)


def test_a_disk_without_room(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    room = SimpleNamespace(f_bavail=5, f_frsize=1 << 20)
    monkeypatch.setattr("stream_infomax.watch.health.os.statvfs", lambda _: room)
    assert problems(tally) == ["disk of the run folder: 5 MiB free, less than 64 MiB"]


def test_a_run_lives_while_its_loop_turns(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("stream_infomax.watch.health.time.monotonic", lambda: now)
    monkeypatch.setattr("stream_infomax.watch.tally.time.monotonic", lambda: now)
    now = 1000.0
    assert health.live(tally).code == 200  # it has not begun to turn: kernels are compiled
    tally.turn()
    tally.change("learner", "restarting", 3)
    now += health.TURNS_WITHIN - 1
    assert health.live(tally).code == 200
    now += 2
    answer = health.live(tally)
    assert (answer.code, json.loads(answer.body)["problems"]) == (503, ["the run has stood still for 61 s"])
    tally.end()
    assert health.live(tally).code == 200
