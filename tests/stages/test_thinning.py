"""Thinning: learning keeps to its budget, encoding is never left out, and the same shares give the same bits."""

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers.faults import fault

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Pipeline, Timed
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.run.bits import first_difference
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.stages.own_learners import Shared
from stream_infomax.stages.steering import Steering
from stream_infomax.stages.thinning import SPARSEST, Thinning, is_learnt

K, ROWS = 6, 32


class Clock:
    """A clock that goes on as it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def work(thinning: Thinning, clock: Clock, offsets: range, *, encode: float, learn: float, idle: float = 0.0) -> None:
    """Go through frames of which each takes these milliseconds, and after which nobody waits for some more."""
    for offset in offsets:
        thinning.begin(offset, offset * ROWS)
        learns = thinning.learns(offset)
        clock.now += (encode + learn * learns) / 1000
        thinning.end(learns)
        clock.now += idle / 1000
        thinning.rest(idle / 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("one_in", [2, 4, 16, SPARSEST])
def test_a_share_is_kept_to_in_every_stream_and_far_out(one_in: int) -> None:
    for start in (0, 2**32 - 1000, 2**53, 2**62):
        for turns in (1, 2, 3, 16):  # streams that take turns
            for first in range(start, start + turns):
                n = sum(is_learnt(first + turns * number, one_in) for number in range(64 * one_in))
                assert abs(n - 64) <= 16
    assert all(is_learnt(offset, one_in // 2) for offset in range(5000) if is_learnt(offset, one_in))


def test_the_largest_share_that_fits_is_learnt_from(clock: Clock) -> None:
    thinning = Thinning("learner", 1.0, clock)
    work(thinning, clock, range(3000), encode=0.5, learn=3.5)
    assert thinning.one_in == 8  # 0.5 + 3.5 / 8 = 0.94; a fourth would take 1.38
    kinds = [event.kind for event in thinning.events()]
    assert kinds[0] == "thin"
    assert len(kinds) <= 2


def test_it_stays_at_the_sparsest_where_encoding_alone_takes_too_long(clock: Clock) -> None:
    thinning = Thinning("learner", 1.0, clock)
    work(thinning, clock, range(5000), encode=2.0, learn=3.5)
    assert thinning.one_in == SPARSEST
    assert len(thinning.events()) <= 6


def test_within_the_budget_and_without_one_everything_is_learnt_from(clock: Clock) -> None:
    for budget in (0.0, 5.0):
        thinning = Thinning("learner", budget, clock)
        work(thinning, clock, range(2000), encode=0.5, learn=3.5)
        assert thinning.one_in == 1
        assert not thinning.events()


def test_it_recovers_within_seconds_when_the_load_falls(clock: Clock) -> None:
    thinning = Thinning("learner", 1.0, clock)
    work(thinning, clock, range(2000), encode=0.5, learn=30)
    assert thinning.one_in == SPARSEST
    fallen = clock.now
    offset = 2000
    while thinning.one_in > 1:
        work(thinning, clock, range(offset, offset + 1), encode=0.1, learn=0.3)
        offset += 1
    assert clock.now - fallen < 10
    assert [event.kind for event in thinning.events()][-6:] == ["resume"] * 6


def test_time_that_nobody_waits_for_is_used(clock: Clock) -> None:
    thinning = Thinning("learner", 1.0, clock)
    work(thinning, clock, range(2000), encode=0.5, learn=3.5)
    assert thinning.one_in == 8
    work(thinning, clock, range(2000, 4000), encode=0.5, learn=3.5, idle=6)  # frames come more rarely
    assert thinning.one_in == 1


class Machine(Clock):
    """A clock of which each machine has one."""

    here = Clock()

    def __call__(self) -> float:
        return self.here()


def test_a_pickle_measures_by_the_clock_of_the_machine_that_it_comes_to() -> None:
    Machine.here.now = 1e9
    thinning = Thinning("learner", 1.0, Machine())
    work(thinning, Machine.here, range(4), encode=0.5, learn=3.5)
    pickled = pickle.dumps(thinning)
    Machine.here.now = 0.0
    copy = pickle.loads(pickled)  # noqa: S301
    work(copy, Machine.here, range(4, 3000), encode=0.5, learn=3.5)
    assert copy.one_in == 8


def test_what_wavers_changes_ever_more_rarely(clock: Clock) -> None:
    thinning = Thinning("learner", 1.0, clock)
    for offset in range(100_000):  # learning is cheap while it is rare
        work(thinning, clock, range(offset, offset + 1), encode=0.5, learn=3.5 if thinning.one_in < 8 else 0.4)
    assert clock.now > 50
    assert thinning._n_changes < 20


# ---------------------------------------------------------------- in a stage


def frames(n: int, streams: int = 1) -> Iterator[Frame]:
    generator = np.random.default_rng(7)
    mixing = generator.normal(size=(K, K))
    for offset in range(n):
        rows = (generator.laplace(size=(ROWS, K)) @ mixing).astype(np.float32)
        yield Frame(f"s{offset % streams}", offset, arrays={"x": Array(rows, ("time", "channel"))}, rate=100.0)


class Slow(Clock):
    """A clock that goes on by 2 ms a reading: every frame takes as long, and thinning is no help."""

    def __call__(self) -> float:
        self.now += 0.002
        return self.now


def stage(share: str, **settings: Any) -> Any:
    made = LearnerStage("learner", "x", seed=1, block=16, warmup=60, share=share, output="poisson", **settings)
    made.thinning._clock = Slow()
    made.thinning._start()
    return made


@fault("thinned")
@pytest.mark.parametrize("share", ["all", "stream"])
def test_the_same_shares_give_the_same_bits(share: str) -> None:
    given = list(frames(900, 2))
    one = stage(share, budget_ms=1.0)
    assert isinstance(one, Timed)
    made = [one.process(frame) for frame in given]
    counts = one.counts()
    told = [(frame.offset, event.kind, event.text) for frame in made for event in frame.events if event.kind == "thin"]
    assert told
    assert all(text.startswith(f"from offset {offset:,} on 1 of ") for offset, _, text in told)
    assert [text for *_, text in told] == [event.text for event in one.events() if event.kind == "thin"]
    assert counts["set aside: thinned"] > 300 * ROWS
    assert counts["rows"] + counts["set aside: thinned"] == 900 * ROWS
    assert all(np.isfinite(frame.arrays["learner"].data).all() for frame in made[100:])  # all are encoded

    again = Pipeline([stage(share)])
    again.retrace({"learner": one.state()})
    half = [again.process(frame) for frame in given[:500]]
    resumed = Pipeline([stage(share)])
    resumed.restore(again.state())
    resumed.retrace({"learner": one.state()})
    rest = [resumed.process(frame) for frame in given[500:]]
    for first, second in zip(made, [*half, *rest], strict=True):
        assert wire.encode(first) == wire.encode(second)
    assert not first_difference(resumed.state()["learner"], one.state())
    other = stage(share)  # where everything is learnt from, another basis comes of it
    assert wire.encode([other.process(frame) for frame in given][-1]) != wire.encode(made[-1])


def test_a_state_that_does_not_know_all_changes_is_no_record() -> None:
    one = stage("all", budget_ms=1.0)
    for frame in frames(500):
        one.process(frame)
    state = one.state()
    state["thinning"]["n_changes"] += 1
    with pytest.raises(ValueError, match=r"thinning\.n_changes"):
        stage("all").retrace(state)
    state["thinning"]["changes"][0, 2] = 3
    with pytest.raises(ValueError, match=r"thinning.changes.*\[3.*powers of two"):
        stage("all").restore(state)


def test_a_loop_says_when_nobody_waits(clock: Clock) -> None:
    thinning = Thinning("learner", 1.0, clock)
    learner = LearnerStage("learner", "x", shared=Shared(thinning, Steering("learner")))
    Pipeline([learner]).rest(0.25)
    assert thinning._idle == 0.25
