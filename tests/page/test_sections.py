"""Pipeline, Learning, Steering: what is wrong is said, what is hostile is text, what is the same is not sent."""

import re

import msgspec
import numpy as np
import pytest
from bokeh.document import Document
from helpers.viewers import Wire
from helpers.wire import basis, status

from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.ledger import Balance
from stream_infomax.frames.measure import Measure
from stream_infomax.page.document import Viewer, state_html
from stream_infomax.page.learning import BYTES_A_SECOND, LearningSection
from stream_infomax.page.now import NowSection
from stream_infomax.page.pipeline import BYTES_A_SECOND as PIPELINE_BYTES
from stream_infomax.page.pipeline import PipelineSection
from stream_infomax.page.problems import GRACE, problems
from stream_infomax.page.steering import SteeringSection
from stream_infomax.page.watched import Left, Stage, Watched
from stream_infomax.watch.service_row import SILENT_AFTER

EVIL = "<img src=x onerror=alert(1)>&\"'\x1b[2J\u202e"
HELD = Event(stage="learner", position=7, kind="hold", text="it was told to")
LEDGER = Balance(
    place="learner", part="stage", unit="rows", accepted={"a": 100}, processed={"a": 90}, in_flight={},
    aside={"not finite": {"a": 10}}, dropped={},
)  # fmt: skip


def said(watched):
    return [(one.service, one.grave, one.text) for one in problems(watched)]


def heard(watched, **changes):
    for name in watched.services:
        watched.status(name, status(9, name=name, **changes if name == "learner" else {}))


def test_nothing_is_said_of_a_run_that_is_well(watched):
    assert said(watched) == []
    heard(watched)
    assert said(watched) == []


def test_a_run_that_nobody_hears_of_is_said_to_be_so_after_a_while(watched, clock):
    clock.time += GRACE + 1
    ((service, grave, text),) = said(watched)
    assert (service, grave) == ("", False)
    assert "start it again" in text


