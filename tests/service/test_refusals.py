"""What outlets and inlets refuse: other logs, unknown and second readers, malformed words, addresses in use."""

import subprocess
import sys
from contextlib import contextmanager

import pytest
import zmq
from helpers.toys import Keeping
from helpers.wire import LOG, LONG, Server, answers, frame, heard, raw, read, until

from stream_infomax.frames import wire
from stream_infomax.transport import inlet as inlet_module
from stream_infomax.transport import messages
from stream_infomax.transport.inlet import Inlet
from stream_infomax.transport.sockets import RefusedError, StreamError


def test_another_log_is_refused_by_the_outlet(context, ipc):
    server = Server(context, ipc)
    inlet = Inlet(context, ipc, "r", log_id="another")
    with pytest.raises(RefusedError, match=f"this is log {LOG}, asked for was another"):
        heard(inlet, [server], lambda: False)
    assert server.outlet.refused == {"log": 1}


def test_another_log_is_refused_by_the_inlet(context, ipc):
    server = Server(context, ipc, log_id="")
    inlet = Inlet(context, ipc, "r", log_id="mine")
    heard(inlet, [server], server.outlet.heard_all)
    server.outlet.log_id = LOG
    server.append(0)
    with pytest.raises(RefusedError, match=f"serves log {LOG}, this service has read log mine"):
        heard(inlet, [server], lambda: False)


def test_unknown_readers_are_refused(context, ipc):
    server = Server(context, ipc)
    inlet = Inlet(context, ipc, "stranger")
    with pytest.raises(RefusedError, match=r"unknown reader 'stranger'; configured are \['r'\]"):
        heard(inlet, [server], lambda: False)


def test_a_second_live_reader_under_a_name_is_refused(context, address, monkeypatch):
    monkeypatch.setattr(inlet_module, "PATIENCE", 0.5)
    monkeypatch.setattr(inlet_module, "SILENCE", 0.1)
    server = Server(context, address)
    first = Inlet(context, server.address, "r")
    heard(first, [server], server.outlet.heard_all)
    second = Inlet(context, server.address, "r")
    with pytest.raises(RefusedError, match="'r' is connected already"):
        heard(second, [server], lambda: False)
    server.append(0)
    assert read(first, [server], 1) == [0]


def test_a_name_that_is_held_is_waited_for_with_a_warning(context, ipc, caplog):
    server = Server(context, ipc)
    first = raw(context, ipc, messages.Fetch("r", LOG, 0, 5))
    until(server.outlet.heard_all, [server])
    second = Inlet(context, ipc, "r")
    heard(second, [server], lambda: second._taken_since is not None)
    assert "'r' is connected already; names are for one reader each; waiting for the name, for 300 s" in caplog.text
    assert inlet_module.PATIENCE == 300
    assert not second._refused(messages.Refused("taken", ""))  # a second time nothing is said
    assert len(caplog.records) == 1
    first.close(0)
    server.append(0)
    assert read(second, [server], 1) == [0]


def test_a_commit_is_believed_only_from_the_connection_that_fetched(context, address):
    server = Server(context, address)
    stranger = raw(context, server.address, messages.Commit("r", LOG, 2**62))
    until(lambda: server.outlet.refused["commit"] == 1, [server])  # nobody has fetched yet
    (answer,) = answers(stranger, 1)
    assert (answer.reason, answer.text) == ("commit", "reader 'r' has fetched nothing by this connection")
    inlet = Inlet(context, server.address, "r")
    server.append(0, 1)
    assert read(inlet, [server], 2) == [0, 1]
    stranger.send(messages.encode(messages.Commit("r", LOG, 1)))
    until(lambda: server.outlet.refused["commit"] == 2, [server])
    inlet.commit(0)
    until(lambda: server.log.committed["r"] == 0, [server], [inlet])
    assert len(server.log) == 1


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(messages.Commit("r", LOG, 3), id="more than was sent"),
        pytest.param(messages.Commit("r", "", 1), id="of no log"),
        pytest.param(messages.Commit("r", "another", 1), id="of another log"),
        pytest.param(messages.Fetch("r", LOG, 3, 9, committed=3), id="more than is asked for"),
    ],
)
def test_a_commit_of_what_was_not_sent_is_refused(context, ipc, request_):
    server = Server(context, ipc)
    server.append(0, 1, 2)
    dealer = raw(context, ipc, messages.Fetch("r", LOG, 0, 3), request_)
    until(lambda: sum(server.outlet.refused.values()) == 1, [server])
    assert server.log.committed == {"r": -1}
    assert len(server.log) == 3
    dealer.close(0)


