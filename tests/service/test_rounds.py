"""A loop whose learner is a member of a fleet: what it hands in, where it waits, and that deaths change no bit."""

import time
from contextlib import ExitStack

import pytest
from helpers.members import Hub, Shard
from helpers.toys import Counting
from helpers.wire import LONG

from stream_infomax import LearnerStage
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.service.rounds import Joining
from stream_infomax.transport.sockets import RefusedError

FRAMES = {"00": 400, "01": 300}  # of four rows


def fleet(folder, context, frames=FRAMES, **settings):
    address = f"ipc://{folder}/rounds"
    folder.mkdir(parents=True, exist_ok=True)
    hub = Hub(context, address, frames)
    shards = {
        name: Shard(folder, name, lambda n=n, s=s: Counting(n, s), s == 0, address=address, **settings)
        for s, (name, n) in enumerate(frames.items())
    }
    return hub, shards


def run(hub, shards, deaths=None, again=None):
    """Let the loops take turns until all are over; `deaths` are the frames after which each dies.

    With `again`, whether frames come again, each dies also when it has handed in something. Returns how often.
    """
    end, left = time.monotonic() + LONG, {name: sorted(deaths or ()) for name in shards}
    lives, loops = {}, {}

    def live(name):
        if name in lives:
            lives[name].close()
        lives[name] = ExitStack()
        loops[name] = lives[name].enter_context(shards[name].life())
        loops[name].steering.again = again is not False

    for name in shards:
        live(name)
    over, died = set(), set()
    while loops.keys() - over:
        assert time.monotonic() < end, "it takes too long"
        for name in loops.keys() - over:
            taking = loops[name].taking
            if left[name] and loops[name].newest >= left[name][0]:
                left[name] = [frame for frame in left[name] if frame > loops[name].newest]
                live(name)
            elif again is not None and taking.member.waits and (name, taking.rounds.number) not in died:
                hub.work()
                died.add((name, taking.rounds.number))
                live(name)
            hub.work()
            if not loops[name].once(0):
                assert loops[name].stop()
                over.add(name)
    for life in lives.values():
        life.close()
    hub.socket.close()
    return len(died)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    import zmq

    folder = tmp_path_factory.mktemp("undisturbed")
    context = zmq.Context()
    hub, shards = fleet(folder, context)
    try:
        run(hub, shards)
    finally:
        context.destroy(linger=0)
    return hub, {name: shard.made() for name, shard in shards.items()}


def test_all_end_with_what_all_have_learnt(undisturbed):
    hub = undisturbed[0]
    last = hub.shared[-1]
    handed_in = {name: sum(key[:2] == (name, "delta") for key in hub.bytes) for name in FRAMES}
    assert handed_in["00"] > handed_in["01"] > 3, "one has less than the other"
    assert (last.number, last.learners) == (len(hub.shared) - 1, 1)
    assert handed_in["00"] == last.number


def test_each_row_is_learnt_once(undisturbed):
    last = undisturbed[0].shared[-1]
    rows = sum(4 * n for n in FRAMES.values())
    assert rows - 2 * 64 < last.counts["learnt"] <= rows, "all but the unfinished block of each"


def test_deaths_at_any_place_change_no_bit(tmp_path, context, undisturbed):
    hub, shards = fleet(tmp_path, context)
    run(hub, shards, deaths=[30, 163, 164, 165, 200, 250, 299, 398])
    assert {name: shard.made() for name, shard in shards.items()} == undisturbed[1]
    assert [one.digest for one in hub.shared] == [one.digest for one in undisturbed[0].shared]


@pytest.mark.parametrize("clock", [False, True], ids=["frames that do not come again", "a clock decides"])
def test_what_is_handed_in_is_on_disk_where_another_life_would_learn_otherwise(tmp_path, context, clock):
    hub, shards = fleet(tmp_path, context, **({"budget_ms": 1e6} if clock else {}))
    lives = dict.fromkeys(FRAMES, 0)

    def other(name):
        lives[name] += 1
        return Counting(FRAMES[name], lives[name])

    for name, shard in shards.items():
        shard.source = lambda name=name: other(name)
    assert run(hub, shards, again=clock) > 6


def test_an_undo_does_not_end_a_round(tmp_path, context):
    hub, shards = fleet(tmp_path, context, {"00": 400})
    with shards["00"].life() as loop:
        (stage,) = loop.stages.stages
        while loop.newest < 200:
            hub.work()
            loop.once(0.01)
        assert stage.undo(stage.basis()) == "it learns one basis with others, and would leave them"
        assert stage.rounds.hand_in().number == stage.rounds.number
    hub.socket.close()


def test_what_may_be_forgotten_is_older_than_every_checkpoint(tmp_path, context):
    hub, shards = fleet(tmp_path, context)
    asked = hub._take
    seen = []
    hub._take = lambda one: (seen.append((one.request.member, one.request.since)), asked(one))
    run(hub, shards)
    for name in FRAMES:
        since = [number for member, number in seen if member == name]
        assert since == sorted(since)
        assert 0 < since[-1] < len(hub.shared) - 1


def test_a_refusal_ends_the_service_with_its_reason(tmp_path, context):
    hub, shards = fleet(tmp_path, context, {"00": 400})
    with shards["00"].life() as loop:
        loop.taking.member.fleet = "another"
        with pytest.raises(RefusedError, match="is of fleet f; '00' learns with another"):
            for _ in range(1000):
                hub.work()
                loop.once(0.01)
    hub.socket.close()


def test_a_stream_that_is_over_before_all_can_begin_is_said(tmp_path, context):
    hub, shards = fleet(tmp_path, context, {"00": 3})
    with (
        shards["00"].life() as loop,
        pytest.raises(ValueError, match="its stream is over before its warm-up"),
    ):
        for _ in range(100):
            loop.once(0)
    hub.socket.close()


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([], "0 stages of kind learner"),
        ([LearnerStage("a", "x"), LearnerStage("b", "x")], "2 stages of kind learner"),
        ([LearnerStage("a", "x", share="stream")], "0 stages of kind learner with share = 'all'"),
        ([LearnerStage("a", "x", learn=False)], "learn = False; accepted in a fleet is True"),
        ([LearnerStage("a", "x", adapt="follow")], "adapt = 'follow'; accepted in a fleet is 'fixed'"),
    ],
)
def test_a_pipeline_that_cannot_learn_in_rounds_is_refused(stages, said):
    joining = Joining(name="00", rows=0, learners=1, begins=True, address=lambda: "")
    with pytest.raises(ValueError, match=said):
        joining.prepare(Pipeline(stages))
