"""Connections of a TCP address have limits, and whoever is honest is served all the same."""

import os
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import zmq
from helpers.raw import Raw, message, part, subscription
from helpers.wire import LOG, LONG, Server, frame, read, status

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Output
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.service import late_labels
from stream_infomax.service.late_labels import LateLabels
from stream_infomax.transport import guard, outlet, pull, sockets, tap
from stream_infomax.transport.guard import Connection
from stream_infomax.transport.inlet import Inlet
from stream_infomax.transport.labels import send_label
from stream_infomax.transport.pull import Pull
from stream_infomax.transport.push import Push
from stream_infomax.transport.tap import FRAME, Tap, TapReader

TCP = "tcp://127.0.0.1:*"


def until(condition, work=lambda: None):
    """Let something work until a condition holds."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        work()
        time.sleep(0.005)


class Pulled:
    kind, prefix = "PUSH", ""

    def __init__(self, context):
        self.bound = Pull(TCP, 100, 1 << 10)

    def work(self):
        while self.bound.receive() is not None:
            pass

    def serves(self):
        with Push(self.bound.address, "a") as push:
            push(np.zeros(4))
            until(lambda: self.bound.receive() is not None)

    def close(self):
        self.bound.close()


class Labelled:
    kind = "PUSH"

    def __init__(self, context):
        self.labels = LateLabels(context, TCP)
        self.bound = self.labels._bound

    def work(self):
        self.labels.receive()

    def serves(self):
        sender = threading.Thread(target=send_label, args=(self.bound.address, "a", {"x": "y"}), kwargs={"offset": 3})
        sender.start()
        until(lambda: self.labels.counts()["labels that wait"] == 1, self.work)
        sender.join()

    def close(self):
        self.labels.close()


class Tapped:
    kind = "SUB"

    def __init__(self, context):
        self.bound = Tap(context, TCP)

    def work(self):
        self.bound.attend()

    def serves(self):
        with TapReader(self.bound.address) as reader:
            until(lambda: FRAME in self.bound._topics, self.work)
            self.bound.frame(Output(frame(3), LOG))
            assert reader.receive().offset == 3
        until(lambda: FRAME not in self.bound._topics, self.work)

    def close(self):
        self.bound.close()


class Read:
    kind = "DEALER"

    def __init__(self, context):
        self.context = context
        self.server = Server(context, TCP)
        self.server.append(0)
        self.bound = self.server.outlet

    def work(self):
        self.bound.answer()

    def serves(self):
        inlet = Inlet(self.context, self.bound.address, "r")
        assert read(inlet, [self.server], 1) == [0]
        inlet.close()

    def close(self):
        self.bound.close()


@pytest.fixture(params=[Pulled, Labelled, Tapped, Read])
def served(request, context):
    made = request.param(context)
    yield made
    made.close()


def test_a_message_that_does_not_end_ends_the_connection_and_nothing_else(served, monkeypatch):
    monkeypatch.setattr(guard, "SWOLLEN", 8 << 20)
    with Raw(served.bound.address, served.kind) as raw:
        endless = part(b"", more=True) * 4096
        until(lambda: not raw.send(endless), served.work)
    until(lambda: served.bound.refused["endless"] == 1)
    served.serves()
    assert served.bound.refusals("x: ") == {"x: endless": 1}


@pytest.mark.parametrize("served", [Labelled, Tapped, Read], indirect=True)
def test_who_has_said_nothing_makes_room_for_who_comes(served):
    served.serves()
    silent = [Raw(served.bound.address, served.kind) for _ in range(served.bound.guard._most + 3)]
    until(lambda: served.bound.refused["connections"] >= 3, served.work)
    assert silent[0].is_cut()
    served.serves()
    for raw in silent:
        raw.close()


@pytest.mark.parametrize("served", [Labelled, Tapped, Read], indirect=True)
def test_who_says_nothing_sensible_is_cut_off_after_a_while(served):
    nonsense = {"SUB": subscription(b"weather")}.get(served.kind, message(b"weather"))
    with Raw(served.bound.address, served.kind) as raw:
        for _ in range(guard.STRIKES + 1):
            raw.send(nonsense)
        until(lambda: served.bound.refused["nonsense"] == 1, served.work)
        assert raw.is_cut()
    served.serves()


def test_who_does_not_say_what_it_is_is_cut_off(context, monkeypatch):
    monkeypatch.setattr(sockets, "HANDSHAKE_MS", 100)
    made = Tap(context, TCP)
    with Raw(made.address, "") as raw:
        assert raw.is_cut()
    until(lambda: made.refusals() == {"handshake": 1})
    made.close()


def test_a_stranger_cannot_take_what_others_listen_to_away(context):
    made = Tap(context, TCP)
    with TapReader(made.address) as reader, Raw(made.address, "SUB") as raw:
        until(lambda: FRAME in made._topics, made.attend)
        raw.send(subscription(b"frame", yes=False) + subscription(b"basis"))
        until(lambda: b"basis" in made._topics, made.attend)
        made.frame(Output(frame(3), LOG))
        assert reader.receive().offset == 3
    until(lambda: not made._topics, made.attend)
    made.close()


def large(offset, rows):
    return Output(Frame("a", offset, arrays={"x": Array(np.zeros((rows, 256), np.float32), ("time", "y"))}), LOG)


def test_an_observer_that_never_reads_is_cut_off_and_one_that_reads_misses_nothing(context, monkeypatch):
    monkeypatch.setattr(tap, "LIMITS", replace(tap.LIMITS, behind=8 << 20))
    made = Tap(context, TCP)
    offsets = []
    with Raw(made.address, "SUB") as raw, TapReader(made.address, topics=(FRAME,)) as reader:
        raw.send(subscription(FRAME))
        until(lambda: len(made._topics.get(FRAME, ())) == 2, made.attend)

        def publish():
            made.frame(large(len(offsets), 1024))  # 1 MiB
            offsets.append(reader.receive().offset)

        until(lambda: made.refused["behind"], publish)
        assert reader.missed == 0
        until(lambda: len(made._topics[FRAME]) == 1, made.attend)
    made.status(status(1))
    made.close()


def test_one_message_is_never_too_much(context, monkeypatch):
    monkeypatch.setattr(tap, "LIMITS", replace(tap.LIMITS, behind=1000))
    made = Tap(context, TCP)
    with TapReader(made.address, topics=(FRAME,)) as reader:
        until(lambda: FRAME in made._topics, made.attend)
        made.frame(large(0, 1024))
        made.guard._look()
        assert reader.receive().offset == 0
        assert not made.refused
    made.close()


def test_messages_that_wait_for_a_busy_source_are_not_taken_for_one_without_end(monkeypatch):
    made = Pull(TCP, 1000, 1 << 10)
    monkeypatch.setattr(pull, "IN_KERNEL", 0)
    with Raw(made.address, "PUSH") as raw:
        one = message(bytes(1000))
        raw.send(one * 900)
        until(lambda: made.guard.connections)
        (connection,) = made.guard.connections.values()
        until(lambda: connection.received > 900_000)
        made.guard._look()
        for _ in range(900):
            assert made.socket.poll(1000)
            assert made.receive() is not None
        assert made.receive() is None
        made.guard._look()
        made.guard._look()
        assert connection.waiting < 1000
        assert not made.refused
    made.close()


def test_labels_of_a_segment_are_bounded_and_a_flood_of_them_does_not_hold_the_source_up(context):
    labels = LateLabels(context, f"{TCP}")
    labels.note(frame(0))
    with Raw(labels.address, "PUSH") as raw:
        flood = [message(*wire.encode(Frame("a", 0, labels={str(n): "x"}))) for n in range(300)]
        raw.send(b"".join(flood))
        calls = 0

        def once():
            nonlocal calls
            calls += 1
            assert labels.receive() is None

        until(lambda: sum(labels.counts().values()) >= 300, once)
    assert calls >= 300 // late_labels.MAX_MESSAGES
    assert labels.counts()["labels"] == late_labels.MAX_LABELS
    assert len(labels.note(frame(1)).labels) == late_labels.MAX_LABELS
    labels.close()


def test_a_descriptor_that_is_another_s_by_now_is_left_alone():
    ours, theirs = os.pipe()
    guard._shut(Connection(ours, 1, 0.0))
    os.write(theirs, b"x")
    assert os.read(ours, 1) == b"x"
    assert guard._port(ours) == -1
    os.close(ours)
    os.close(theirs)
    assert guard._port(ours) == -1
    guard._shut(Connection(ours, 1, 0.0))


@pytest.mark.parametrize("end", [lambda made, context: made.close(), lambda made, context: context.destroy(linger=0)])
def test_a_guard_ends_with_its_socket_and_with_its_context(end):
    context = zmq.Context()
    made = Tap(context, TCP)
    end(made, context)
    made.guard._thread.join(LONG)
    assert not made.guard._thread.is_alive()
    context.destroy(linger=0)


def test_a_message_of_many_parts_ends_the_connection():
    made = Pull(TCP, 100, 1 << 10)
    with Raw(made.address, "PUSH") as raw:
        raw.send(message(*[b""] * 2000))
        until(lambda: made.refused["endless"] == 1, made.receive)
        assert raw.is_cut()
    made.close()


def test_each_reader_has_room_beside_strangers(context):
    server = Server(context, TCP, readers=("r", "s"))
    assert server.outlet.guard.limits.connections == outlet.STRANGERS + 2
    server.outlet.close()
