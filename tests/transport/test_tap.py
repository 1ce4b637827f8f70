"""Taps over real sockets, and observers that listen to them."""

import time

import numpy as np
import pytest
from helpers.wire import LOG, LONG, frame, status

from stream_infomax.frames.contracts import Output
from stream_infomax.frames.frame import Array
from stream_infomax.transport import tap as tap_module
from stream_infomax.transport.sampler import Sampler
from stream_infomax.transport.sockets import StreamError
from stream_infomax.transport.tap import FRAME, INPUT, SAMPLED, STATUS, Tap, TapReader


def until_heard(tap, *topics):
    """Wait until the tap knows that these and no other topics are listened to."""
    end = time.monotonic() + LONG
    while set(tap._topics) != set(topics):
        assert time.monotonic() < end
        tap.socket.poll(1000)
        tap.attend()


@pytest.mark.parametrize("transport", ["ipc", "tcp"])  # an observer has a context of its own
def test_a_tap_is_read_in_a_loop_until_the_end(context, tmp_path, transport):
    tap = Tap(context, f"ipc://{tmp_path}/t" if transport == "ipc" else "tcp://127.0.0.1:*")
    tap.frame(Output(frame(0), LOG))  # nobody listens
    with TapReader(tap.address) as reader:
        until_heard(tap, FRAME, STATUS)
        for offset in (1, 2, 5, 5):
            tap.frame(Output(frame(offset), LOG))
        tap.socket.send_multipart([FRAME, b"noise"])
        tap.status(status(5))
        tap.frame(Output(frame(7), LOG))
        tap.status(status(9, finished=True))
        assert [frame.offset for frame in reader] == [1, 2, 5, 5, 7]
        assert reader.missed == 2 + 1 + 2
        assert reader.refused == 1
        assert reader.status.name == "learner"


def test_a_tap_nobody_listens_to_sends_nothing(context, ipc):
    tap = Tap(context, ipc)
    reader = TapReader(ipc, topics=(STATUS,))
    frames = TapReader(ipc, topics=(FRAME,))
    until_heard(tap, FRAME, STATUS)
    frames.close()
    until_heard(tap, STATUS)
    tap.frame(Output(frame(0), LOG))
    tap.status(status(0))
    assert reader.receive() == status(0)
    reader.close()


@pytest.mark.parametrize("address", ["foo", "tcp://nowhere", "carrier-pigeon://loft"])
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(StreamError, match=f"cannot listen to {address}: .*accepted are ipc://PATH"):
        TapReader(address)


def test_a_viewer_is_sent_what_it_can_show_and_an_observer_all(context, ipc, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(tap_module.time, "monotonic", lambda: now)
    tap = Tap(context, ipc)
    with TapReader(ipc, topics=(SAMPLED,)) as viewer, TapReader(ipc, topics=(FRAME,)) as observer:
        while set(tap._topics) != {SAMPLED, FRAME}:
            tap.socket.poll(1000)
            tap.attend()
        for offset in range(300):
            tap.frame(Output(frame(offset), LOG))
        now += 0.5
        for offset in range(300, 600):
            tap.frame(Output(frame(offset), LOG))
        tap.socket.send_multipart([FRAME, b"the end"])
        tap.socket.send_multipart([SAMPLED, b"the end"])
        whole = list(iter(observer.receive, None))
        some = list(iter(viewer.receive, None))
    assert [one.offset for one in whole] == list(range(600))
    assert [one.offset for one in some] == [*range(100), *range(300, 350)]
    assert viewer.missed == 200


def test_what_a_frame_does_not_hold_is_beside_it_for_viewers(context, ipc):
    tap = Tap(context, ipc)
    one = frame(3)
    more = {"module": Array(np.ones((2, 5), np.float32), ("time", "component"))}
    with TapReader(ipc, topics=(SAMPLED,)) as viewer, TapReader(ipc, topics=(FRAME,)) as observer:
        until_heard(tap, SAMPLED, FRAME)
        tap.frame(Output(one, LOG, beside={**one.arrays, **more}))
        assert list(viewer.receive().arrays) == ["module", *one.arrays]  # viewers show the last one
        assert list(observer.receive().arrays) == [*one.arrays]


def test_what_came_in_is_a_topic_of_its_own(context, ipc):
    tap = Tap(context, ipc)
    with TapReader(ipc, topics=(INPUT,)) as viewer:
        until_heard(tap, INPUT)
        tap.frame(Output(frame(4), LOG))
        tap.input(Output(frame(5), LOG))
        assert viewer.receive().offset == 5


def test_a_large_frame_is_paid_for_by_those_behind_it():
    sampler = Sampler(10, 1000)
    assert sampler.admits(0.0)
    sampler.take(3000)
    assert not sampler.admits(1.5)
    assert sampler.admits(3.0)
