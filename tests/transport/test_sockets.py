"""Frames from outlet to inlet over real sockets, with peers that come and go, are slow, or fall back."""

import time

import numpy as np
import pytest
from helpers.toys import Keeping
from helpers.wire import LOG, LONG, Server, answers, heard, raw, read, until

from stream_infomax.transport import messages
from stream_infomax.transport.inlet import Inlet


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
    server.outlet.acknowledge(("r",))
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


def test_repeated_requests_do_no_harm(context, ipc):
    server = Server(context, ipc)
    inlet = Inlet(context, ipc, "r", credit=8)
    server.append(*range(50))
    offsets = []
    while len(offsets) < 50:
        inlet._fetch()
        inlet._fetch()
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
