"""``stream-infomax encode``: features of rows, sound and pictures, by what was learnt; refusals before any work."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.commands import call
from helpers.extras import needs

from stream_infomax import AudioSource, Encoder, OnlineInfomax, Pipeline, WindowsStage

K = 4
SOUND = """
[run]
folder = "run"

[source]
kind = "audio"
path = "sound"
rate = 8000
order = "shuffled"

[[stage]]
name = "windows"
kind = "windows"
form = "waveform"
length = 16
hop = 8

[[stage]]
name = "first"
kind = "learner"
n_rank = 8
block = 32

[[stage]]
name = "second"
kind = "learner"
output = "halves"
block = 32
"""


def rows(n: int = 500, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.laplace(size=(n, K)) @ np.random.default_rng(0).normal(size=(K, K))


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("learner") / "learner.safetensors"
    OnlineInfomax(block=16).fit(rows(3000)).save(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder around a run that has learnt from sound in three services."""
    folder = tmp_path_factory.mktemp("run")
    for place, seed in (("sound", 0), ("other", 1)):
        (folder / place).mkdir()
        rng = np.random.default_rng(seed)
        for number in range(3):
            noise = np.convolve(rng.laplace(size=8000), [1, 0.9, 0.5, -0.3, 0.2])
            soundfile.write(folder / place / f"{number}.wav", 0.05 * noise, 8000)
    (folder / "pipeline.toml").write_text(SOUND)
    end = call("run", "pipeline.toml", folder=folder)
    assert end.code == 0, end.errors
    return folder


def test_a_file_of_rows(tmp_path: Path, learner: Path) -> None:
    X = rows().astype(np.float32)
    X[7, 1] = np.nan
    np.save(tmp_path / "x.npy", X)
    end = call("encode", learner, "x.npy", "--to", "x.npz", folder=tmp_path)
    assert (end.code, end.errors) == (0, "")
    encoder = Encoder.load(learner)
    expected = f"x.npz: 500 rows, 1 of them not finite, 4 columns (potential), basis {encoder.version}\n"
    assert end.output == expected
    with np.load(tmp_path / "x.npz") as file:
        np.testing.assert_array_equal(file["features"], encoder.transform(X))
        assert list(file["frames/basis"]) == [encoder.version]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "x.npz"]


def test_tables_in_and_out(tmp_path: Path, learner: Path) -> None:
    X = rows(9000).astype(np.float32)
    lines = [",".join(map(str, row)) for row in X]
    lines[3] = lines[3].replace(str(X[3, 2]), "")
    X[3, 2] = np.nan
    (tmp_path / "x.csv").write_text("\n".join(["a,b,c,d", *lines]) + "\n")
    end = call("encode", learner, "x.csv", "--to", "y.csv", folder=tmp_path)
    assert end.code == 0, end.errors
    with (tmp_path / "y.csv").open(newline="") as file:
        header, *found = csv.reader(file)
    assert header == ["features_0", "features_1", "features_2", "features_3"]
    wanted = Encoder.load(learner).transform(X.astype(np.float64))
    np.testing.assert_allclose(np.array(found, np.float32), wanted, rtol=1e-5, atol=1e-5)
    assert np.isnan(np.array(found[3], np.float32)).all()


def test_a_table_for_pyarrow(tmp_path: Path, learner: Path) -> None:
    np.savez(tmp_path / "x.npz", rows=rows(), other=np.zeros(3))
    end = call("encode", learner, "x.npz", "--to", "y.parquet", folder=tmp_path)
    try:
        from pyarrow import parquet
    except ModuleNotFoundError:
        assert (end.code, end.errors.count("\n")) == (2, 1)
        assert "pyarrow is not installed: pip install" in end.errors
        return
    assert end.code == 0, end.errors
    table = parquet.read_table(tmp_path / "y.parquet")
    assert table.column_names[-K:] == [f"features_{number}" for number in range(K)]
    found = np.column_stack([table[name].to_numpy() for name in table.column_names[-K:]])
    np.testing.assert_array_equal(found, Encoder.load(learner).transform(rows()))


@pytest.mark.parametrize("place", ["run", "run/first"])
def test_sound_goes_through_the_stages_before_the_learner(run: Path, tmp_path: Path, place: str) -> None:
    end = call("encode", run / place, run / "other", "--stage", "first", "--to", "x.npz", folder=tmp_path)
    assert end.code == 0, end.errors
    before = Pipeline([WindowsStage("windows", "source", form="waveform", length=16, hop=8)])
    frames = list(before(AudioSource(run / "other", rate=8000, order="shuffled").frames()))
    encoder = Encoder.load(run / "run", "first")
    with np.load(tmp_path / "x.npz") as file:
        expected = np.concatenate([encoder.transform(frame.arrays["windows"].rows()) for frame in frames])
        np.testing.assert_array_equal(file["first"].reshape(expected.shape), expected)
        assert {Path(segment).name for segment in file["frames/segment"]} == {"0.wav", "1.wav", "2.wav"}
        assert set(file["frames/basis"]) == {encoder.version}
        assert "windows" not in file.files


