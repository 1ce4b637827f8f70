"""A configuration that fits: what is found in a file decides, and what was chosen is said."""

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.extras import extra

from stream_infomax.configuration.load import ConfigError, load
from stream_infomax.configuration.propose import propose
from stream_infomax.configuration.survey import survey
from stream_infomax.sources.labels import Labels


def signal(n_rows: int, n_channels: int) -> np.ndarray:
    """Rows that are like those before them."""
    noise = np.random.default_rng(0).normal(size=(n_rows + 8, n_channels))
    return np.stack([np.convolve(noise[:, i], np.hanning(9), "same")[:n_rows] for i in range(n_channels)], 1)


def proposed(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]], str]:
    """Return source and stages as they are proposed, and what was said; the configuration is usable."""
    _, text, said = propose(path)
    for sentence in said:
        assert sentence[:40] in text
    own = path.parent / "own.toml"
    own.write_text(text, encoding="utf-8")
    assert not [one.warning for one in survey(load(own)).values() if one is not None and one.warning]
    raw = tomllib.loads(text)
    return raw["source"], {stage["name"]: stage for stage in raw["stage"]}, " ".join(said)


def write_csv(path: Path, columns: dict[str, Any]) -> None:
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([";".join(columns), *(";".join(map(str, row)) for row in rows)]), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "stamps", "unit"),
    [
        ("Time", [i / 50 for i in range(3000)], None),
        ("timestamp", [1.7e9 + i / 50 for i in range(3000)], None),
        ("timestamp", [1_700_000_000_000 + 20 * i for i in range(3000)], 1e-3),
        ("time [ms]", [20 * i for i in range(3000)], 1e-3),
        ("t_us", [20_000 * i for i in range(3000)], 1e-6),
        ("logged", [str(np.datetime64("2026-11-27T10:00:00.000") + 20 * i) for i in range(3000)], None),
    ],
)
def test_times_are_found(tmp_path: Path, name: str, stamps: list[Any], unit: float | None) -> None:
    rows = signal(3000, 2)
    write_csv(tmp_path / "a.csv", {name: stamps, "x": rows[:, 0], "y": rows[:, 1]})
    source, stages, said = proposed(tmp_path / "a.csv")
    assert source["time"] == name
    assert source.get("time_unit") == unit
    assert "channels" not in source
    assert f"Times are in the column {name}" in said
    assert "3,000 rows of 2 channels (x, y), 50 rows a second" in said
    assert stages["windows"]["length"] >= 4


def test_columns_that_are_no_channels(tmp_path: Path) -> None:
    rows = signal(2000, 3)
    gps = ["" if i % 10 else "51.5" for i in range(2000)]
    write_csv(
        tmp_path / "a.csv",
        {
            "n": range(5, 2005),
            "x": rows[:, 0],
            "gps": gps,
            "version": [3] * 2000,
            "y": rows[:, 1],
            "note": ["-"] * 2000,
        },
    )
    source, _, said = proposed(tmp_path / "a.csv")
    assert source["channels"] == ["x", "y"]
    assert "because they count rows: n." in said
    assert "because they are missing in more than half of the rows: gps." in said
    assert "because they never change: version." in said
    assert "because they hold no numbers: note." in said


def test_labels_that_stay_are_found(tmp_path: Path) -> None:
    rows = signal(2000, 2)
    columns = {"x": rows[:, 0], "y": rows[:, 1]}
    write_csv(tmp_path / "a.csv", {**columns, "what": ["walk" if i < 900 else "run" for i in range(2000)]})
    source, _, said = proposed(tmp_path / "a.csv")
    assert source["label"] == "what"
    assert "Labels are in the column what (run, walk): each of 2 stretches is a segment." in said
    write_csv(tmp_path / "a.csv", {**columns, "what": [f"line {i}" for i in range(2000)]})
    assert "label" not in proposed(tmp_path / "a.csv")[0]


