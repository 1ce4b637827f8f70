"""A loop that learns with a fleet as its guest: what it takes and gives, alone and connected, and across deaths."""

import time

import pytest
from helpers.guests import ROUND, Box, Fleet
from helpers.wire import LONG

from stream_infomax.learning.infomax.exchange import Shared
from stream_infomax.service.guests import ROUNDS
from stream_infomax.transport.keys import Access, new
from stream_infomax.transport.messages import HandIn, Refused
from stream_infomax.transport.sockets import RefusedError

ROWS_A_FRAME = 4


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr("stream_infomax.transport.rounds.SILENCE", 0.1)


@pytest.fixture
def fleet(tmp_path):
    return Fleet(tmp_path)


def until(loop, met, *desks):
    """Let a loop and coordinators take turns until something is met."""
    end = time.monotonic() + LONG
    while not met():
        assert time.monotonic() < end, "it takes too long"
        loop.once(0.001)
        for desk in desks:
            desk.turn()


def alone(loop, offset):
    """Let a loop go on until it has processed a frame."""
    until(loop, lambda: loop.newest >= offset)


def rounds(loop):
    return loop.taking.rounds


def handed_in(fleet):
    return lambda: "box" in fleet.coordinator._handed


def test_it_waits_for_a_basis_and_begins_with_what_all_have(tmp_path, fleet):
    box = Box(tmp_path, fleet)
    with box.life() as loop:
        for _ in range(20):
            loop.once(0)
        assert loop.newest == -1  # nobody is there
        with fleet.desk() as desk:
            until(loop, lambda: loop.taking.member.heard, desk)
            assert loop.newest == -1  # nobody has begun
            fleet.begin()
            until(loop, lambda: rounds(loop).number == 0, desk)
            assert rounds(loop).fleet == desk.coordinator.archive.fleet
            assert loop.stages.counts()["features"]["round"] == 0


def test_what_it_has_learnt_is_merged_and_what_all_have_learnt_comes_back(tmp_path, fleet):
    box = Box(tmp_path, fleet, patience=LONG)
    with fleet.desk() as desk, box.life() as loop:
        fleet.begin()
        until(loop, lambda: rounds(loop).waiting == "next" and handed_in(fleet)(), desk)
        newest = loop.newest
        for _ in range(20):
            loop.once(0)
        assert loop.newest == newest  # it has patience
        line = fleet.go_on()
        assert line.parts["box"] >= ROUND - 2 * ROWS_A_FRAME
        until(loop, lambda: rounds(loop).number == 1, desk)
        assert rounds(loop).given_up == 0
        assert set(line.parts) == {"00", "box"}


def test_while_it_hears_nothing_it_learns_on_and_all_that_is_merged_later(tmp_path, fleet):
    box = Box(tmp_path, fleet)
    with box.life() as loop:
        with fleet.desk() as desk:
            fleet.begin()
            until(loop, lambda: rounds(loop).number == 0, desk)
        alone(loop, 299)  # nobody is there for many rounds
        with fleet.desk() as desk:
            fleet.learner.take(fleet.shared)
            fleet.go_on()
            fleet.go_on()  # the others have not waited
            until(loop, handed_in(fleet), desk)
            line = fleet.go_on()
            assert line.bases["box"] == 0
            assert line.discount["box"] == 0.25
            assert line.parts["box"] >= 290 * ROWS_A_FRAME - 256
            until(loop, lambda: rounds(loop).number == line.number, desk)
            assert rounds(loop).given_up <= ROUND


def test_it_waits_no_longer_than_its_patience_and_only_once(tmp_path, fleet):
    box = Box(tmp_path, fleet, patience=5.0)
    with box.life() as loop:
        with fleet.desk() as desk:
            fleet.begin()
            until(loop, lambda: rounds(loop).number == 0, desk)
        now = [0.0]
        loop.taking._clock = lambda: now[0]
        until(loop, lambda: loop.taking.blocking and loop.taking.member.waits)
        newest = loop.newest
        now[0] = 4.9
        loop.once(0)
        assert loop.newest == newest
        assert loop.taking.due() <= 0.1 + 1e-9
        now[0] = 5.1
        alone(loop, 350)  # five more rounds: nobody waits again


