"""Recordings as frames: what comes out, seeking, labels, and files that are not what they should be."""

import logging
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Frame
from stream_infomax.settings.error import SettingError
from stream_infomax.sources.audio import AudioSource
from stream_infomax.sources.recordings import BLOCK

RATE = 8000
LOST_ENDS = "left out: ends of files that broke off"


def write(path: Path, n: int, rate: int = RATE, channels: int = 1, seed: int = 0, subtype: str | None = None) -> Path:
    """Write noise of `n` samples and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (n, channels))
    soundfile.write(path, noise, rate, subtype=subtype)
    return path


def rows_of(frames: Sequence[Frame]) -> npt.NDArray[np.float32]:
    return np.concatenate([frame.arrays["source"].data for frame in frames])


def assert_same(ours: Frame, theirs: Frame) -> None:
    assert wire.encode(ours) == wire.encode(theirs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings, of three formats, one of them below."""
    write(tmp_path / "0_ann_5.wav", 1000, seed=0)
    write(tmp_path / "1_bob_6.flac", 1600, seed=1)
    write(tmp_path / "more" / "2_ann_7.ogg", 777, seed=2)
    return tmp_path


def test_samples_arrive_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 1000)
    frames = list(AudioSource(path).frames())
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(rows_of(frames), expected)
    assert [len(frame.arrays["source"].data) for frame in frames] == [160] * 6 + [40]
    assert frames[0].arrays["source"].axes == ("time", "channel")
    assert [frame.last for frame in frames] == [False] * 6 + [True]
    assert [frame.end for frame in frames] == [False] * 6 + [True]
    assert {frame.rate for frame in frames} == {8000.0}
    assert [frame.time for frame in frames] == [i * 160 / 8000 for i in range(7)]


def test_each_file_is_a_segment_in_order(folder: Path) -> None:
    source = AudioSource(folder, frame=300, start_time=5.0)
    frames = list(source.frames())
    assert len(frames) == len(source) == 4 + 6 + 3
    assert [frame.offset for frame in frames] == list(range(13))
    assert list(dict.fromkeys(frame.segment for frame in frames)) == ["0_ann_5.wav", "1_bob_6.flac", "more/2_ann_7.ogg"]
    assert [frame.offset for frame in frames if frame.last] == [3, 9, 12]
    assert [frame.offset for frame in frames if frame.end] == [12]
    assert frames[4].time == 5.0 + 1000 / 8000
    assert len(rows_of(frames)) == 1000 + 1600 + 777


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_offset_can_be_sought(folder: Path, data: st.DataObject) -> None:
    source = AudioSource(
        folder,
        rate=data.draw(st.sampled_from([0, 8000, 11025, 4000])),
        frame=data.draw(st.sampled_from([1600, 333, 160])),
        order=data.draw(st.sampled_from(["sorted", "shuffled"])),
        repeat=data.draw(st.integers(1, 3)),
        seed=data.draw(st.integers(0, 5)),
    )
    whole = list(source.frames())
    assert len(whole) == len(source)
    start = data.draw(st.integers(0, len(whole) + 1))
    again = list(source.frames(start))
    assert len(again) == max(0, len(whole) - start)
    for ours, theirs in zip(again, whole[start:], strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64"])
def test_formats_seek_beyond_a_block(tmp_path: Path, suffix: str) -> None:
    n = 2 * BLOCK + 500
    source = AudioSource(write(tmp_path / f"a.{suffix}", n), frame=1000)
    whole = list(source.frames())
    assert len(rows_of(whole)) == source.recordings[0].samples
    for start in (1, BLOCK // 1000 + 1, len(whole) - 1):
        assert_same(next(source.frames(start)), whole[start])


def test_shuffled_order_is_seeded_and_new_in_each_repetition(tmp_path: Path) -> None:
    for i in range(8):
        write(tmp_path / f"{i}.wav", 10)
    names = [frame.segment for frame in AudioSource(tmp_path, order="shuffled", repeat=2, seed=1).frames()]
    assert names == [frame.segment for frame in AudioSource(tmp_path, order="shuffled", repeat=2, seed=1).frames()]
    assert sorted(names[:8]) == sorted(names[8:]) == [f"{i}.wav" for i in range(8)]
    assert names[:8] != names[8:]
    assert names != [frame.segment for frame in AudioSource(tmp_path, order="shuffled", repeat=2, seed=2).frames()]


def test_channels_are_mixed_or_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 200, channels=3)
    stored, _ = soundfile.read(path, dtype="float32")
    kept = rows_of(list(AudioSource(path, channels="keep").frames()))
    mixed = rows_of(list(AudioSource(path, channels="mix").frames()))
    np.testing.assert_array_equal(kept, stored)
    np.testing.assert_allclose(mixed, stored.mean(axis=1, keepdims=True), atol=1e-7)


@pytest.mark.parametrize(("rate", "new_rate"), [(44100, 16000), (8000, 16000), (16000, 8000), (96000, 16000)])
def test_resampling_keeps_a_tone_and_the_length(tmp_path: Path, rate: int, new_rate: int) -> None:
    seconds = np.arange(rate) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * seconds), rate, subtype="FLOAT")
    source = AudioSource(tmp_path / "a.wav", rate=new_rate)
    rows = rows_of(list(source.frames()))[:, 0]
    assert len(rows) == new_rate
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(new_rate) / new_rate)
    # The ends ring, as any filter does there.
    np.testing.assert_allclose(rows[500:-500], expected[500:-500], atol=2e-4)