def test_rows_or_windows(tmp_path: Path) -> None:
    np.save(tmp_path / "many.npy", signal(3000, 20))
    _, stages, said = proposed(tmp_path / "many.npy")
    assert list(stages) == ["learner"]
    assert "With 20 channels each row is learnt from as it is" in said
    np.save(tmp_path / "unlike.npy", np.random.default_rng(0).normal(size=(3000, 4)))
    _, stages, said = proposed(tmp_path / "unlike.npy")
    assert list(stages) == ["learner"]
    assert "Neighbouring rows are not alike" in said
    np.save(tmp_path / "few.npy", signal(30_000, 4))
    _, stages, said = proposed(tmp_path / "few.npy")
    assert (stages["windows"]["length"], stages["windows"]["hop"]) == (16, 8)
    assert "windows of 16 rows every 8" in said


@pytest.mark.parametrize("shape", [(60, 3), (60, 64), (300, 64), (100, 1), (200, 17)])
def test_the_warm_up_ends_within_few_rows(tmp_path: Path, shape: tuple[int, int]) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=shape))
    source, stages, said = proposed(tmp_path / "a.npy")
    assert "are few: the warm-up takes" in said
    assert stages["learner"]["warmup"] < shape[0] * source.get("repeat", 1)
    assert source["frame"] * 8 < shape[0] * source.get("repeat", 1)


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((20, 3)))
    with pytest.raises(ConfigError, match=r"a\.npy: 20 rows to learn from; accepted are 40 or more"):
        propose(tmp_path / "a.npy")


def test_rows_with_missing_values_do_not_count(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(900, 20))
    rows[np.random.default_rng(1).uniform(size=900) < 0.7, 3] = np.nan
    rows[:, 3][np.isnan(rows[:, 3]) & (np.arange(900) % 2 == 0)] = 0
    np.save(tmp_path / "a.npy", rows)
    _, _, said = proposed(tmp_path / "a.npy")
    n_finite = np.isfinite(rows).all(axis=1).sum()
    assert n_finite < 700
    assert "its warm-up takes 200" in said


