"""VideoSource: any codec, any offset, times as they are; what is wrong with a file keeps its place or is named."""

import itertools
import logging

import numpy as np
import pytest
from helpers import videos
from helpers.extras import extra

from stream_infomax.service.feeds import SeekableFeed
from stream_infomax.settings.error import SettingError
from stream_infomax.sources.video import VideoSource

av = extra("av")

# Suffix, codec, and what else it takes; groups of pictures are short, so that seeking has something to find.
FORMS = {
    "h264": (".mp4", "libx264", {"g": 8}),
    "open groups": (".mkv", "libx264", {"g": 8, "x264_params": "open-gop=1:bframes=3"}),
    "intra refresh": (".mp4", "libx264", {"g": 8, "x264_params": "intra-refresh=1"}),
    "transport stream": (".ts", "libx264", {"g": 8}),
    "hevc": (".mp4", "libx265", {"x265_params": "keyint=8:log-level=none"}),
    "mpeg4": (".avi", "mpeg4", {"g": 8}),
    "mpeg4 with two-way pictures": (".avi", "mpeg4", {"g": 8, "bf": 2}),
    "mpeg2": (".mpg", "mpeg2video", {"g": 8, "bf": 2}),
    "vp8": (".webm", "libvpx", {"g": 8, "auto_alt_ref": 1, "lag_in_frames": 10}),
    "vp9": (".webm", "libvpx-vp9", {"g": 8}),
    "lossless": (".mkv", "ffv1", {"g": 4}),
    "motion jpeg": (".avi", "mjpeg", {"pixels": "yuvj420p"}),
    "no times": (".h264", "libx264", {"g": 8, "bf": 0}),
}


@pytest.fixture(params=FORMS)
def form(request, tmp_path):
    suffix, codec, settings = FORMS[request.param]
    if codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no {codec}")
    return videos.encode(tmp_path / f"film{suffix}", videos.scenes(40), codec, **settings)


def rows_of(frame):
    return frame.arrays["source"].data


def test_any_codec_is_read_from_any_picture_on(form):
    source = VideoSource(form)
    expected, times = videos.decoded(form)
    assert len(source) == 40
    frames = list(source.frames())
    for frame, picture in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(rows_of(frame)[0], picture.astype(np.float32) / np.float32(255))
    if times[0] is not None and np.all(np.diff(times) > 0):  # each picture has a time of its own
        np.testing.assert_allclose([frame.time for frame in frames], np.array(times) - times[0], atol=1e-9)
    else:
        np.testing.assert_allclose([frame.time for frame in frames], np.arange(40) / 25)
    for start in (1, 7, 8, 9, 20, 31, 39):
        for frame, again in zip(frames[start:], source.frames(start), strict=True):
            np.testing.assert_array_equal(rows_of(frame), rows_of(again), str(start))
            assert (frame.offset, frame.time, frame.segment) == (again.offset, again.time, again.segment)
    assert source.counts() == {"files": 1, "files without label": 0, "pictures that their decoder mended": 0}


def test_uneven_times_are_kept(tmp_path):
    stamps = list(itertools.accumulate(np.random.default_rng(0).integers(5, 90, 30).tolist()))
    path = videos.encode(tmp_path / "film.mkv", videos.scenes(30), stamps=stamps, g=6)
    frames = list(VideoSource(path, start_time=100.0).frames())
    assert [round(1000 * (frame.time - 100)) for frame in frames] == [stamp - stamps[0] for stamp in stamps]
    other = videos.encode(tmp_path / "later.mkv", videos.scenes(3))
    both = list(VideoSource(tmp_path).frames())
    assert both[30].segment == other.name
    assert both[29].time < both[30].time < both[29].time + 0.1
    assert np.all(np.diff([frame.time for frame in both]) > 0)


def test_pictures_are_brought_to_a_size_and_keep_their_colours(tmp_path):
    pictures = videos.scenes(2, 40, 60)
    path = videos.encode(tmp_path / "film.mkv", pictures, "ffv1", pixels="bgr0")
    frame = next(VideoSource(path, colour=True).frames())
    assert frame.arrays["source"].axes == ("time", "y", "x", "colour")
    np.testing.assert_allclose(rows_of(frame)[0], pictures[0] / 255, atol=1e-6)
    small = rows_of(next(VideoSource(path, colour=True, size=(20, 30)).frames()))[0]
    means = pictures[0].reshape(20, 2, 30, 2, 3).mean((1, 3)) / 255
    np.testing.assert_allclose(small, means, atol=0.03)
    grey = rows_of(next(VideoSource(path).frames()))[0]
    np.testing.assert_allclose(grey, pictures[0] @ [0.299, 0.587, 0.114] / 255, atol=0.02)


