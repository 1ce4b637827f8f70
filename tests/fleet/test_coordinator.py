"""The coordinator: what it merges, what it refuses, and that it says the same again after it was killed."""

import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from helpers.mixtures import mixed_sources

from stream_infomax import OnlineInfomax
from stream_infomax.fleet.archive import Archive, held
from stream_infomax.fleet.coordinator import Coordinator, UnfitError
from stream_infomax.learning.infomax.exchange import Delta, Shared
from stream_infomax.state.error import StateFileError
from stream_infomax.transport.messages import Ask, HandIn
from stream_infomax.transport.sockets import RefusedError

ROWS, _ = mixed_sources(12_000, 5)
SHARDS = ("00", "01", "02")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Fleet:
    """Learners whose deltas go to a coordinator by hand; `again` starts that one anew."""

    def __init__(self, run, shards=SHARDS, patience=0.0):
        self.run, self.shards, self.patience = run, shards, patience
        self.clock = Clock()
        self.learners = {name: OnlineInfomax() for name in (*shards, "box")}
        self.at = 600
        self.again()

    def again(self):
        self.coordinator = Coordinator(Archive(self.run), self.shards, self.patience, self.clock)

    def begin(self):
        learner = self.learners[self.shards[0]].partial_fit(ROWS[:600])
        self.coordinator.take(HandIn("00", "share", 0), learner.share(len(self.shards)).to_bytes())
        for name in self.shards:
            self.go_on(Ask(name, 0))
        return self

    def go_on(self, request):
        number = self.coordinator.answer(request)
        self.coordinator.keep_guests()
        content = self.coordinator.archive.content(number)
        self.learners[request.member].take(Shared.from_bytes(content, "shared"))
        return number

    def learn(self, name, n=150):
        """What a learner hands in after so many rows more."""
        learner = self.learners[name].partial_fit(ROWS[self.at : self.at + n])
        self.at += n
        return learner.delta(name).to_bytes()

    def hand_in(self, name, number, payload=None, **more):
        request = HandIn(name, "delta", number, guest=name == "box", **more)
        self.coordinator.take(request, payload or self.learn(name))
        return request

    def round(self, number, names=SHARDS, since=0, **more):
        requests = [self.hand_in(name, number, since=since, **more) for name in names]
        line = self.coordinator.merge()
        assert [self.go_on(request) for request in requests] == [number + 1] * len(names)
        return line


@pytest.fixture
def fleet(tmp_path):
    return Fleet(tmp_path).begin()


def refused(fleet, request, payload=b""):
    before = sum(fleet.coordinator.refused.values())
    with pytest.raises(UnfitError) as caught:
        fleet.coordinator.take(request, payload)
    assert sum(fleet.coordinator.refused.values()) == before + 1
    return caught.value.reason


def test_a_fleet_is_what_merging_by_hand_is(fleet):
    base = Shared.load(fleet.coordinator.archive.path(0))
    deltas = [fleet.learn(name) for name in SHARDS]
    # the order in which they come changes no bit
    for name, delta in reversed(list(zip(SHARDS, deltas, strict=True))):
        assert fleet.coordinator.merge() is None
        request = fleet.hand_in(name, 0, delta)
        assert fleet.coordinator.answer(request) is None
    line = fleet.coordinator.merge()
    expected = OnlineInfomax.merge(base, [Delta.from_bytes(one, "one") for one in deltas])
    assert line.digest == expected.digest
    assert fleet.coordinator.archive.content(1) == expected.to_bytes()
    assert line.parts == {name: Delta.from_bytes(one, name).rows for name, one in zip(SHARDS, deltas, strict=True)}


def test_the_end_waits_for_all_and_leaves_a_basis(fleet):
    fleet.round(0)
    fleet.hand_in("01", 1, last=True)
    assert fleet.coordinator.due() is None
    for name in ("00", "02"):
        fleet.hand_in(name, 1)
    assert fleet.coordinator.merge().done == ["01"]
    for name in ("00", "02"):
        fleet.go_on(HandIn(name, "delta", 1))
    assert not fleet.coordinator.over
    line = fleet.round(2, ("00", "02"), last=True)
    assert fleet.coordinator.over
    assert Shared.load(fleet.run / "basis.safetensors").digest == line.digest
    assert Shared.load(fleet.run / "basis.safetensors").learners == 1