@given(n=st.integers(10, 3000), rates=st.tuples(*[st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000])] * 2))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_resampled_length_is_foretold(tmp_path: Path, n: int, rates: tuple[int, int]) -> None:
    source = AudioSource(write(tmp_path / "a.wav", n, rate=rates[0]), rate=rates[1])
    assert len(rows_of(list(source.frames()))) == source.recordings[0].samples
    assert LOST_ENDS not in source.counts()


def test_labels_from_the_path(folder: Path) -> None:
    source = AudioSource(folder, labels=r"(?P<digit>\d)_(?P<speaker>[a-z]+)_")
    labels = {frame.segment: frame.labels for frame in source.frames()}
    assert labels["more/2_ann_7.ogg"] == {"digit": "2", "speaker": "ann"}


def test_only_what_is_included(folder: Path) -> None:
    source = AudioSource(folder, include=r"_ann_\d", labels=r"_(?P<i>\d)\.")
    assert {frame.segment for frame in source.frames()} == {"0_ann_5.wav", "more/2_ann_7.ogg"}


def test_labels_from_a_csv(folder: Path) -> None:
    table = folder / "table.csv"
    table.write_text("file,class,fold\n0_ann_5.wav,rain,1\n2_ann_7.ogg,dog,2\n", encoding="utf-8")
    labels = {frame.segment: frame.labels for frame in AudioSource(folder, labels_csv=table).frames()}
    assert labels == {
        "0_ann_5.wav": {"class": "rain", "fold": "1"},
        "1_bob_6.flac": {},
        "more/2_ann_7.ogg": {"class": "dog", "fold": "2"},
    }


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"labels": "("}, "labels = .*accepted: a regular expression"),
        ({"labels": "[0-9]"}, "names no group"),
        ({"labels": "(?P<x>zzz)"}, "fits no recording"),
        ({"include": "("}, "include = .*accepted: a regular expression"),
        ({"include": "zzz"}, "include = 'zzz' fits none"),
        ({"channels": "left"}, 'accepted: "mix", "keep"'),
        ({"order": "random"}, 'accepted: "sorted", "shuffled"'),
        ({"repeat": 0}, "repeat = 0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(folder: Path, keywords: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AudioSource(folder, **keywords)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", ["", "file\nx", "file,class\nunknown.wav,a\n"])
