"""Sinks at the end of a real pipeline: several at once, in processes and in one process, with the same content."""

from pathlib import Path

import numpy as np
import pytest
from helpers.commands import call

from stream_infomax.configuration.load import ConfigError, load

CONFIG = """
[run]
folder = "{folder}"
checkpoint_every = 8

[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = 40

[[stage]]
name = "learner"
kind = "learner"
n_components = 4

[[sink]]
name = "first"
kind = "npz"
path = "{first}"

[[sink]]
name = "second"
kind = "npz"
path = "{second}"

[[sink]]
kind = "nothing"
"""


def content(path: Path) -> dict[str, bytes]:
    with np.load(path) as file:
        return {name: file[name].tobytes() for name in file.files}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.toml"
    path.write_text(CONFIG.format(folder="run", first="first.npz", second="second.npz"))
    return path


def test_several_sinks_keep_the_same_in_processes_and_in_one(config: Path, tmp_path: Path) -> None:
    end = call("run", config, folder=tmp_path)
    assert end.code == 0, end.errors
    for name in ("first", "second", "nothing"):
        assert f"{name}: finished" in end.output
    first = content(tmp_path / "first.npz")
    assert len(np.frombuffer(first["learner"], np.float32)) == 40 * 64 * 4
    assert content(tmp_path / "second.npz") == first
    end = call("run", config, "--in-process", "--set", "run.folder=other", folder=tmp_path)
    assert end.code == 0, end.errors
    assert content(tmp_path / "first.npz") == first


def test_two_sinks_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text(CONFIG.format(folder="run", first="a.npz", second="b.npz").replace('"second"\n', '"first"\n', 1))
    with pytest.raises(ConfigError, match="first"):
        load(path)


def test_a_file_of_another_kind_is_refused_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text(CONFIG.format(folder="run", first="a.csv", second="b.npz"))
    end = call("run", path, folder=tmp_path)
    assert end.code == 2
    assert "sink.first.path = 'a.csv'" in end.errors
    assert "starting" not in end.output


def test_a_folder_that_is_missing_is_named_before_anything_starts_and_can_be_corrected(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text(CONFIG.format(folder="run", first="gone/a.npz", second="b.npz"))
    for command in ("check", "run"):
        end = call(command, path, folder=tmp_path)
        assert (end.code, end.errors.count("\n")) == (2, 1)
        assert "sink.first.path = 'gone/a.npz'; accepted: a file in a folder that is there" in end.errors
        assert "starting" not in end.output
    path.write_text(CONFIG.format(folder="run", first="a.npz", second="b.npz"))
    assert call("run", path, folder=tmp_path).code == 0
    assert (tmp_path / "a.npz").exists()
