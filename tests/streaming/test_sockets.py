"""Outlets, inlets and taps over real sockets, with peers that come, go and misbehave."""

import math
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import zmq
from toys import Keeping

from stream_infomax.streaming import inlet as inlet_module
from stream_infomax.streaming import messages
from stream_infomax.streaming.frames import Array, Frame
from stream_infomax.streaming.inlet import Inlet
from stream_infomax.streaming.log import OutputLog
from stream_infomax.streaming.outlet import Outlet
from stream_infomax.streaming.sockets import RefusedError, StreamError
from stream_infomax.streaming.taps import FRAME, STATUS, Tap, TapReader

LOG = "0123456789abcdef"
LONG = 20.0


def frame(offset, rows=2):
    return Frame(stream="a", offset=offset, arrays={"x": Array(np.full((rows, 3), offset, np.float32), ("time", "y"))})


@pytest.fixture(params=["inproc", "ipc", "tcp"])
def address(request, tmp_path):
    return {"inproc": "inproc://outlet", "ipc": f"ipc://{tmp_path}/o", "tcp": "tcp://127.0.0.1:*"}[request.param]


@pytest.fixture
def ipc(tmp_path):
    return f"ipc://{tmp_path}/o"


class Server:
    """An outlet and its log."""

    def __init__(self, context, address, readers=("r",), log_id=LOG, seekable=False, **bounds):
        self.context = context
        self.log = OutputLog(readers, **bounds)
        self.outlet = Outlet(context, address, self.log, log_id, seekable=seekable)
        self.address = self.outlet.address

    def append(self, *offsets):
        for offset in offsets:
            self.log.append(offset, frame(offset).to_parts(), origin=1.0 + offset)
        self.outlet.pump()

    def stop(self):
        """End like a process does; the context must be the server's own, for only its end frees the address."""
        self.context.destroy(linger=0)
        self.outlet.release()


def until(condition, servers=(), inlets=()):
    """Let outlets and inlets work until `condition` holds; they sleep in poll only."""
    poller = zmq.Poller()
    for server in servers:
        poller.register(server.outlet.socket, zmq.POLLIN)
    for reader in inlets:
        for socket in reader.sockets:
            poller.register(socket, zmq.POLLIN)
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        due = min((reader.due() for reader in inlets), default=1.0)
        poller.poll(math.ceil(1000 * due) + 1)
        for server in servers:
            server.outlet.answer()
        for reader in inlets:
            reader.attend()


def read(inlet, servers, count):
    """Return the offsets of the next `count` frames."""
    offsets = []

    def done():
        while len(offsets) < count:
            arrival = inlet.receive()
            if arrival is None:
                return False
            offsets.append(arrival.frame.offset)
        return True

    until(done, servers, [inlet])
    return offsets


def heard(inlet, servers, condition):
    """Let the inlet receive until `condition` holds; no frame may come."""

    def done():
        assert inlet.receive() is None
        return condition()

    until(done, servers, [inlet])


def test_frames_come_in_order_with_their_times(context, address):
    server = Server(context, address)
    inlet = Inlet(context, server.address, "r")
    server.append(*range(5))
    arrivals = []

    def done():
        arrival = inlet.receive()
        if arrival:
            arrivals.append(arrival)
        return len(arrivals) == 5

    until(done, [server], [inlet])
    assert [arrival.frame.offset for arrival in arrivals] == list(range(5))
    assert [arrival.origin for arrival in arrivals] == [1.0 + offset for offset in range(5)]
    assert all(abs(arrival.sent - time.time()) < LONG for arrival in arrivals)
    np.testing.assert_array_equal(arrivals[4].frame.arrays["x"].data, np.full((2, 3), 4))
    assert inlet.log_id == LOG
    inlet.close()