def test_a_stream_that_is_over_waits_until_its_last_is_merged(tmp_path, fleet):
    box = Box(tmp_path, fleet, n_frames=50)
    with box.life() as loop:
        with fleet.desk() as desk:
            fleet.begin()
            until(loop, lambda: rounds(loop).number == 0, desk)
        until(loop, lambda: rounds(loop).last)
        for _ in range(50):
            assert loop.once(0)
        assert not loop.finished
        assert not loop.stop()
    with box.life() as loop, fleet.desk() as desk:  # days later
        fleet.learner.take(fleet.shared)
        until(loop, handed_in(fleet), desk)
        line = fleet.go_on()
        until(loop, lambda: loop.finished, desk)
        assert rounds(loop).number == line.number
        assert Shared.load(desk.coordinator.archive.path(line.number)).digest == line.digest
        assert loop.stop()


def test_what_is_handed_in_is_what_it_has_learnt_by_the_end(tmp_path, fleet):
    box = Box(tmp_path, fleet, n_frames=60)
    with box.life() as loop, fleet.desk() as desk:
        fleet.begin()
        until(loop, lambda: rounds(loop).number == 0, desk)
        until(loop, handed_in(fleet), desk)  # the first round's, which nobody merges
        before = fleet.coordinator._handed["box"].delta.rows
        until(loop, lambda: fleet.coordinator._handed["box"].last, desk)
        assert before < fleet.go_on().parts["box"]
        until(loop, lambda: loop.finished, desk)
        assert rounds(loop).given_up == 0


def test_deaths_at_any_place_change_nothing_of_what_was_said(tmp_path, fleet):
    box, again, taken = Box(tmp_path, fleet, n_frames=100_000, every=30), 0, [0]
    with fleet.desk() as desk:
        fleet.begin()
        for number in range(6):
            with box.life() as loop:
                again += bool(loop.taking._again)
                until(loop, lambda: rounds(loop).taken >= taken[-1], desk)  # what the life before had taken
                if number:
                    until(loop, handed_in(fleet), desk)
                    fleet.go_on(64)
                until(loop, lambda: rounds(loop).taken > taken[-1], desk)
                for _ in range(number):
                    loop.once(0)
                taken.append(rounds(loop).taken)
    assert again
    assert box.twice > 30
    kept = sorted(path.name for path in (box.service.folder / ROUNDS).iterdir())
    assert len(kept) <= 2 * taken[-1] + 1


def test_what_is_declined_is_given_up_and_the_newest_taken(tmp_path, fleet):
    box = Box(tmp_path, fleet)
    with fleet.desk() as desk, box.life() as loop:
        fleet.begin()
        until(loop, lambda: rounds(loop).number == 0, desk)
        coordinator, take = desk.coordinator, desk._take

        def declining(asked):
            if isinstance(asked.request, HandIn):
                desk.rendezvous.answer(asked, Refused("round", "not kept any more"))
            else:
                take(asked)

        desk._take = declining
        until(loop, lambda: rounds(loop).taken == 2, desk)
        assert coordinator.newest == 0
        assert rounds(loop).given_up >= ROUND - 8


def test_another_fleet_is_refused(tmp_path, fleet):
    box = Box(tmp_path, fleet)
    with box.life() as loop:
        with fleet.desk() as desk:
            fleet.begin()
            until(loop, lambda: rounds(loop).number == 0, desk)
        (fleet.run / "fleet.id").write_text("0123456789abcdef\n")
        with fleet.desk() as desk, pytest.raises(RefusedError, match="fleet 0123456789abcdef"):
            until(loop, lambda: False, desk)


def test_a_stranger_without_a_key_is_refused_by_name(tmp_path, fleet):
    keys = new(tmp_path / "keys")
    fleet.address = "tcp://127.0.0.1:*"
    with fleet.desk(Access.of(str(keys.folder), False)) as desk:
        fleet.begin()
        strange = Box(tmp_path, fleet)
        with (
            strange.life() as loop,
            pytest.raises(RefusedError, match=r"one side has keys and the other has none|breaks"),
        ):
            until(loop, lambda: False, desk)
        known = Box(tmp_path / "known", fleet, keys=keys)
        with known.life() as loop:
            until(loop, lambda: rounds(loop).number == 0, desk)
