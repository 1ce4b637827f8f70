"""LslSource with real outlets in other processes: what comes, its times, and streams that go away or change."""

import logging
import threading
import time

import numpy as np
import pytest
from helpers.arriving import LONG, arriving, arriving_while, rest_of
from helpers.extras import extra
from helpers.outlets import Outlet

extra("pylsl")

from stream_infomax.settings.error import SettingError  # noqa: E402
from stream_infomax.sources import lsl_inlet  # noqa: E402
from stream_infomax.sources.lsl import GAP, LslSource  # noqa: E402


@pytest.fixture
def outlet():
    """Start outlets; end them at the end."""
    made = []

    def make(name, **settings):
        made.append(Outlet(name, **settings))
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture
def opened(opening):
    """Open sources; close them at the end."""
    return lambda *, state=None, **settings: opening(LslSource(**settings), state)


@pytest.fixture
def name(request):
    """A name that no other test's stream has."""
    return f"stream of {request.node.name}"


def first_column(frames):
    return [int(value) for frame in frames for value in frame.arrays["source"].data[:, 0]]


def test_rows_come_with_the_times_of_the_stream(outlet, opened, name):
    device = outlet(name)
    source = opened(stream=name)
    device.wait_for_listeners()
    begin = device.now()
    device.push(10)
    frames = arriving(source, 5)
    assert first_column(frames) == list(range(10))
    one = frames[0]
    assert one.arrays["source"].data.dtype == np.float32
    assert one.arrays["source"].axes == ("time", "channel")
    assert (one.stream, one.rate, one.arrays["source"].data.shape) == ("source", 100.0, (2, 2))
    np.testing.assert_allclose([frame.time - begin for frame in frames], np.arange(0, 0.1, 0.02), atol=0.005)
    assert abs(one.time - time.time()) < 30
    assert not source.lost
    assert source.counts()["samples"] == 10
    assert source.state()["form"] == [100.0, 2, ["c0", "c1"], ["microvolts", "microvolts"]]


def test_it_begins_with_the_newest(outlet, opened, name):
    device = outlet(name)
    device.push(500)
    source = opened(stream=name)
    device.wait_for_listeners()
    device.push(4)
    assert first_column(arriving(source, 2)) == [500, 501, 502, 503]


@pytest.mark.parametrize(("format", "dtype"), [("int8", np.int16), ("int32", np.int32), ("double64", np.float64)])
def test_numbers_keep_their_type(outlet, opened, name, format, dtype):  # noqa: A002
    device = outlet(name, format=format, type="numbers", source_id=f"id {format}")
    source = opened(source_id=f"id {format}")
    device.wait_for_listeners()
    device.push(2)
    (frame,) = arriving(source, 1)
    assert frame.arrays["source"].data.dtype == dtype


def test_time_stamps_tell_what_is_missing(outlet, opened, name):
    device = outlet(name)
    source = opened(stream=name)
    device.wait_for_listeners()
    device.push(10)
    device.push(10, skip=0.5)
    frames = arriving(source, 10)
    assert source.lost == {GAP: 25}
    assert len({frame.segment for frame in frames[:5]}) == len({frame.segment for frame in frames[5:]}) == 1
    assert frames[4].segment != frames[5].segment


def test_a_clock_that_jumps_back_begins_a_segment(outlet, opened, name):
    device = outlet(name)
    source = opened(stream=name)
    device.wait_for_listeners()
    device.push(10)
    device.push(10, skip=-100.0)
    frames = arriving(source, 10)
    assert frames[4].segment != frames[5].segment
    assert source.counts()["time stamps that jump back"] == 1
    assert not source.lost


def test_samples_without_a_time_are_left_out(outlet, opened, name):
    device = outlet(name)
    source = opened(stream=name)
    device.wait_for_listeners()
    device.push(2)
    arriving(source, 1)
    now = source.state()["until"]
    times = np.array([np.nan, now + 0.01, np.inf, now + 0.02])
    source._stream.arrivals.put(lsl_inlet.Chunk(np.arange(8.0).reshape(4, 2), times, 1))
    (frame,) = arriving(source, 1)
    assert frame.arrays["source"].data.tolist() == [[2, 3], [6, 7]]
    assert source.counts()["left out: samples without a time"] == 2


def test_samples_without_a_rate_are_frames_with_their_own_times(outlet, opened, name):
    device = outlet(name, rate=0.0)
    source = opened(stream=name)
    device.wait_for_listeners()
    begin = device.now()
    device.push(2)
    device.push(1, skip=1.5)
    frames = arriving(source, 3)
    assert [frame.arrays["source"].n_rows for frame in frames] == [1, 1, 1]
    np.testing.assert_allclose([frame.time - begin for frame in frames], [0, 0, 1.5], atol=0.005)


def test_slow_readers_get_the_newest(outlet, opened, name, monkeypatch):
    device = outlet(name)
    source = opened(stream=name, buffer=0.1)
    arrivals, handed = source._stream.arrivals, threading.Semaphore(0)
    put = arrivals.put

    def hand_over(chunk):
        put(chunk)
        handed.release(len(chunk.rows))

    def push():  # and wait until the thread has taken both rows, or LSL's own queue could lose some
        device.push(2)
        for _ in range(2):
            assert handed.acquire(timeout=LONG)

    monkeypatch.setattr(arrivals, "put", hand_over)
    device.wait_for_listeners()
    push()
    rows = first_column(arriving(source, 1))
    while arrivals.dropped < 3:
        push()
    rows += first_column(rest_of(source))
    missing = np.diff(rows) - 1
    assert missing.max() >= 3
    assert sum(source.lost.values()) == np.ceil(missing / 2).sum()