def test_a_coordinator_that_was_killed_goes_on_with_the_same_bits(tmp_path):
    digests = []
    for killed in (False, True):
        fleet = Fleet(tmp_path / str(killed)).begin()
        for number in range(3):
            deltas = {name: fleet.learn(name) for name in SHARDS}
            for name in ("00", "02"):
                fleet.hand_in(name, number, deltas[name])
            if killed:  # what was not merged is handed in again
                fleet.again()
                fleet.hand_in("00", number, deltas["00"])
                fleet.hand_in("02", number, deltas["02"])
            fleet.hand_in("01", number, deltas["01"])
            digests.append(fleet.coordinator.merge().digest)
            if killed:  # before anybody had an answer
                fleet.again()
            for name in SHARDS:
                assert fleet.go_on(fleet.hand_in(name, number, deltas[name])) == number + 1
            assert fleet.coordinator.merge() is None
    assert digests[:3] == digests[3:]


def test_any_order_any_repeats_and_any_restarts_lead_to_the_same_bits(tmp_path):
    """Requests of a fleet of three, as they were in a plain run, come as chance will have it."""
    plain = Fleet(tmp_path / "plain")
    share = plain.learners["00"].partial_fit(ROWS[:600]).share(3).to_bytes()
    plain.coordinator.take(HandIn("00", "share", 0), share)
    said = {"00": [(HandIn("00", "share", 0), share)], "01": [(Ask("01", 0), b"")], "02": [(Ask("02", 0), b"")]}
    for name in SHARDS:
        plain.go_on(Ask(name, 0))
    ends = {"00": 3, "01": 1, "02": 2}  # the round in which each stream is over
    for number in range(4):
        for name in (there := [name for name in SHARDS if number <= ends[name]]):
            request = HandIn(name, "delta", number, number == ends[name])
            said[name].append((request, plain.learn(name)))
            plain.coordinator.take(*said[name][-1])
        plain.coordinator.merge()
        for name in there:
            plain.go_on(said[name][-1][0])
    expected = plain.coordinator.archive.lines[-1].digest
    for seed in range(12):
        rng = np.random.default_rng(seed)
        fleet = Fleet(tmp_path / str(seed))
        at = dict.fromkeys(SHARDS, 0)
        while any(at[name] < len(said[name]) for name in SHARDS):
            name = str(rng.choice(SHARDS))
            if rng.random() < 0.1:
                fleet.again()
            # a member that was restored says once more what it has said
            request, payload = said[name][min(at[name], rng.integers(len(said[name])))] if at[name] else said[name][0]
            if at[name] < len(said[name]) and rng.random() < 0.7:
                request, payload = said[name][at[name]]
            fleet.coordinator.take(request, payload)
            if rng.random() < 0.8:
                fleet.coordinator.merge()
            if fleet.coordinator.answer(request) is not None and at[name] < len(said[name]):
                at[name] += request == said[name][at[name]][0]
        assert fleet.coordinator.over
        assert fleet.coordinator.archive.lines[-1].digest == expected


def test_a_round_that_nobody_heard_of_is_forgotten(fleet):
    (fleet.run / "rounds" / "000001.safetensors").write_bytes(b"half")
    with (fleet.run / "rounds.jsonl").open("ab") as file:
        file.write(b'{"number": 1, "dig')
    fleet.again()
    assert fleet.coordinator.newest == 0
    assert fleet.round(0).number == 1