def test_whoever_does_not_know_the_log_commits_nothing_by_a_fetch(context, ipc):
    server = Server(context, ipc)
    server.append(0)
    raw(context, ipc, messages.Fetch("r", "", 2**62 + 1, 9, committed=2**62))
    until(server.outlet.heard_all, [server])
    assert server.log.committed == {"r": -1}


def test_whoever_repeats_the_identity_of_a_reader_does_not_take_its_place(context, ipc):
    server = Server(context, ipc)
    inlet = Inlet(context, ipc, "r")
    heard(inlet, [server], server.outlet.heard_all)
    thief = context.socket(zmq.DEALER)
    thief.setsockopt(zmq.ROUTING_ID, b"r/1")
    thief.connect(ipc)
    thief.send(messages.encode(messages.Fetch("r", LOG, 0, 9)))
    until(lambda: server.outlet.refused["taken"] == 1, [server])
    second = context.socket(zmq.DEALER)  # by the same identity
    second.setsockopt(zmq.ROUTING_ID, b"r/1")
    second.connect(ipc)
    second.send(messages.encode(messages.Fetch("r", LOG, 0, 9)))
    server.append(0)
    assert read(inlet, [server], 1) == [0]
    assert thief.poll(5000)
    assert messages.decode_answer(thief.recv()).reason == "taken"
    assert not second.poll(100)


def test_of_a_request_that_is_repeated_nothing_is_sent_twice(context, ipc):
    server = Server(context, ipc)
    server.append(*range(8))
    dealer = raw(context, ipc, *[messages.Fetch("r", LOG, 0, 8)] * 100)
    until(server.outlet.heard_all, [server])
    assert {type(answer) for answer in answers(dealer, 8)} == {messages.Sent}
    dealer.send(messages.encode(messages.Commit("r", LOG, 99)))  # is refused behind all that was asked for
    until(lambda: server.outlet.refused["commit"] == 1, [server])
    while (kind := type(answers(dealer, 1)[0])) is not messages.Refused:
        assert kind is messages.Alive


def test_a_name_is_free_again_when_its_reader_has_gone(context, address):
    server = Server(context, address)
    first = Inlet(context, server.address, "r")
    heard(first, [server], server.outlet.heard_all)
    second = Inlet(context, server.address, "r")
    heard(second, [server], lambda: second._taken_since is not None)
    first.close()
    server.append(0)
    assert read(second, [server], 1) == [0]


