"""What stages are told while they run: hold and undo of learners, and what a pause means to modules and classifiers."""

import logging
from typing import Any

import numpy as np
import pytest
from helpers.extras import extra
from helpers.ledgers import check_balanced
from helpers.mixtures import same
from msgspec.structs import replace

from stream_infomax.frames import wire
from stream_infomax.frames.basis import Basis
from stream_infomax.frames.command import Action, Command, Steered
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.ledger import Ledger
from stream_infomax.stages.classifier import ClassifierStage
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.stages.own_learners import OwnLearners

K = 5
HERE, THERE = np.random.default_rng(0).standard_normal((2, K, K))


def told(action: Action) -> Command:
    return Command(id="1", action=action)


def frames(n: int, first: int = 0, mixing: Any = HERE, streams: str = "a", rows: int = 64) -> list[Frame]:
    made = []
    for offset in range(first, first + n):
        data = (np.random.default_rng(offset).laplace(size=(rows, K)) @ mixing.T).astype(np.float32)
        stream = streams[offset % len(streams)]
        made.append(Frame(stream, offset, "one", {"x": Array(data, ("time", "channel"))}))
    return made


def run(stage: Any, given: list[Frame]) -> list[Frame]:
    return [stage.process(frame) for frame in given]


def learner(**settings: Any) -> Any:
    return LearnerStage("learner", "x", **{"block": 16, **settings})


def warm(n: int = 60, **settings: Any) -> tuple[Any, Basis]:
    stage = learner(**settings)
    run(stage, frames(n, streams="ab" if settings.get("share") == "stream" else "a"))
    return stage, stage.bases()[0]


def kinds(stage: Any) -> list[tuple[str, bool]]:
    """What it did, and what it refused."""
    return [
        (event.text.split(",")[0], True) if event.kind == "refused" else (event.kind, False) for event in stage.events()
    ]


def test_an_undo_is_on_the_next_frame_which_has_the_version_back(caplog: pytest.LogCaptureFixture) -> None:
    stage, earlier = warm()
    run(stage, frames(200, 60, THERE))
    caplog.clear()
    with caplog.at_level(logging.INFO):
        stage.command(told("undo"), earlier)
        (frame,) = run(stage, frames(1, 260))
    assert frame.basis == earlier.version
    (event,) = frame.events
    assert (event.stage, event.kind) == ("learner", "undo")
    assert event.text.startswith(f"version {earlier.version} is back in place of ")
    assert len(caplog.records) == 1
    assert event == stage.events()[-1]
    basis = stage.basis()
    assert basis.components.tobytes() == earlier.components.tobytes()
    run(stage, frames(30, 261))
    assert stage.basis().version != earlier.version


@pytest.mark.parametrize("adapt", ["fixed", "follow"])
def test_rows_from_before_an_undo_judge_it(adapt: str) -> None:
    stage, earlier = warm(adapt=adapt)
    run(stage, frames(40, 60))
    rows = stage.observed.panel.seen
    stage.command(told("undo"), earlier)
    run(stage, frames(5, 100))
    assert stage.observed.panel.seen > rows


def test_hold_and_resume_are_the_learners_own() -> None:
    stage, _ = warm()
    updates = stage.learner.n_updates_
    stage.command(told("hold"), None)
    stage.command(told("hold"), None)
    outputs = run(stage, frames(20, 60))
    assert [event.kind for event in outputs[0].events] == ["refused", "hold"]
    assert stage.learner.n_updates_ == updates
    assert stage.counts()["rows"] == 80 * 64
    assert stage.counts()["on hold"] == 1
    stage.command(told("resume"), None)
    stage.command(told("resume"), None)
    run(stage, frames(20, 80))
    assert stage.learner.n_updates_ == updates + 20 * 64 / 16
    assert kinds(stage) == [("hold", False), ("hold", True), ("resume", False), ("resume", True)]


@pytest.mark.parametrize("share", ["all", "stream"])
def test_an_examination_is_counted_while_it_goes_on(share: str) -> None:
    stage, earlier = warm(share=share, adapt="follow")
    stage.command(told("undo"), earlier)
    assert stage.counts()["examining"] == 1
    run(stage, frames(20, 60, streams="ab" if share == "stream" else "a"))
    assert stage.counts().get("examining", 0) == 0
    assert kinds(stage) == [("undo", False), ("resume", False)]