@pytest.mark.parametrize(
    ("changes", "grave", "words"),
    [
        ({"lost": {"gone": 3}}, True, ["3 (gone)", "do not come back"]),
        ({"dropped": 7}, False, ["7 frames", "too slow"]),
        ({"refused": {"log": 2}}, False, ["2 (log)", "not granted"]),
        ({"counts": {"source": {"journal full": 1.0}}}, True, ["disk is full", "Make room"]),
        ({"ledger": [LEDGER]}, False, ["10.0%", "rows of 'learner'", "not finite"]),
        ({"ledger": [msgspec.structs.replace(LEDGER, processed={"a": 80})]}, True, ["off by +10", "report"]),
        ({"counts": {"learner": {"paused": 1.0}}}, False, ["learner is paused", "until it is resumed"]),
        (
            {"counts": {"learner": {"on hold": 9.0}}, "events": [HELD]},
            False,
            ["learner holds", "Since row 7: it was told to."],
        ),
        ({"counts": {"learner": {"examining": 1.0}}}, False, ["learner looks at rows", "when it has enough"]),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(watched, changes, grave, words):
    heard(watched)
    heard(watched, **changes)
    ((service, found, text),) = said(watched)
    assert (service, found) == ("learner", grave)
    assert all(word in text for word in words), text


def test_what_is_over_is_not_said_any_more(watched):
    heard(watched, events=[HELD], counts={"learner": {"on hold": 9.0, "paused": 0.0}})
    heard(watched, events=[HELD], counts={"learner": {"on hold": 0.0, "paused": 0.0}})
    assert said(watched) == []


def test_what_was_refused_or_set_aside_is_said_for_a_minute(watched, clock):
    counted = {"refused": {"key": 3}, "ledger": [LEDGER]}
    heard(watched)
    heard(watched, **counted)
    assert len(said(watched)) == 2
    for _ in range(14):
        clock.time += 5
        heard(watched, **counted)
    assert said(watched) == []


def test_a_run_that_was_stopped_is_said_to_be_so_with_what_its_checkpoints_say(watched, clock):
    watched.rest({name: Left(414, 1e9, False, {}) for name in watched.services})
    clock.time += GRACE + 1
    ((_, grave, text),) = said(watched)
    assert not grave
    assert "stopped" in text
    assert "start it again" in text
    flow = PipelineSection(watched).refresh()["pipeline-flow"]
    assert flow.count("■ stopped") == 2
    assert "frame 414, 2001-09-09" in flow
    assert state_html(watched) == "stopped after 414 frames"
    assert "frame 414" in LearningSection(watched).refresh()["learning-events"]
    assert SteeringSection(watched).refresh()["steering-hold@disabled"] == "disabled"
    heard(watched)
    assert said(watched) == []
    assert SteeringSection(watched).refresh()["steering-hold@disabled"] == ""


def test_no_version_is_chosen_for_anybody_and_the_newest_is_not_offered(watched):
    watched.basis(basis("newest", [[1.0, 0.0]], offset=9))
    watched.kept = {"learner": [("first", 1), ("second", 5), ("newest", 9)]}
    options = SteeringSection(watched).refresh()["steering-version"]
    assert re.findall('value="(.*?)"', options) == ["", "second", "first"]


def test_a_service_that_falls_silent_is_grey_and_red_until_it_speaks_again(watched, clock):
    heard(watched)
    section = PipelineSection(watched)
    assert "is-silent" not in section.refresh()["pipeline-flow"]
    clock.time += SILENT_AFTER + 1
    watched.status("source", status(9, name="source"))
    texts = section.refresh()
    source, learner = texts["pipeline-flow"].split("<li")[1:]
    assert ("is-silent" in source, "is-silent" in learner) == (False, True)
    assert "is-bad" in learner
    assert "○ silent" in learner, "never colour alone"
    assert "said nothing for 6 s" in texts["pipeline-problems"]
    heard(watched)
    assert section.refresh()["pipeline-problems"] == ""


def test_boxes_of_many_services_come_less_often_but_at_once_where_a_state_is_another(clock):
    names = [f"stage{number}" for number in range(40)]
    many = Watched("runs/many", names, now=clock)
    section = PipelineSection(many)
    sent = 0
    for newest in range(60):  # half a minute
        for name in names:
            many.status(name, status(newest, name=name))
        sent += len(section.refresh().get("pipeline-flow", ""))
        clock.time += 0.5
    assert 0.5 < sent / 30 / PIPELINE_BYTES < 1.2
    section.refresh()
    assert "pipeline-flow" not in section.refresh()
    many.status("stage7", status(200, name="stage7", finished=True))
    assert "finished" in section.refresh()["pipeline-flow"]


def test_a_restart_is_told_and_marked(watched):
    measures = [Measure("learner", "", "objective", 1.0, 40)]
    heard(watched, started=1.0, measures=measures)
    heard(watched, started=2.0)
    section = LearningSection(watched)
    texts = section.refresh()
    assert "restart" in texts["learning-events"]
    assert "started again 1×" in PipelineSection(watched).refresh()["pipeline-problems"]
    marks = [one.data_source.data["x"] for one in section.roots["learning-objective"].renderers[:2]]
    assert marks == [[40.0], []]


@pytest.mark.parametrize("section", [PipelineSection, LearningSection, SteeringSection])
def test_text_from_outside_is_text(section):
    watched = Watched(EVIL, [EVIL], [Stage(EVIL, "learner", EVIL, EVIL)])
    event = Event(stage=EVIL, position=7, kind="hold", text=EVIL)
    measures = [Measure(EVIL, EVIL, kind, 1.0, 400) for kind in ("objective", "accuracy", "baseline")]
    watched.status(EVIL, status(9, events=[event], measures=measures, lost={EVIL: 1}, refused={EVIL: 2}))
    made = section(watched)
    html = "".join([made.html(), *made.refresh().values()])
    assert "<img" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "&lt;img" in html


def test_a_curve_is_drawn_where_it_is_and_stands_beside_what_it_is_compared_with(watched):
    watched.describe([*watched.stages, Stage("classifier", "classifier", "learner", "learner")])
    heard(
        watched,
        measures=[
            Measure("classifier", "learner", "accuracy", 0.75, 400),
            Measure("classifier", "chance", "baseline", 0.1, 400),
        ],
    )
    texts = LearningSection(watched).refresh()
    assert texts["learning-accuracy-panel@hidden"] == ""
    assert texts["learning-objective-panel@hidden"] == "hidden"
    legend = re.sub("<[^>]+>", " ", texts["learning-accuracy-legend"])
    assert legend.split() == ["learner", "75.0%", "chance", "10.0%"]
    assert "swatch c5 dashed" in texts["learning-accuracy-legend"]


def test_curves_take_no_more_than_their_share_however_many_there_are(watched, clock):
    wire, sent, first = Wire(LearningSection(watched)), 0, 0
    seconds = 120
    for step in range(2 * seconds):
        clock.time += 0.5
        heard(watched, measures=[Measure("learner", f"level {k}", "objective", 1 / (1 + step), 1 + 700 * step)
                                 for k in range(10)])  # fmt: skip
        sent += wire.refresh()
        first = first or sent
    assert (sent - first) / seconds < 2 * BYTES_A_SECOND, "with the texts"
    assert wire.models < 300
    before = wire.models
    for _ in range(10):
        wire.refresh()
    assert wire.models == before


def test_nothing_is_sent_where_nothing_is_new(watched):
    heard(watched, measures=[Measure("learner", "", "objective", 1.0, 40)])
    for section in (LearningSection(watched), SteeringSection(watched), PipelineSection(watched)):
        wire = Wire(section)
        wire.refresh()
        assert wire.refresh() == 0


def test_what_came_of_a_run_stands_on_its_page(watched):
    watched.over = ["finished after 0:10: 400 frames, none lost", "  <b> 75 %"]
    texts = PipelineSection(watched).refresh()
    assert "400 frames" in texts["pipeline-over"]
    assert "&lt;b&gt; 75 %" in texts["pipeline-over"]
    assert "✓ finished" in texts["pipeline-flow"]


def test_a_section_that_cannot_be_drawn_says_so_once_in_the_log_and_the_others_go_on(watched, caplog):
    class Broken(SteeringSection):
        name = "broken"

        def refresh(self):
            raise ValueError(EVIL)

        told = refresh

    sent = {}
    viewer = Viewer(Document(), watched, [Broken(watched), PipelineSection(watched)], "life")
    viewer._say = lambda what, words: sent.update(words)
    viewer._hear("tags", [], ["page", "open", "", "1"])
    viewer._hear("tags", [], ["broken", "press", "", "2"])
    viewer.refresh()
    assert "cannot be drawn" in sent["broken-failed"]
    assert sent["pipeline-failed"] == ""
    assert "learner" in sent["pipeline-flow"]
    assert len(caplog.records) == 1


def test_a_curve_without_a_value_and_a_picture_of_four_axes_are_drawn_as_far_as_they_go(watched):
    heard(watched, measures=[Measure("learner", "", "accuracy", 0.5, 1)])  # of too few frames to be told
    LearningSection(watched).refresh()
    data = np.ones((1, 2, 2, 2, 2), np.float32)
    watched.frame(
        "learner", Frame(stream="a", offset=0, arrays={"x": Array(data, ("item", "y", "x", "channel", "mel"))})
    )
    NowSection(watched).refresh()