FETCH = {"kind": "fetch", "reader": "r", "log": LOG, "from": 0, "credit": 1}
NESTED = b"\x81\xa1x" + b"\x91" * 3297 + b"\xc0"
BAD_REQUESTS = {
    "noise": [b"\xc1\xff"],
    "empty": [b""],
    "two parts": [messages.encode(FETCH), b""],
    "long": [b"\x00" * (messages.MAX_REQUEST_BYTES + 1)],
    "unknown kind": [messages.encode({**FETCH, "kind": "push"})],
    "an answer": [messages.encode(messages.Full(LOG))],
    "no credit": [messages.encode({**FETCH, "credit": 0})],
    "negative offset": [messages.encode({**FETCH, "from": -1})],
    "unknown key": [messages.encode({**FETCH, "colour": "red"})],
    "bad utf-8": [messages.encode(FETCH).replace(b"\xa1r", b"\xa1\xff")],
    "nested": [NESTED],
    "wrong type": [messages.encode({**FETCH, "from": "start"})],
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_malformed_requests_are_counted_and_answered(context, ipc, case):
    server = Server(context, ipc)
    dealer = raw(context, ipc)
    dealer.send_multipart(BAD_REQUESTS[case])
    until(lambda: server.outlet.refused["request"] == 1, [server])
    (answer,) = answers(dealer, 1)
    assert (answer.reason, "not a request" in answer.text) == ("request", True)
    server.append(0)
    inlet = Inlet(context, ipc, "r")
    assert read(inlet, [server], 1) == [0]


def test_a_request_of_many_megabytes_is_cut_off(context, ipc):
    server = Server(context, ipc)
    raw(context, ipc).send(b"\0" * (1 << 24))
    inlet = Inlet(context, ipc, "r")
    server.append(0)
    assert read(inlet, [server], 1) == [0]
    assert not server.outlet.refused


@contextmanager
def impostor(context, address):
    """A bare ROUTER that waits for a reader's first request."""
    router = context.socket(zmq.ROUTER)
    router.bind(address)
    yield router, lambda: router.recv_multipart()[0]
    router.close(linger=0)


def test_frames_that_are_none_are_counted_and_passed_over(context, ipc):
    with impostor(context, ipc) as (router, wait):
        inlet = Inlet(context, ipc, "r")
        until(lambda: router.poll(0), [], [inlet])
        peer = wait()
        head = [messages.encode(messages.Sent(LOG, offset, 0.0, 0.0)) for offset in range(6)]
        good = wire.encode(frame(1))
        router.send_multipart([peer, head[0], b"noise"])
        router.send_multipart([peer, head[1], *good])
        router.send_multipart([peer, head[2], wire.encode(frame(2))[0], b"short"])
        router.send_multipart([peer, head[3], *wire.encode(frame(1))])  # its header has another offset
        router.send_multipart([peer, b"\xc1"])
        router.send_multipart([peer, NESTED])
        router.send_multipart([peer, messages.encode({"kind": "surprise"})])
        router.send_multipart([peer, head[4]])
        router.send_multipart([peer, head[5], *wire.encode(frame(5))])
        assert read(inlet, [], 2) == [1, 5]
    assert inlet.lost == {"header": 2, "length": 1, "transport": 3, "parts": 1}
    assert inlet.next == 6


def test_repeats_and_frames_from_the_future_are_ignored(context, ipc):
    with impostor(context, ipc) as (router, wait):
        inlet = Inlet(context, ipc, "r", start=3)
        until(lambda: router.poll(0), [], [inlet])
        peer = wait()
        for offset in (2, 5, 3, 3, 4, 2):
            head = messages.encode(messages.Sent(LOG, offset, 0.0, 0.0))
            router.send_multipart([peer, head, *wire.encode(frame(offset))])
        assert read(inlet, [], 2) == [3, 4]
        gone = messages.encode(messages.Gone(LOG, 0, 4))
        router.send_multipart([peer, gone])
        router.send_multipart([peer, messages.encode(messages.Sent(LOG, 5, 0.0, 0.0)), *wire.encode(frame(5))])
        assert read(inlet, [], 1) == [5]
    assert not inlet.lost


TAKEN = """
import sys, zmq
from stream_infomax.transport.sockets import Bound, StreamError
try:
    Bound(zmq.Context().socket(zmq.ROUTER), sys.argv[1])
except StreamError as error:
    print(error)
    sys.exit(3)
"""


def test_an_address_in_use_is_named(context, address):
    server = Server(context, address)
    with pytest.raises(StreamError, match=f"address already in use: {server.address}"):
        Server(context, server.address)


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_an_address_in_use_by_another_process_is_named(context, tmp_path, transport):
    server = Server(Keeping(), f"ipc://{tmp_path}/o" if transport == "ipc" else "tcp://127.0.0.1:*")
    command = [sys.executable, "-c", TAKEN, server.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
    assert (done.returncode, done.stdout) == (3, f"address already in use: {server.address}\n")
    server.append(0)
    assert read(Inlet(context, server.address, "r"), [server], 1) == [0]
    server.stop()
    assert subprocess.run(command, timeout=LONG, check=False).returncode == 0


def test_addresses_that_cannot_be_are_named(context, tmp_path):
    for address in (f"ipc://{tmp_path}/no/folder", "tcp://nonsense", "ipc:///" + "x" * 200, "pigeon://post"):
        with pytest.raises(StreamError, match="cannot bind"):
            Server(context, address)
    for address in ("tcp://nonsense", "ipc:///" + "x" * 200, "pigeon://post"):
        with pytest.raises(StreamError, match="cannot connect"):
            Inlet(context, address, "r")
