"""Services as real processes over real sockets: they give what stages in a row give, and say how they do."""

import signal
import time

import numpy as np
import pytest
from helpers.chains import LIVE, LONG, features, in_a_row
from helpers.toys import Counting

from stream_infomax.frames.frame import Frame
from stream_infomax.service.loop import Loop
from stream_infomax.service.process import FromSource, Service, run
from stream_infomax.transport.tap import STATUS, TapReader


def test_processes_give_what_stages_in_a_row_give(chain):
    made = chain(150)
    made.start("b", "source", "a")
    assert made.line("a") == f"READY a {made.outlet('a')}"
    made.finish()
    outputs, state = in_a_row(150, "a", "b")
    saved = made.saved("b")
    assert (saved.processed, saved.finished, saved.lost) == (149, True, {})
    assert saved.stages["b"]["total"].tobytes() == state["total"].tobytes()
    assert saved.stages["b"]["rng"] == state["rng"]
    assert len({made.saved(name).log for name in made.names}) == 1
    assert len(outputs) == 600


def test_the_recorder_keeps_every_row(chain):
    made = chain(150, last="recorder")
    made.start()
    made.finish()
    kept = features(made)
    assert kept["a"].tobytes() == in_a_row(150, "a")[0].tobytes()
    np.testing.assert_array_equal(kept["rows/a"], np.repeat(np.arange(150), 4))
    np.testing.assert_array_equal(kept["frames/offset"], np.arange(150))
    np.testing.assert_array_equal(kept["frames/time"], np.arange(150) * 4 / 1000)
    assert set(kept["frames/stream"]) == {"toy"}
    assert list(kept["frames/last"]) == [False] * 149 + [True]


def test_drop_oldest_never_waits_and_every_lost_offset_is_counted(chain):
    made = chain(500, last="recorder", policy="drop-oldest", log_frames=50)
    made.start("a", hold=20)
    made.start("recorder")
    with TapReader(made.tap("source"), topics=(STATUS,)) as observer:
        made.start("source")
        while not (observer.status and observer.status.finished):  # though a holds still
            observer.receive()
    made.processes["a"].stdin.write("go on\n")
    assert [code for code, _ in made.ends()] == [0, 0, 0]
    saved = made.saved("a")
    kept = features(made)
    offsets = kept["frames/offset"]
    assert saved.lost["gone"] + len(offsets) == 500
    assert saved.lost["gone"] > 200
    assert offsets[-1] == 499
    assert saved.processed == 499


def test_wait_holds_the_source_back(chain):
    made = chain(500)
    made.start("a", hold=20)
    made.start("b")
    with TapReader(made.tap("source"), topics=(STATUS,)) as observer:
        made.start("source")
        while not (observer.status and observer.status.log_fill >= 1):
            observer.receive()
        newest = observer.status.newest
        observer.receive()
        assert observer.status.newest == newest < 200
    made.processes["a"].stdin.write("go on\n")
    made.finish()
    assert made.saved("a").lost == {}


def test_frames_larger_than_the_log_pass(chain):
    made = chain(60, log_bytes=1)
    made.start()
    made.finish()
    assert made.saved("b").stages["b"]["total"].tobytes() == in_a_row(60, "a", "b")[1]["total"].tobytes()


def test_a_log_without_readers_keeps_nothing_but_its_tap_is_served(chain):
    made = chain(400)
    made.settings["source"].update(LIVE, readers=[])
    made.start("source")
    with TapReader(made.tap("source")) as observer:
        frames = list(observer)
        status = observer.status
    assert made.end("source") == (0, "")
    assert frames
    assert isinstance(frames[0], Frame)
    offsets = [frame.offset for frame in frames]
    assert offsets == sorted(set(offsets))
    assert offsets[-1] == 399
    assert observer.missed == 399 - offsets[0] - len(offsets) + 1
    assert (status.newest, status.finished, status.log_frames) == (399, True, 0)
    assert (status.frames, status.rows) == (400, 1600)
    assert status.counts == {"source": {"seed": 0.0}}


def test_latency_is_measured_from_step_to_step_and_from_the_source(chain):
    made = chain(300)
    made.settings["source"].update(LIVE)
    made.start()
    with TapReader(made.tap("b"), topics=(STATUS,)) as observer:
        while not (observer.status and observer.status.frames > 50 and observer.status.step_p50):
            observer.receive()
        status = observer.status
    assert 0 < status.step_p50 <= status.step_p99
    assert status.step_p50 < status.total_p50 <= status.total_p99 < LONG
    made.finish()


def service(folder, **settings):
    return Service(
        name="source", outlet=f"ipc://{folder}/o", tap=f"ipc://{folder}/t", folder=folder / "source", **settings
    )


def test_a_live_source_keeps_time_and_does_not_spin(tmp_path, monkeypatch, capsys):
    waits = []
    wait = Loop.wait
    monkeypatch.setattr(Loop, "wait", lambda loop, longest: (waits.append(None), wait(loop, longest))[1])
    start = time.monotonic()
    assert run(service(tmp_path, policy="drop-oldest"), FromSource(Counting(20, rate=80.0), "live")) == 0
    elapsed = time.monotonic() - start
    assert elapsed >= 19 * 0.05
    assert len(waits) < 20 + 4 * elapsed + 10
    assert capsys.readouterr().out == f"READY source ipc://{tmp_path}/o\nFINISHED source\n"


class Broken(Counting):
    """A source that gives what it should not."""

    def frames(self, start=0):
        for frame in super().frames(start):
            yield frame if frame.offset < 5 else Frame(stream="toy", offset=frame.offset + 1)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Counting(0), "source: source 'source' gives no frame at all\n"),
        (Broken(20), "source: source 'source' gave offset 6, expected was 5\n"),
    ],
    ids=["nothing", "another offset"],
)
def test_a_source_that_breaks_its_promise_is_named(tmp_path, capsys, source, words):
    assert run(service(tmp_path), FromSource(source)) == 2
    assert capsys.readouterr().err == words


def test_signals_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    assert run(service(tmp_path), FromSource(Counting(3))) == 0
    assert signal.getsignal(signal.SIGTERM) is before
