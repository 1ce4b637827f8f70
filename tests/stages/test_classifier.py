"""The classifier stage: segments over frames, several levels, late labels, exact restarts, bad input."""

import numpy as np
import pytest
from msgspec.structs import replace

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.stages.classifier import ClassifierStage
from stream_infomax.state.error import fitting


def words(n=40, seed=0, labelled=True, streams=("a",)):
    """Segments of three frames whose mean tells their word; the raw array tells nothing."""
    rng = np.random.default_rng(seed)
    offset = 0
    for number in range(n):
        stream = streams[number % len(streams)]
        word = int(rng.integers(3))
        for part in range(3):
            rows = rng.standard_normal((5, 4)) + 3 * np.eye(4)[word]
            raw = rng.standard_normal((20, 2))
            yield Frame(
                stream=stream,
                offset=offset,
                segment=f"{stream}{number}",
                arrays={
                    "z": Array(rows.astype(np.float32), ("time", "component")),
                    "raw": Array(raw.astype(np.float32), ("time", "channel")),
                },
                last=part == 2,
                rate=50.0,
                labels={"word": f"word {word}"} if labelled else {},
                encoder="m4",
                update=7,
            )
            offset += 1


def stage(**settings):
    return ClassifierStage("named", "z", target="word", **{"learning_rate": 1e-2, **settings})


def test_one_row_where_a_segment_ends_and_none_elsewhere():
    classifier = stage()
    outputs = [classifier.process(frame) for frame in words()]
    assert [frame.offset for frame in outputs] == list(range(len(outputs)))
    for number, frame in enumerate(outputs):
        array = frame.arrays["named"]
        assert array.axes == ("item", "component")
        assert array.n_rows == (number % 3 == 2 and number > 2), "no class is known when the first segment ends"
        if array.n_rows:
            assert array.data.sum() == pytest.approx(1)
            assert frame.labels["named"].startswith("word ")
        assert (frame.encoder, frame.update, frame.labels["word"][:4]) == ("m4", 7, "word")
    assert outputs[-1].arrays["named"].data.shape == (1, 3)


def test_levels_are_scored_beside_each_other():
    classifier = stage(levels=("raw", "z", "raw+z"))
    for frame in words(150):
        classifier.process(frame)
    counts, scores = classifier.counts(), classifier.scores()
    assert counts["z: scored"] == 150
    assert scores["z"].recent.accuracy > 0.9
    assert scores["raw+z"].recent.accuracy > 0.85
    assert scores["raw"].recent.accuracy < 0.5
    assert scores["z"].faded.kappa_temporal > 0.8
    assert classifier.classes == classifier.examiners["raw+z"].classifier.classes
    assert len(classifier.classes) == 3
    baselines = {measure.level: measure.value for measure in classifier.measures() if measure.kind == "baseline"}
    assert baselines["chance"] == scores["z"].chance == pytest.approx(1 / 3)
    assert baselines["no change"] == scores["z"].recent.no_change < 0.5
    assert baselines["majority class"] == scores["z"].recent.majority < 0.6
    assert classifier.examiners["raw+z"].classifier.width == 12
    assert counts["raw+z: weight of z"] > 2 * counts["raw+z: weight of raw"] >= 0


@pytest.mark.parametrize("loudness", [1e2, 1e3, 1e6])
@pytest.mark.parametrize("place", [0, 100])
def test_a_burst_in_one_segment_leaves_all_others_named(place, loudness):
    classifier = stage(levels=("z", "raw+z"))
    for frame in words(300):
        if frame.segment == f"a{place}":
            arrays = {name: replace(array, data=array.data * loudness) for name, array in frame.arrays.items()}
            frame = replace(frame, arrays=arrays)
        classifier.process(frame)
    assert min(score.recent.accuracy for score in classifier.scores().values()) > 0.9


def test_the_prediction_is_made_before_the_label_is_used():
    labelled, blind = stage(), stage()
    for frame in words(20):
        labelled.process(frame)
        blind.process(frame)
    closing = list(words(21))[-3:]
    for frame in closing[:2]:
        labelled.process(frame)
        blind.process(frame)
    with_label = labelled.process(closing[2])
    without = blind.process(replace(closing[2], labels={}))
    assert np.array_equal(with_label.arrays["named"].data, without.arrays["named"].data)
    assert not np.array_equal(labelled.examiners["z"].classifier.weights, blind.examiners["z"].classifier.weights)