def test_sixteen_bits_are_kept(tmp_path):
    picture = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21
    with av.open(str(tmp_path / "film.mkv"), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray16le")))
        file.mux(stream.encode())
    (frame,) = VideoSource(tmp_path / "film.mkv").frames()
    np.testing.assert_array_equal(rows_of(frame)[0], picture.astype(np.float32) / np.float32(65535))


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_pictures_stand_upright(tmp_path, rotation):
    path = videos.encode(tmp_path / "film.mp4", videos.scenes(2, 40, 60), rotation=rotation)
    stored = videos.decoded(path)[0][0]
    source = VideoSource(path)
    shown = np.rot90(stored, {90: 1, 180: 2, -90: -1}[rotation])
    np.testing.assert_array_equal(rows_of(next(source.frames()))[0], shown.astype(np.float32) / np.float32(255))
    assert source.outline().row == shown.shape
    assert rows_of(next(VideoSource(path, size=(30, 20)).frames())).shape == (1, 30, 20)


def test_patches_are_random_crops_by_seed_and_offset(tmp_path):
    path = videos.encode(tmp_path / "film.mp4", videos.scenes(6), g=3)
    source = VideoSource(path, mode="patches", crop=(6, 9), items=20)
    outline = source.outline()
    assert (outline.row, outline.segments, outline.rate) == ((6, 9), {120: 1}, 0.0)
    whole = list(VideoSource(path).frames())
    for frame, picture in zip(source.frames(), whole, strict=True):
        assert frame.arrays["source"].axes == ("item", "y", "x")
        windows = np.lib.stride_tricks.sliding_window_view(rows_of(picture)[0], (6, 9)).reshape(-1, 54)
        found = {window.tobytes() for window in windows}
        assert all(patch.tobytes() in found for patch in rows_of(frame))
    other = next(VideoSource(path, mode="patches", crop=(6, 9), items=20, seed=1).frames())
    assert not np.array_equal(rows_of(other), rows_of(next(source.frames())))


def changing(folder):
    """Write a video that changes its size midway: the second half has its own parameters in the stream."""
    one = videos.encode(folder / "one.h264", videos.scenes(10, 48, 64), g=5, bf=0)
    other = videos.encode(folder / "other.h264", videos.scenes(10, 32, 32), g=5, bf=0)
    path = folder / "changing.h264"
    path.write_bytes(one.read_bytes() + other.read_bytes())
    one.unlink()
    other.unlink()
    return path


def test_a_video_that_changes_its_size_keeps_its_place_as_nan(tmp_path, caplog):
    path = changing(tmp_path)
    source = VideoSource(path)
    frames = list(source.frames())
    assert len(frames) == 20
    assert np.isfinite(rows_of(frames[9])).all()
    assert all(np.isnan(rows_of(frame)).all() and rows_of(frame).shape == (1, 48, 64) for frame in frames[10:])
    assert source.counts()["left out: pictures of another size"] == 10
    list(source.frames(15))
    assert source.counts()["left out: pictures of another size"] == 10, "each is counted once"
    assert f"{path}: pictures of another size, the first at 0.40 s" in caplog.text
    assert caplog.text.count("of another size") == 1
    resized = VideoSource(path, size=(16, 16))
    assert all(np.isfinite(rows_of(frame)).all() for frame in resized.frames())
    patches = VideoSource(path, mode="patches", crop=(40, 40), items=3)
    kept = [bool(np.isfinite(rows_of(frame)).all()) for frame in patches.frames()]
    assert kept == [True] * 10 + [False] * 10


@pytest.mark.parametrize(("suffix", "codec", "offset"), [(".mkv", "mpeg4", 20), (".webm", "libvpx-vp9", 10)])
def test_damaged_packets_are_counted_and_nothing_moves(tmp_path, suffix, codec, offset):
    path = videos.encode(tmp_path / f"film{suffix}", videos.scenes(40), codec, g=8)
    whole = list(VideoSource(path).frames())
    videos.damage(path, 20, offset)
    source = VideoSource(path)
    frames = list(source.frames())
    assert [frame.time for frame in frames] == [frame.time for frame in whole]
    bad = [number for number, frame in enumerate(frames) if not np.array_equal(rows_of(frame), rows_of(whole[number]))]
    lost = [number for number, frame in enumerate(frames) if np.isnan(rows_of(frame)).all()]
    assert 19 <= min(bad) <= 20
    assert max(bad) < 24, "the next picture that needs none before it is as it was"
    counts = source.counts()
    assert counts.get("left out: pictures that cannot be decoded", 0) == len(lost)
    assert len(lost) + counts["pictures that their decoder mended"] > 0
    for start in (18, 22, 30):
        for frame, again in zip(frames[start:], source.frames(start), strict=True):
            np.testing.assert_array_equal(rows_of(frame), rows_of(again))


def rest_of(feed):
    """Return all frames that a feed has yet to give."""
    return [arrival.frame for arrival in iter(feed.receive, None)]


def test_a_file_that_has_changed_since_it_was_surveyed_is_lost(tmp_path):
    path = videos.encode(tmp_path / "film.avi", videos.scenes(40), "mjpeg", pixels="yuvj420p")
    source = VideoSource(path)
    feed = SeekableFeed(source, "log")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = rest_of(feed)
    assert len(frames) == 40
    assert frames[-1].end
    assert sum(source.lost.values()) == 40
    path.unlink()
    feed.seek(0)
    assert all(np.isnan(rows_of(frame)).all() for frame in rest_of(feed))
    assert sum(source.lost.values()) == 40, "each is counted once"


def test_a_cut_file_has_the_pictures_that_are_there(tmp_path):
    path = videos.encode(tmp_path / "film.mkv", videos.scenes(40), "mpeg4", g=8)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    source = VideoSource(path)
    assert 15 < len(source) < 35
    assert sum(np.isfinite(rows_of(frame)).all() for frame in source.frames()) >= len(source) - 1


def test_a_folder_with_other_things(tmp_path, caplog):
    videos.encode(tmp_path / "a_cat.mp4", videos.scenes(4))
    videos.encode(tmp_path / "b_dog.mkv", videos.scenes(5))
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "broken.avi").write_text("no video either")
    source = VideoSource(tmp_path, labels=r"_(?P<animal>[a-z]+)\.")
    frames = list(source.frames())
    assert [frame.labels["animal"] for frame in frames] == ["cat"] * 4 + ["dog"] * 5
    assert [frame.last for frame in frames] == [False] * 3 + [True] + [False] * 4 + [True]
    assert source.counts()["left out: unreadable files"] == 1
    assert source.counts()["left out: files of another suffix"] == 1
    assert "broken.avi: no video" in caplog.text
    assert source.outline().labels == {"animal": 2}
    with pytest.raises(SettingError, match="no readable video there"):
        VideoSource(tmp_path / "broken.avi")


