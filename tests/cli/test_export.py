"""``stream-infomax export``: files for other programs from whatever holds a learner; refusals in one line."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.clients import has
from helpers.commands import call
from helpers.extras import extra
from helpers.headers import PUSH, build, features

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
    assert (tmp_path / "encoder.h").stat().st_mode & 0o777 == 0o600


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


SOUND = """
[run]
folder = "run"
[source]
kind = "audio"
path = "sound"
rate = {rate}
[[stage]]
name = "wave"
kind = "windows"
length = 16
hop = 7
carry = ["source"]
[[stage]]
name = "fine"
kind = "learner"
output = "halves"
carry = ["source"]
[[stage]]
name = "mel"
kind = "windows"
input = "source"
form = "log-mel"
n_mels = 20
length = 2
hop = 1
[[stage]]
name = "coarse"
kind = "learner"
n_rank = 12
output = "log"
warmup = 300
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder around a run that has learnt from windows, and from log-mel at the rate of its files."""
    extra("kaldi_native_fbank")
    folder = tmp_path_factory.mktemp("sound")
    (folder / "sound").mkdir()
    for number in range(3):
        noise = np.convolve(np.random.default_rng(number).laplace(size=16000), [1, 0.9, 0.5, -0.3, 0.2])
        soundfile.write(folder / "sound" / f"{number}.wav", 0.05 * noise, 8000)
    (folder / "pipeline.toml").write_text(SOUND.format(rate=0))
    end = call("run", "pipeline.toml", "--in-process", folder=folder)
    assert end.code == 0, end.errors
    return folder


@pytest.mark.parametrize(("stage", "tolerance"), [("fine", 1e-5), ("coarse", 1e-3)])
@has("gcc")
def test_a_header_gives_the_features_of_the_run(tmp_path: Path, sound: Path, stage: str, tolerance: float) -> None:
    end = call("export", sound / "run", "--stage", stage, "--to", "c", "--out", tmp_path / "ear.h", folder=sound)
    assert (end.code, end.errors) == (0, "")
    end = call("encode", sound / "run", "sound/1.wav", "--stage", stage, "--to", tmp_path / "x.npz", folder=sound)
    assert (end.code, end.errors) == (0, "")
    with np.load(tmp_path / "x.npz") as file:
        expected = file[stage].reshape(-1, file[stage].shape[-1])
    text = (tmp_path / "ear.h").read_text()
    program = PUSH.replace("SAMPLE", "*x" if stage == "coarse" else "x")
    binary = build(tmp_path, text, name=stage, program=program)
    samples = soundfile.read(sound / "sound" / "1.wav", dtype="float32")[0]
    found = features(binary, samples, expected.shape[1])
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def test_every_format_has_the_windows(tmp_path: Path, sound: Path) -> None:
    end = call("export", sound / "run", "--stage", "coarse", "--to", "npz", "--out", tmp_path / "x.npz", folder=sound)
    assert (end.code, end.errors) == (0, "")
    with np.load(tmp_path / "x.npz") as file:
        assert (str(file["rows_from"]), float(file["rate"]), int(file["shift"])) == ("log-mel", 8000, 80)
    extra("onnx")
    end = call("export", sound / "run", "--stage", "coarse", "--to", "onnx", "--out", tmp_path / "x.onnx", folder=sound)
    assert (end.code, end.errors) == (0, "")
    assert b"samples" in (tmp_path / "x.onnx").read_bytes()


def test_a_rate_that_only_the_data_have(tmp_path: Path, sound: Path) -> None:
    """The run's source has `rate = 0`: that of its files, which are not where the run was started from now."""
    end = call("export", sound / "run", "--stage", "coarse", "--to", "npz", folder=tmp_path)
    assert end.code == 2
    assert "stage.mel: log-mel needs the rate of the source, which is that of its data: " in end.errors
    assert end.errors.count("\n") == 1
    end = call("export", sound / "run", "--stage", "coarse", "--to", "npz", "--rows", folder=tmp_path)
    assert (end.code, end.errors) == (0, "")


def test_integers(tmp_path: Path, place: Path) -> None:
    end = call("export", place / "learner.safetensors", "--to", "c", "--weights", "int8", folder=tmp_path)
    assert (end.code, end.errors) == (0, "")
    assert "static const int8_t encoder_filters" in (tmp_path / "encoder.h").read_text()


def test_refusals_are_one_line(tmp_path: Path, place: Path) -> None:
    OnlineInfomax().partial_fit(rows(8)).save(tmp_path / "cold")
    (tmp_path / "there.h").touch()
    learner = place / "learner.safetensors"
    refused = [
        ((place / "spikes", "--to", "c"), "the output is 'poisson'"),
        ((place / "run", "--to", "c"), "holds the learners first-one, second; `name` says which"),
        ((place / "run", "--to", "c", "--stage", "second"), "the learner 'second' reads the stage 'first-one'"),
        ((place / "run", "--to", "c", "--stage", "x"), "no learner 'x'; it holds first-one, second"),
        ((learner, "--to", "c", "--name", "9"), "--name '9': accepted is an identifier of C"),
        ((learner, "--to", "c", "--out", "gone/x.h"), "gone/x.h: not written"),
        ((learner, "--to", "npz", "--weights", "int8"), "--weights int8: a header in C has them; npz has float32"),
        ((learner, "--to", "rust"), "Invalid value"),
        ((learner, "--to", "c", "--name", "there"), "there.h is there already, and is left as it is"),
        (("cold", "--to", "c"), "the learner's warm-up is not over"),
        (("gone", "--to", "c"), "gone: not readable"),
    ]
    for arguments, words in refused:
        end = call("export", *arguments, folder=tmp_path)
        assert end.code in (1, 2)
        assert end.errors.count("\n") == 1, end.errors
        assert words in end.errors
        assert end.output == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cold", "there.h"]