def test_a_csv_that_fits_nothing_is_an_error(folder: Path, content: str) -> None:
    (folder / "t.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"t\.csv"):
        AudioSource(folder, labels_csv=folder / "t.csv")


def test_rates_and_channel_counts_that_differ_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 100, rate=8000, channels=1)
    write(tmp_path / "b.wav", 100, rate=16000, channels=2)
    with pytest.raises(ValueError, match=r"a\.wav has 8000 samples a second, .*b\.wav has 16000"):
        AudioSource(tmp_path)
    with pytest.raises(ValueError, match=r"a\.wav has 1 channels, .*b\.wav has 2"):
        AudioSource(tmp_path, rate=8000, channels="keep")
    assert len(rows_of(list(AudioSource(tmp_path, rate=8000).frames()))) == 150


def test_recordings_with_fewer_samples_than_they_are_resampled_to_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, rate in (("a", 8000), ("b", 11025), ("c", 16000)):
        write(tmp_path / f"{name}.wav", 100, rate=rate)
    source = AudioSource(tmp_path, rate=16000)
    said = (
        "2 of 3 recordings have 8,000 to 11,025 samples a second, fewer than rate = 16,000: above half of that, 4,000 "
        "to 5,512 Hz, there is nothing in them"
    )
    assert said in source.outline().warning
    list(source.frames())
    assert [record.message for record in caplog.records if said in record.message] == [f"{tmp_path}: {said}"]
    assert AudioSource(tmp_path, rate=8000).outline().warning == ""