def test_more_frames_than_credit_keep_coming(context, address):
    server = Server(context, address, max_frames=500)
    inlet = Inlet(context, server.address, "r", credit=8)
    server.append(*range(300))
    assert read(inlet, [server], 300) == list(range(300))


def test_never_more_than_the_credit_is_under_way(context, ipc):
    server = Server(context, ipc)
    server.append(*range(20))
    dealer = raw(context, ipc, messages.Fetch("r", LOG, 0, 5))
    until(server.outlet.heard_all, [server])
    assert [answer.offset for answer in answers(dealer, 5)] == [0, 1, 2, 3, 4]
    assert not dealer.poll(100)


def test_commits_free_the_log_and_are_confirmed(context, address):
    server = Server(context, address, max_frames=4)
    inlet = Inlet(context, server.address, "r")
    server.append(0, 1, 2, 3)
    assert server.log.full
    assert read(inlet, [server], 4) == [0, 1, 2, 3]
    heard(inlet, [server], lambda: inlet.full)
    inlet.commit(3)
    assert not inlet.settled
    heard(inlet, [server], lambda: inlet.settled)
    assert not server.log.full
    assert not inlet.full
    server.append(4)
    assert read(inlet, [server], 1) == [4]


def test_a_full_log_does_not_hurry_a_reader_that_has_not_read_it(context, ipc):
    server = Server(context, ipc, max_frames=4)
    server.append(0, 1, 2, 3)
    dealer = raw(context, ipc, messages.Fetch("r", LOG, 0, 2))
    until(server.outlet.heard_all, [server])
    assert [answer.offset for answer in answers(dealer, 2)] == [0, 1]
    dealer.send(messages.encode(messages.Fetch("r", LOG, 2, 2)))
    until(lambda: dealer.poll(0), [server])
    kinds = [type(answer) for answer in answers(dealer, 3)]
    assert kinds == [messages.Sent, messages.Sent, messages.Full]


def test_the_end_is_told_and_the_last_commit_confirmed_only_when_it_is_safe(context, address):
    server = Server(context, address)
    inlet = Inlet(context, server.address, "r")
    server.append(0, 1)
    assert read(inlet, [server], 2) == [0, 1]
    assert not inlet.finished
    server.log.finish(1)
    server.outlet.announce()
    heard(inlet, [server], lambda: inlet.finished)
    inlet.commit(1)
    until(lambda: server.outlet.owed == {"r"}, [server], [inlet])
    assert inlet.receive() is None
    assert not inlet.settled
    server.outlet.acknowledge()
    heard(inlet, [server], lambda: inlet.settled)
    assert server.log.drained


def test_an_outlet_that_comes_later_is_found(context, ipc):
    inlet = Inlet(context, ipc, "r")
    server = Server(context, ipc)
    server.append(0)
    assert read(inlet, [server], 1) == [0]


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_an_outlet_that_comes_back_is_asked_again(context, tmp_path, transport):
    address = f"ipc://{tmp_path}/o" if transport == "ipc" else "tcp://127.0.0.1:*"
    server = Server(Keeping(), address)
    inlet = Inlet(context, server.address, "r")
    server.append(*range(4))
    assert read(inlet, [server], 4) == [0, 1, 2, 3]
    inlet.commit(1)
    server.stop()
    back = Server(context, server.address)
    back.append(*range(2, 6))  # computed again from its checkpoint, and further
    assert read(inlet, [back], 2) == [4, 5]
    assert back.log.committed["r"] == 1  # told again with the request


def test_a_reader_that_comes_back_goes_on(context, address):
    server = Server(context, address)
    first = Inlet(context, server.address, "r")
    server.append(*range(6))
    assert read(first, [server], 6) == list(range(6))
    first.commit(3)
    until(lambda: server.log.committed["r"] == 3, [server])
    first.close()
    second = Inlet(context, server.address, "r", LOG, start=4)
    assert read(second, [server], 2) == [4, 5]


