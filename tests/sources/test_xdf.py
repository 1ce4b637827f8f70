"""XdfSource: which stream, which times, where segments begin; and files that are damaged or of several minds."""

import logging
import pickle

import numpy as np
import pytest
from helpers.extras import extra
from helpers.xdf import Stream, write

extra("pyxdf")

from stream_infomax.settings.error import SettingError  # noqa: E402
from stream_infomax.sources.xdf import XdfSource  # noqa: E402


def signal(n=300, width=2, begin=50.0, **more):
    rows = np.arange(n * width, dtype=np.float32).reshape(n, width)
    return Stream("amplifier", rows, begin + np.arange(n) / 100, names=[f"c{i}" for i in range(width)], **more)


def words(*at, name="words"):
    return Stream(name, [text for _, text in at], [time for time, _ in at], "Markers", "string", 0.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "one.xdf"


def whole(source):
    return np.concatenate([frame.arrays["source"].data for frame in source.frames()])


def left_out(source):
    return {key.removeprefix("left out: "): n for key, n in source.counts().items() if key.startswith("left out") and n}


@pytest.mark.parametrize("suffix", [".xdf", ".xdfz"])
def test_rows_names_units_and_times(tmp_path, suffix):
    path = tmp_path / f"one{suffix}"
    write(path, signal(), words((1.0, "a")))
    source = XdfSource(path, frame=100, start_time=7.0)
    np.testing.assert_array_equal(whole(source), signal().rows)
    frames = list(source.frames())
    assert [frame.segment for frame in frames] == [path.name] * 3
    np.testing.assert_allclose([frame.time for frame in frames], [7, 8, 9])
    outline = source.outline()
    assert (outline.channels, outline.units, outline.rate) == (("c0", "c1"), ("microvolts",) * 2, 100.0)
    assert (outline.frames, outline.segments, outline.row) == (3, {300: 1}, (2,))


def test_markers_begin_segments_and_are_their_labels(path):
    # The recorder's clock is 1000 s ahead of that of the markers.
    marks = words((-949.0, "rest"), (-948.0, "move"), (-940.0, "too late"))
    marks.offset = 1000.0
    write(path, signal(), marks)
    source = XdfSource(path, markers="words", label="task", frame=50)
    found = {frame.segment: dict(frame.labels) for frame in source.frames()}
    assert found == {"one.xdf@0": {}, "one.xdf@100": {"task": "rest"}, "one.xdf@200": {"task": "move"}}
    assert source.outline().labels == {"task": 2}
    assert left_out(source) == {"markers without a text or a row": 1}


def test_a_break_begins_a_segment_and_keeps_its_time(path):
    broken = signal()
    broken.stamps = np.concatenate([broken.stamps[:150], broken.stamps[150:] + 4])
    write(path, broken)
    frames = list(XdfSource(path, frame=1000).frames())
    assert [(frame.segment, frame.arrays["source"].n_rows) for frame in frames] == [
        ("one.xdf@0", 150),
        ("one.xdf@150", 150),
    ]
    assert frames[1].time == pytest.approx(5.5)
    assert [frame.last for frame in frames] == [True, True]


def test_samples_without_a_rate_have_the_times_of_the_file(path):
    at = np.array([0.0, 0.1, 2.0, 7.0])
    write(path, Stream("steps", np.ones((4, 1)), 30 + at, rate=0.0))
    source = XdfSource(path, frame=1)
    np.testing.assert_allclose([frame.time for frame in source.frames()], at)
    assert source.rate == 0


def test_files_follow_one_another(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.xdf", signal(), words((51.0, name)))
    source = XdfSource(tmp_path, markers="words", frame=100, labels=r"(?P<file>\w)\.xdf")
    frames = list(source.frames())
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(6))
    assert [dict(frame.labels) for frame in frames[2:5]] == [
        {"file": "a", "marker": "a"},
        {"file": "b"},
        {"file": "b", "marker": "b"},
    ]


def test_a_stream_is_chosen_by_name_type_or_number(path):
    write(path, signal(type="EEG"), signal(width=3, type="EMG"), Stream("eye", np.ones((9, 1)), np.arange(9) / 100))
    assert len(XdfSource(path, type="EMG").channels) == 3
    assert len(XdfSource(path, stream="eye").channels) == 1
    assert len(XdfSource(path, stream="amplifier", number=1).channels) == 2
    with pytest.raises(
        SettingError, match=r"more than one stream with name 'amplifier'; it has 'amplifier' \(number 1, "
    ):
        XdfSource(path, stream="amplifier")
    with pytest.raises(SettingError, match=r"no stream with type 'NIRS'; it has 'amplifier' .* 'eye' .*number 3"):
        XdfSource(path, type="NIRS")


def test_markers_that_are_not_there_are_said(path):
    write(path, signal(), words((51.0, "a")))
    with pytest.raises(SettingError, match="no stream with texts and name 'amplifier'"):
        XdfSource(path, markers="amplifier")


def test_what_is_damaged_is_named_and_the_rest_is_used(tmp_path, caplog):
    write(tmp_path / "good.xdf", signal())
    content = (tmp_path / "good.xdf").read_bytes()
    (tmp_path / "cut.xdf").write_bytes(content[: len(content) * 2 // 3])
    (tmp_path / "empty.xdf").touch()
    (tmp_path / "text.xdf").write_text("this is no recording")
    write(tmp_path / "silent.xdf", Stream("amplifier", np.zeros((0, 2)), []))
    caplog.set_level(logging.WARNING)
    source = XdfSource(tmp_path)
    assert [one.segment for one in source.recordings] == ["cut.xdf", "good.xdf"]
    assert left_out(source) == {"unreadable files": 3, "damaged parts of files": 1}
    passed = [record.message for record in caplog.records if record.message.startswith("passed over")]
    assert [name for name in ("empty", "silent", "text") for line in passed if f"{name}.xdf" in line] == [
        "empty",
        "silent",
        "text",
    ]


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "text.xdf").write_text("this is no recording")
    with pytest.raises(SettingError, match=r"path = .*no usable recording there \(.*text.xdf: it is no XDF file"):
        XdfSource(tmp_path)
    with pytest.raises(SettingError, match="path = "):
        XdfSource(tmp_path / "none.xdf")


def test_recordings_that_do_not_fit_one_another_are_an_error(tmp_path):
    write(tmp_path / "a.xdf", signal())
    write(tmp_path / "b.xdf", signal(width=3))
    with pytest.raises(SettingError, match=r"a.xdf has c0, c1 at 100 Hz; .*b.xdf has c0, c1, c2 at 100 Hz"):
        XdfSource(tmp_path)


def test_a_file_that_changes_is_empty_from_then_on_and_an_error_after_a_restart(tmp_path):
    write(tmp_path / "a.xdf", signal())
    write(tmp_path / "b.xdf", signal())
    source = pickle.loads(pickle.dumps(XdfSource(tmp_path, frame=300)))  # noqa: S301
    state = source.state()
    write(tmp_path / "a.xdf", signal(n=10))
    assert [frame.arrays["source"].n_rows for frame in source.frames()] == [0, 300]
    assert source.lost == {"files that have changed": 1}
    assert not left_out(source)
    with pytest.raises(ValueError, match=r"a\.xdf"):
        XdfSource(tmp_path, frame=300).restore(state)