def test_what_gives_way_while_a_chunk_is_taken_is_missing_behind_it(outlet, opened, name, monkeypatch):
    device = outlet(name)
    source = opened(stream=name, buffer=0.04)
    device.wait_for_listeners()
    device.push(2)
    arriving(source, 1)
    until, arrivals = source.state()["until"], source._stream.arrivals
    chunks = [
        lsl_inlet.Chunk(np.full((2, 2), float(n)), until + 0.01 * np.array([1 + 2 * n, 2 + 2 * n]), 1) for n in range(5)
    ]
    get, later = arrivals.get, iter(chunks[2:4])

    def get_while_more_comes():
        chunk = get()
        for more in later:
            arrivals.put(more)
        return chunk

    monkeypatch.setattr(arrivals, "get", get_while_more_comes)
    for chunk in chunks[:2]:
        arrivals.put(chunk)
    frames = rest_of(source)
    assert first_column(frames) == [0, 0, 2, 2, 3, 3]
    assert source.lost == {"waited too long to be read": 1}
    assert frames[0].segment != frames[1].segment == frames[2].segment


def test_markers_are_labels(outlet, opened, name):
    device = outlet(name)
    words = outlet(f"words of {name}", type="Markers", channels=1, rate=0.0, format="string")
    source = opened(stream=name, markers=f"words of {name}", label="word")
    words.wait_for_listeners()
    words.push_texts("left", "x" * 2000, "réght")
    labels = arriving(source, 2)
    assert [dict(frame.labels) for frame in labels] == [{"word": "left"}, {"word": "réght"}]
    assert all(not frame.arrays and not frame.segment and abs(frame.time - time.time()) < 30 for frame in labels)
    assert source.counts()["left out: markers that are empty or too long"] == 1
    device.wait_for_listeners()
    device.push(2)
    assert first_column(arriving(source, 1)) == [0, 1]


def test_a_stream_that_dies_is_found_again(outlet, opened, name, caplog):
    caplog.set_level(logging.INFO)
    device = outlet(name, source_id="amplifier")
    source = opened(stream=name)
    device.wait_for_listeners()
    device.push(10)
    before = arriving(source, 5)
    device.kill()
    again = outlet(name, source_id="amplifier")
    again.wait_for_listeners()
    after = arriving_while(source, lambda: again.push(2))
    assert before[-1].segment != after[0].segment
    assert source.counts()["connection breaks"] == 1
    away = round((after[0].time - before[-1].time) * 50) - 1
    assert abs(source.lost["the stream was away"] - away) <= 1
    said = [record.message for record in caplog.records if name in record.message]
    assert [line.rpartition(name)[2] for line in said[1:]] == ["' has gone; it is looked for", "' is there"]


def test_other_channels_after_a_break_are_an_error_that_says_so(outlet, opened, name):
    device = outlet(name)
    source = opened(stream=name)
    device.wait_for_listeners()
    device.push(2)
    arriving(source, 1)
    device.kill()
    outlet(name, channels=3)
    problem = f"the LSL stream with name '{name}' has 3 channels at 100 Hz since it came back; before it had 2 channels"
    with pytest.raises(OSError, match=problem):
        arriving(source, 1)
    again = opened(stream=name, state=source.state())
    with pytest.raises(ValueError, match=problem):
        arriving(again, 1)


def test_a_run_that_goes_on_waits_for_its_stream(outlet, opened, name):
    device = outlet(name)
    source = opened(stream=name)
    device.wait_for_listeners()
    device.push(2)
    (before,) = arriving(source, 1)
    state = source.state()
    device.kill()
    source = opened(stream=name, state=state)
    assert not rest_of(source)
    again = outlet(name)
    again.wait_for_listeners()
    after = arriving_while(source, lambda: again.push(2))
    away = round((after[0].time - before.time) * 50) - 1
    assert abs(source.lost["the stream was away"] - away) <= 1


def test_what_is_not_there_is_said_with_what_is(outlet, opened, name, monkeypatch):
    monkeypatch.setattr(lsl_inlet, "PATIENCE", 0.3)
    outlet(f"other {name}", channels=5)
    with pytest.raises(
        ValueError, match=rf"there is no LSL stream with name '{name}'; there are: .*'other {name}'.*5 ch"
    ):
        opened(stream=name)


def test_two_streams_of_one_name_are_an_error(outlet, opened, name, monkeypatch):
    monkeypatch.setattr(lsl_inlet, "SECOND", 20.0)
    for number in range(2):
        outlet(name, source_id=f"amplifier {number}")
    with pytest.raises(ValueError, match=r"more than one .*amplifier [01].*amplifier [01].*source_id tells them apart"):
        opened(stream=name)
    monkeypatch.setattr(lsl_inlet, "SECOND", 0.2)
    opened(stream=name, source_id="amplifier 1")


def test_texts_are_no_numbers(outlet, opened, name):
    outlet(name, format="string", channels=1, rate=0.0)
    with pytest.raises(ValueError, match=f"the LSL stream with name '{name}' has texts, numbers are accepted"):
        opened(stream=name)


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("stream", {}),
        ("stream", {"stream": "'\""}),
        ("label", {"stream": "a", "label": "a b"}),
        ("buffer", {"stream": "a", "buffer": 0}),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(key, settings):
    with pytest.raises(SettingError, match=f"^{key}( = |;)"):
        LslSource(**settings)