def test_what_silence_swallowed_is_asked_for_again(context, ipc):
    """The outlet believes that frames were sent which never came."""
    server = Server(context, ipc)
    inlet = Inlet(context, ipc, "r")
    heard(inlet, [server], lambda: server.outlet.heard_all() and inlet.log_id)
    server.append(0)
    assert read(inlet, [server], 1) == [0]
    server.log.append(1, frame(1).to_parts())
    server.outlet._readers["r"].cursor = 2
    assert read(inlet, [server], 1) == [1]


def test_repeated_requests_do_no_harm(context, ipc):
    server = Server(context, ipc)
    inlet = Inlet(context, ipc, "r", credit=8)
    server.append(*range(50))
    offsets = []
    while len(offsets) < 50:
        inlet._fetch(again=True)
        inlet._fetch(again=len(offsets) % 2 == 0)
        offsets += read(inlet, [server], 1)
    assert offsets == list(range(50))


def test_wait_loses_nothing_with_a_slow_reader(context, address):
    server = Server(context, address, max_frames=3)
    inlet = Inlet(context, server.address, "r", credit=2)
    offsets = []
    produced = 0
    while len(offsets) < 60:
        while produced < 60 and not server.log.full:
            server.append(produced)
            produced += 1
        offsets += read(inlet, [server], 1)
        if len(offsets) % 3 == 0:
            inlet.commit(offsets[-1])
            until(lambda: server.log.committed["r"] == inlet.committed, [server], [inlet])
    assert offsets == list(range(60))
    assert not inlet.lost


def test_drop_oldest_counts_every_lost_offset(context, address):
    server = Server(context, address, max_frames=4, policy="drop-oldest")
    inlet = Inlet(context, server.address, "r", credit=2)
    offsets = []
    for start in range(0, 60, 10):
        server.append(*range(start, start + 10))
        offsets += read(inlet, [server], 2)
    offsets += read(inlet, [server], 60 - offsets[-1] - 1 if offsets[-1] >= 56 else 4)
    assert offsets[-1] == 59
    assert offsets == sorted(set(offsets))
    assert len(offsets) + inlet.lost["gone"] == 60
    assert inlet.lost["gone"] > 20


def test_offsets_missing_in_the_log_are_gone(context, address):
    server = Server(context, address)
    inlet = Inlet(context, server.address, "r")
    server.append(0, 1, 5, 6)
    assert read(inlet, [server], 4) == [0, 1, 5, 6]
    server.log.finish(9)
    server.outlet.pump()
    heard(inlet, [server], lambda: inlet.next == 10)
    assert inlet.lost == {"gone": 6}


def test_a_seekable_source_is_asked_to_go_back(context, ipc):
    server = Server(context, ipc, seekable=True)
    server.log.newest = 20
    inlet = Inlet(context, ipc, "r", LOG, start=7)
    heard(inlet, [server], lambda: server.outlet.rewind_to == 7)
    server.log.rewind(7)
    server.outlet.rewound()
    server.append(7, 8)
    assert read(inlet, [server], 2) == [7, 8]
    assert not inlet.lost


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


def test_a_name_is_free_again_when_its_reader_has_gone(context, address):
    server = Server(context, address)
    first = Inlet(context, server.address, "r")
    heard(first, [server], server.outlet.heard_all)
    second = Inlet(context, server.address, "r")
    heard(second, [server], lambda: second._taken_since is not None)
    first.close()
    server.append(0)
    assert read(second, [server], 1) == [0]


def raw(context, address, *requests):
    """Return a bare socket that has sent these requests."""
    dealer = context.socket(zmq.DEALER)
    dealer.connect(address)
    for request in requests:
        dealer.send(messages.encode(request))
    return dealer


def answers(dealer, count):
    """Return the first parts of the next `count` answers."""
    found = []
    while len(found) < count:
        assert dealer.poll(1000 * LONG)
        found.append(messages.decode_answer(dealer.recv_multipart()[0]))
    return found