@pytest.mark.parametrize("call", range(3))
def test_where_the_disk_is_full_nothing_has_happened(fleet, monkeypatch, call):
    for name in SHARDS:
        fleet.hand_in(name, 0)
    real, calls = os.fsync, []

    def fsync(number):
        calls.append(number)
        if len(calls) == call + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(number)

    before = (fleet.run / "rounds.jsonl").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(StateFileError, match="not written: No space left"):
            fleet.coordinator.merge()
    assert (fleet.run / "rounds.jsonl").read_bytes() == before
    assert fleet.coordinator.newest == 0
    line = fleet.coordinator.merge()
    assert line.number == 1
    fleet.again()
    assert fleet.coordinator.archive.shared(1).digest == line.digest


def test_a_damaged_record_is_refused_by_name(fleet):
    path = fleet.run / "rounds.jsonl"
    path.write_bytes(path.read_bytes() + b'{"number": 7}\n')
    with pytest.raises(StateFileError, match=r"rounds\.jsonl: line 2 is not readable"):
        fleet.again()


def test_what_learnt_otherwise_than_before_is_refused(fleet):
    first, second = fleet.learn("00"), fleet.learn("00")
    fleet.hand_in("00", 0, first)
    fleet.hand_in("00", 0, first)
    assert refused(fleet, HandIn("00", "delta", 0), second) == "otherwise"
    for name in ("01", "02"):
        fleet.hand_in(name, 0)
    fleet.coordinator.merge()
    assert refused(fleet, HandIn("00", "delta", 0), second) == "otherwise"
    assert fleet.coordinator.answer(fleet.hand_in("00", 0, first)) == 1
    assert fleet.coordinator.merge() is None  # a delta that comes twice counts once


def test_bad_deltas_are_refused_by_reason_and_change_nothing(fleet):
    fleet.round(0)
    delta = Delta.from_bytes(fleet.learn("00"), "delta")
    bad = {
        "format": [b"", b"\0" * 40, delta.to_bytes()[:-1], fleet.coordinator.archive.content(1)],
        "values": [
            replace(delta, sum=delta.sum * np.nan).to_bytes(),
            replace(delta, weight=-1.0).to_bytes(),
            replace(delta, parts={}).to_bytes(),
            replace(delta, parts=[1]).to_bytes(),
            replace(delta, scatter=delta.scatter.astype(np.complex64)).to_bytes(),
        ],
        "member": [replace(delta, parts={"01": 5}).to_bytes(), replace(delta, parts={"00": 1, "x": 1}).to_bytes()],
        "base": [replace(delta, base="0" * 32).to_bytes(), replace(delta, number=0).to_bytes()],
        "size": [replace(delta, sum=delta.sum[:-1]).to_bytes(), replace(delta, means={}).to_bytes()],
    }
    for reason, contents in bad.items():
        for content in contents:
            assert refused(fleet, HandIn("00", "delta", 1), content) == reason
    assert refused(fleet, HandIn("00", "delta", 2), delta.to_bytes()) == "round"
    assert refused(fleet, HandIn("00", "delta", 1, fleet="0" * 16), delta.to_bytes()) == "fleet"
    assert refused(fleet, HandIn("07", "delta", 1), delta.to_bytes()) == "member"
    assert refused(fleet, HandIn("00", "delta", 1, guest=True), delta.to_bytes()) == "member"
    share = fleet.learners["00"].partial_fit(ROWS[:20]).share(3)
    assert refused(fleet, HandIn("00", "share", 0), share.to_bytes()) == "otherwise"
    assert refused(fleet, HandIn("01", "share", 0), fleet.coordinator.archive.content(0)) == "member"
    assert refused(fleet, Ask("01", 9)) == "round"
    fleet.hand_in("00", 1, delta.to_bytes())
    fleet.hand_in("01", 1)
    fleet.hand_in("02", 1)
    assert fleet.coordinator.merge().refused["format"] == 4


def test_only_the_first_begins(tmp_path):
    fleet = Fleet(tmp_path)
    share = fleet.learners["00"].partial_fit(ROWS[:600]).share(3)
    assert refused(fleet, HandIn("01", "share", 0), share.to_bytes()) == "member"
    assert refused(fleet, HandIn("00", "share", 0), replace(share, learners=2).to_bytes()) == "round"
    assert fleet.coordinator.answer(Ask("01", 0)) is None
    fleet.coordinator.take(HandIn("00", "share", 0), share.to_bytes())
    assert fleet.coordinator.answer(Ask("01", 0)) == 0


