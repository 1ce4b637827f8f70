"""CameraSource on what FFmpeg has in place of a camera: times, sizes, a camera that is not there or goes away."""

import itertools
import json
import select
import time

import numpy as np
import pytest
from helpers import videos
from helpers.commands import call
from helpers.extras import extra

from stream_infomax.settings.error import SettingError
from stream_infomax.sources import camera
from stream_infomax.sources.camera import CameraSource

av = extra("av")

PATTERN = {"device": "testsrc=size=64x48:rate=50,realtime", "format": "lavfi"}


@pytest.fixture
def look(opening):
    """Make a source that looks."""
    return lambda before=None, **settings: opening(CameraSource(**{**PATTERN, **settings}), before)


def seen(source, n=None):
    """Return the next n frames, or those until the end."""
    frames = []
    while len(frames) != n and not source.finished:
        frame = source.receive()
        if frame is None:
            select.select(source.sockets, [], [], min(source.due(), 10))
        else:
            frames.append(frame)
    return frames


def until_it_goes(source):
    frames = []
    with pytest.raises(OSError, match=r"the camera .* has gone: its stream ended"):
        while True:
            frames += seen(source, 1)
    return frames


def test_what_is_seen_becomes_frames(look):
    before = time.time()
    source = look(duration=0.5)
    frames = seen(source)
    assert 25 <= len(frames) <= 27
    assert frames[-1].end
    for frame in frames:
        array = frame.arrays["source"]
        assert (array.data.shape, array.axes) == ((1, 48, 64), ("time", "y", "x"))
        assert 0 <= array.data.min() < array.data.max() <= 1
    times = np.array([frame.time for frame in frames])
    np.testing.assert_allclose(np.diff(times), 0.02, atol=1e-3)
    assert before < times[0] < times[-1] < time.time() + 0.1
    assert not source.lost
    assert source.counts()["pictures"] == len(frames)


def test_sizes_colours_and_patches(look):
    (frame,) = seen(look(size=(12, 16), colour=True), 1)
    assert frame.arrays["source"].data.shape == (1, 12, 16, 3)
    source = look(mode="patches", crop=(5, 7), items=20)
    one, other = seen(source, 2)
    assert one.arrays["source"].data.shape == (20, 5, 7)
    assert one.arrays["source"].axes == ("item", "y", "x")
    assert not np.array_equal(one.arrays["source"].data, other.arrays["source"].data)
    with pytest.raises(SettingError, match=r"crop = \[50, 50\]: the camera has 48 × 64; accepted: at most the size"):
        look(mode="patches", crop=(50, 50))


def test_no_camera_is_an_error_that_names_it(look, tmp_path):
    with pytest.raises(SettingError, match=r"device = '/dev/video77': No such file.*; accepted: a camera that can be"):
        look(device="/dev/video77", format="")
    with pytest.raises(SettingError, match="accepted: a camera as"):
        CameraSource(device="")
    with pytest.raises(SettingError, match="accepted: a camera that can be opened"):
        look(format="no such kind")


def test_a_camera_that_goes_away_is_an_error_and_its_successor_waits(look, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(camera, "QUEUE", 100)
    path = videos.encode(tmp_path / "camera.avi", videos.scenes(20), "mjpeg", pixels="yuvj420p")
    stand_in = {"device": str(path), "format": "avi", "rate": 25.0}
    source = look(**stand_in)
    frames = until_it_goes(source)
    assert len(frames) == 20
    state = source.state()
    assert state["gone"]
    film = path.read_bytes()
    path.unlink()
    again = look(before=state, **stand_in)
    assert again.receive() is None
    assert 0 < again.due() <= 1
    assert "waiting for it" in caplog.text
    path.write_bytes(film)
    more = until_it_goes(again)
    assert len(more) == 20
    assert more[0].segment != frames[-1].segment
    assert more[0].time > frames[-1].time
    (lost,) = again.lost.values()
    assert lost == pytest.approx(25 * (more[0].time - frames[-1].time - 0.04), abs=1.1)
    assert "the camera is back" in caplog.text


def test_pictures_of_another_size_are_lost_and_counted(look, tmp_path, monkeypatch):
    monkeypatch.setattr(camera, "QUEUE", 100)
    parts = [
        videos.encode(tmp_path / f"{n}.h264", videos.scenes(10, *size), g=5, bf=0).read_bytes()
        for n, size in enumerate([(48, 64), (32, 32), (48, 64)])
    ]
    (tmp_path / "camera.h264").write_bytes(b"".join(parts))
    source = look(device=str(tmp_path / "camera.h264"), format="h264")
    frames = until_it_goes(source)
    assert len(frames) == 20
    assert {frame.arrays["source"].data.shape for frame in frames} == {(1, 48, 64)}
    assert dict(source.lost) == {"pictures of another size": 10}
    assert len({frame.segment for frame in frames}) == 2


def test_a_damaged_picture_is_lost_and_ends_nothing(look, tmp_path, monkeypatch):
    monkeypatch.setattr(camera, "QUEUE", 100)
    path = videos.encode(tmp_path / "camera.avi", videos.scenes(20), "png", pixels="rgb24")
    videos.damage(path, 7)
    source = look(device=str(path), format="avi")
    frames = until_it_goes(source)
    assert dict(source.lost) == {"damaged pictures": 1}
    assert 15 < len(frames) < 20
    assert len({frame.segment for frame in frames}) == 2


def test_pictures_that_wait_too_long_are_counted(look, tmp_path, monkeypatch):
    monkeypatch.setattr(camera, "QUEUE", 8)
    path = videos.encode(tmp_path / "camera.avi", videos.scenes(20), "mjpeg", pixels="yuvj420p")
    source = look(device=str(path), format="avi")
    source._thread.join(20)
    assert len(until_it_goes(source)) == 8
    assert dict(source.lost) == {"waited too long to be read": 12}


CONFIG = """
[run]
folder = "run"

[source]
kind = "camera"
device = "testsrc=size=64x48:rate=50:duration=0.6,realtime"
format = "lavfi"
duration = 1.0

[[stage]]
name = "windows"
kind = "windows"
form = "grid"
"""


def test_a_run_goes_on_when_its_camera_ends_and_is_there_again(tmp_path):
    (tmp_path / "camera.toml").write_text(CONFIG)
    done = call("run", "camera.toml", "--plain", "--save-features", "rows.npz", folder=tmp_path)
    assert done.code == 3, done.errors + (tmp_path / "run" / "source.log").read_text()
    assert "not allowed by the policy" in done.output
    assert "the camera was away" in done.output
    summary = json.loads((tmp_path / "run" / "run.json").read_text())["summary"]
    (lost,) = itertools.chain(summary["lost"].values())
    assert lost > 10
    assert summary["frames"] >= 50