@pytest.mark.parametrize("place", ["run", "run/second", "checkpoint"])
def test_a_learner_on_top_of_another(run: Path, tmp_path: Path, place: str) -> None:
    if place == "checkpoint":
        place = str(sorted((run / "run" / "second").glob("checkpoint-*"))[-1])
    end = call("encode", run / place, run / "other" / "1.wav", "--stage", "second", "--to", "y.csv", folder=tmp_path)
    assert end.code == 0, end.errors
    first, second = (Encoder.load(run / "run", name) for name in ("first", "second"))
    before = Pipeline([WindowsStage("windows", "source", form="waveform", length=16, hop=8)])
    frames = list(before(AudioSource(run / "other" / "1.wav", rate=8000).frames()))
    expected = [second.transform(first.transform(frame.arrays["windows"].rows())) for frame in frames]
    with (tmp_path / "y.csv").open(newline="") as file:
        header, *found = csv.reader(file)
    assert header[:6] == ["offset", "stream", "segment", "time", "labels", "second_0"]
    np.testing.assert_array_equal(np.array([line[5:] for line in found], np.float32), np.concatenate(expected))
    assert found[0][4] == "{}"
    assert np.all(np.diff([float(line[3]) for line in found]) > 0)


def test_settings_of_the_run_can_be_others(run: Path, tmp_path: Path) -> None:
    order = ("--set", "source.order=sorted")
    end = call("encode", run / "run/first", run / "other", *order, "--to", "x.npz", folder=tmp_path)
    assert end.code == 0, end.errors
    with np.load(tmp_path / "x.npz") as file:
        segments = [Path(segment).name for segment in dict.fromkeys(file["frames/segment"].tolist())]
    assert segments == ["0.wav", "1.wav", "2.wav"]


@needs("PIL")
def test_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = (rng.normal(size=(6, 24, 24)).cumsum(axis=1).cumsum(axis=2) * 3 + 128).clip(0, 255).astype(np.uint8)
    np.savez(tmp_path / "stack.npz", images=images)
    (tmp_path / "pipeline.toml").write_text(
        """
[run]
folder = "run"
[source]
kind = "images"
path = "stack.npz"
crop = [4, 4]
items = 64
frames = 40
[[stage]]
name = "learner"
kind = "learner"
n_rank = 6
"""
    )
    assert call("run", "pipeline.toml", "--in-process", folder=tmp_path).code == 0
    tiles = ("--set", "source.mode=tiles", "--set", "source.frames=0")
    end = call("encode", "run", "stack.npz", *tiles, "--to", "x.npz", folder=tmp_path)
    assert end.code == 0, end.errors
    with np.load(tmp_path / "x.npz") as file:
        assert file["learner"].shape == (6 * 36, 6)
    np.savez(tmp_path / "rows.npz", rng.normal(size=(10, 16)))
    end = call("encode", "run", "rows.npz", "--to", "y.npz", folder=tmp_path)
    assert end.code == 0, end.errors
    with np.load(tmp_path / "y.npz") as file:
        assert file["learner"].shape == (10, 6)


def test_refusals_are_one_line_and_come_first(tmp_path: Path, learner: Path, run: Path) -> None:
    np.save(tmp_path / "x.npy", rows())
    np.save(tmp_path / "wide.npy", rows().repeat(2, axis=1))
    np.savez(tmp_path / "two.npz", a=rows(), b=rows())
    (tmp_path / "words.csv").write_text("1,2,3,4\n1,2,three,4\n")
    (tmp_path / "short.csv").write_text("1,2,3,4\n1,2,3\n")
    (tmp_path / "broken.npy").write_bytes(b"noise")
    (tmp_path / "folder.csv").mkdir()
    OnlineInfomax().partial_fit(rows(8)).save(tmp_path / "cold")
    refused = [
        ((learner, "x.npy", "--to", "x.txt"), "--to x.txt: accepted is a name that ends in .npz, .parquet, .csv"),
        ((learner, "x.npy", "--to", "gone/x.npz"), "--to gone/x.npz: accepted is a file in a folder that is there"),
        ((learner, "x.npy", "--to", "folder.csv"), "--to folder.csv: this is a folder"),
        ((learner, "gone.npy", "--to", "x.npz"), "SOURCE gone.npy: no such file or folder"),
        ((learner, "wide.npy", "--to", "x.npz"), "rows of 8 numbers; accepted are rows of 4"),
        ((learner, "two.npz", "--to", "x.npz"), "holds the arrays a, b; accepted: one, or one called 'rows'"),
        (
            (learner, "words.csv", "--to", "x.npz"),
            "SOURCE words.csv: line 2: could not convert string to float: 'three'",
        ),
        ((learner, "short.csv", "--to", "x.npz"), "SOURCE short.csv: line 2: 3 fields, before 4"),
        ((learner, "broken.npy", "--to", "x.npz"), "SOURCE broken.npy: "),
        ((learner, run / "other", "--to", "x.npz"), "stands in its own file, which does not say how rows are made"),
        ((run / "run", run / "other", "--to", "x.npz"), "holds the learners first, second; `name` says which"),
        ((run / "run", run / "other", "--stage", "x", "--to", "x.npz"), "no learner 'x'; it holds first, second"),
        (("cold", "x.npy", "--to", "x.npz"), "the learner's warm-up is not over"),
        (("gone", "x.npy", "--to", "x.npz"), "gone: not readable"),
    ]
    for arguments, words in refused:
        end = call("encode", *arguments, folder=tmp_path)
        assert end.code in (1, 2)
        assert end.errors.count("\n") == 1, end.errors
        assert words in end.errors
        assert end.output == ""
    assert not list(tmp_path.glob("x.*z"))