def test_rounds_that_no_member_goes_back_to_are_forgotten(fleet):
    for number in range(4):
        fleet.round(number, since=max(0, number - 1))
    assert sorted(path.name for path in (fleet.run / "rounds").glob("*.safetensors")) == [
        f"{number:06}.safetensors" for number in (2, 3, 4)
    ]
    assert refused(fleet, Ask("00", 0)) == "old"
    assert len((fleet.run / "rounds.jsonl").read_text().splitlines()) == 5


def test_patience_merges_without_those_that_lag_and_takes_them_later(tmp_path):
    fleet = Fleet(tmp_path, patience=2.0).begin()
    lagging = fleet.learn("02")
    requests = [fleet.hand_in(name, 0) for name in ("00", "01")]
    assert fleet.coordinator.due() == 2.0
    assert fleet.coordinator.merge() is None
    fleet.clock.now = 2.0
    assert fleet.coordinator.merge().late == ["02"]
    for request in requests:
        fleet.go_on(request)
    late = fleet.hand_in("02", 0, lagging)
    assert fleet.coordinator.answer(late) is None
    requests = [fleet.hand_in(name, 1) for name in ("00", "01")]
    line = fleet.coordinator.merge()
    for request in requests:
        fleet.go_on(request)
    assert (line.late, line.bases["02"], line.discount) == ([], 0, {"02": 0.5})
    assert fleet.go_on(late) == 2
    assert fleet.round(2).discount == {}
    total = Shared.load(fleet.coordinator.archive.path(3))
    came = sum(sum(json.loads(one)["parts"].values()) for one in lines(fleet)[1:])
    assert total.rows == Shared.load(fleet.coordinator.archive.path(0)).rows + came


def lines(fleet):
    return (fleet.run / "rounds.jsonl").read_text().splitlines()


def test_guests_count_when_they_come_and_nobody_waits_for_them(fleet):
    ask = Ask("box", 0, guest=True)
    fleet.coordinator.take(ask)
    assert fleet.go_on(ask) == 0
    for number in range(3):
        fleet.round(number, since=number)
    fleet.again()  # what it went on with is kept over a restart, too
    assert fleet.coordinator.archive.holds(0)
    request = fleet.hand_in("box", 0)
    fleet.hand_in("box", 0, fleet.learn("box", 300))  # it went on without an answer
    assert fleet.coordinator.merge() is None
    line = fleet.round(3, since=3)
    assert line.discount == {"box": 0.125}
    assert line.learners == 4
    assert line.parts["box"] > 300
    assert fleet.go_on(request) == 4
    # it never heard of that, learnt on, and comes again: nothing counts twice
    fleet.hand_in("box", 0, fleet.learn("box"))
    fleet.hand_in("box", 4, fleet.learn("box"))
    assert fleet.round(4, since=4).parts.keys() == {"00", "01", "02", "box"}


def test_a_guest_that_would_spoil_the_basis_is_refused(fleet):
    ask = Ask("box", 0, guest=True)
    fleet.coordinator.take(ask)
    fleet.go_on(ask)
    delta = Delta.from_bytes(fleet.learn("box"), "delta")
    huge = replace(delta, scatter=np.full_like(delta.scatter, 1e300))
    fleet.hand_in("box", 0, huge.to_bytes())
    line = fleet.round(0)
    assert line.parts.keys() == set(SHARDS)
    assert line.refused == {"values": 1}
    assert line.learners == 3
    assert fleet.coordinator.spoilt["box"].startswith("delta of box: merging: ")
    fleet.hand_in("box", 0, delta.to_bytes())
    assert "box" in fleet.round(1).parts


def test_a_second_coordinator_is_refused_and_names_the_first(tmp_path):
    with held(tmp_path), pytest.raises(RefusedError, match=r"has a coordinator, process [0-9]+"), held(tmp_path):
        pass
    with held(tmp_path):
        pass
