"""Features in two commands, from any file that a person has: init, then run what it wrote."""

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import videos
from helpers.commands import call
from helpers.extras import extra


def signal(n_rows: int, n_channels: int, seed: int = 0) -> np.ndarray:
    """Rows that are like those before them."""
    noise = np.random.default_rng(seed).laplace(size=(n_rows + 8, n_channels))
    return np.stack([np.convolve(noise[:, i], np.hanning(9), "same")[:n_rows] for i in range(n_channels)], 1)


def csv(folder: Path) -> str:
    rows = signal(3000, 3)
    lines = [f"{10 * i};{a:.4f};{b:.4f};{c:.4f};{i % 9 // 9};yes" for i, (a, b, c) in enumerate(rows)]
    text = "\n".join(["time [ms];x (g);y (g);z (g);still;note", *lines]).replace(".", ",")
    (folder / "walk.csv").write_text(text, encoding="utf-8-sig")
    return "walk.csv"


def npy(folder: Path) -> str:
    np.save(folder / "rows.npy", signal(2000, 20))
    return "rows.npy"


def npz(folder: Path) -> str:
    np.savez_compressed(
        folder / "eeg.npz",
        data=signal(3000, 64).T,
        channel_names=[f"C{i}" for i in range(64)],
        sampling_rate_hz=160.0,
        event=np.arange(3000) // 1500,
    )
    return "eeg.npz"


def small(folder: Path) -> str:
    np.save(folder / "small.npy", signal(70, 5))
    return "small.npy"


def parquet(folder: Path) -> str:
    extra("pyarrow")
    import pyarrow as pa
    from pyarrow import parquet

    start = datetime.datetime(2026, 11, 27)
    rows = signal(3000, 2)
    when = [start + datetime.timedelta(milliseconds=20 * i) for i in range(3000)]
    parquet.write_table(pa.table({"when": when, "u": rows[:, 0], "i": rows[:, 1]}), folder / "log.parquet")
    return "log.parquet"


def edf(folder: Path) -> str:
    extra("edfio")
    from edfio import Edf, EdfAnnotation, EdfSignal

    signals = [EdfSignal(values, 160, label=f"C{i}") for i, values in enumerate(signal(160 * 30, 18).T)]
    signals.append(EdfSignal(np.arange(30.0), 1, label="Temp"))
    Edf(signals, annotations=[EdfAnnotation(10, 10, "eyes closed")]).write(folder / "night.edf")
    return "night.edf"


def many_channels(folder: Path) -> str:
    soundfile.write(folder / "vibration.wav", signal(6000, 5) / 30, 1000)
    return "vibration.wav"


def recordings(folder: Path) -> str:
    (folder / "voices").mkdir()
    for number in range(3):
        soundfile.write(folder / "voices" / f"{number}.flac", signal(12_000, 2, number) / 30, 8000)
    return "voices"


def pictures(folder: Path) -> str:
    extra("PIL")
    from PIL import Image

    (folder / "pictures").mkdir()
    for number in range(2):
        pixels = (signal(140, 130, number) * 20 + 128).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{number}.png")
    return "pictures"


def films(folder: Path) -> str:
    extra("av")
    (folder / "films").mkdir()
    videos.encode(folder / "films" / "one.mp4", videos.scenes(60, 180, 240))
    videos.encode(folder / "films" / "other.mkv", videos.scenes(40, 120, 160, seed=1), "mpeg4")
    return "films"


def stack(folder: Path) -> str:
    extra("PIL")
    images = (signal(28 * 40, 28).reshape(40, 28, 28) * 20 + 128).clip(0, 255).astype(np.uint8)
    np.savez(folder / "letters.npz", images=images, labels=np.arange(40) % 4)
    return "letters.npz"


def folder_of_tables(folder: Path) -> str:
    (folder / "trials").mkdir()
    for number in range(4):
        np.savetxt(folder / "trials" / f"{number}.csv", signal(700, 4, number), delimiter=",")
    (folder / "trials" / "labels.csv").write_text("file,who\n0.csv,Ann\n1.csv,Bob\n2.csv,Ann\n3.csv,Bob\n")
    return "trials"


FILES = [csv, npy, npz, small, parquet, edf, many_channels, recordings, pictures, films, stack, folder_of_tables]


@pytest.mark.parametrize("make", FILES, ids=[make.__name__ for make in FILES])
def test_two_commands_give_features(tmp_path: Path, make: Callable[[Path], str]) -> None:
    written = call("init", make(tmp_path), folder=tmp_path)
    assert written.code == 0, written.errors
    *said, toml, following = written.output.splitlines()
    assert len(said) >= 2
    assert following == f"Next: stream-infomax run {toml} --save-features features.npz"
    alone = () if make in (csv, recordings) else ("--in-process",)  # quicker, with the same bits
    done = call("run", toml, "--save-features", "features.npz", *alone, folder=tmp_path)
    assert done.code == 0, done.errors
    assert "none lost" in done.output
    with np.load(tmp_path / "features.npz") as saved:
        features = saved["learner"]
        assert features.shape[1] > 1
        assert np.isfinite(features[len(features) * 3 // 4 :]).all()
        if make is folder_of_tables:
            assert "Bob" in str(saved["frames/labels"])


def test_a_shipped_configuration_goes_before_a_folder_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    soundfile.write(tmp_path / "recordings" / "a.wav", signal(9000, 1) / 30, 8000)
    done = call("init", "recordings", folder=tmp_path)
    assert "init ./recordings" in done.output
    assert "recordings.toml" in done.output.splitlines()[-1]
    assert call("init", "./recordings", folder=tmp_path).code == 2, "a file is never overwritten"
    assert call("init", "./recordings", "own.toml", folder=tmp_path).code == 0
    assert 'path = "recordings"' in (tmp_path / "own.toml").read_text()


def test_what_does_not_exist_is_named(tmp_path: Path) -> None:
    done = call("init", "nothing.csv", folder=tmp_path)
    assert done.code == 2
    assert "no shipped configuration 'nothing.csv'" in done.errors
    assert "and no file or folder" in done.errors
