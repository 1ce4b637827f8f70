"""A learner for each stream: as if each were alone, and what is kept, counted and shown of them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.infomax.encoder import in_file, kept_bases
from stream_infomax.run.pictures import picture_of
from stream_infomax.service.bases import Bases
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.stages.own_learners import ENDED, SHOWN, OwnLearners
from stream_infomax.transport import bases as basis_messages


def stage(**settings: Any) -> Any:
    return LearnerStage("learner", "x", seed=1, **{"block": 16, "warmup": 60, "share": "stream", **settings})


def frames(streams: dict[str, int], n: int = 12, rows: int = 40) -> list[Frame]:
    """Return frames of several streams in turn, each with so many channels."""
    made = []
    for number in range(n):
        for place, (stream, width) in enumerate(streams.items()):
            generator = np.random.default_rng([number, place])
            mixing = np.random.default_rng(place).standard_normal((width, width))
            data = (generator.laplace(size=(rows, width)) @ mixing).astype(np.float32)
            end = number == n - 1
            made.append(Frame(stream, len(made), arrays={"x": Array(data, ("time", "channel"))}, last=end, end=end))
    return made


def outputs(learner: Any, given: list[Frame]) -> list[Frame]:
    return [learner.process(frame) for frame in given]


def test_a_stream_is_encoded_as_if_it_were_alone() -> None:
    given = frames({"left": 4, "right": 7})
    own = stage()
    assert isinstance(own, OwnLearners)
    made = outputs(own, given)
    for stream in ("left", "right"):
        alone = stage(share="all")
        assert isinstance(alone, LearnerStage)
        expected = outputs(alone, [frame for frame in given if frame.stream == stream])
        ours = [frame for frame in made if frame.stream == stream]
        for one, other in zip(ours, expected, strict=True):
            np.testing.assert_array_equal(one.arrays["learner"].data, other.arrays["learner"].data)
            assert (one.basis, one.update) == (other.basis, other.update)
    assert np.isfinite(made[-1].arrays["learner"].data).all()
    assert len({frame.encoder for frame in made}) == 2


def test_it_goes_on_from_its_state() -> None:
    given = frames({"left": 4, "right": 5})
    one, other = stage(), stage()
    outputs(one, given[:11])
    other.restore(one.state())
    expected = [wire.encode(frame) for frame in outputs(one, given[11:])]
    assert [wire.encode(frame) for frame in outputs(other, given[11:])] == expected
    assert other.counts() == one.counts()


def test_of_several_streams_the_largest_drift_counts() -> None:
    own = stage()
    given = frames({"left": 4, "right": 5}, n=60)[:-2]
    for frame in given[-20:]:
        frame.arrays["x"].data[:] *= 1.5
    outputs(own, given)
    drifts = [learner.counts()["drift"] for learner in own.learners.values()]
    assert min(drifts) < max(drifts)
    assert own.counts()["drift"] == max(drifts)


def test_a_state_of_the_other_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="share: the state is of one learner for all streams"):
        stage().restore(stage(share="all").state())
    with pytest.raises(ValueError, match="share: the state is of a learner for each stream"):
        stage(share="all").restore(stage().state())


def test_what_was_learnt_of_a_stream_outlives_it_until_others_have_ended() -> None:
    own = stage()
    for number in range(ENDED + 3):
        outputs(own, frames({f"device {number}": 3}, n=3))
    assert list(own.learners) == [f"device {number}" for number in range(3, ENDED + 3)]
    counts = own.counts()
    assert (counts["streams"], counts["streams ended"], counts["streams forgotten"]) == (0, ENDED, 3)
    assert counts["rows"] == (ENDED + 3) * 3 * 40, "what was forgotten is still counted"


def test_a_stream_that_comes_again_begins_anew() -> None:
    own, fresh = stage(), stage()
    given = frames({"left": 4})
    outputs(own, given)
    again = [wire.encode(frame) for frame in outputs(own, given)]
    assert again == [wire.encode(frame) for frame in outputs(fresh, given)]
    assert own.counts()["streams forgotten"] == 1


def test_encoding_uses_each_streams_own_basis() -> None:
    given = frames({"left": 4, "right": 4})
    own = stage()
    outputs(own, given)
    own.start_encoding()
    made = outputs(own, given)
    for frame, output in zip(given, made, strict=True):
        learner = own.learners[frame.stream].learner
        np.testing.assert_array_equal(output.arrays["learner"].data, learner.transform(frame.arrays["x"].data))
    with pytest.raises(ValueError, match="learn = false but no basis"):
        own.process(frames({"other": 4})[0])


def test_labels_pass() -> None:
    own = stage()
    label = Frame("left", 0, labels={"word": "one"})
    assert own.process(label) == label
    assert not own.learners


def test_measures_and_pictures_are_of_the_first_streams(tmp_path: Path) -> None:
    own = stage(warmup=30)
    outputs(own, frames({f"s{number}": 3 for number in range(SHOWN + 2)}, n=4)[: -SHOWN - 2])
    levels = {measure.level for measure in own.measures()}
    assert levels == {f"s{number}" for number in range(SHOWN)}
    assert own.counts()["streams"] == SHOWN + 2


def test_an_event_says_whose_it_is() -> None:
    own = stage(share="stream")
    given = frames({"left": 4, "right\n": 4}, n=30, rows=100)
    outputs(own, given[:40])
    bad = [
        Frame(frame.stream, frame.offset, arrays={"x": Array(np.zeros((400, 4), np.float32), ("time", "channel"))})
        for frame in given[40:50]
        if frame.stream == "right\n"
    ]
    outputs(own, bad)
    events = own.events()
    assert events
    assert all(isinstance(event, Event) and event.text.startswith("stream 'right\\n': ") for event in events)


def test_bases_are_published_by_stream(tmp_path: Path) -> None:
    given = frames({"left": 4, "right/2": 4})
    own = stage()
    pipeline = Pipeline([own])
    kept = Bases(tmp_path)
    seen = []
    for frame in given:
        output = pipeline.process(frame)
        new = kept.follow(pipeline.bases(), frame.offset + 1)
        assert {basis.stream for basis in new} <= {frame.stream}
        seen += new
        assert output.basis == "" or output.basis in {basis.version for basis in seen}
    kept.save()
    assert {basis.key for basis in seen} == {"learner/left", "learner/right/2"}
    assert {one.stage for one in kept_bases(tmp_path)} == {in_file("learner/left"), in_file("learner/right/2")}
    newest = {basis.key: basis for basis in seen}
    for key, basis in newest.items():
        again = basis_messages.decode(basis_messages.encode(basis))
        assert (again.stream, again.key) == (basis.stream, key)
    # Another life finds what it had published before.
    life = Bases(tmp_path)
    restored = stage()
    restored.restore(own.state())
    for basis in life.follow(restored.bases(), len(given)):
        assert (basis.version, basis.offset) == (newest[basis.key].version, newest[basis.key].offset)


def test_pictures_of_streams_have_names_that_any_disk_takes() -> None:
    assert picture_of("learner", "", alone=True) == "filters.png"
    assert picture_of("learner", "", alone=False) == "filters-learner.png"
    assert picture_of("learner", "left", alone=True) == "filters-learner.left.png"
    odd = [picture_of("learner", stream, alone=True) for stream in ("left/ear", "left ear", "../x", "ü" * 300, "\0")]
    assert len(set(odd)) == len(odd)
    assert all(re.fullmatch(r"filters-learner\.[\w-]{1,60}\.png", name) for name in odd)
    assert odd[0].startswith("filters-learner.left-ear-")
