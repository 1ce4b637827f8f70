"""Listener: what services publish arrives, what strangers publish does not, and frames only while somebody looks."""

import math
import time

import msgspec
import numpy as np
import pytest
import zmq
from helpers.wire import frame, status

from stream_infomax.frames.basis import Basis
from stream_infomax.frames.contracts import Output
from stream_infomax.page.listening import Listener
from stream_infomax.page.watched import Watched
from stream_infomax.transport import messages
from stream_infomax.transport.keys import LOCAL, Access, Keys, new
from stream_infomax.transport.tap import BASIS, SAMPLED, STATUS, Tap

BASIS_OF = Basis(
    stage="learner", encoder="e", version="0" * 12, output="potential", amplitude=1.0, mean=np.zeros(2),
    components=np.eye(2, dtype=np.float32), mixing=np.eye(2, dtype=np.float32), beta=np.ones(2, np.float32),
    bias=np.ones(2, np.float32),
)  # fmt: skip


class Ear:
    """A listener to the tap of one service, and the tap."""

    def __init__(self, address, access=LOCAL, show=lambda socket, address: None):
        self.context = zmq.Context()
        self.answering = access.answering(self.context)
        self.answering.__enter__()
        self.tap = Tap(self.context, address, access)
        self.watched = Watched("run", ["source", "learner"])
        self.looks = True
        self.runs = {"one"}
        self.listener = Listener(
            self.watched,
            {"learner": self.tap.address},
            "source",
            show=show,
            is_run=lambda run: run in self.runs,
            looked_at=lambda: self.looks,
        )

    def until(self, condition, publish=lambda: None):
        """Publish and listen until a condition holds."""
        until = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < until
            publish()
            self.tap.attend()
            self.listener.attend()

    def say(self, newest, run="one", **changes):
        self.tap.status(status(newest, run=run, **changes))

    def close(self):
        self.listener.close()
        self.tap.close()
        self.answering.__exit__(None, None, None)
        self.context.term()


@pytest.fixture
def ear(tmp_path):
    made = Ear(f"ipc://{tmp_path}/learner.tap")
    made.until(lambda: made.watched.statuses, lambda: made.say(0))
    yield made
    made.close()


def test_status_basis_frames_and_input_arrive_where_they_belong(ear):
    ear.tap.basis(BASIS_OF)
    ear.until(lambda: ear.watched.bases)
    assert ear.watched.bases["learner"].version == "0" * 12

    def publish():
        ear.tap.input(Output(frame(3, rows=2), "log"))
        ear.tap.frame(Output(frame(4, rows=5), "log"))

    ear.until(lambda: {"source", "learner"} <= set(ear.watched.newest), publish)
    assert (ear.watched.newest["source"].offset, ear.watched.newest["learner"].offset) == (3, 4)
    assert len(ear.watched.ring("learner").rows) == 5


def test_frames_are_not_even_sent_while_nobody_looks(ear):
    ear.until(lambda: ear.tap._listeners[SAMPLED])
    ear.looks = False
    ear.until(lambda: not ear.tap._listeners[SAMPLED])
    before = ear.watched.newest.get("learner")
    ear.tap.frame(Output(frame(9), "log"))
    ear.until(lambda: ear.watched.statuses["learner"].newest == 5, lambda: ear.say(5))
    assert ear.watched.newest.get("learner") is before
    ear.looks = True
    ear.until(lambda: "learner" in ear.watched.newest, lambda: ear.tap.frame(Output(frame(10), "log")))


JUNK = {
    "no map": [STATUS, b"\xc1"],
    "too few parts": [STATUS],
    "too many parts": [STATUS, b"\x80", b""],
    "another service": [STATUS, messages.encode(status(7, run="one", name="other"))],
    "another run": [STATUS, messages.encode(status(7, run="another"))],
    "a count that is none": [STATUS, messages.encode({**msgspec.to_builtins(status(7, run="one")), "newest": "7"})],
    "a time that no calendar has": [STATUS, messages.encode(status(7, run="one", last_checkpoint=1e300))],
    "a time that is no number": [STATUS, messages.encode(status(7, run="one", started=math.nan))],
    "no frame": [SAMPLED, b"\x80"],
    "no parts of a frame": [SAMPLED],
    "no basis": [BASIS, b"\x80", b"", b"", b"", b"", b""],
    "nested": [STATUS, b"\x91" * 100_000],
}


@pytest.mark.parametrize("what", JUNK)
def test_what_is_none_of_ours_is_counted_and_changes_nothing(ear, what):
    ear.until(lambda: ear.tap._listeners[SAMPLED])
    known = ear.watched.statuses["learner"]
    ear.tap.socket.send_multipart(JUNK[what])
    ear.until(lambda: ear.listener.refused)
    assert ear.watched.statuses["learner"].newest == known.newest
    assert not ear.watched.newest
    assert not ear.watched.bases
    ear.until(lambda: ear.watched.statuses["learner"].newest == 8, lambda: ear.say(8))


def test_a_run_that_begins_afresh_begins_afresh_here(ear):
    ear.tap.basis(BASIS_OF)
    ear.until(lambda: ear.watched.bases)
    ear.runs.add("two")
    ear.until(lambda: ear.watched.statuses["learner"].run == "two", lambda: ear.say(0, run="two"))
    assert not ear.watched.bases


@pytest.fixture
def keys(tmp_path):
    new(tmp_path / "run")
    return Keys(tmp_path / "run")


def test_who_has_no_key_is_told_so_on_the_page(keys):
    ear = Ear("tcp://127.0.0.1:*", Access(keys))
    try:
        ear.until(lambda: ear.watched.unreachable, lambda: ear.say(0))
        assert "key" in ear.watched.unreachable["learner"]
        assert not ear.watched.statuses
    finally:
        ear.close()


def test_who_has_a_key_hears_all(keys):
    ear = Ear("tcp://127.0.0.1:*", Access(keys), show=keys.call)
    try:
        ear.until(lambda: ear.watched.statuses, lambda: ear.say(0))
        assert not ear.watched.unreachable
    finally:
        ear.close()