def test_late_labels_of_known_and_unknown_segments():
    at_once, late = stage(), stage()
    for frame in words(30):
        at_once.process(frame)
    frames = list(words(30, labelled=False))
    truth = [frame.labels for frame in words(30)]
    for frame in frames:
        late.process(frame)
    assert late.counts()["z: waiting"] == 30
    for number, frame in enumerate(frames):
        if frame.last:
            note = Frame("a", len(frames) + number // 3, frame.segment, labels=truth[number])
            assert late.process(note) == note
    assert np.array_equal(at_once.examiners["z"].classifier.weights, late.examiners["z"].classifier.weights)
    for frame in words(1):
        late.process(replace(frame, offset=-1, labels={}))
    late.process(Frame("a", -1, "unknown", labels={"word": "word 0"}))
    late.process(Frame("b", -1, "a0", labels={"word": "word 0"}))
    late.process(Frame("a", -1, "a0", labels={"speaker": "somebody"}))
    counts = late.counts()
    assert (counts["z: unknown"], counts["z: waiting"], counts["z: scored"]) == (2, 1, 30)


def test_labels_that_never_come_are_bounded():
    classifier = stage(waiting=5)
    for frame in words(20, labelled=False):
        out = classifier.process(frame)
    counts, scores = classifier.counts(), classifier.scores()
    assert (counts["z: waiting"], counts["z: given_up"], counts["z: scored"]) == (5, 15, 0)
    assert not scores
    assert out.arrays["named"].data.shape == (0, 0)


def test_streams_do_not_mix():
    frames = list(words(12, streams=("a", "b")))
    in_turn, mixed = stage(), stage()
    for frame in frames:
        in_turn.process(replace(frame, offset=-1))
    pairs = [frames[i : i + 6] for i in range(0, len(frames), 6)]
    for six in pairs:
        for position in (0, 3, 1, 4, 2, 5):
            mixed.process(replace(six[position], offset=-1))
    assert np.array_equal(in_turn.examiners["z"].classifier.weights, mixed.examiners["z"].classifier.weights)


def test_nan_rows_are_left_out_and_segments_of_nothing_else_are_counted():
    frames = list(words(4))
    spoilt = []
    for frame in frames:
        rows = frame.arrays["z"].data.copy()
        rows[:, 1] = np.nan if frame.segment == "a2" else rows[:, 1]
        rows[3] = np.nan
        spoilt.append(replace(frame, arrays={"z": Array(rows, ("time", "component"))}))
    classifier = stage()
    outputs = [classifier.process(frame) for frame in spoilt]
    counts = classifier.counts()
    assert counts["z: scored"] == 3
    assert counts["skipped: empty"] == 1
    assert outputs[8].arrays["named"].n_rows == 0
    assert np.isfinite(classifier.examiners["z"].classifier.weights).all()


def test_lost_frames_and_unfinished_segments_are_not_judged():
    frames = list(words(4))
    classifier = stage()
    outputs = [classifier.process(frame) for frame in [*frames[:4], *frames[5:8], *frames[9:]]]
    counts = classifier.counts()
    assert counts["z: scored"] == 2
    assert counts["skipped: broken"] == 2, "a1 lost its middle, a2 its end"
    assert [frame.segment for frame in outputs if frame.arrays["named"].n_rows] == ["a3"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda f: replace(f, arrays={"raw": f.arrays["raw"]}), r"'named' reads 'z'.*\['raw'\].*carry"),
        (
            lambda f: replace(f, arrays={"z": Array(np.ones((2, 9), np.float32), ("time", "component"))}),
            r"'z' changed its width from 4 to 9",
        ),
    ],
)
def test_arrays_that_are_missing_or_change_are_named(change, text):
    frames = list(words(2))
    classifier = stage()
    classifier.process(frames[0])
    with pytest.raises(ValueError, match=text):
        classifier.process(change(frames[1]))


def test_a_width_that_changes_between_segments_is_named():
    frames = list(words(2))
    classifier = stage()
    for frame in frames[:3]:
        classifier.process(frame)
    wide = [replace(f, arrays={"z": Array(np.ones((2, 9), np.float32), ("time", "component"))}) for f in frames[3:]]
    with pytest.raises(ValueError, match="from 8 to 18 features"):
        for frame in wide:
            classifier.process(frame)


def test_a_state_of_other_levels_is_refused():
    classifier = stage(levels=("raw", "z"))
    with pytest.raises(ValueError, match="levels"):
        stage().restore(classifier.state())


def test_a_state_of_an_older_version_is_told_as_such():
    state = stage().state()
    del state["pooling"]
    with pytest.raises(ValueError, match=r"another version wrote it .*'pooling'"), fitting("the state of 'classifier'"):
        stage().restore(state)


def rising(n):
    """Segments whose rows rise or fall: mean and deviation are the same."""
    rng = np.random.default_rng(0)
    for number in range(n):
        falls = int(rng.integers(2))
        rows = (1 - 2 * falls) * np.linspace(-1, 1, 30)[:, None] + 0.1 * rng.standard_normal((30, 2))
        for part in range(3):
            array = Array(rows[10 * part : 10 * part + 10].astype(np.float32), ("time", "component"))
            yield Frame(
                stream="a",
                offset=3 * number + part,
                segment=str(number),
                arrays={"z": array},
                last=part == 2,
                labels={"word": "falls" if falls else "rises"},
            )


def test_thirds_name_what_mean_and_deviation_cannot_and_a_restart_in_a_segment_changes_nothing():
    frames = list(rising(150))
    moments, thirds, halted = stage(), stage(pooling="thirds"), stage(pooling="thirds")
    for position, frame in enumerate(frames):
        moments.process(frame)
        if position == 301:
            state, halted = halted.state(), stage(pooling="thirds")
            halted.restore(state)
        named, again = thirds.process(frame), halted.process(frame)
        assert np.array_equal(named.arrays["named"].data, again.arrays["named"].data)
    assert thirds.scores()["z"].overall.accuracy > 0.95
    assert moments.scores()["z"].overall.accuracy < 0.65
    with pytest.raises(ValueError, match=r"'thirds'.*this stage has.*'moments'"):
        stage().restore(thirds.state())
