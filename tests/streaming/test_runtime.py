"""Services as real processes over real sockets: they start in any order, stop, die at any moment, and lose nothing."""

import json
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from toys import Counting, Summing

from stream_infomax.streaming.checkpoint import Checkpoints
from stream_infomax.streaming.frames import Frame
from stream_infomax.streaming.loop import Loop
from stream_infomax.streaming.recorder import FrameStore, assemble
from stream_infomax.streaming.runtime import Service, run_source
from stream_infomax.streaming.stage import Pipeline
from stream_infomax.streaming.taps import FRAME, STATUS, TapReader

TOYS = Path(__file__).with_name("toys.py")
LONG = 60.0
# One millisecond a frame: long enough to be killed in.
LIVE = {"pace": "live", "rate": 4000.0}


class Chain:
    """Toy services in a folder: source -> a -> b, or a recorder behind a."""

    def __init__(self, folder, n_frames, last="b", **common):
        self.folder = folder
        common = {"folder": str(folder), "checkpoint_every": 40, "log_frames": 100, **common}
        self.settings = {
            "source": {**common, "readers": ["a"], "n_frames": n_frames},
            "a": {**common, "name": "a", "readers": [last]},
            "b": {**common, "name": "b", "input": "a", "inlet": self.outlet("a")},
        }
        self.names = ["source", "a", last]
        self.processes = {}

    def outlet(self, name):
        return f"ipc://{self.folder}/{name}.outlet"

    def tap(self, name):
        return f"ipc://{self.folder}/{name}.tap"

    def start(self, *names, **changes):
        for name in names or self.names:
            if name == "recorder":
                arguments = ["-m", "stream_infomax.streaming.recorder", self.outlet("a")]
                arguments += [str(self.folder / "recorder"), "recorder"]
            else:
                settings = json.dumps({**self.settings[name], **changes})
                arguments = [str(TOYS), "source" if name == "source" else "stage", settings]
            self.processes[name] = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                bufsize=1,
            )

    def line(self, name):
        """Wait for a line on stdout."""
        stdout = self.processes[name].stdout
        assert select.select([stdout], [], [], LONG)[0], f"{name} says nothing"
        return stdout.readline().strip()

    def ends(self, *names):
        """Wait for the processes; return exit code and stderr of each."""
        ends = []
        for name in names or self.names:
            process = self.processes[name]
            _, errors = process.communicate(timeout=LONG)
            ends.append((process.returncode, errors))
        return ends

    def end(self, name):
        return self.ends(name)[0]

    def finish(self):
        """Wait for all and check that they ended well without a word."""
        assert self.ends() == [(0, "")] * len(self.names)

    def saved(self, name):
        return Checkpoints(self.folder / name).latest()

    def kill_all(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def chain(tmp_path):
    chains = []

    def make(n_frames, **settings):
        chains.append(Chain(tmp_path, n_frames, **settings))
        return chains[-1]

    yield make
    for made in chains:
        made.kill_all()


def in_a_row(n_frames, *names):
    """Return the outputs of the last of the stages when they run in this process, and its state."""
    stages = [Summing(name, input=before) for before, name in zip(("source", *names), names, strict=False)]
    outputs = [frame.arrays[names[-1]].data for frame in Pipeline(stages)(Counting(n_frames).frames())]
    return np.concatenate(outputs), stages[-1].state()


def features(chain):
    output = chain.folder / "features.npz"
    assemble(FrameStore(chain.folder / "recorder"), output)
    with np.load(output) as file:
        return {name: file[name] for name in file.files}


def test_processes_give_what_stages_in_a_row_give(chain):
    made = chain(150)
    made.start("b", "source", "a")
    assert made.line("a") == f"READY a {made.outlet('a')}"
    made.finish()
    outputs, state = in_a_row(150, "a", "b")
    saved = made.saved("b")
    assert (saved["processed"], saved["finished"], saved["lost"]) == (149, True, {})
    assert saved["stage"]["total"].tobytes() == state["total"].tobytes()
    assert saved["stage"]["rng"] == state["rng"]
    assert len({made.saved(name)["log"] for name in made.names}) == 1
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


@pytest.mark.parametrize(
    "victims",
    [["a"], ["source", "recorder"], ["a", "recorder"], ["source", "a", "recorder"]],
    ids="+".join,
)
def test_killed_at_any_moment_the_bits_are_the_same(chain, victims):
    n_frames = 700
    rng = random.Random("+".join(victims))
    made = chain(n_frames, last="recorder")
    made.settings["source"].update(LIVE)
    made.start()
    killed = 0
    for moment in sorted(rng.sample(range(30, n_frames - 100), 2)):
        with TapReader(made.tap("a"), topics=(FRAME, STATUS)) as observer:
            if all(frame.offset < moment for frame in observer):
                break  # it was faster than the observer
        for name in victims:
            made.processes[name].kill()
        killed += sum(made.end(name)[0] == -signal.SIGKILL for name in victims)
        made.start(*victims)
    made.finish()
    assert killed
    outputs, state = in_a_row(n_frames, "a")
    kept = features(made)
    np.testing.assert_array_equal(kept["frames/offset"], np.arange(n_frames))
    assert kept["a"].tobytes() == outputs.tobytes()
    saved = made.saved("a")
    assert (saved["finished"], saved["lost"]) == (True, {})
    assert saved["stage"]["total"].tobytes() == state["total"].tobytes()
    assert saved["stage"]["rng"] == state["rng"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_exits_0_and_the_run_goes_on_later(chain, number):
    made = chain(400)
    made.settings["source"].update(LIVE)
    made.start()
    with TapReader(made.tap("b")) as observer:
        next(frame for frame in observer if frame.offset >= 50)
    for name in made.names:
        made.processes[name].send_signal(number)
    made.finish()
    assert 50 <= made.saved("b")["processed"] < 399
    made.start()
    made.finish()
    assert made.saved("b")["stage"]["total"].tobytes() == in_a_row(400, "a", "b")[1]["total"].tobytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_it_at_once(chain, number, code):
    made = chain(60)
    made.start("source")
    made.start("a", hold=45)
    while made.line("a") != "HOLD":
        pass
    process = made.processes["a"]
    while process.poll() is None:
        process.send_signal(number)
        # The first one is heard but waits for the stage, which never comes back.
        select.select([process.stdout], [], [], 0.1)
    assert process.returncode == code
    assert made.saved("a")["processed"] == 39


def test_a_stage_that_refuses_a_frame_names_it(chain):
    made = chain(60)
    made.start("source")
    made.start("a", poison=45)
    assert made.end("a") == (2, "a: frame 45 of stream 'toy': this one is poison\n")
    made.start("a")
    made.start("b")
    made.finish()
    assert made.saved("b")["stage"]["total"].tobytes() == in_a_row(60, "a", "b")[1]["total"].tobytes()


def test_another_configuration_is_refused_by_key(chain):
    made = chain(60)
    made.start(config={"hop": 4, "half_life": 1.0}, may_change=["half_life"])
    made.finish()
    made.start(config={"hop": 4, "half_life": 2.0}, may_change=["half_life"])
    made.finish()
    made.start("b", config={"hop": 8, "half_life": 2.0}, may_change=["half_life"])
    code, errors = made.end("b")
    assert code == 2
    assert errors.startswith(f"b: the checkpoint in {made.folder}/b is of another configuration: hop is 8, ")


def test_two_runs_do_not_mix(chain):
    made = chain(60)
    made.start()
    made.finish()
    for path in (made.folder / "source").iterdir():
        path.unlink()
    made.start("source")
    made.start("a")
    code, errors = made.end("a")
    assert code == 2
    assert "this is log" in errors
    assert len(errors.splitlines()) == 1


def test_an_address_in_use_is_one_line_and_exit_1(chain):
    made = chain(60)
    made.start("source")
    made.line("source")
    first = made.processes["source"]
    made.start("source")
    assert made.end("source") == (1, f"source: address already in use: {made.outlet('source')}\n")
    made.processes["source"] = first
    made.start("a", "b")
    made.finish()


def test_the_newest_checkpoint_is_damaged(chain):
    """The stage falls back, and the source, which had forgotten these frames, reads them again."""
    made = chain(300)
    made.settings["source"].update(LIVE)
    made.start()
    with TapReader(made.tap("a")) as observer:
        next(frame for frame in observer if frame.offset >= 150)
    made.processes["a"].kill()
    made.end("a")
    newest = Checkpoints(made.folder / "a").paths()[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    made.start("a")
    (source, a, b) = made.ends()
    assert (source, b) == ((0, ""), (0, ""))
    assert a[0] == 0
    assert f"{newest}: not readable, perhaps truncated" in a[1]
    assert made.saved("b")["stage"]["total"].tobytes() == in_a_row(300, "a", "b")[1]["total"].tobytes()
    assert made.saved("b")["lost"] == {}


def test_a_disk_that_is_full_is_named_and_nothing_is_lost(chain):
    made = chain(300)
    made.start("source")
    made.start("a", largest_file=20_000)  # enough while its reader is away and 40 frames are in its log, not 80
    code, errors = made.end("a")
    assert code == 1
    assert errors.startswith(f"a: {made.folder}/a/checkpoint-")
    assert errors.endswith("not written: File too large\n")
    before = made.saved("a")["processed"]
    assert before >= 39
    made.start("a", "b")
    made.finish()
    assert made.saved("b")["stage"]["total"].tobytes() == in_a_row(300, "a", "b")[1]["total"].tobytes()


def test_finished_services_serve_what_is_not_committed_yet(chain):
    made = chain(60, farewell=0.5)
    made.start("source", "a")
    assert made.end("source") == (0, "")  # all of it is committed by a, which waits for b
    assert made.processes["a"].poll() is None
    made.processes["a"].kill()
    made.end("a")
    assert made.saved("a")["finished"]
    made.start("b", "a")
    assert made.ends("a", "b") == [(0, ""), (0, "")]
    assert made.saved("b")["stage"]["total"].tobytes() == in_a_row(60, "a", "b")[1]["total"].tobytes()
    made.start(farewell=30.0)  # nothing is left to do
    made.finish()


def test_a_finished_source_reads_again_for_a_reader_that_starts_afresh(chain):
    made = chain(60)
    made.start()
    made.finish()
    for name in ("a", "b"):
        for path in (made.folder / name).iterdir():
            path.unlink()
    made.start()
    made.finish()
    assert made.saved("b")["stage"]["total"].tobytes() == in_a_row(60, "a", "b")[1]["total"].tobytes()


def test_drop_oldest_never_waits_and_every_lost_offset_is_counted(chain):
    made = chain(500, last="recorder", policy="drop-oldest", log_frames=50)
    made.start("a", hold=20)
    made.start("recorder")
    with TapReader(made.tap("source"), topics=(STATUS,)) as observer:
        made.start("source")
        while not observer.status.get("finished"):  # though a holds still
            observer.receive()
    made.processes["a"].stdin.write("go on\n")
    assert [code for code, _ in made.ends()] == [0, 0, 0]
    saved = made.saved("a")
    kept = features(made)
    offsets = kept["frames/offset"]
    assert saved["lost"]["gone"] + len(offsets) == 500
    assert saved["lost"]["gone"] > 200
    assert offsets[-1] == 499
    assert saved["processed"] == 499


def test_wait_holds_the_source_back(chain):
    made = chain(500)
    made.start("a", hold=20)
    made.start("b")
    with TapReader(made.tap("source"), topics=(STATUS,)) as observer:
        made.start("source")
        while not observer.status.get("log_fill", 0) >= 1:
            observer.receive()
        newest = observer.status["newest"]
        observer.receive()
        assert observer.status["newest"] == newest < 200
    made.processes["a"].stdin.write("go on\n")
    made.finish()
    assert made.saved("a")["lost"] == {}


def test_frames_larger_than_the_log_pass(chain):
    made = chain(60, log_bytes=1)
    made.start()
    made.finish()
    assert made.saved("b")["stage"]["total"].tobytes() == in_a_row(60, "a", "b")[1]["total"].tobytes()


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
    assert (status["newest"], status["finished"], status["log_frames"]) == (399, True, 0)
    assert (status["frames"], status["rows"]) == (400, 1600)
    assert status["metrics"] == {"seed": 0.0}


def test_latency_is_measured_from_step_to_step_and_from_the_source(chain):
    made = chain(300)
    made.settings["source"].update(LIVE)
    made.start()
    with TapReader(made.tap("b"), topics=(STATUS,)) as observer:
        while not (observer.status.get("frames", 0) > 50 and observer.status["step_p50"]):
            observer.receive()
        status = observer.status
    assert 0 < status["step_p50"] <= status["step_p99"]
    assert status["step_p50"] < status["total_p50"] <= status["total_p99"] < LONG
    made.finish()


def service(folder, **settings):
    return Service(
        name="source", outlet=f"ipc://{folder}/o", tap=f"ipc://{folder}/t", folder=folder / "source", **settings
    )


def test_a_live_source_keeps_time_and_does_not_spin(tmp_path, monkeypatch, capsys):
    waits = []
    wait = Loop.wait
    monkeypatch.setattr(Loop, "wait", lambda loop: (waits.append(None), wait(loop))[1])
    start = time.monotonic()
    assert run_source(Counting(20, rate=80.0), service(tmp_path, policy="drop-oldest"), pace="live") == 0
    elapsed = time.monotonic() - start
    assert elapsed >= 19 * 0.05
    assert len(waits) < 20 + 4 * elapsed + 10
    assert capsys.readouterr().out == f"READY source ipc://{tmp_path}/o\n"


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
    assert run_source(source, service(tmp_path)) == 2
    assert capsys.readouterr().err == words


def test_signals_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    assert run_source(Counting(3), service(tmp_path)) == 0
    assert signal.getsignal(signal.SIGTERM) is before
