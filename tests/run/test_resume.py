"""Runs of real processes whose surroundings change between two lives of a service."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.commands import call, child_of, ended, started
from helpers.faults import fault

from stream_infomax.transport.tap import TapReader

CONFIG = """
[run]
folder = "run"
checkpoint_every = 4

[source]
kind = "audio"
path = "sounds"
pace = "live"

[[stage]]
name = "windows"
kind = "windows"
length = 16
hop = 16
"""


def sound(folder: Path, name: str, n_samples: int = 1600) -> None:
    """Write 0.2 s of noise, which make 10 frames."""
    noise = np.random.default_rng(n_samples).uniform(-0.5, 0.5, n_samples)
    soundfile.write(folder / "sounds" / f"{name}.wav", noise, 8000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sounds").mkdir()
    for i in range(1, 13):
        sound(tmp_path, f"{i:02d}")
    (tmp_path / "pipeline.toml").write_text(CONFIG)
    return tmp_path


def wait_for(folder: Path, segment: str) -> None:
    with TapReader(f"ipc://{folder}/run/source.tap") as observer:
        next(frame for frame in observer if frame.segment >= segment)


@fault("added")
def test_a_recording_added_while_it_runs_is_left_out_whatever_dies(folder: Path) -> None:
    with started("run", "pipeline.toml", "--save-features", "kept.npz", folder=folder) as (process, _):
        wait_for(folder, "04.wav")
        for name in ("00", "06b", "99"):
            sound(folder, name)
        os.kill(child_of(process.pid, "--service\0source"), signal.SIGKILL)
        end = ended(process)
    assert end.code == 0, end.errors
    assert "source: restarting (restart 1)" in end.output
    with np.load(folder / "kept.npz") as kept:
        np.testing.assert_array_equal(kept["frames/segment"], np.repeat([f"{i:02d}.wav" for i in range(1, 13)], 10))
    assert "left out, added since this run began: 00.wav, 06b.wav, 99.wav" in (folder / "run/source.log").read_text()


@fault("missing")
def test_a_recording_missing_when_the_source_is_restarted_ends_the_run(folder: Path) -> None:
    with started("run", "pipeline.toml", folder=folder) as (process, _):
        wait_for(folder, "04.wav")
        (folder / "sounds/12.wav").unlink()
        os.kill(child_of(process.pid, "--service\0source"), signal.SIGKILL)
        end = ended(process)
    assert end.code == 2
    first, *_, last = end.errors.splitlines()
    assert "service 'source' ended with exit code 2; its last words (all of them in" in first
    assert "path = 'sounds' is not what it was when this run began (missing: 12.wav)" in last


@pytest.mark.parametrize("options", [(), ("--in-process",)], ids=["processes", "one process"])
def test_a_recording_missing_when_it_resumes_is_named_and_nothing_starts(
    folder: Path, options: tuple[str, ...]
) -> None:
    for i in range(13, 99):  # 20 s: it is stopped long before
        sound(folder, f"{i:02d}")
    with started("run", "pipeline.toml", *options, folder=folder) as (process, lines):
        next(line for line in lines if "frames/s" in line)
        process.send_signal(signal.SIGINT)
        assert ended(process).code == 0
    (folder / "sounds/12.wav").unlink()
    refused = call("run", "pipeline.toml", *options, folder=folder)
    assert (refused.code, refused.errors.count("\n")) == (2, 1)
    assert "path = 'sounds' is not what it was when this run began (missing: 12.wav)" in refused.errors
    assert "starting" not in refused.output
