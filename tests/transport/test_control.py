"""The control socket: who may steer, and what becomes of everybody else."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import zmq

from stream_infomax.transport import control as transport
from stream_infomax.transport import messages
from stream_infomax.transport.control import Control, ask
from stream_infomax.transport.guard import STRIKES
from stream_infomax.transport.keys import Access, Keys, allow, new
from stream_infomax.transport.messages import Accepted, Order, Refused
from stream_infomax.transport.sockets import RefusedError, StreamError

ORDER = Order("1", "pause")


@contextmanager
def bound(address, access=None):
    """Give a control socket, and threads to ask it from."""
    access = access or Access()
    with zmq.Context() as context, access.answering(context), ThreadPoolExecutor(2) as pool:
        control = Control(context, address, access)
        try:
            yield control, pool
        finally:
            control.close()
            control.release()


def served(control, asking, answer=lambda asked: Accepted(asked.order.id, 7)):
    """Answer until somebody who asks has an answer; return it, and whose keys came."""
    owners = []
    while not asking.done():
        if control.socket.poll(5):
            for asked in control.asked():
                owners.append(asked.by)
                control.answer(asked, answer(asked))
    return asking.result(), owners


@pytest.mark.parametrize("name", ["control", "control-anna", "box", "*", "stranger"])
def test_who_may_steer(tmp_path, name):
    """The run's own keys, and those that are allowed under a name that says so; not a device's, nor a reader's."""
    keys = new(tmp_path / "keys")
    theirs = keys if name == "*" else new(tmp_path / "theirs")
    if name not in ("*", "stranger"):
        allow(Keys(tmp_path / "keys"), tmp_path / "theirs" / "own.public", name)
    with bound("tcp://127.0.0.1:*", Access(Keys(tmp_path / "keys"))) as (control, pool), zmq.Context() as context:
        asking = pool.submit(
            ask, context, control.address, ORDER, show=lambda socket, at: theirs.call(socket, at, keys.public)
        )
        if name == "stranger":
            with pytest.raises(RefusedError, match="refuses this key"):
                served(control, asking)
            return
        answer, owners = served(control, asking)
        if name == "box":
            text = "this key is not allowed to steer; those under the name control, or control-…, are"
            assert (answer, owners, control.refusals()) == (Refused("key", text), [], {"key": 1})
        else:
            assert (answer, owners) == (Accepted("1", 7), [name])


def test_one_call_with_the_key_of_another_run_is_a_few_attempts(tmp_path):
    new(tmp_path / "keys")
    other = new(tmp_path / "other")
    with bound("tcp://127.0.0.1:*", Access(Keys(tmp_path / "keys"))) as (control, pool), zmq.Context() as context:
        show = lambda socket, at: other.call(socket, at, other.public)  # noqa: E731
        asking = pool.submit(ask, context, control.address, ORDER, show=show, patience=0.8)
        with pytest.raises(StreamError):
            served(control, asking)
        assert 1 <= control.refusals()["handshake"] <= 2, "once a second"


def test_who_hears_nothing_asks_again_under_the_same_id(tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "AGAIN", 0.02)
    with bound(f"ipc://{tmp_path}/control") as (control, pool), zmq.Context() as context:
        asking = pool.submit(ask, context, control.address, ORDER)
        heard = []
        while len(heard) < 3:
            assert control.socket.poll(5000)
            heard += [asked.order for asked in control.asked()]
        assert heard == [ORDER] * 3
        assert served(control, asking)[0] == Accepted("1", 7)


def test_where_nobody_answers_it_is_said(tmp_path):
    with zmq.Context() as context, pytest.raises(StreamError, match=f"nobody answers at ipc://{tmp_path}/control"):
        ask(context, f"ipc://{tmp_path}/control", ORDER, patience=0.05)


def test_whoever_goes_on_with_nonsense_is_cut_off():
    with bound("tcp://127.0.0.1:*") as (control, pool), zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.connect(control.address)
        for _ in range(STRIKES + 1):
            client.send(b"nonsense")
        while control.refused["nonsense"] == 0:
            assert control.socket.poll(5000)
            assert list(control.asked()) == []
        assert control.refused["request"] == STRIKES + 1
        asking = pool.submit(ask, context, control.address, ORDER)
        assert served(control, asking)[0] == Accepted("1", 7)


def test_an_answer_of_another_program_is_none(tmp_path):
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router, ThreadPoolExecutor(1) as pool:
        router.linger = 0
        router.bind(f"ipc://{tmp_path}/control")
        asking = pool.submit(ask, context, f"ipc://{tmp_path}/control", ORDER)
        peer, request = router.recv_multipart()
        assert messages.decode_order(request) == ORDER
        router.send_multipart([peer, b"\x80"])
        with pytest.raises(StreamError, match="not an answer"):
            asking.result()
