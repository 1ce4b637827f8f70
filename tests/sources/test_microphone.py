"""MicrophoneSource on a stand-in for PortAudio: formats, losses, a device that is not there or goes away."""

import math
import select
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
from helpers import sounds

from stream_infomax.settings.error import SettingError
from stream_infomax.sources import microphone
from stream_infomax.sources.microphone import MicrophoneSource

WEBCAM, USB = ("Webcam", 2, 48000.0), ("USB Microphone", 1, 16000.0)


class Clock:
    """A clock that stands until a test moves it."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0 + self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def fake(monkeypatch):
    return sounds.plug_in(monkeypatch, ("Speaker", 0, 48000.0), WEBCAM, USB)


@pytest.fixture
def listen(opening):
    """Make a source that listens."""
    usual = {"device": "USB", "rate": 16000}
    return lambda before=None, **settings: opening(MicrophoneSource(**{**usual, **settings}), before)


def frames_of(source):
    frames = []
    while (frame := source.receive()) is not None:
        frames.append(frame)
    return frames


def rows_of(frames):
    return np.concatenate([frame.arrays["source"].data for frame in frames])


def noise(n, channels=1, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, channels)).astype(np.float32)


def test_what_is_heard_becomes_frames(fake, listen, clock):
    source = listen()
    said = noise(5000)
    for start in range(0, 5000, 100):
        clock.now += 100 / 16000
        fake.stream.say(said[start : start + 100])
    assert select.select(source.sockets, [], [], 0)[0]
    frames = frames_of(source)
    np.testing.assert_array_equal(rows_of(frames), said[:4800])
    assert {frame.arrays["source"].n_rows for frame in frames} == {320}
    assert frames[0].arrays["source"].axes == ("time", "channel")
    assert frames[0].time == pytest.approx(1_800_001_000.0, abs=1e-6)
    assert {round(1000 * (b.time - a.time)) for a, b in pairwise(frames)} == {20}
    assert frames[0].rate == 16000
    assert not source.lost
    assert source.counts() == {"samples": 5000, "overflows": 0, "clock corrections": 0}


def test_the_mean_of_the_channels_or_the_first_ones(fake, listen):
    said = noise(1000, 2)
    source = listen(device="webcam", rate=0, frame=1000)
    fake.stream.say(said)
    (frame,) = frames_of(source)
    np.testing.assert_allclose(frame.arrays["source"].data, said.mean(1, keepdims=True), atol=1e-7)
    assert frame.rate == 48000
    source = listen(device="1", rate=0, frame=1000, channels=2)
    fake.stream.say(said)
    np.testing.assert_array_equal(rows_of(frames_of(source)), said)
    with pytest.raises(SettingError, match=r"channels = 3: 1: Webcam, ALSA .* has no more; accepted: 1 to 2"):
        listen(device="webcam", channels=3)


def test_a_sound_server_is_asked_for_two_channels_only(fake, listen):
    fake.seen = fake.plugged = [("pulse", 32, 44100.0)]
    listen(device="pulse")
    assert fake.stream.settings["channels"] == 2


def test_an_input_without_the_rate_is_resampled(fake, listen, clock):
    fake.refused = {(2, 16000.0), (2, 16000)}
    source = listen(device="Webcam", rate=16000)
    assert fake.stream.settings["samplerate"] == 48000
    t = np.arange(48000) / 48000
    for start in range(0, 48000, 480):
        clock.now += 0.01
        fake.stream.say(np.repeat(np.sin(2 * np.pi * 440 * t[start : start + 480])[:, None], 2, 1))
    frames = frames_of(source)
    heard = rows_of(frames)[:, 0]
    assert len(heard) >= 15000
    expected = np.sin(2 * np.pi * 440 * np.arange(len(heard)) / 16000)
    np.testing.assert_allclose(heard[200:], expected[200:], atol=0.01)
    times = [frame.time - 1_800_001_000.0 for frame in frames]
    np.testing.assert_allclose(times, 0.02 * np.arange(len(times)), atol=1e-3)
    fake.stream.say(np.zeros((99, 2)))
    fake.stream.say(np.zeros((480, 2)), overflow=True)
    rest = frames_of(source)
    assert len(rows_of([*frames, *rest])) == 16000 + 33
    assert {frame.segment for frame in rest} == {frames[0].segment}, "what was in the resampler is of the old segment"


def test_an_overflow_is_counted_by_frames_and_begins_a_segment(fake, listen, clock):
    source = listen()
    for i in range(30):
        clock.now += 0.01 if i != 20 else 0.11  # 0.1 s are missing
        fake.stream.say(noise(160), overflow=i == 20)
    frames = frames_of(source)
    assert dict(source.lost) == {"overflow of the microphone": 5}
    assert source.counts()["overflows"] == 1
    assert len({frame.segment for frame in frames}) == 2
    assert frames[-1].time == pytest.approx(1_800_001_000.0 + 0.38, abs=1e-6)


def test_an_overflow_before_the_first_sample_loses_nothing(fake, listen):
    source = listen()
    fake.stream.say(noise(320), overflow=True)
    assert len(frames_of(source)) == 1
    assert not source.lost


def test_what_waits_too_long_is_counted(fake, listen, monkeypatch, clock):
    monkeypatch.setattr(microphone, "QUEUE", 10)
    source = listen()
    for _ in range(20):
        clock.now += 0.02
        fake.stream.say(noise(320))
    assert len(frames_of(source)) == 10
    fake.stream.say(noise(320))
    assert dict(source.lost) == {"waited too long to be read": 10}


def test_the_clock_is_set_right_and_never_goes_back(fake, listen, clock):
    source = listen()
    times = []
    for i in range(1000):
        clock.now += 0.01 * (1.01 if i < 500 else 0.97)  # a sound card that is slow, then fast
        late = 0.3 if i % 7 == 3 else 0.0  # and now and then a block that comes late
        clock.now += late
        fake.stream.say(noise(160))
        clock.now -= late
        times += [frame.time - 1_800_000_000.0 - clock.now for frame in frames_of(source)]
    assert source.counts()["clock corrections"] >= 3
    assert not source.lost
    assert min(times) > -0.15
    assert max(times) < 0.06


def test_times_do_not_follow_a_wall_clock_that_is_set(fake, listen, clock, monkeypatch):
    source = listen()
    fake.stream.say(noise(320))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    fake.stream.say(noise(320))
    first, second = frames_of(source)
    assert second.time - first.time == pytest.approx(0.02)


def test_no_such_input_is_an_error_that_lists_them(fake, listen):
    with pytest.raises(
        SettingError, match=r"device = 'Studio': no such input; accepted: .*; there are 1: Webcam, ALSA"
    ):
        listen(device="Studio")
    with pytest.raises(SettingError, match="several inputs have it"):
        listen(device="ALSA")
    with pytest.raises(SettingError, match="no such input"):
        listen(device="0")  # a speaker
    fake.seen = []
    with pytest.raises(SettingError, match="there is no input at all; accepted: a part of an input's name"):
        listen(device="")


def test_the_default_input(fake, listen):
    fake.default.device = (2, 0)
    listen(device="")
    assert fake.stream.settings["device"] == 2
    fake.default.device = (-1, -1)
    listen(device="", rate=48000)
    assert fake.stream.settings["device"] == 1


def test_an_input_that_cannot_be_opened_is_named(fake, listen):
    fake.refused = {(1, 16000.0)}
    with pytest.raises(SettingError, match=r"device = 'USB': 2: USB Microphone.*1 channels at 16000 Hz: Invalid"):
        listen()


def test_no_portaudio_names_the_package_of_debian(monkeypatch):
    source = MicrophoneSource()

    class Broken:
        def find_spec(self, name, *_):
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ValueError, match="apt install libportaudio2"):
        source.open()
    source.close()


def test_a_microphone_that_goes_away_is_an_error_and_its_successor_waits(fake, listen, clock, caplog):
    source = listen()
    clock.now += 700 / 16000
    fake.stream.say(noise(700))
    fake.stream.end()
    assert [source.receive().arrays["source"].n_rows for _ in range(3)] == [320, 320, 60]
    with pytest.raises(OSError, match="the microphone USB has gone: its stream ended"):
        source.receive()
    state = source.state()
    fake.plugged = fake.seen = [WEBCAM]
    clock.now += 3
    again = listen(before=state)
    assert "waiting for it" in caplog.text
    assert again.receive() is None
    assert again.due() == pytest.approx(1.0)
    for _ in range(5):
        clock.now += again.due()
        assert again.receive() is None
    assert fake.n_looks == 5
    assert caplog.text.count("waiting for it") == 1
    fake.plugged = [USB]
    clock.now += 1
    assert again.receive() is None
    clock.now += 0.02
    fake.stream.say(noise(320))
    frame = again.receive()
    assert frame.time == pytest.approx(1_800_000_000.0 + clock.now - 0.02)
    assert dict(again.lost) == {"the microphone was away": 450}
    assert again.counts()["samples"] == 1020
    assert not again.state()["gone"]


def test_silence_of_the_library_is_noticed(fake, listen, clock):
    source = listen()
    assert source.due() == pytest.approx(5)
    clock.now += 4.9
    assert source.receive() is None
    fake.stream.say(noise(320))
    assert source.receive() is not None
    assert source.receive() is None
    assert source.due() == pytest.approx(2)
    clock.now += 2.1
    with pytest.raises(OSError, match="nothing came for 2 s"):
        source.receive()
    assert source.state()["gone"]


def test_a_pause_that_a_person_made_is_no_loss(fake, listen, clock):
    source = listen(duration=0.06)
    clock.now += 0.04
    fake.stream.say(noise(640))
    frames_of(source)
    state = source.state()
    clock.now += 3600
    again = listen(before=state, duration=0.06)
    clock.now += 0.02
    fake.stream.say(noise(320))
    (frame,) = frames_of(again)
    assert frame.end, "the duration goes over a restart"
    assert again.finished
    assert again.due() == math.inf
    assert not again.lost
    n_streams = len(fake.streams)
    over = listen(before=again.state(), duration=0.06)
    assert over.finished
    assert over.receive() is None
    assert len(fake.streams) == n_streams, "a stream that is over needs no microphone"


def test_nothing_is_opened_by_the_constructor(fake):
    source = MicrophoneSource(device="nothing like it", rate=16000, channels=2)
    outline = source.outline()
    assert (outline.live, outline.row, outline.rate) == (True, (2,), 16000.0)
    assert not source.sockets
    assert source.state() == {"seconds": 0.0, "until": 0.0, "gone": False, "counts": dict(source.counts())}
    source.close()
    assert not fake.streams
