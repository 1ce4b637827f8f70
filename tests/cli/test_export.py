"""``stream-infomax export``: files for other programs from whatever holds a learner; refusals in one line."""

from pathlib import Path

import numpy as np
import pytest
from helpers.commands import call

from stream_infomax import Encoder, OnlineInfomax


def rows(n: int = 3000) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.laplace(size=(n, 4)) @ rng.normal(size=(4, 4))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a learner, an encoder, one that draws, and a run with two learners."""
    folder = tmp_path_factory.mktemp("learner")
    learner = OnlineInfomax(block=16).fit(rows())
    learner.save(folder / "learner.safetensors")
    Encoder.of(learner).save(folder / "encoder.safetensors")
    OnlineInfomax(block=16, output="poisson").fit(rows()).save(folder / "spikes")
    (folder / "pipeline.toml").write_text(
        """
[run]
folder = "run"
[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = 40
[[stage]]
name = "first-one"
kind = "learner"
[[stage]]
name = "second"
kind = "learner"
output = "halves"
"""
    )
    end = call("run", "pipeline.toml", "--in-process", folder=folder)
    assert end.code == 0, end.errors
    return folder


@pytest.mark.parametrize("file", ["learner.safetensors", "encoder.safetensors"])
def test_a_learner_in_its_own_file(tmp_path: Path, place: Path, file: str) -> None:
    end = call("export", place / file, "--to", "c", folder=tmp_path)
    assert (end.code, end.errors) == (0, "")
    encoder = Encoder.load(place / file)
    text = (tmp_path / "encoder.h").read_text()
    size = f"{len(text.encode()):,}"
    assert end.output == f"encoder.h: {size} bytes, 4 numbers to 4 (potential), basis {encoder.version}\n"
    assert f'#define encoder_BASIS "{encoder.version}"\n' in text.replace(" /*", "\n")
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.h"]


def test_a_learner_of_a_run(tmp_path: Path, place: Path) -> None:
    end = call("export", place / "run", "--stage", "first-one", "--to", "c", folder=tmp_path)
    assert (end.code, end.errors) == (0, "")
    assert "int first_one_encode(" in (tmp_path / "first_one.h").read_text()
    options = ("--rows", "--stage", "second", "--name", "ear", "--out", "other.h")
    for where in ("run", *sorted((place / "run").glob("*/checkpoint-*"))[-1:]):
        end = call("export", place / where, *options, "--to", "c", folder=tmp_path)
        assert (end.code, end.errors) == (0, "")
        assert "int ear_encode(" in (tmp_path / "other.h").read_text()


def test_arrays(tmp_path: Path, place: Path) -> None:
    end = call("export", place / "run", "--stage", "first-one", "--to", "npz", folder=tmp_path)
    assert (end.code, end.errors) == (0, "")
    encoder = Encoder.load(place / "run", "first-one")
    with np.load(tmp_path / "first_one.npz") as file:
        np.testing.assert_array_equal(file["components"], encoder.components)
        assert str(file["version"]) == encoder.version


def test_refusals_are_one_line(tmp_path: Path, place: Path) -> None:
    OnlineInfomax().partial_fit(rows(8)).save(tmp_path / "cold")
    learner = place / "learner.safetensors"
    refused = [
        ((place / "spikes", "--to", "c"), "the output is 'poisson'"),
        ((place / "run", "--to", "c"), "holds the learners first-one, second; `name` says which"),
        ((place / "run", "--to", "c", "--stage", "second"), "the learner 'second' reads the stage 'first-one'"),
        ((place / "run", "--to", "c", "--stage", "x"), "no learner 'x'; it holds first-one, second"),
        ((learner, "--to", "c", "--name", "9"), "--name '9': accepted is an identifier of C"),
        ((learner, "--to", "c", "--out", "gone/x.h"), "gone/x.h: not written"),
        ((learner, "--to", "rust"), "Invalid value"),
        (("cold", "--to", "c"), "the learner's warm-up is not over"),
        (("gone", "--to", "c"), "gone: not readable"),
    ]
    for arguments, words in refused:
        end = call("export", *arguments, folder=tmp_path)
        assert end.code in (1, 2)
        assert end.errors.count("\n") == 1, end.errors
        assert words in end.errors
        assert end.output == ""
    assert [path.name for path in tmp_path.iterdir()] == ["cold"]
