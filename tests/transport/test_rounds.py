"""What members of a fleet hand in, and what they hear."""

import time

import pytest
import zmq
from helpers.wire import LONG

from stream_infomax.transport import rounds
from stream_infomax.transport.messages import Ask, Common, HandIn, Heard, Refused
from stream_infomax.transport.rounds import Member, Rendezvous
from stream_infomax.transport.sockets import RefusedError


def served(coordinator, member, answers):
    """Return what a member gets where the coordinator answers each request with the next of `answers`."""
    end, asked = time.monotonic() + LONG, []
    while time.monotonic() < end:
        for one in coordinator.asked():
            asked.append(one)
            for answer, payload in answers.pop(0):
                coordinator.answer(one, answer, payload)
        if (got := member.poll()) is not None:
            return got, [one.request for one in asked], [one.payload for one in asked]
        zmq.select([coordinator.socket, *member.sockets], [], [], min(0.05, member.due()))
    raise AssertionError("no answer")


@pytest.fixture(params=["ipc", "tcp"])
def coordinator(request, context, tmp_path):
    made = Rendezvous(context, f"ipc://{tmp_path}/rounds" if request.param == "ipc" else "tcp://127.0.0.1:*")
    yield made
    made.close()


@pytest.fixture
def member(context, coordinator):
    made = Member(context, lambda: coordinator.address, "00")
    yield made
    made.close()


def test_a_member_hands_in_what_it_has_learnt_and_gets_what_follows(coordinator, member):
    member.since = 3
    member.hand_in("delta", 4, b"what was learnt", last=True)
    got, asked, payloads = served(coordinator, member, [[(Heard("f", 4), b""), (Common("f", 5), b"what follows")]])
    assert got == (5, b"what follows")
    assert asked == [HandIn("00", "delta", 4, True, 3)]
    assert payloads == [b"what was learnt"]
    assert (member.fleet, member.waits) == ("f", False)


def test_what_answers_a_request_of_before_is_passed_over(coordinator, member):
    member.hand_in("delta", 4, b"")
    answers = [[(Common("f", 4), b"old"), (Common("f", 6), b"newer")]]
    assert served(coordinator, member, answers)[0] == (6, b"newer")
    member.ask(6)
    assert served(coordinator, member, [[(Common("f", 6), b"newer")]])[0] == (6, b"newer")


def test_a_request_without_an_answer_is_repeated(coordinator, member, monkeypatch):
    monkeypatch.setattr(rounds, "SILENCE", 0.02)
    member.ask(0)
    got, asked, _ = served(coordinator, member, [[], [], [(Common("f", 0), b"x")]])
    assert got == (0, b"x")
    assert asked == 3 * [Ask("00", 0)]


def test_a_coordinator_that_has_moved_is_found(context, coordinator, tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "SILENCE", 0.02)
    places = iter(["", f"ipc://{tmp_path}/nobody"])
    member = Member(context, lambda: next(places, coordinator.address), "00")
    member.ask(0)
    assert served(coordinator, member, [[(Common("f", 0), b"x")] for _ in range(9)])[0] == (0, b"x")
    member.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Refused("round", "delta 00: of another base"), "refuses '00': delta 00: of another base"),
        (Common("other", 1), "is of fleet other; '00' learns with f"),
    ],
)
def test_a_refusal_is_final_and_says_why(coordinator, member, answer, said):
    member.fleet = "f"
    member.hand_in("delta", 0, b"")
    with pytest.raises(RefusedError, match=said):
        served(coordinator, member, [[(answer, b"")]])


@pytest.mark.parametrize(
    "parts", [[], [b"x"], [b"\x80"], [rounds.messages.encode(Ask("00", 0)), b"x"], 3 * [b""], [bytes(5000)]]
)
def test_what_is_no_request_is_refused_and_counted(context, coordinator, parts):
    with context.socket(zmq.DEALER) as socket:
        socket.connect(coordinator.address)
        socket.send_multipart(parts or [b""])
        assert coordinator.socket.poll(1000 * LONG)
        assert list(coordinator.asked()) == []
        assert coordinator.refused["request"] == 1
        assert socket.poll(1000 * LONG)
        assert b"not a request" in socket.recv()
