"""The section of what goes through now, without a browser: what it draws, says and sends."""

import numpy as np
import pytest
from helpers.extras import extra

extra("bokeh")
from helpers.viewers import Wire  # noqa: E402
from helpers.wire import status  # noqa: E402

from stream_infomax.frames.frame import Array, Frame  # noqa: E402
from stream_infomax.frames.measure import Measure  # noqa: E402
from stream_infomax.page import answers, rolling  # noqa: E402
from stream_infomax.page.now import NowSection  # noqa: E402
from stream_infomax.page.watched import Named, Stage, Watched  # noqa: E402
from stream_infomax.watch.curve import BoundedCurve  # noqa: E402

INPUTS = {
    "sound": (("time", "channel"), (1600, 1), 16_000.0),
    "few channels": (("time", "channel"), (80, 3), 160.0),
    "many channels": (("time", "channel"), (80, 64), 160.0),
    "pictures": (("item", "y", "x"), (1, 64, 64), 0.0),
    "colour": (("item", "y", "x", "colour"), (1, 300, 200, 3), 0.0),
    "rows": (("item", "component"), (10, 200), 0.0),
}


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def watched(clock: Clock) -> Watched:
    stages = [
        Stage("source", "audio", "source", rate=16_000.0),
        Stage("learner", "learner", "learner", "source"),
        Stage("module1", "contrast", "contrast", "learner"),
        Stage("classifier", "classifier", "classifier", "module1", settings={"target": "digit"}),
    ]
    return Watched("a run", ["source", "learner", "contrast", "classifier"], stages, now=clock)


def frame(name: str, offset: int, kind: str = "sound", **given: object) -> Frame:
    axes, shape, rate = INPUTS[kind]
    data = np.random.default_rng(offset).standard_normal(shape).astype(np.float32)
    time = offset * shape[0] / rate if rate else 0.0
    return Frame("s", offset, "a.wav", {name: Array(data, axes)}, time=time, rate=rate, **given)


def features(name: str, offset: int) -> Frame:
    rows = np.random.default_rng(offset).standard_normal((50, 128)).astype(np.float32)
    return Frame("s", offset, "a.wav", {name: Array(rows, ("time", "component"))}, time=offset * 0.5, rate=100.0)


def answer(offset: int, said: str, label: str | None, scores: list[float]) -> Frame:
    labels = {"classifier": said} | ({} if label is None else {"digit": label})
    rows = np.array([scores], np.float32)
    return Frame(
        "s", offset, f"{offset}.wav", {"classifier": Array(rows, ("item", "component"))}, last=True, labels=labels
    )


@pytest.mark.parametrize("kind", INPUTS)
def test_what_it_sends_is_bounded_and_makes_no_models(kind: str) -> None:
    clock = Clock()
    one = watched(clock)
    wire = Wire(NowSection(one))
    models, sent = None, 0
    for tick in range(20):  # ten seconds
        clock.seconds += 0.5
        one.frame("source", frame("source", tick, kind))
        one.frame("learner", features("learner", tick))
        one.frame("classifier", answer(tick, "3", "3", [0.2, 0.8]))
        sent += wire.refresh()
        models = models or wire.models
        assert wire.models == models
    assert sent / 10 < 15_000  # half of what a viewer of all sections may cost
    assert wire.texts["now-features-about"].startswith("learner")


def test_nothing_is_sent_where_nothing_comes() -> None:
    clock = Clock()
    one = watched(clock)
    one.frame("source", frame("source", 0))
    wire = Wire(NowSection(one))
    assert wire.refresh() > 0
    clock.seconds += 10
    assert wire.refresh() == 0


def test_the_input_is_said_in_numbers() -> None:
    one = watched(Clock())
    rows = np.zeros((100, 2), np.float32)
    rows[-1] = 3.0, -4.0
    array = Array(rows, ("time", "channel"))
    one.frame("source", Frame("s", 0, "a.wav", {"source": array}, rate=100.0, labels={"mark": "<b>now</b>"}))
    wire = Wire(NowSection(one))
    wire.refresh()
    assert "the last 1 s at 100 rows a second" in wire.texts["now-input-about"]
    assert "mark = &lt;b&gt;now&lt;/b&gt;" in wire.texts["now-input-about"]
    assert "1: newest 3, mean 0.03" in wire.texts["now-input-words"]
    assert "half a line is 5 high" in wire.texts["now-input-words"]


def test_the_features_of_each_stage_can_be_seen() -> None:
    clock = Clock()
    one = watched(clock)
    one.frame("contrast", features("module1", 0))
    one.frame("learner", features("learner", 0))
    wire = Wire(NowSection(one))
    wire.refresh()
    assert wire.texts["now-features-about"].startswith("learner")
    assert '<option value="module1">' in wire.texts["now-levels"]
    for value in ("classifier", "source", "?", "module1"):
        wire.tell("level", value)
        clock.seconds += 5
        wire.refresh()
    assert wire.texts["now-features-about"].startswith("module1")


def test_a_service_that_waits_is_named_where_nothing_comes() -> None:
    one = watched(Clock())
    wire = Wire(NowSection(one))
    wire.refresh()
    assert wire.texts["now-input-about"] == "Nothing has come since the page was opened."
    one.rows["source"].hear(status(10, name="source", log_fill=1.0))
    one.rows["source"]._moved -= 2  # it has stood still for so many seconds
    wire.refresh()
    assert wire.texts["now-input-about"].endswith("opened: source waits for the services behind it.")
    one.over.append("100 frames")
    wire.refresh()
    assert wire.texts["now-input-about"] == "Nothing comes any more: the run has finished."


