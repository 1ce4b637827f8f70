"""Bases on a tap: announced ahead of their frames, sent to whoever comes, and nothing malformed is taken."""

import time

import msgspec
import numpy as np
import pytest
from helpers.wire import LOG, LONG, frame, status
from hypothesis import given
from hypothesis import strategies as st

from stream_infomax.frames.basis import Basis
from stream_infomax.frames.contracts import Output
from stream_infomax.frames.frame import Frame, FrameError
from stream_infomax.transport import bases
from stream_infomax.transport.tap import BASIS, FRAME, STATUS, Tap, TapReader


def basis(version="0123456789ab", stage="learner", K=3, K1=2, **changes):
    rng = np.random.default_rng(0)
    fields = {
        "stage": stage,
        "encoder": "e",
        "version": version,
        "output": "potential",
        "amplitude": 1.0,
        "mean": rng.normal(size=K),
        "components": rng.normal(size=(K1, K)).astype(np.float32),
        "mixing": rng.normal(size=(K, K1)).astype(np.float32),
        "beta": np.ones(K1, np.float32),
        "bias": np.zeros(K1, np.float32),
        **changes,
    }
    return Basis(**fields)


def until(tap, condition):
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        tap.socket.poll(50)
        tap.attend()


def test_a_basis_survives_its_bytes():
    one = basis(previous="ba9876543210", offset=2**40, output="poisson", seed=3, axes=("y", "x"), shape=(1, 3))
    back = bases.decode(bases.encode(one))
    for name in Basis.__struct_fields__:
        np.testing.assert_array_equal(getattr(back, name), getattr(one, name))
    assert (back.mean.dtype, back.components.dtype) == (np.float64, np.float32)


@given(st.data())
def test_what_is_no_basis_is_a_frame_error(data):
    parts = bases.encode(basis())
    changed = list(parts)
    which = data.draw(st.integers(0, len(parts) - 1))
    part = bytearray(parts[which])
    position = data.draw(st.integers(0, len(part) - 1))
    if data.draw(st.booleans()):
        del part[position:]
    else:
        part[position] = data.draw(st.integers(0, 255))
    changed[which] = bytes(part)
    try:
        bases.decode(changed)
    except FrameError as error:
        assert error.reason in ("header", "length", "parts")
    for wrong in ([], parts[:-1], [*parts, b""]):
        with pytest.raises(FrameError):
            bases.decode(wrong)


@pytest.mark.parametrize(
    "change",
    [{"version": "xyz"}, {"offset": -1}, {"output": "tanh"}, {"amplitude": float("nan")}, {"stage": ""}, {"more": 1}],
)
def test_a_head_out_of_bounds_is_refused(change):
    head, *payloads = bases.encode(basis())
    fields = {**msgspec.msgpack.decode(head), **change}
    with pytest.raises(FrameError):
        bases.decode([msgspec.msgpack.encode(fields), *payloads])


def test_a_basis_comes_ahead_of_its_frames(context, ipc):
    tap = Tap(context, ipc)
    with TapReader(ipc, topics=(FRAME, BASIS, STATUS)) as reader:
        until(tap, lambda: set(tap._topics) == {FRAME, BASIS, STATUS})
        tap.frame(Output(frame(0), LOG))
        tap.basis(basis(offset=1))
        tap.frame(Output(frame(1), LOG))
        tap.socket.send_multipart([BASIS, b"noise"])
        received = [reader.receive() for _ in range(4)]
        assert [type(one) for one in received] == [Frame, Basis, Frame, type(None)]
        assert reader.refused == 1
        assert reader.bases["learner"].offset == 1


def test_whoever_comes_is_sent_the_newest_basis_of_each_stage(context, ipc):
    tap = Tap(context, ipc)
    tap.basis(basis("000000000001"))
    tap.basis(basis("000000000002"))
    tap.basis(basis("000000000003", stage="second"))
    readers = []
    for topics in ((BASIS,), (BASIS,), (b"",)):  # the second one subscribes to what is subscribed to already
        readers.append(TapReader(ipc, topics=topics))
        end = time.monotonic() + LONG
        while not readers[-1].socket.poll(50):
            tap.attend()
            assert time.monotonic() < end
        received = [readers[-1].receive() for _ in range(2)]
        assert {one.stage: one.version for one in received} == {"learner": "000000000002", "second": "000000000003"}
    for reader in readers:
        reader.close()


def test_bases_cost_nothing_where_nobody_listens_to_them(context, ipc):
    tap = Tap(context, ipc)
    with TapReader(ipc) as reader:
        until(tap, lambda: set(tap._topics) == {FRAME, STATUS})
        tap.basis(basis())
        tap.status(status(0))
        assert reader.receive() == status(0)


def test_newcomers_are_not_served_more_often_than_five_times_a_second(context, ipc, monkeypatch):
    tap = Tap(context, ipc)
    tap.basis(basis())
    sent = []
    monkeypatch.setattr("stream_infomax.transport.tap.send", lambda socket, parts: sent.append(parts))
    now = [100.0]
    monkeypatch.setattr("stream_infomax.transport.tap.time.monotonic", lambda: now[0])
    for _ in range(100):
        tap._newcomers = True
        tap.attend()
        now[0] += 0.01
    assert 1 <= len(sent) <= 6


@pytest.mark.parametrize("shape", [(2,), (3, 1), (1,)])
def test_a_geometry_that_does_not_fit_is_refused(shape):
    with pytest.raises(FrameError, match="are not of 3 values"):
        bases.decode(bases.encode(basis(axes=("channel",), shape=shape)))
