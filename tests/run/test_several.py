"""A run of several inputs: the same bits however its processes die, and what is said of each input."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.commands import call, child_of, ended, started

from stream_infomax import Encoder
from stream_infomax.state.error import StateFileError
from stream_infomax.transport.tap import TapReader

CONFIG = """
[run]
folder = "run"
checkpoint_every = 4

[source]
kind = "several"
pace = "live"

[[source.inputs]]
name = "left"
kind = "audio"
path = "left"
labels = '(?P<word>[a-z]+)'

[[source.inputs]]
name = "right"
kind = "audio"
path = "right"

[[stage]]
name = "windows"
kind = "windows"
length = 16
hop = 16
service = "learner"

[[stage]]
name = "learner"
kind = "learner"
warmup = 200
overcomplete = true
n_components = 16
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two folders of sound, 1.6 and 1.2 s."""
    for name, n_files in (("left", 8), ("right", 6)):
        (tmp_path / name).mkdir()
        for i in range(n_files):
            noise = np.random.default_rng(i).laplace(size=1600) / 20
            soundfile.write(tmp_path / name / f"{'ab'[i % 2]}{i}.wav", noise, 8000)
    (tmp_path / "right" / "notes.txt").write_text("words")
    (tmp_path / "pipeline.toml").write_text(CONFIG)
    return tmp_path


@pytest.mark.parametrize("share", ["all", "stream"])
def test_whatever_dies_the_features_are_the_same(folder: Path, share: str) -> None:
    own = ("--set", f"stage.learner.share={share}")
    with started("run", "pipeline.toml", *own, "--save-features", "kept.npz", folder=folder) as (process, _):
        for service, offset in (("source", 40), ("learner", 60)):
            with TapReader(f"ipc://{folder}/run/source.tap") as observer:
                next(frame for frame in observer if frame.offset >= offset)
            os.kill(child_of(process.pid, f"--service\0{service}"), signal.SIGKILL)
        end = ended(process)
    assert end.code == 0, end.errors
    assert "140 frames, none lost" in end.output
    assert "left out: 1 files of another suffix (right)" in end.output
    names = {"all": ["learner"], "stream": ["learner, left", "learner, right"]}[share]
    summary = end.output[end.output.index("finished after") :].splitlines()
    assert [line.split(":")[0] for line in summary if "objective" in line] == names
    pictures = {"all": {"filters.png"}, "stream": {"filters-learner.left.png", "filters-learner.right.png"}}[share]
    assert {path.name for path in (folder / "run").glob("filters*.png")} == pictures
    alone = (*own, "--in-process", "--set", "run.folder=alone", "--set", "source.pace=fast")
    assert call("run", "pipeline.toml", *alone, "--save-features", "alone.npz", folder=folder).code == 0
    with np.load(folder / "kept.npz") as kept, np.load(folder / "alone.npz") as other:
        assert set(kept) == set(other)
        for name in kept:
            np.testing.assert_array_equal(kept[name], other[name], err_msg=name)
        streams = kept["frames/stream"]
    if share == "stream":
        for stream in ("left", "right"):
            assert len(Encoder.load(folder / "run", f"learner/{stream}").components) == 16
        np.save(folder / "rows.npy", np.random.default_rng(0).standard_normal((50, 16)))
        encoded = call("encode", "run", "rows.npy", "--to", "y.npz", "--stage", "learner/left", folder=folder)
        assert encoded.code == 0, encoded.errors
        exported = call("export", "run", "--to", "npz", "--stage", "learner/left", "--rows", folder=folder)
        assert exported.code == 0, exported.errors
        with pytest.raises(StateFileError, match="holds the learners learner/left, learner/right"):
            Encoder.load(folder / "run")
    fresh = call("run", "pipeline.toml", "--fresh", "--in-process", "--set", "source.pace=fast", folder=folder)
    assert fresh.code == 0
    assert [path.name for path in (folder / "run").glob("filters*.png")] == ["filters.png"], "nothing old is left"
    assert np.unique(streams, return_counts=True)[1].tolist() == [80, 60]
    assert streams[:7].tolist() == ["left", "right", "left", "right", "left", "right", "left"]


def test_check_says_what_each_input_comes_to(folder: Path) -> None:
    checked = call("check", "pipeline.toml", "--set", "source.inputs.right.frame=80", folder=folder)
    assert checked.code == 0, checked.errors
    words = " ".join(checked.output.split())
    assert "2 inputs: left: 8 recordings, 1.6 s" in words
    assert "right: 6 recordings, 1.2 s, 8,000 samples a second, 200 frames; labels: word (2)" in words
    assert "left out 1 files of another suffix (right)" in words
    wrong = call("check", "pipeline.toml", "--set", "source.inputs.right.path=nowhere", folder=folder)
    assert wrong.code == 2
    assert "source.inputs.right.path = 'nowhere': no such file or folder" in wrong.errors
