"""The section of components, without a browser: what it draws, says, opens and sends."""

import re

import numpy as np
import pytest
from helpers.extras import extra
from helpers.geometries import EEG, GEOMETRIES, basis

extra("bokeh")
from helpers.viewers import Wire  # noqa: E402
from msgspec.structs import replace  # noqa: E402

from stream_infomax.frames.frame import Array, Frame  # noqa: E402
from stream_infomax.page.components import ComponentsSection  # noqa: E402
from stream_infomax.page.watched import Stage, Watched  # noqa: E402


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def watched(kind: str, clock: Clock, rate: float = 8000.0) -> Watched:
    names = EEG if kind == "head" else ()
    source = Stage("source", "table", "source", rate=rate, channels=names)
    windows = Stage("windows", "windows", "learner", "source", settings={"form": "log-mel" if kind == "plane" else ""})
    learner = Stage("learner", "learner", "learner", "windows" if kind in ("wave", "plane") else "source")
    return Watched("a run", ["source", "learner"], [source, windows, learner], now=clock)


def moving(kind: str, version: int, n: int = 20) -> object:
    """Return a basis that is another one for each version."""
    rng = np.random.default_rng(version)
    axes, shape = GEOMETRIES[kind]
    found = basis(axes, shape, n, mixing=rng.standard_normal((int(np.prod(shape)), n)))
    return replace(found, version=f"version{version}", offset=100 + version)


def features(offset: int, n: int = 20, rate: float = 100.0) -> Frame:
    rows = np.random.default_rng(offset).standard_normal((50, n)).astype(np.float32)
    return Frame("s", offset, "a", {"learner": Array(rows, ("time", "component"))}, time=offset * 50 / rate, rate=rate)


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_what_it_sends_is_bounded_and_makes_no_models(kind: str) -> None:
    clock = Clock()
    one = watched(kind, clock)
    wire = Wire(ComponentsSection(one))
    assert wire.refresh() == 0
    one.basis(moving(kind, 0))
    first = wire.refresh()
    models, sent = wire.models, 0
    for tick in range(20):  # ten seconds in which the basis changes all the time
        clock.seconds += 0.5
        one.basis(moving(kind, tick + 1))
        one.frame("learner", features(tick))
        sent += wire.refresh()
    assert wire.models == models
    assert first < 200_000
    assert sent / 10 < 15_000
    assert "Component" in wire.texts["components-title"]


def test_nothing_is_sent_where_nothing_changes() -> None:
    one = watched("picture", Clock())
    wire = Wire(ComponentsSection(one))
    one.basis(moving("picture", 0))
    wire.refresh()
    assert wire.refresh() == 0


def test_each_component_can_be_opened() -> None:
    clock = Clock()
    one = watched("wave", clock)
    section = ComponentsSection(one)
    wire = Wire(section)
    wire.tell("open", "3")  # before there is any
    one.basis(moving("wave", 0))
    wire.refresh()
    order = list(section._look.order)
    wire.tell("open", "7")
    wire.refresh()
    assert wire.texts["components-title"] == "Component 7 of 20"
    wire.tell("step", "1")
    wire.refresh()
    after = order[(order.index(6) + 1) % 20]
    assert wire.texts["components-title"] == f"Component {after + 1} of 20"
    assert f'data-play="sound/learner/{after + 1}.wav"' in wire.texts["components-play"]
    wire.tell("open", "20")
    wire.refresh()
    assert wire.texts["components-title"] == "Component 20 of 20"
    wire.tell("open", "99")
    assert wire.texts["components-said"] == "Accepted is a number from 1 to 20."
    for word, value in (("open", "-1"), ("open", "x"), ("open", "9" * 99), ("step", "5"), ("learner", "x"), ("?", "")):
        wire.tell(word, value)
    wire.refresh()
    assert wire.texts["components-title"] == "Component 20 of 20"


def test_a_press_on_a_tile_opens_it() -> None:
    one = watched("picture", Clock())
    section = ComponentsSection(one)
    wire = Wire(section)
    one.basis(moving("picture", 0))
    wire.refresh()
    x, y = section._look.corner(4)

    class Press:
        def __init__(self, x: float | None, y: float | None) -> None:
            self.x, self.y = x, y

    section._pressed(Press(x + 0.5, y + 0.5))
    wire.refresh()
    assert wire.texts["components-title"] == f"Component {section._look.chosen[4] + 1} of 20"
    for nowhere in (Press(None, None), Press(float("nan"), 0.0), Press(-5.0, 0.0)):
        section._pressed(nowhere)


def test_tiles_keep_their_places_until_the_learner_has_come_twice_as_far() -> None:
    clock = Clock()
    one = watched("wave", clock)
    section = ComponentsSection(one)
    orders = []
    for version, offset in ((0, 100), (1, 150), (2, 199), (3, 200)):
        clock.seconds += 100
        one.basis(replace(moving("wave", version), offset=offset))
        section.refresh()
        orders.append(list(section._look.order))
    assert orders[0] == orders[1] == orders[2] != orders[3]
    clock.seconds += 100
    one.basis(replace(moving("wave", 4), offset=201))
    section.refresh()
    assert list(section._look.order) == orders[3]
    section.told("sort", "")
    section.refresh()
    assert list(section._look.order) != orders[3]


def test_names_from_outside_are_text() -> None:
    one = watched("picture", Clock())
    hostile = '<script>alert("x")</script>'
    one.basis(replace(moving("picture", 0), stream=hostile))
    one.basis(replace(moving("picture", 0), stream="other"))
    wire = Wire(ComponentsSection(one))
    wire.refresh()
    html = "".join(wire.texts.values())
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    wire.tell("learner", f"learner/{hostile}")
    wire.refresh()
    assert re.search(r"<option [^>]*script[^>]* selected>", wire.texts["components-learner"])


def test_age_and_way_are_said_in_numbers() -> None:
    clock = Clock()
    one = watched("head", clock, 160.0)
    one.basis(moving("head", 0))
    one.frame("learner", features(0, rate=160.0))
    clock.seconds = 7200.0
    one.basis(replace(moving("head", 0), version="later", offset=1100))
    wire = Wire(ComponentsSection(one))
    wire.refresh()
    facts = wire.texts["components-facts"]
    assert "1,000 frames, seen first at frame 100" in facts
    assert "cosine 1.000 to when it was seen first" in facts
    assert any(name in facts for name in EEG)
    assert "deviation" in wire.texts["components-activity-words"]


def test_the_rows_of_another_stage_are_not_taken_for_its_activity() -> None:
    one = watched("picture", Clock())
    one.basis(moving("picture", 0))
    frame = features(0)
    one.frame("learner", replace(frame, arrays={"module1": frame.arrays["learner"]}))
    wire = Wire(ComponentsSection(one))
    wire.refresh()
    assert "Not known here" in wire.texts["components-activity-words"]
