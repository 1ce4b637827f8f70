"""What modules hear, on the page: frames of the source find what modules made of them; all is bounded and escaped."""

import io
import tomllib
import wave

import numpy as np
import pytest
from helpers.extras import extra
from helpers.tones import PIPELINE, record
from helpers.viewers import Wire

from stream_infomax.configuration.compose import pipeline_of, source_of
from stream_infomax.configuration.load import convert
from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Output
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.page import heard
from stream_infomax.page.hearing import HearingSection, sound_of
from stream_infomax.page.watched import Stage, Watched

EVIL = "<img src=x onerror=alert(1)>"
RATE = 8000.0
RATES = (RATE, 200.0, 200.0, 50.0, 50.0, 0.0)  # of the source and the stages of helpers.tones


def of_sound(clock):
    stages = [
        Stage("source", "audio", "source"),
        Stage("windows", "windows", "learner", "source", settings={"form": "waveform"}),
        Stage("module1", "contrast", "contrast", "learner", rate=100.0),
        Stage("module2", "contrast", "contrast", "module1"),
    ]
    return Watched("run", ["source", "learner", "contrast"], stages, now=clock)


def say(watched, offset, values, level=1.0, is_given=True):
    """Let a frame of 0.1 s come: of the source, and what two modules made of it."""
    time = np.arange(800) / RATE
    sound = (level * np.sin(2 * np.pi * 1000 * time))[:, None].astype(np.float32)
    made = {
        name: Array(np.asarray(rows, np.float32), ("time", "component"))
        for name, rows in (("module1", values), ("module2", values[::2]))
    }
    place = {"stream": "a", "offset": offset, "segment": EVIL, "time": offset / 10}
    if is_given:
        watched.frame("source", Frame(**place, arrays={"source": Array(sound, ("time", "channel"))}, rate=RATE))
    watched.frame("contrast", Frame(**place, arrays=made, rate=50.0))


def random(watched, n, first=0):
    rng = np.random.default_rng(first)
    for offset in range(first, first + n):
        say(watched, offset, rng.random((10, 3)) * [1, 5, 2])


def test_modules_are_heard_that_share_a_service_with_what_reads_them(clock, tmp_path):
    extra("torch")
    text = PIPELINE.replace("FOLDER", str(tmp_path)).replace(
        "SOUNDS", str(record(tmp_path / "sounds", voices=1, takes=3))
    )
    given = convert(tomllib.loads(text), "tones")
    tables = (given.source, *given.stage)
    stages = [Stage(one.name, one.kind, "in-process", rate=rate) for one, rate in zip(tables, RATES, strict=True)]
    watched, pipeline = Watched("run", ["in-process"], stages, now=clock), pipeline_of(given)
    for frame in source_of(given).frames():
        watched.frame("source", frame)
        output = Output(pipeline.process(frame), beside=pipeline.beside)
        watched.frame("in-process", wire.decode(output.for_viewers()))
    assert list(output.frame.arrays) == ["classifier"]
    assert watched.heard.modules() == ["module1", "module2"]


def test_without_modules_this_is_said(watched):
    assert HearingSection(watched).refresh() == {"hearing-about": "The run has no contrastive module."}


def test_the_strongest_unit_is_shown_and_others_are_turned_to(clock):
    watched = of_sound(clock)
    section = HearingSection(watched)
    assert "Nothing has come" in section.refresh()["hearing-about"]
    random(watched, 30)
    said = section.refresh()
    assert said["hearing-title"] == "Unit 2, 1 of 3 by the deviation of its output"
    assert 'data-play="sound/heard/module2/2.wav"' in said["hearing-play"]
    assert section.told("step", "1")["hearing-title"].startswith("Unit 3, 2 of 3")
    assert section.told("step", "-1")["hearing-title"].startswith("Unit 2, 1 of 3")
    assert "module1/2.wav" in section.told("module", "module1")["hearing-play"]
    assert section.told("module", EVIL) == section.told("step", EVIL) == section.refresh()


def test_what_is_shown_is_the_spectrogram_of_what_was_said(clock):
    watched = of_sound(clock)
    random(watched, 30)
    section = HearingSection(watched)
    section.refresh()
    (pixels,) = section._picture._bytes.data["image"]
    tone = pixels[:, 50]  # of the first excerpt
    assert tone.argmax() == pytest.approx(len(pixels) / 4, abs=1)  # 1 kHz of 4