FETCH = {"kind": "fetch", "reader": "r", "log": LOG, "from": 0, "credit": 1}
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
        good = frame(1).to_parts()
        router.send_multipart([peer, head[0], b"noise"])
        router.send_multipart([peer, head[1], *good])
        router.send_multipart([peer, head[2], frame(2).to_parts()[0], b"short"])
        router.send_multipart([peer, head[3], *frame(1).to_parts()])  # its header has another offset
        router.send_multipart([peer, b"\xc1"])
        router.send_multipart([peer, messages.encode({"kind": "surprise"})])
        router.send_multipart([peer, head[4]])
        router.send_multipart([peer, head[5], *frame(5).to_parts()])
        assert read(inlet, [], 2) == [1, 5]
    assert inlet.lost == {"header": 2, "length": 1, "transport": 2, "parts": 1}
    assert inlet.next == 6


def test_repeats_and_frames_from_the_future_are_ignored(context, ipc):
    with impostor(context, ipc) as (router, wait):
        inlet = Inlet(context, ipc, "r", start=3)
        until(lambda: router.poll(0), [], [inlet])
        peer = wait()
        for offset in (2, 5, 3, 3, 4, 2):
            head = messages.encode(messages.Sent(LOG, offset, 0.0, 0.0))
            router.send_multipart([peer, head, *frame(offset).to_parts()])
        assert read(inlet, [], 2) == [3, 4]
        gone = messages.encode(messages.Gone(LOG, 0, 4))
        router.send_multipart([peer, gone])
        router.send_multipart([peer, messages.encode(messages.Sent(LOG, 5, 0.0, 0.0)), *frame(5).to_parts()])
        assert read(inlet, [], 1) == [5]
    assert not inlet.lost


TAKEN = """
import sys, zmq
from stream_infomax.streaming.sockets import Bound, StreamError
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


def watch(tap, reader):
    """Wait until the tap knows that somebody listens."""
    end = time.monotonic() + LONG
    while not tap._watched:
        assert time.monotonic() < end
        tap.socket.poll(1000)
        tap.attend()


@pytest.mark.parametrize("transport", ["ipc", "tcp"])  # an observer has a context of its own
def test_a_tap_is_read_in_a_loop_until_the_end(context, tmp_path, transport):
    tap = Tap(context, f"ipc://{tmp_path}/t" if transport == "ipc" else "tcp://127.0.0.1:*")
    tap.frame(LOG, 0, frame(0).to_parts(), 0.0)  # nobody listens
    with TapReader(tap.address) as reader:
        watch(tap, reader)
        for offset in (1, 2, 5, 5):
            tap.frame(LOG, offset, frame(offset).to_parts(), 0.0)
        tap.frame(LOG, 6, [b"noise"], 0.0)
        tap.status({"name": "a", "finished": False, "newest": 5})
        tap.frame(LOG, 7, frame(7).to_parts(), 0.0)
        tap.status({"name": "a", "finished": True, "newest": 9})
        assert [frame.offset for frame in reader] == [1, 2, 5, 5, 7]
        assert reader.missed == 2 + 1 + 2
        assert reader.refused == 1
        assert reader.status["name"] == "a"


def test_a_tap_nobody_listens_to_sends_nothing(context, ipc):
    tap = Tap(context, ipc)
    reader = TapReader(ipc, topics=(STATUS,))
    frames = TapReader(ipc, topics=(FRAME,))
    watch(tap, frames)
    frames.close()
    end = time.monotonic() + LONG
    while tap._watched:
        assert time.monotonic() < end
        tap.socket.poll(1000)
        tap.attend()
    assert tap._topics == {STATUS}
    tap.frame(LOG, 0, frame(0).to_parts(), 0.0)
    tap.status({"finished": False, "newest": 0})
    assert reader.receive() == {"finished": False, "newest": 0}
    reader.close()