def test_videos_of_several_sizes_are_refused_by_name_or_brought_to_one(tmp_path):
    videos.encode(tmp_path / "a.mp4", videos.scenes(2, 48, 64))
    videos.encode(tmp_path / "b.mp4", videos.scenes(2, 32, 64))
    message = r"size = \[0, 0\]: .*a\.mp4 has 48 × 64 pixels, .*b\.mp4 has 32 × 64; accepted: height and width"
    with pytest.raises(SettingError, match=message):
        VideoSource(tmp_path)
    assert {rows_of(frame).shape for frame in VideoSource(tmp_path, size=(24, 32)).frames()} == {(1, 24, 32)}
    assert len(list(VideoSource(tmp_path, mode="patches", items=2).frames())) == 4
    with pytest.raises(SettingError, match=r"crop = \[40, 40\]: .*b\.mp4: 32 × 64; accepted: at most the size"):
        VideoSource(tmp_path, mode="patches", crop=(40, 40))
    with pytest.raises(SettingError, match=r"size = \[0, 32\]; accepted: a height and a width, or 0 and 0"):
        VideoSource(tmp_path, size=(0, 32))


def test_what_comes_later_is_left_out_and_a_change_is_named(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    path = videos.encode(tmp_path / "a.mp4", videos.scenes(3))
    state = VideoSource(tmp_path).state()
    videos.encode(tmp_path / "b.mp4", videos.scenes(3))
    source = VideoSource(tmp_path)
    source.restore(state)
    assert len(source) == 3
    assert "b.mp4" in caplog.text
    videos.encode(path, videos.scenes(4))
    with pytest.raises(ValueError, match=r"changed: a\.mp4"):
        VideoSource(tmp_path).restore(state)


def test_a_recording_with_a_cover_is_no_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with pytest.raises(SettingError, match="it holds no video"):
        VideoSource(path)