def test_layouts_of_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", signal(2000, 20).T)
    source, _, said = proposed(tmp_path / "a.npy")
    assert source["transposed"] is True
    assert "Its shape (20, 2000) looks like (channels, rows)." in said
    np.savez(tmp_path / "b.npz", small=np.zeros((3, 3)), x=signal(2000, 20), event=np.arange(2000) // 500, fs=250)
    source, _, said = proposed(tmp_path / "b.npz")
    assert (source["array"], source["label"]) == ("x", "event")
    assert "transposed" not in source
    assert "250 rows a second" in said


def test_an_edf_with_several_rates(tmp_path: Path) -> None:
    extra("edfio")
    from edfio import Edf, EdfAnnotation, EdfSignal

    signals = [EdfSignal(values, 100, label=f"C{i}") for i, values in enumerate(signal(4000, 4).T)]
    signals.append(EdfSignal(np.arange(40.0), 1, label="Temp"))
    Edf(signals, annotations=[EdfAnnotation(10, 10, "eyes closed")]).write(tmp_path / "a.edf")
    source, _, said = proposed(tmp_path / "a.edf")
    assert (source["rate"], source["label"]) == (100, "annotation")
    assert "several rates: 100 (C0, C1, C2, C3); 1 (Temp). Those of 100 are used." in said


def test_recordings_of_one_or_many_channels(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", signal(20_000, 2) / 20, 16_000)
    source, stages, _ = proposed(tmp_path / "a.wav")
    assert source["kind"] == "audio"
    assert (stages["windows"]["length"], stages["windows"]["hop"], stages["learner"]["output"]) == (128, 80, "log")
    soundfile.write(tmp_path / "b.wav", signal(20_000, 4) / 20, 1000)
    source, stages, said = proposed(tmp_path / "b.wav")
    assert source["kind"] == "table"
    assert "4 channels" in said


def test_a_folder_with_several_kinds_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in "abc":
        np.savetxt(folder / f"{name}.csv", signal(900, 3), delimiter=",")
    soundfile.write(folder / "d.wav", signal(8000, 1) / 20, 8000)
    (folder / "labels.csv").write_text("file,who\na.csv,Ann\nb.csv,Bob\nc.csv,Ann\n")
    source, _, said = proposed(folder)
    assert source["kind"] == "table"
    assert source["labels_csv"] == str(folder / "labels.csv")
    assert "Labels are taken from" in said
    assert re.search(r"not used: 1 recordings", said)
    assert source["include"]


def test_a_table_that_names_the_files_has_their_labels(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    (folder / "sounds").mkdir(parents=True)
    for name in "abc":
        soundfile.write(folder / "sounds" / f"{name}.wav", signal(9000, 1) / 20, 8000)
    (folder / "clips.csv").write_text("file,class\na.wav,dog\nb.wav,rain\nc.wav,dog\n")
    (folder / "data.csv").write_text("1,2\n3,4\n")
    source, _, said = proposed(folder)
    assert source["labels_csv"] == str(folder / "clips.csv")
    assert "clips.csv, which names the files in its first column." in said
    assert "not used: 1 tables" in said
    (folder / "clips.csv").write_text("file,class\nx.wav,dog\n")
    assert "labels_csv" not in proposed(folder)[0]
    assert "labels_csv" not in proposed(folder / "sounds" / "a.wav")[0]


def test_what_cannot_be_learnt_from_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("only,words\nin,here\n")
    with pytest.raises(ConfigError, match=r"no usable table there .*no column of numbers"):
        propose(tmp_path / "a.csv")
    (tmp_path / "a.csv").rename(tmp_path / "a.doc")
    with pytest.raises(ConfigError, match="accepted: a file or a folder of recordings, pictures, videos or tables"):
        propose(tmp_path)


@pytest.mark.parametrize(
    ("path", "name"),
    [("a b.csv", "a_b"), ("2026-11.csv", "data_2026-11"), ("ü.csv", "data"), ("x" * 90 + ".csv", "x" * 64)],
)
def test_names_of_runs(tmp_path: Path, path: str, name: str) -> None:
    np.savetxt(tmp_path / path, signal(900, 3), delimiter=",")
    found, text, _ = propose(tmp_path / path)
    assert found == name
    assert f'folder = "runs/{name}"' in text


@pytest.mark.parametrize("order", ["shuffled", "coarse"])
def test_times_that_cannot_be_followed_are_no_channel(tmp_path: Path, order: str) -> None:
    """Times out of order, or that stand still for several rows, are not learnt from as if they were a signal."""
    path = tmp_path / "logger.csv"
    x, y = signal(1000, 2).T
    rows = np.random.default_rng(0).permutation(1000) if order == "shuffled" else np.arange(1000) // 2 * 2
    write_csv(path, {"time": rows * 0.01, "x": x, "y": y})
    source, _, said = proposed(path)
    assert source["channels"] == ["x", "y"]
    assert "Not used, because they are times that do not go up from row to row: time." in said


def test_channels_that_never_change_are_said_where_there_are_no_others(tmp_path: Path) -> None:
    write_csv(tmp_path / "still.csv", {"a": [1] * 200, "b": [2] * 200})
    _, _, said = proposed(tmp_path / "still.csv")
    assert "Used, as there is nothing else, though they never change: a, b." in said


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_numbers_of_any_size_are_looked_at(tmp_path: Path, size: float) -> None:
    """The same rows in another unit get the same windows, without a warning of an overflow."""
    rows = signal(1000, 2)
    np.save(tmp_path / "one.npy", rows)
    np.save(tmp_path / "other.npy", rows * size)
    assert proposed(tmp_path / "other.npy")[1] == proposed(tmp_path / "one.npy")[1]


def test_a_folder_of_tables_is_compared_with_its_names_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that name no file cost no look at each name: thousands of them took minutes."""
    for i in range(50):
        np.savetxt(tmp_path / f"{i}.csv", signal(20, 2), delimiter=",", header="a,b", comments="")
    asked: list[str] = []
    of = Labels.of
    monkeypatch.setattr(Labels, "of", lambda self, segment, *rest: asked.append(segment) or of(self, segment, *rest))
    propose(tmp_path)
    assert len(asked) <= 2 * 50