def test_sounds_are_those_of_the_unit(clock):
    watched = of_sound(clock)
    for offset in range(8):
        say(watched, offset, np.ones((10, 3)) * offset, level=offset)
    with wave.open(io.BytesIO(sound_of(watched, "module1", 0))) as file:
        assert file.getframerate() == RATE
        # Each louder frame takes the place of the one before, which it overlaps; behind it there is a pause.
        assert file.getnframes() == 4000 + 1200
    assert sound_of(watched, "module1", 3) is None
    assert sound_of(watched, "module1", -1) is None
    assert sound_of(watched, EVIL, 0) is None


def test_units_are_those_that_a_module_adds(clock):
    def given(module):
        return {"layout": "mel", "width": 2, "module": module}

    watched = of_sound(clock)
    modules = [Stage(f"module{n}", "contrast", "c", rate=50.0, settings=given(n)) for n in (2, 3)]
    rng = np.random.default_rng(0)
    made = {name: rng.random((10, n)) for name, n in (("module2", 5), ("module3", 5), ("module3.context", 2))}
    arrays = {name: Array(data.astype(np.float32), ("time", "component")) for name, data in made.items()}
    sound = rng.random((800, 1)).astype(np.float32)
    source = Frame("a", 0, arrays={"source": Array(sound, ("time", "channel"))}, rate=RATE)
    watched.heard.of_source(source)
    watched.heard.of_modules(Frame("a", 0, arrays=arrays, rate=50.0), "c", [watched.stages[0], *modules])
    assert watched.heard.of("module2").n_units == 2
    heard = watched.heard.of("module3")  # only a GRU: what it adds is its context
    assert heard.excerpts(0)[0].value == np.float32(made["module3.context"][:, 0].max())


def test_text_from_outside_is_text(clock):
    watched = of_sound(clock)
    random(watched, 3)
    assert not any("<img" in text for text in HearingSection(watched).refresh().values())


def test_what_comes_without_its_source_is_passed_over(clock):
    watched = of_sound(clock)
    say(watched, 0, np.ones((10, 3)), is_given=False)
    assert watched.heard.modules() == []


def test_what_was_heard_long_ago_is_no_news(clock):
    watched = of_sound(clock)
    say(watched, 0, np.full((10, 3), 1000.0))
    random(watched, 5, 1)
    for first in (10, 20):
        clock.time += heard.EVERY
        random(watched, 5, first)
    clock.time += heard.EVERY
    random(watched, 5, 30)
    assert all(one.value < 1000 for one in watched.heard.of("module1").excerpts(0))


def test_there_is_no_room_for_what_cannot_be(clock):
    watched = of_sound(clock)
    for offset in range(2 * heard.MOST_FRAMES):
        say(watched, offset, np.ones((10, 1)), level=0)
    assert len(watched.heard._source) <= heard.MOST_FRAMES
    say(watched, 5000, np.ones((10, 20_000)))
    assert watched.heard.of("module1").n_units == 1
    watched.reset()
    assert watched.heard.modules() == []


def test_patches_of_pictures_are_shown_without_a_sound(clock):
    grid = {"form": "grid", "patch": 4, "stride": 2}
    stages = [
        Stage("source", "images", "source"),
        Stage("patches", "windows", "learner", "source", settings=grid),
        Stage("module1", "contrast", "contrast", "learner"),
    ]
    watched = Watched("run", ["source", "learner", "contrast"], stages, now=clock)
    rng = np.random.default_rng(0)
    for offset in range(9):
        picture = Array(rng.random((1, 8, 8), np.float32), ("item", "y", "x"))
        made = Array(rng.random((3, 3, 2), np.float32), ("grid_y", "grid_x", "component"))
        watched.frame("source", Frame("p", offset, arrays={"source": picture}))
        watched.frame("contrast", Frame("p", offset, arrays={"module1": made}))
    section = HearingSection(watched)
    said = section.refresh()
    assert said["hearing-play"] == ""
    assert "patches" in said["hearing-about"]
    (pixels,) = section._picture._bytes.data["image"]
    assert pixels.shape == (4, 6 * 6)
    assert sound_of(watched, "module1", 0) is None


def test_the_same_is_not_sent_again(clock):
    watched = of_sound(clock)
    random(watched, 30)
    wire = Wire(HearingSection(watched))
    assert wire.refresh() > 0
    clock.time += 100
    assert wire.refresh() == 0
