"""Push: what a program pushes arrives at a source, counted and timed; what does not is told."""

import time

import numpy as np
import pytest
from helpers.devices import frames

from stream_infomax import Push
from stream_infomax.frames import wire
from stream_infomax.sources.devices import DevicesSource
from stream_infomax.transport.sockets import StreamError


@pytest.fixture
def source(ipc):
    made = DevicesSource(bind=ipc, ends=True)
    made.open()
    yield made
    made.close()


def values(frame):
    return frame.arrays["source"].data


def test_three_lines(source, ipc):
    rows = np.random.default_rng(0).standard_normal((160, 2))
    with Push(ipc) as push:
        push(rows)
    given, end = frames(source, 2)
    assert values(given).tobytes() == rows.tobytes()
    assert given.arrays["source"].axes == ("time", "channel")
    assert abs(given.time - time.time()) < 20
    assert end.end
    assert source.receive() is None
    assert source.finished
    assert source.counts() == {"streams": 1, "streams open": 0}


@pytest.mark.parametrize(
    ("rows", "axes", "dtype"),
    [
        ([1, 2, 3], ("time",), "int64"),
        ([[1.5, 2]], ("time", "channel"), "float64"),
        (np.zeros((1, 4, 5), np.uint8), ("item", "y", "x"), "uint8"),
        (np.zeros((1, 4, 5, 3), np.uint16), ("item", "y", "x", "colour"), "int32"),
        (np.array([1, -2], ">i2"), ("time",), "int16"),
        (np.array([True, False]), ("time",), "bool"),
        (np.array([np.nan, np.inf], np.float16), ("time",), "float32"),
        (np.arange(12, dtype=np.float32).reshape(3, 4).T, ("time", "channel"), "float32"),
    ],
)
def test_rows_are_what_numpy_takes_for_an_array(source, ipc, rows, axes, dtype):
    with Push(ipc) as push:
        push(rows)
    array = frames(source, 1)[0].arrays["source"]
    assert (array.axes, str(array.data.dtype)) == (axes, dtype)
    np.testing.assert_array_equal(array.data, np.asarray(rows))


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (1.0, r"rows of shape \(\); accepted are 1 to 4 axes"),
        (np.zeros((2,) * 5), "1 to 4 axes, or name them in `axes`"),
        ([1j], "dtype complex128; accepted are float32"),
        (["a"], "dtype"),
    ],
)
def test_what_are_no_rows_is_refused_and_not_counted(source, ipc, rows, match):
    with Push(ipc) as push:
        with pytest.raises(ValueError, match=match):
            push(rows)
        assert push.count == 0


def test_axes_can_be_named(source, ipc):
    with Push(ipc, axes=("time", "mel")) as push:
        push(np.zeros((3, 20)))
        with pytest.raises(ValueError, match="2 axes"):
            push(np.zeros(3))
    assert frames(source, 1)[0].arrays["source"].axes == ("time", "mel")


def test_with_a_rate_times_follow_from_the_rows_and_not_from_the_clock(source, ipc):
    with Push(ipc, rate=100.0) as push:
        for _ in range(50):  # faster than real time
            push(np.zeros((10, 1)))
    found = frames(source, 51)
    np.testing.assert_allclose(np.diff([frame.time for frame in found[:50]]), 0.1, atol=1e-5)
    assert len({frame.segment for frame in found}) == 1
    assert "clock jumps" not in source.counts()


def test_after_a_pause_times_go_on_with_the_clock(source, ipc):
    with Push(ipc, rate=100.0) as push:
        push(np.zeros((10, 1)), time=time.time() - 60)
        push(np.zeros((10, 1)))
    first, other = frames(source, 2)
    assert other.time - first.time > 50
    assert source.counts()["clock jumps"] == 1
    assert first.segment != other.segment


def test_segments_and_labels_that_come_late(source, ipc):
    with Push(ipc, "ear", rate=10.0) as push:
        push(np.zeros(10), segment="a", last=True, time=5.0)
        push.label({"word": "yes"}, segment="a")
        push.label({"word": "no"})
        push.label({"word": "so"}, offset=7)
    found = frames(source, 4)
    assert [dict(frame.labels) for frame in found[1:]] == [{"word": "yes"}, {"word": "no"}, {"word": "so"}]
    assert [(frame.stream, frame.segment, frame.offset) for frame in found[1:]] == [
        ("ear", "a", -1),
        ("ear", "", -1),
        ("ear", "", 7),
    ]
    assert found[2].time == pytest.approx(5.9)


def test_nobody_there_is_an_error_that_names_the_address(ipc):
    push = Push(ipc, timeout=0.05)
    push([1.0])
    with pytest.raises(StreamError, match=f"no source listens at {ipc}: 2 messages were not sent"):
        push.close()
    push.close()
    with pytest.raises(StreamError, match="it is closed"):
        push([1.0])


def test_a_full_queue_is_an_error_and_the_rows_can_be_sent_again(ipc):
    push = Push(ipc, timeout=0.05, queue=3)
    for _ in range(3):
        assert push([1.0])
    with pytest.raises(StreamError, match=rf"rows wait for {ipc} for 0.05 s: no source is there"):
        push([1.0])
    assert push.count == 3
    source = DevicesSource(bind=ipc)
    source.open()
    frames(source, 3)
    assert push([1.0])
    push.close()
    frames(source, 2)
    source.close()


def test_a_full_queue_drops_where_one_says_so_and_the_source_counts_it(ipc):
    push = Push(ipc, full="drop", queue=3)
    assert [push([1.0]) for _ in range(5)] == [True, True, True, False, False]
    assert (push.count, push.dropped) == (5, 2)
    source = DevicesSource(bind=ipc)
    source.open()
    frames(source, 3)
    while not push([1.0]):  # until the socket has heard that there is room again
        pass
    frames(source, 1)
    assert push.dropped >= 2
    assert source.lost == {"never arrived": push.dropped}
    push.close()
    source.close()


def test_a_source_that_takes_nothing_any_more_is_told_on_closing(context, ipc):
    import zmq

    socket = context.socket(zmq.PULL)
    socket.rcvhwm = 1
    socket.bind(ipc)
    push = Push(ipc, timeout=0.2, queue=100)
    for _ in range(20):
        push(np.zeros(100_000))
    assert socket.poll(10_000)
    with pytest.raises(StreamError, match=f"{ipc} has not taken everything within 0.2 s"):
        push.close()


def test_what_went_wrong_is_not_hidden_by_the_end(ipc):
    with pytest.raises(ZeroDivisionError), Push(ipc, timeout=0.01) as push:
        push([1.0])
        1 / 0  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "match"),
    [({"address": "nowhere"}, "cannot push to nowhere"), ({"full": "no"}, "full = 'no'"), ({"queue": 0}, "queue = 0")],
)
def test_settings_that_cannot_be_are_named(ipc, settings, match):
    with pytest.raises((StreamError, ValueError), match=match):
        Push(**{"address": ipc, **settings})


def test_its_messages_have_no_key_that_they_do_not_need(context, ipc):
    import msgspec
    import zmq

    socket = context.socket(zmq.PULL)
    socket.bind(ipc)
    with Push(ipc, "ear") as push:
        push([1.0], time=3.0)
    header = msgspec.msgpack.decode(socket.recv_multipart()[0])
    assert set(header) == {"version", "stream", "arrays", "time", "count", "session"}
    assert wire.decode_pushed(socket.recv_multipart()).frame.end
