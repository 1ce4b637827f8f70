"""Taps over real sockets, and observers that listen to them."""

import time

import pytest
from helpers.wire import LOG, LONG, frame, status

from stream_infomax.frames.contracts import Output
from stream_infomax.transport.sockets import StreamError
from stream_infomax.transport.tap import FRAME, STATUS, Tap, TapReader


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