@pytest.mark.parametrize("share", ["all", "stream"])
@pytest.mark.parametrize("frames_before", [0, 1])
def test_before_the_end_of_the_warm_up_a_learner_says_what_it_cannot_do(share: str, frames_before: int) -> None:
    one, other = learner(share=share, warmup=200), learner(share=share, warmup=200)
    _, basis = warm()
    for stage in (one, other):
        run(stage, frames(frames_before))
    for action in ("hold", "undo", "resume"):
        one.command(told(action), basis if action == "undo" else None)  # type: ignore[arg-type]
    ours, theirs = (run(stage, frames(30, frames_before)) for stage in (one, other))
    assert kinds(one) == [("hold", True), ("undo", True), ("resume", True)]
    assert [event.text for event in ours[0].events] == [event.text for event in one.events()]
    without = [wire.encode(replace(frame, events=())) for frame in ours]
    assert without == [wire.encode(frame) for frame in theirs]


def test_an_undo_says_why_it_cannot_be_done() -> None:
    stage, earlier = warm()
    state = stage.learner.state()
    narrow = replace(earlier, components=earlier.components[:, :3], mixing=earlier.mixing[:3], mean=earlier.mean[:3])
    for basis in (None, narrow, replace(earlier, mean=np.full(K, np.inf))):
        stage.command(told("undo"), basis)
    stage.command(told("undo"), replace(earlier, stage="another"))
    texts = [event.text for event in stage.events()]
    assert [text.removeprefix("undo, because ") for text in texts] == [
        "the basis is not there any more",
        "it has (5, 3, 5) components, features and dimensions; this learner has (5, 5, 5)",
        "it has numbers that are not finite; accepted are finite ones",
    ]
    assert same(stage.learner.state(), state) is None
    stage.start_encoding()
    stage.command(told("undo"), earlier)
    assert stage.events()[-1].text == "undo, because it only encodes"


@pytest.mark.parametrize("share", ["all", "stream"])
def test_a_state_after_commands_gives_the_same_bits(share: str) -> None:
    one, earlier = warm(share=share, output="poisson")
    one.command(told("pause"), None)
    run(one, frames(3, 60, streams="ab"))
    for action in ("hold", "undo", "resume"):
        one.command(told(action), earlier if action == "undo" else None)  # type: ignore[arg-type]
    other = learner(share=share, output="poisson")
    other.restore(one.state())
    given = frames(40, 63, streams="ab")
    ours, theirs = ([wire.encode(frame) for frame in run(stage, given)] for stage in (one, other))
    assert ours == theirs
    assert (one.counts(), one.events()) == (other.counts(), other.events())
    assert [event.stage for event in one.events()] == ["learner"] * len(one.events())


def test_a_command_is_for_the_learners_of_all_streams() -> None:
    stage = learner(share="stream")
    assert isinstance(stage, OwnLearners)
    ledger = Ledger("service", [stage], [])
    pipeline = Pipeline([stage])
    for frame in frames(70, streams="ab"):
        pipeline.process(frame)
    earlier = stage.bases()[0]
    updates = [one.learner.n_updates_ for one in stage.learners.values()]
    pipeline.command(told("pause"))
    for frame in frames(30, 70, streams="abc"):
        pipeline.process(frame)
    assert [one.learner.n_updates_ for one in stage.learners.values()] == [*updates, 0]
    assert sum(ledger.balances()[1].aside["paused"].values()) == 30 * 64
    check_balanced(ledger.balances())
    pipeline.command(told("resume"))
    pipeline.command(told("hold"))
    told_of = [pipeline.process(frame).events for frame in frames(3, 100, streams="abc")]
    texts = [event.text for events in told_of for event in events]
    assert sum(text.startswith("stream 'a': as a person asked") for text in texts) == 1
    assert "hold, because of 1 of 3 learners the warm-up is not over" in texts
    pipeline.command(told("resume"))
    pipeline.command(told("undo"), earlier)
    outputs = [pipeline.process(frame) for frame in frames(3, 103, streams="abc")]
    assert [frame.stream for frame in outputs if frame.basis == earlier.version] == [earlier.stream]
    pipeline.command(told("undo"), replace(earlier, stream="gone\n"))
    assert stage.events()[-1].text == "undo, because there is no learner of the stream 'gone\\n'"


def test_a_hold_is_of_the_open_streams() -> None:
    stage = learner(share="stream")
    stage.command(told("hold"), None)
    assert stage.events()[-1].text == "hold, because no stream is open"
    given = frames(30)
    run(stage, [*given[:-1], replace(given[-1], last=True, end=True)])
    stage.command(told("hold"), None)
    assert kinds(stage) == [("hold", True)] * 2


# ---------------------------------------------------------------- modules and classifiers


