"""TableSource: rows, channels, times and labels of a file or a folder, whatever the format."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from stream_infomax.settings.error import SettingError
from stream_infomax.sources.table import TableSource

Rows = npt.NDArray[np.float32]


def rows_of(source: TableSource) -> Rows:
    return np.concatenate([frame.arrays["source"].data for frame in source.frames()])


def noise(n_rows: int = 500, n_channels: int = 3, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).normal(size=(n_rows, n_channels)).astype(np.float32)


def write_csv(path: Path, rows: Rows, head: str = "") -> None:
    lines = [",".join(map(repr, row)) for row in rows.tolist()]
    path.write_text("\n".join([head, *lines] if head else lines), encoding="utf-8")


def test_a_folder_of_formats_is_one_stream(tmp_path: Path) -> None:
    parts = [noise(seed=seed) for seed in range(3)]
    np.save(tmp_path / "a.npy", parts[0])
    np.savez(tmp_path / "b.npz", anything=parts[1])
    (tmp_path / "deep").mkdir()
    write_csv(tmp_path / "deep" / "c.csv", parts[2])
    (tmp_path / "notes.md").write_text("1,2,3")
    source = TableSource(tmp_path, rate=50)
    np.testing.assert_array_equal(rows_of(source), np.concatenate(parts))
    frames = list(source.frames())
    assert [frame.segment for frame in frames if frame.last] == ["a.npy", "b.npz", "deep/c.csv"]
    assert [frame.time for frame in frames] == [0.0, 5.12, 10.0, 15.12, 20.0, 25.12]
    assert {frame.rate for frame in frames} == {50.0}


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_every_channel_of_a_recording_is_kept(tmp_path: Path, suffix: str) -> None:
    rows = np.clip(noise(5000, 8) / 10, -0.9, 0.9)
    soundfile.write(tmp_path / f"a.{suffix}", rows, 1000, subtype="PCM_24")
    source = TableSource(tmp_path, frame=300, scale=[40], units=["m/s²"])
    assert (source.rate, source.channels, source.units) == (1000, tuple("01234567"), ("m/s²",) * 8)
    np.testing.assert_allclose(rows_of(source), 40 * rows, atol=1e-5)
    np.testing.assert_allclose(next(source.frames(7)).arrays["source"].data, 40 * rows[2100:2400], atol=1e-5)


def test_a_channel_of_a_recording_that_holds_triggers(tmp_path: Path) -> None:
    rows = noise(900, 3) / 10
    rows[:, 2] = np.repeat([0, 0.5, 0.25], 300)
    soundfile.write(tmp_path / "a.wav", rows, 1000, subtype="FLOAT")
    source = TableSource(tmp_path, label="2", frame=300)
    assert source.channels == ("0", "1")
    assert [frame.labels for frame in source.frames()] == [{"2": "0"}, {"2": "0.5"}, {"2": "0.25"}]


def test_channels_by_name_and_by_number(tmp_path: Path) -> None:
    rows = noise()
    write_csv(tmp_path / "a.csv", rows, "left,right,up")
    source = TableSource(tmp_path, channels=["up", 0], scale=[0.5, 2], units=["mV", "m"])
    np.testing.assert_allclose(rows_of(source), rows[:, [2, 0]] * [0.5, 2], rtol=1e-6)
    outline = source.outline()
    assert outline.channels == source.channels == ("up", "left")
    assert outline.units == ("mV", "m")
    assert outline.row == (2,)
    with pytest.raises(SettingError, match=r"channels = 'down': there is no such column; there are left, right, up"):
        TableSource(tmp_path, channels=["down"])
    with pytest.raises(SettingError, match=r"scale = \[1.0, 2.0\]; .*one for each of 3"):
        TableSource(tmp_path, scale=[1, 2])


def test_whole_numbers_are_scaled_to_what_they_mean(tmp_path: Path) -> None:
    counts = np.arange(-300, 300, dtype=np.int16).reshape(-1, 2)
    np.save(tmp_path / "a.npy", counts)
    np.testing.assert_allclose(rows_of(TableSource(tmp_path, scale=[2.5e-4])), counts * 2.5e-4, rtol=1e-6)


@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_no_values_go_through_as_nan(tmp_path: Path, suffix: str) -> None:
    rows = noise()
    rows[[3, 77]] = np.nan
    rows[50, 1] = -9999
    if suffix == "npy":
        np.save(tmp_path / "a.npy", rows)
    else:
        write_csv(tmp_path / "a.csv", rows)
    found = rows_of(TableSource(tmp_path, missing=[-9999]))
    rows[50, 1] = np.nan
    np.testing.assert_array_equal(found, rows)


def test_equal_labels_are_segments(tmp_path: Path) -> None:
    rows = noise(10, 2)
    words = ["a", "a", "a", "", "", "b", "b", "b", "b", "a"]
    lines = [f"{a},{b},{word}" for (a, b), word in zip(rows.tolist(), words, strict=True)]
    (tmp_path / "x.csv").write_text("\n".join(["p,q,word", *lines]))
    source = TableSource(tmp_path, label="word", frame=3)
    found = [(f.segment, f.labels, f.arrays["source"].n_rows, f.last) for f in source.frames()]
    assert found == [
        ("x.csv@0", {"word": "a"}, 3, True),
        ("x.csv@3", {}, 2, True),
        ("x.csv@5", {"word": "b"}, 3, False),
        ("x.csv@5", {"word": "b"}, 1, True),
        ("x.csv@9", {"word": "a"}, 1, True),
    ]
    np.testing.assert_array_equal(rows_of(source), rows)
    assert source.outline().labels == {"word": 2}
    assert source.outline().segments == {3: 1, 2: 1, 4: 1, 1: 1}


def test_labels_beside_the_files(tmp_path: Path) -> None:
    for name in "ab":
        np.save(tmp_path / f"{name}_7.npy", noise())
    (tmp_path / "labels.csv").write_text("file,who\na_7.npy,Ann\nb_7.npy,Bob\n")
    assert "labels.csv is not used; labels_csv = " in TableSource(tmp_path).outline().warning
    source = TableSource(tmp_path, labels=r"_(?P<day>\d)", labels_csv=tmp_path / "labels.csv", rate=1, frame=500)
    assert [frame.labels for frame in source.frames()] == [{"day": "7", "who": "Ann"}, {"day": "7", "who": "Bob"}]


@pytest.mark.parametrize(
    ("stamp", "settings"),
    [
        (lambda t: repr(t), {}),
        (lambda t: f"{1000 * t:.0f}", {"time_unit": 0.001}),
        (lambda t: str(np.datetime64(0, "s") + np.timedelta64(round(1000 * t), "ms")), {}),
        (lambda t: str(np.datetime64(0, "s") + np.timedelta64(round(1000 * t), "ms")) + "Z", {}),
    ],
)
def test_times_give_the_rate_and_gaps_end_segments(tmp_path: Path, stamp: Any, settings: dict[str, Any]) -> None:
    times = [100 + i / 50 for i in range(3000)] + [500 + i / 50 for i in range(10)] + [2 + i / 50 for i in range(20)]
    lines = [f"{stamp(time)},{i},{i % 7}" for i, time in enumerate(times)]
    (tmp_path / "x.csv").write_text("\n".join(["when,a,b", *lines]))
    source = TableSource(tmp_path, time="when", frame=1000, **settings)
    assert source.channels == ("a", "b")
    assert source.rate == 50
    frames = list(source.frames())
    assert [frame.time for frame in frames] == pytest.approx([100, 120, 140, 500, 2])
    assert [frame.segment for frame in frames if frame.last] == ["x.csv@0", "x.csv@3000", "x.csv@3010"]
    assert source.counts()["gaps in time"] == 2
    assert [frame.time for frame in source.frames(2)] == [frame.time for frame in frames[2:]]


def test_a_clock_that_drifts_is_followed(tmp_path: Path) -> None:
    step = np.where(np.arange(40_000) < 20_000, 0.01, 0.0101)
    times = np.cumsum(step)
    np.savez(tmp_path / "x.npz", rows=noise(40_000, 2), clock=times)
    source = TableSource(tmp_path, time="clock")
    found = [frame.time for frame in source.frames()]
    np.testing.assert_allclose(found, times[:: source.given.frame], atol=0.11)  # 2 s without


def test_rows_without_a_rate_have_no_time(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise())
    frames = list(TableSource(tmp_path).frames())
    assert {(frame.rate, frame.time) for frame in frames} == {(0.0, 0.0)}


def test_files_that_do_not_fit_one_another(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=noise(), rate=100)
    np.savez(tmp_path / "b.npz", x=noise(), rate=200)
    with pytest.raises(SettingError, match=r"a\.npz has 100 rows a second, .*b\.npz has 200"):
        TableSource(tmp_path)
    np.savez(tmp_path / "b.npz", x=noise(n_channels=4), rate=100)
    with pytest.raises(SettingError, match=r"a\.npz has 0, 1, 2; .*b\.npz has 0, 1, 2, 3"):
        TableSource(tmp_path)
    assert len(TableSource(tmp_path, channels=[0, 1]).tables) == 2
    assert len(TableSource(tmp_path, include="^a").tables) == 1


def test_rows_are_not_resampled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=noise(), rate=100)
    with pytest.raises(SettingError, match=r"100 rows a second, and rate = 50; rows are not resampled"):
        TableSource(tmp_path, rate=50)


def test_what_cannot_be_used_is_named_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.save(tmp_path / "a.npy", noise())
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    (tmp_path / "c.csv").write_text("no numbers here\n")
    source = TableSource(tmp_path)
    assert source.counts()["left out: unreadable files"] == 2
    assert "announces 6,000 bytes and holds 5,999" in caplog.text
    assert "no column of numbers" in caplog.text
    with pytest.raises(SettingError, match=r"no usable table there .*announces"):
        TableSource(tmp_path / "b.npy")
    with pytest.raises(SettingError, match="no such file or folder"):
        TableSource(tmp_path / "nothing")
    with pytest.raises(SettingError, match="fits none"):
        TableSource(tmp_path, include="nothing")
    with pytest.raises(SettingError, match="empty"):
        TableSource("")


def test_a_time_that_is_taken_for_a_channel_is_a_warning(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", noise(), "Time,x,y")
    assert "the column Time is used as a channel" in TableSource(tmp_path).outline().warning
    assert not TableSource(tmp_path, channels=["x"]).outline().warning


def test_a_file_that_breaks_off_gives_frames_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, noise(2000, 2))
    source = TableSource(path, frame=100)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    sizes = [frame.arrays["source"].n_rows for frame in source.frames()]
    assert len(sizes) == 20
    assert sizes == [0] * 20
    assert source.lost == {"files that have changed": 20}
    assert "left out: ends of files that broke off" not in source.counts()
