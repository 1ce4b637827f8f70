"""Runs of live sources: somebody stops them, and then they say what came of it."""

import signal

import numpy as np
import pytest
from helpers.commands import call, ended, started

from stream_infomax import Push
from stream_infomax.transport.messages import Status
from stream_infomax.transport.tap import FRAME, STATUS, TapReader

CONFIG = """
[run]
folder = "run"
checkpoint_every = 1000

[source]
kind = "devices"

[[stage]]
name = "learner"
kind = "learner"
warmup = 40
"""


@pytest.mark.parametrize("how", [(), ("--in-process",)], ids=["processes", "one process"])
def test_a_run_that_is_stopped_is_summed_up_and_goes_on(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "live.toml").write_text(CONFIG)
    rows = np.random.default_rng(0).laplace(size=(40, 30, 3)).astype(np.float32)
    command = ("run", "live.toml", "--plain", "--save-features", "features.npz", *how)
    seen = 0
    for turn in range(2):
        with started(*command, folder=tmp_path) as (process, output):
            while "running" not in (line := output.readline()) or not line.startswith(("learner", "in-process")):
                assert line, ended(process).errors
            with Push("ipc://run/source.devices", f"box{turn}", rate=300.0) as push:
                for block in rows:
                    push(block)
            seen += len(rows) + 1
            if how:  # it has no tap
                while f"frame {seen} " not in (line := output.readline()):
                    assert line
            else:
                wait_for(f"ipc://{tmp_path}/run/recorder.tap", seen)
            process.send_signal(signal.SIGINT)
            done = ended(process)
        assert done.code == 0, done.errors
        assert "stopped after" in done.output
        assert f"{seen} frames, none lost" in done.output
        assert "filters.png" in done.output
        assert "the same command resumes" in done.output
        with np.load("features.npz") as features:
            assert len(features["learner"]) == 40 * 30 * (turn + 1)


def wait_for(tap, n_frames):
    """Wait until a service has had so many frames."""
    with TapReader(tap, topics=(FRAME, STATUS)) as reader:
        while not (isinstance(status := reader.receive(), Status) and status.processed + 1 >= n_frames):
            pass


def test_a_run_that_is_stopped_before_anything_came_says_so(tmp_path):
    (tmp_path / "live.toml").write_text(CONFIG)
    with started("run", "live.toml", "--plain", folder=tmp_path) as (process, output):
        while "learner: running" not in (line := output.readline()):
            assert line
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.code == 0, done.errors
    assert "stopped after" not in done.output
    assert "the same command resumes" in done.output
    assert call("check", "live.toml", folder=tmp_path).code == 0