def modules() -> Pipeline:
    extra("torch")
    from stream_infomax.stages.contrast import ContrastStage

    small: dict[str, Any] = {"width": 8, "rows": 200, "excerpt": 30, "anchors": 32, "negatives": 16}
    return Pipeline([ContrastStage("m1", "x", **small), ContrastStage("m2", "m1", module=2, **small)])


def updates_of(pipeline: Pipeline) -> list[float]:
    return [counts["updates"] for counts in pipeline.counts().values()]


@pytest.mark.parametrize(("stage", "learning"), [("m1", (False, False)), ("m2", (True, False)), ("", (False, False))])
def test_a_paused_teacher_sends_no_batches(stage: str, learning: tuple[bool, bool]) -> None:
    pipeline = modules()
    given = [replace(frame, rate=200.0) for frame in frames(12)]
    run(pipeline, given[:6])
    before = updates_of(pipeline)
    pipeline.command(Command(id="1", action="pause", stage=stage))
    again = modules()
    again.restore(pipeline.state())
    outputs, others = run(pipeline, given[6:9]), run(again, given[6:9])
    assert [wire.encode(frame) for frame in outputs] == [wire.encode(frame) for frame in others]
    paused = updates_of(pipeline)
    assert tuple(now > then for now, then in zip(paused, before, strict=True)) == learning
    assert any(np.isfinite(frame.arrays["m2"].data).all() for frame in outputs), "they encode"
    pipeline.command(Command(id="2", action="resume", stage=stage))
    run(pipeline, given[9:])
    assert all(now > then for now, then in zip(updates_of(pipeline), paused, strict=True))


def test_no_excerpt_reaches_over_a_pause() -> None:
    pipeline = modules()
    given = [replace(frame, rate=200.0) for frame in frames(3, rows=20)]
    run(pipeline, given[:1])
    pipeline.command(told("pause"))
    run(pipeline, given[1:2])
    pipeline.command(told("resume"))
    run(pipeline, [replace(given[2], last=True)])
    memory: Any = pipeline.stages[0]
    kept = [rows for _, rows in memory.pupil.teacher.memory.recent]
    assert [len(rows) for rows in kept] == [20, 20]
    np.testing.assert_array_equal(kept[1], given[2].arrays["x"].data)


def segment(number: int, label: str, parts: int = 2) -> list[Frame]:
    made = []
    for part in range(parts):
        data = np.random.default_rng([number, part]).standard_normal((8, 3)) + (label == "loud")
        last = part == parts - 1
        labels = {"word": label} if last else {}
        arrays = {"x": Array(data.astype(np.float32), ("time", "channel"))}
        made.append(Frame("a", 2 * number + part, str(number), arrays, last=last, labels=labels))
    return made


def classifier() -> ClassifierStage:
    return ClassifierStage("names", "x", target="word")


def test_a_paused_classifier_predicts_and_learns_from_no_segment_that_a_pause_touches() -> None:
    stage = classifier()
    assert isinstance(stage, Steered)
    words = ["soft", "loud"] * 6
    run(stage, [frame for number, word in enumerate(words[:4]) for frame in segment(number, word)])
    scored = stage.examiners["x"].score.n
    weights = stage.examiners["x"].classifier.weights.copy()
    first, second = segment(4, "soft")
    run(stage, [first])
    stage.command(told("pause"), None)
    out = run(stage, [second, *segment(5, "loud"), segment(6, "loud")[0]])
    assert out[0].labels["names"] in ("soft", "loud")
    assert len(out[2].arrays["names"].data) == 1
    stage.command(told("resume"), None)
    run(stage, segment(6, "loud")[1:])
    np.testing.assert_array_equal(stage.examiners["x"].classifier.weights, weights)
    assert stage.examiners["x"].score.n == scored
    assert stage.counts()["skipped: paused"] == 3
    assert stage.counts()["x: waiting"] == 0
    run(stage, segment(7, "loud"))
    assert stage.examiners["x"].score.n == scored + 1


def test_a_late_label_that_comes_in_a_pause_is_not_learnt_from() -> None:
    stage = classifier()
    run(stage, [*segment(0, "soft"), *segment(1, "loud")])
    unlabelled = [replace(frame, labels={}) for frame in segment(2, "soft")]
    run(stage, unlabelled)
    stage.command(told("pause"), None)
    late = Frame("a", 6, "2", labels={"word": "soft"})
    assert run(stage, [late]) == [late], "the event waits for a frame with rows"
    assert (stage.counts()["skipped: paused"], stage.counts()["x: waiting"]) == (1, 1)
    stage.command(told("resume"), None)
    (out, *_) = run(stage, [replace(frame, offset=frame.offset + 1) for frame in segment(3, "loud")])
    assert [event.kind for event in out.events] == ["pause", "resume"]