def bad_files(folder: Path) -> list[Path]:
    """Write one file of each kind that holds nothing readable, under the suffix of a recording."""
    good = write(folder / "scratch.raw.wav", 5000).read_bytes()
    (folder / "scratch.raw.wav").unlink()
    contents = {
        "empty.wav": b"",
        "cut_header.wav": good[:30],
        "text.flac": b"these are words, not samples\n" * 20,
        "picture.ogg": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "noise.mp3": np.random.default_rng(3).bytes(3000),
        "no_samples.wav": good[:44],
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    soundfile.write(folder / "zero_length.flac", np.zeros(0), RATE)
    return [*(folder / name for name in contents), folder / "zero_length.flac"]


def test_bad_files_of_a_folder_are_named_and_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = [wire.encode(frame) for frame in AudioSource(folder).frames()]
    bad = bad_files(folder)
    with caplog.at_level(logging.WARNING):
        source = AudioSource(folder)
    assert [wire.encode(frame) for frame in source.frames()] == expected
    assert source.counts()["left out: unreadable files"] == len(bad)
    for path in bad:
        assert path.name in caplog.text


def test_a_single_bad_file_is_an_error_that_says_what_is_accepted(tmp_path: Path) -> None:
    for path in bad_files(tmp_path):
        with pytest.raises(ValueError, match=rf"{path.name}.*accepted: recordings"):
            AudioSource(path)


def test_a_folder_without_a_readable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing there has their suffix"):
        AudioSource(tmp_path)
    bad_files(tmp_path)
    with pytest.raises(ValueError, match=r"no readable recording at .*empty\.wav|cut_header\.wav"):
        AudioSource(tmp_path)
    with pytest.raises(SettingError, match="nowhere"):
        AudioSource(tmp_path / "nowhere")
    with pytest.raises(SettingError, match="path = '': empty"):
        AudioSource("")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_truncated_file_ends_where_its_samples_end(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", 100_000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    source = AudioSource(path, frame=1000)
    frames = list(source.frames())
    assert 30_000 < len(rows_of(frames)) == source.recordings[0].samples < 60_000
    assert frames[-1].last
    assert frames[-1].end
    assert len(frames) == len(source)
    assert source.counts().get(LOST_ENDS, 0) == (suffix != "ogg")  # Ogg announces nothing
    assert not source.lost
    assert_same(next(source.frames(20)), frames[20])


def test_a_file_of_unknown_length_is_an_error(tmp_path: Path) -> None:
    """FLAC that was written to a pipe announces 0 samples."""
    path = write(tmp_path / "a.flac", 5000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="doesn't say how long"):
        AudioSource(path)


def test_a_file_damaged_within_gives_frames_without_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.flac", 100_000)
    write(tmp_path / "b.flac", 500, seed=1)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    path.write_bytes(content)
    source = AudioSource(tmp_path, frame=1000)
    with caplog.at_level(logging.WARNING):
        frames = list(source.frames())
    assert len(frames) == len(source)
    sizes = [len(frame.arrays["source"].data) for frame in frames]
    assert sizes[0] == 1000
    assert sum(sizes[:-1]) < source.recordings[0].samples
    assert sizes[-1] == 500
    assert frames[-2].last
    assert source.lost == {"files that broke off": sum(size < 1000 for size in sizes[:-1])}
    assert LOST_ENDS not in source.counts()
    assert "a.flac" in caplog.text
    for start in (0, 30, 70, len(frames) - 1):
        assert_same(next(source.frames(start)), frames[start])


def test_a_file_that_vanishes_gives_frames_without_rows(folder: Path) -> None:
    source = AudioSource(folder, frame=300)
    (folder / "1_bob_6.flac").unlink()
    frames = list(source.frames())
    assert len(frames) == len(source)
    assert [len(frame.arrays["source"].data) for frame in frames[4:10]] == [0] * 6
    assert source.lost == {"files that are gone": 6}
    assert LOST_ENDS not in source.counts()


def test_samples_that_are_not_finite_pass(tmp_path: Path) -> None:
    samples = np.zeros((400, 2), np.float32)
    samples[10, 0], samples[20], samples[30] = np.nan, np.inf, (np.inf, -np.inf)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    kept = rows_of(list(AudioSource(tmp_path / "a.wav", channels="keep").frames()))
    np.testing.assert_array_equal(kept, samples)
    mixed = rows_of(list(AudioSource(tmp_path / "a.wav").frames()))[:, 0]
    assert np.flatnonzero(~np.isfinite(mixed)).tolist() == [10, 20, 30]
    resampled = rows_of(list(AudioSource(tmp_path / "a.wav", rate=16000).frames()))
    assert np.isnan(resampled).any()
    assert len(resampled) == 800


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT"])
def test_clipped_samples_are_counted(tmp_path: Path, subtype: str) -> None:
    samples = np.full(100, 0.9)
    samples[:7], samples[50:55] = 1.0, -1.0
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype=subtype)
    source = AudioSource(tmp_path / "a.wav")
    list(source.frames())
    assert source.counts()["samples clipped"] == 12


def test_a_long_file_is_never_read_whole(tmp_path: Path) -> None:
    n = 40 * BLOCK
    source = AudioSource(write(tmp_path / "a.wav", n))
    tracemalloc.start()
    try:
        assert sum(len(frame.arrays["source"].data) for frame in source.frames()) == n
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * BLOCK * 4


@given(position=st.integers(0, 1200), values=st.binary(min_size=1, max_size=8), suffix=st.sampled_from(["wav", "flac"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damaged_bytes_are_survived(tmp_path: Path, position: int, values: bytes, suffix: str) -> None:
    path = write(tmp_path / f"{suffix}.{suffix}", 600)
    content = bytearray(path.read_bytes())
    content[position : position + len(values)] = values
    path.write_bytes(content)
    try:
        source = AudioSource(path)
    except ValueError as error:
        assert path.name in str(error)
    else:
        frames = list(source.frames())
        assert len(frames) == len(source)
        assert_same(next(source.frames(len(frames) - 1)), frames[-1])


def test_a_header_that_says_one_sample_a_second_costs_no_memory(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(20_000), 1)
    source = AudioSource(tmp_path / "a.wav", rate=1000, frame=100_000)
    tracemalloc.start()
    try:
        assert sum(len(frame.arrays["source"].data) for frame in source.frames()) == 20_000_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.data
def test_spoken_digits(data_folder: Path) -> None:
    source = AudioSource(data_folder / "fsdd" / "recordings", labels=r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<i>\d+)")
    assert source.counts()["files"] == 2700
    assert not source.left_out.total()
    frame = next(source.frames(len(source) // 2))
    assert set(frame.labels) == {"digit", "speaker", "i"}