def test_features_that_leave_no_process_are_not_waited_for() -> None:
    one = watched(Clock())
    one.frame("source", frame("source", 0))
    one.frame("in-process", answer(0, "3", "3", [1.0]))
    wire = Wire(NowSection(one))
    wire.refresh()
    assert wire.texts["now-features-about"].startswith("Not known here")


def test_answers_are_beside_what_needs_no_data() -> None:
    one = watched(Clock())
    for offset, (said, label) in enumerate((("one", "one"), ("two", "one"), ("two", "two"), ("two", None))):
        one.frame("classifier", answer(offset, said, label, [0.9, 0.1] if said == "one" else [0.3, 0.7]))
    for level, kind, share in (("module1", "accuracy", 0.75), ("chance", "baseline", 0.5)):
        measure = Measure("classifier", level, kind, share, 100)
        one.curves.setdefault(measure.curve, BoundedCurve()).add(100, share)
    wire = Wire(NowSection(one))
    wire.refresh()
    assert wire.texts["now-accuracy"] == (
        "Right of the last 200 segments: module1 75.0%. Without looking at the data: chance 50.0%."
    )
    newest = wire.texts["now-answers"].split("<tr>")[2]
    assert "3.wav" in newest
    assert "not known" in newest
    assert "Of the last 3 segments with a label, 2 were right (67 %)" in wire.texts["now-confusion"]


def test_a_run_without_a_classifier_has_no_place_for_it() -> None:
    section = NowSection(Watched("a run", ["source"], [Stage("source", "audio", "source")]))
    assert "now-scores" not in section.roots
    assert "lassifier" not in section.html()


def test_the_scores_are_a_picture_with_the_labels_in_it() -> None:
    given = [
        answers.Answer("a", "x", "x", (1.0,)),
        answers.Answer("b", "y", "x", (0.25, 0.75)),
        answers.Answer("c", "y", "z", (0.0, 1.0)),
    ]
    found = answers.scores(given)
    np.testing.assert_array_equal(found.pixels, [[255, 64, 1], [0, 192, 255]])
    np.testing.assert_array_equal(found.x, [0.5, 1.5])
    np.testing.assert_array_equal(found.y, [0.5, 0.5])
    names, table = answers.confusion(given)
    assert names == ["x", "y", "z"]
    np.testing.assert_array_equal(table, [[1, 1, 0], [0, 0, 0], [0, 1, 0]])
    assert answers.mistakes(names, table) == [("x", "y", 1), ("z", "y", 1)]


def test_only_what_the_classifier_named_is_an_answer() -> None:
    named = [Named(0, "s", "a", {"digit": "1"}, ()), Named(1, "s", "b", {"digit": "1", "c": "2"}, (0.1, 0.9))]
    assert [one.is_right for one in answers.answers(named, "c", "digit")] == [False]


def test_many_classes_are_told_by_their_mistakes() -> None:
    one = watched(Clock())
    for offset in range(30):
        one.frame("classifier", answer(offset, f"class <{offset % 15}>", f"class <{offset % 5}>", [1.0]))
    wire = Wire(NowSection(one))
    wire.refresh()
    assert "<table" not in wire.texts["now-confusion"]
    assert "class &lt;0&gt; for class &lt;5&gt;: 2" in wire.texts["now-confusion"]


def test_signals_stand_in_lines_of_their_own() -> None:
    rows = np.array([[0.0, 100.0], [3.0, 100.0], [-3.0, 104.0], [np.nan, 96.0]])
    found = rolling.signals(rows, 2.0)
    assert found.scale == 5.0
    np.testing.assert_array_equal(found.middles, [0.0, 100.0])
    np.testing.assert_allclose(found.low[:4], [2.0, 2.6, 1.4, np.nan])
    np.testing.assert_allclose(found.high[4:], [0.0, 0.0, 0.8, -0.8])
    np.testing.assert_allclose(found.x[:4], [-1.5, -1.0, -0.5, 0.0])


@pytest.mark.parametrize(("value", "up"), [(0.0, 1.0), (0.7, 1.0), (1.0, 1.0), (1.1, 2.0), (37.0, 50.0), (51.0, 100.0)])
def test_a_scale_is_a_round_number(value: float, up: float) -> None:
    assert rolling.round_up(value) == pytest.approx(up)


def test_a_heat_map_is_by_each_lines_own_mean_and_gaps_are_nothing() -> None:
    rows = np.array([[1000.0, 0.0], [1001.0, 0.0], [np.nan, np.nan], [1001.0, 0.0], [1000.0, 0.0]])
    found = rolling.heat(rows)
    one = round(127 / 3)
    np.testing.assert_array_equal(
        found.pixels, [[128, 128, 0, 128, 128], [128 - one, 128 + one, 0, 128 + one, 128 - one]]
    )
    np.testing.assert_allclose(found.newest, [-1.0, 0.0])


def test_a_large_picture_is_thinned_and_stands_upright() -> None:
    values = np.full((300, 400), -5.0)
    values[:150] = 5.0  # the upper half
    shown = rolling.picture(values)
    assert shown.pixels.size <= rolling.PIXELS
    assert (shown.dark, shown.light) == (-5.0, 5.0)
    assert shown.pixels[-1, 0] == 255
    assert shown.pixels[0, 0] == 1


@pytest.mark.parametrize(("top", "light"), [(0.5, 1.0), (200.0, 255.0), (300.0, 300.0)])
def test_pictures_that_follow_one_another_have_one_scale(top: float, light: float) -> None:
    shown = rolling.picture(np.array([[top / 4, top]]))
    assert shown.light == light
    assert shown.dark == (0.0 if light != 300.0 else 75.0)
