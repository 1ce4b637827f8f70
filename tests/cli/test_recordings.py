"""One's own recordings: any folder of sound, without labels, becomes a file of features with one command."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.commands import call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings of any rate, number of channels, format and depth, and with other files."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    (folder / "sounds" / "deep" / "deeper").mkdir(parents=True)
    for name, rate, channels in (
        ("a b.wav", 44100, 2),
        ("deep/c.flac", 8000, 1),
        ("deep/deeper/ü.ogg", 22050, 1),
        ("deep/many.wav", 16000, 6),
    ):
        noise = rng.laplace(size=(3 * rate, channels)) / 20
        soundfile.write(folder / "sounds" / name, noise, rate)
    (folder / "sounds" / "notes.txt").write_text("no sound")
    return folder


def test_a_folder_becomes_a_file_of_features(folder: Path) -> None:
    done = call("run", "recordings", "--set", "source.path=sounds", "--save-features", "features.npz", folder=folder)
    assert done.code == 0, done.errors
    assert "none lost" in done.output
    with np.load(folder / "features.npz") as saved:
        features = saved["learner"]
        assert features.shape[1] == 128
        assert np.isfinite(features[1600:]).all()
        assert set(saved["frames/segment"]) == {"a b.wav", "deep/c.flac", "deep/deeper/ü.ogg", "deep/many.wav"}


def test_labels_that_fit_nothing_are_named_before_anything_starts(folder: Path) -> None:
    for command in ("check", "run"):
        done = call(command, "speech", "--set", "source.path=sounds", folder=folder)
        assert done.code == 2
        assert "source.labels = " in done.errors
        assert "fits no recording at sounds" in done.errors
        assert "for example in 'a b.wav'; without labels, leave labels away" in done.errors
        assert done.errors.count("\n") == 1
    assert not list((folder / "runs" / "speech").glob("*/checkpoint-*"))
    corrected = ("--set", "source.path=sounds", "--set", r"source.labels=(?P<digit>[a-z]+)")
    assert call("check", "speech", *corrected, folder=folder).code == 0


def test_what_is_left_out_stands_in_the_summary_and_in_check(folder: Path, tmp_path: Path) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for name in ("a", "b", "c", "d"):
        samples = np.random.default_rng(0).laplace(size=4000) / 20
        soundfile.write(sounds / f"{name}.wav", samples, 8000)
    for name in ("cut", "empty", "noise"):
        (sounds / f"{name}.wav").write_bytes({"cut": b"RIFF", "empty": b"", "noise": b"\1\7" * 99}[name])
    (sounds / ".hidden.wav").touch()
    (sounds / "labels.csv").write_text("file,word\n./a.wav,yes\nb.wav,no\ne.wav,no\n")
    given = ("recordings", "--set", "source.path=sounds", "--set", "stage.learner.warmup=300")
    counted = "left out: 1 hidden files and folders, 1 files of another suffix, 3 unreadable files"
    mention = "sounds/labels.csv is not used; labels_csv = 'sounds/labels.csv' takes labels from it"

    checked = call("check", *given, folder=tmp_path)
    assert counted.replace(":", "") in " ".join(checked.output.split())
    assert mention in " ".join(checked.output.split())
    done = call("run", *given, "--in-process", folder=tmp_path)
    assert done.code == 0, done.errors
    assert counted in " ".join(done.output.split())
    assert mention in " ".join(done.errors.split())
    again = call("run", *given, "--in-process", folder=tmp_path)
    assert counted in " ".join(again.output.split())

    given = (*given, "--set", "source.labels_csv=sounds/labels.csv", "--set", "run.folder=labelled")
    done = call("run", *given, folder=tmp_path)
    assert done.code == 0, done.errors
    assert "3 unreadable files, 1 lines of labels_csv that name no file" in " ".join(done.output.split())
    assert "1 of 3 lines name no file at sounds: e.wav" in " ".join(done.errors.split())
    assert mention not in " ".join(done.errors.split())
