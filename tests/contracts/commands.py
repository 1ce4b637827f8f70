"""What every stage promises that can be paused: checks for any stage of the examples that learns."""

from functools import wraps

from contracts import streams
from contracts.examples import run
from helpers.ledgers import check_balanced

from stream_infomax.frames.command import Command, Steered
from stream_infomax.frames.contracts import Eventful, Pipeline
from stream_infomax.frames.ledger import Ledger
from stream_infomax.state import file as state_file


def of_steered(check):
    """Return the check for stages that take commands; others have nothing to check."""

    @wraps(check)
    def only(subject, *rest):
        if isinstance(subject.make(), Steered):
            check(subject, *rest)

    return only


def tell(stage, action):
    stage.command(Command(id="1", action=action), None)


def middle(subject):
    """Return the offset of a frame from which on there are pauses here: it has rows."""
    return next(n for n in range(len(subject.frames) // 2, len(subject.frames)) if subject.frames[n].arrays)


@of_steered
def paused_it_gives_what_one_gives_that_only_encodes(subject):
    cut = middle(subject)
    stage, frozen = subject.make(), subject.make(learn=False)
    run(stage, subject.frames[:cut])
    frozen.restore(stage.state())
    tell(stage, "pause")
    assert stage.counts()["paused"] == 1
    ours, theirs = (streams.bits(run(one, subject.frames[cut:])) for one in (stage, frozen))
    assert [frame.get("stage") for frame in ours] == [frame.get("stage") for frame in theirs]
    assert not any(name.startswith("stage.batch") for frame in ours for name in frame)


@of_steered
def paused_it_learns_nothing(subject):
    """What it learns from then on changes nothing of what it learns later."""
    cut = middle(subject)
    first, second = subject.make(), subject.make()
    later = subject.piece(4, labels={"word": "one"})
    for stage, others in ((first, subject.frames[cut:]), (second, mirrored(subject.frames[cut:]))):
        run(stage, subject.frames[:cut])
        tell(stage, "pause")
        run(stage, others)
        tell(stage, "resume")
        run(stage, later)
    assert streams.same_tree(learnt(first), learnt(second))


def mirrored(frames):
    return [streams.with_rows(frame, lambda rows: 0.5 - rows[::-1]) if frame.arrays else frame for frame in frames]


def learnt(stage):
    """Return the part of a stage's state that it has learnt."""
    state = stage.state()
    return {name: state[name] for name in ("learner", "pupil", "examiners") if name in state}


@of_steered
def its_rows_are_set_aside_while_it_is_paused(subject):
    stage, cut = subject.make(), middle(subject)
    if not hasattr(stage, "account"):
        return
    pipeline = Pipeline([stage])
    ledger = Ledger("service", [stage], [])
    for action, frames in (("", subject.frames[:cut]), ("pause", subject.frames[cut:]), ("resume", subject.frames)):
        before = {name: sum(n.values()) for name, n in ledger.balances()[1].aside.items()}
        done = sum(ledger.balances()[1].processed.values())
        if action:
            pipeline.command(Command(id="1", action=action))
        for frame in frames:
            pipeline.process(frame)
        check_balanced(ledger.balances()[1:])
        paused = sum(ledger.balances()[1].aside.get("paused", {}).values()) - before.get("paused", 0)
        assert (paused > 0) == (action == "pause")
        assert action != "pause" or sum(ledger.balances()[1].processed.values()) == done


@of_steered
def what_it_is_told_is_an_event_on_the_next_frame_with_rows(subject):
    stage, cut = subject.make(), middle(subject)
    run(stage, subject.frames[:cut])
    for action in ("resume", "pause", "pause", "resume"):
        tell(stage, action)
    outputs = run(stage, subject.frames[cut:])
    told = [(event.stage, event.kind, event.text.split()[0]) for event in outputs[0].events]
    assert [(stage, kind) for stage, kind, _ in told[:4]] == [
        ("stage", kind) for kind in ("refused", "pause", "refused", "resume")
    ]
    assert (told[0][2], told[2][2]) == ("resume,", "pause,")
    assert isinstance(stage, Eventful)
    assert [event for event in stage.events() if event.kind in ("pause", "resume", "refused")] == list(
        outputs[0].events[:4]
    )
    assert not any(event.kind == "pause" for frame in outputs[1:] for event in frame.events)


@of_steered
def a_stage_that_only_encodes_says_that_there_is_nothing_to_pause(subject):
    stage = subject.frozen()
    tell(stage, "pause")
    (event,) = stage.events()
    assert (event.kind, event.text) == ("refused", "pause, because it only encodes")
    assert not stage.steering.paused


@of_steered
def it_can_be_paused_before_its_first_frame(subject):
    stage, fresh = subject.make(), subject.make()
    tell(stage, "pause")
    outputs = run(stage, subject.frames)
    tell(stage, "resume")
    assert len(outputs) == len(subject.frames)
    again = streams.numbered(subject.frames, len(subject.frames))
    ours, theirs = run(stage, again), run(fresh, again)
    assert [frame.update for frame in ours] == [frame.update for frame in theirs]
    assert streams.same_tree(learnt(stage), learnt(fresh))


@of_steered
def it_goes_on_from_its_state_right_after_a_command_and_in_a_pause(subject, tmp_path):
    cut = middle(subject)

    def led(exchanged):
        stage, told = subject.make(), []
        run(stage, subject.frames[:cut])
        for action in ("pause", "resume"):
            tell(stage, action)
            for number in (0, 1):
                if exchanged:
                    state_file.save(tmp_path / "state", stage.state())
                    stage = subject.make()
                    stage.restore(state_file.load(tmp_path / "state"))
                told += run(stage, streams.numbered(subject.frames[cut:], cut + 50 * number)[:2])
        return streams.as_bytes(told), stage.measures(), stage.counts(), stage.events()

    assert led(exchanged=True) == led(exchanged=False)


CHECKS = [
    paused_it_gives_what_one_gives_that_only_encodes,
    paused_it_learns_nothing,
    its_rows_are_set_aside_while_it_is_paused,
    what_it_is_told_is_an_event_on_the_next_frame_with_rows,
    a_stage_that_only_encodes_says_that_there_is_nothing_to_pause,
    it_can_be_paused_before_its_first_frame,
    it_goes_on_from_its_state_right_after_a_command_and_in_a_pause,
]
