"""services/edge.py: a whole run in one process, with a tap and without a terminal."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import call
from helpers.manager import Manager

from stream_infomax import Encoder, Push
from stream_infomax.transport.messages import Status
from stream_infomax.transport.tap import BASIS, FRAME, TapReader

EDGE = Path(__file__).parents[2] / "services" / "edge.py"
CONFIG = """
[run]
folder = "{folder}"
checkpoint_every = 50

[source]
kind = "synthetic"
n_sources = 4
rows = 32
frames = {frames}
rate = 3200.0
pace = "{pace}"

[[stage]]
name = "learner"
kind = "learner"
"""


def edge(config, *arguments, **environment):
    command = [sys.executable, "-P", str(EDGE), str(config), *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env={**os.environ, **environment}, text=True, **streams)


def ended(process):
    output, errors = process.communicate(timeout=100)
    return process.returncode, output, errors


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text(CONFIG.format(folder=tmp_path / "run", frames=300, pace="fast"))
    return path


def test_it_learns_what_a_run_learns(config, tmp_path):
    code, output, errors = ended(edge(config))
    assert (code, errors) == (0, "")
    assert output.splitlines() == [f"READY source ipc://{tmp_path}/run/learner.tap", "FINISHED edge"]
    other = call("run", config, "--plain", "--set", f"run.folder={tmp_path}/other", folder=tmp_path)
    assert other.code == 0, other.errors
    assert Encoder.load(tmp_path / "run").version == Encoder.load(tmp_path / "other").version
    # The folder is one of a run like any other.
    done = call("run", config, "--in-process", "--plain", folder=tmp_path)
    assert done.code == 0, done.errors
    assert "300 frames, none lost" in done.output
    assert ended(edge(config))[:2] == (0, f"{tmp_path}/run: this run has finished\n")


def test_it_stops_and_goes_on_and_its_tap_has_frames(config, tmp_path):
    config.write_text(CONFIG.format(folder=tmp_path / "run", frames=100_000, pace="live"))
    tap = f"ipc://{tmp_path}/run/learner.tap"
    with Manager(tmp_path) as manager, TapReader(tap, topics=(FRAME, BASIS)) as observer:
        process = edge(config, **manager.environment)
        assert process.stdout.readline().startswith("READY")
        first = next(iter(observer))
        assert set(first.arrays) == {"learner"}
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 0
        ready, alive, status, *_, stopping = manager.heard()
        assert (ready, alive, stopping) == ("READY=1", "WATCHDOG=1", "STOPPING=1")
        assert re.fullmatch(r"STATUS=frame [0-9,]+, 0 lost", status)
        process = edge(config)
        assert process.stdout.readline().startswith("READY")
        assert next(iter(observer)).offset >= first.offset
        process.send_signal(signal.SIGKILL)
        assert ended(process)[0] == -signal.SIGKILL


def test_another_process_has_the_folder(config, tmp_path):
    config.write_text(CONFIG.format(folder=tmp_path / "run", frames=100_000, pace="live"))
    process = edge(config)
    assert process.stdout.readline().startswith("READY")
    code, _, errors = ended(edge(config))
    assert code == 2
    assert f"in use by process {process.pid}" in errors
    process.kill()
    ended(process)


@pytest.mark.parametrize(
    ("change", "words"), [("source.frames=-1", "source.frames = -1"), ("stage.learner.kind=no", "kind = 'no'")]
)
def test_what_is_wrong_is_said_in_a_line(config, change, words):
    code, _, errors = ended(edge(config, "--set", change))
    assert code == 2
    assert len(errors.splitlines()) == 1
    assert words in errors


def test_a_small_box_encodes_what_was_learnt_elsewhere(config, tmp_path):
    assert ended(edge(config))[0] == 0
    box = tmp_path / "box.toml"
    text = CONFIG.format(folder=tmp_path / "box", frames=40, pace="fast")
    stages = f'[[stage]]\nname = "features"\nkind = "encoder"\nbasis = "{tmp_path}/run"\n'
    box.write_text(text[: text.index("[[stage]]")] + stages + f'[[sink]]\nkind = "npz"\npath = "{tmp_path}/found"\n')
    code, _, errors = ended(edge(box))
    assert (code, errors) == (0, "")
    (part,) = (tmp_path / "found").glob("*.npz")
    with np.load(part) as found:
        assert found["features"].shape == (40 * 32, 4)
        assert set(found["frames/basis"]) == {Encoder.load(tmp_path / "run").version}


def test_the_shipped_configuration_learns_from_a_device(tmp_path):
    devices, tap = f"ipc://{tmp_path}/devices", f"ipc://{tmp_path}/features"
    changes = [f"run.folder={tmp_path}/run", f"source.bind={devices}", f"stage.features.log.tap={tap}"]
    with TapReader(tap) as observer:  # until the service says that it is finished
        process = edge("edge", *(word for change in [*changes, "source.ends=true"] for word in ("--set", change)))
        assert process.stdout.readline() == f"READY source {tap}\n"
        assert isinstance(observer.receive(), Status)  # it hears the tap
        rng = np.random.default_rng(0)
        sound = np.convolve(rng.laplace(size=200 * 320 + 9), np.ones(10) / 10, "valid").astype(np.float32)
        with Push(devices, "box", rate=16000.0) as push:
            for block in sound.reshape(-1, 320, 1):
                push(block)
        streams = {frame.stream for frame in observer}
    code, _, errors = ended(process)
    assert (code, errors) == (0, "")
    assert streams == {"box"}
    learnt = Encoder.load(tmp_path / "run")
    assert learnt.n_features == 64
    assert learnt.output == "log"
