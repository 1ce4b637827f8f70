"""stream-infomax show: what the modules of a run hear."""

import wave

import numpy as np
import pytest
from helpers.extras import extra

extra("torch")
extra("matplotlib")
extra("soundfile")

import soundfile  # noqa: E402

from stream_infomax.cli.run import run  # noqa: E402
from stream_infomax.cli.show import show  # noqa: E402

PIPELINE = """
[run]
folder = "FOLDER"
[source]
kind = "audio"
path = "SOUNDS"
rate = 8000
frame = 800
[[stage]]
name = "windows"
kind = "windows"
length = 40
hop = 40
[[stage]]
name = "learner"
kind = "learner"
output = "log"
warmup = 100
carry = ["windows"]
[[stage]]
name = "module1"
kind = "contrast"
layout = "paired"
width = 8
residual = true
rows = 200
carry = ["learner"]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return the folder of a finished run and that of its recordings, low and high tones."""
    place = tmp_path_factory.mktemp("heard")
    rng = np.random.default_rng(0)
    (place / "sounds").mkdir()
    for tone, frequency in (("low", 300), ("high", 1900)):
        for number in range(3):
            sound = np.sin(2 * np.pi * frequency * np.arange(4000) / 8000) + 0.1 * rng.standard_normal(4000)
            soundfile.write(place / "sounds" / f"{tone}_{number}.wav", 0.2 * sound, 8000)
    config = place / "pipeline.toml"
    text = PIPELINE.replace("FOLDER", str(place / "run")).replace("SOUNDS", str(place / "sounds"))
    config.write_text(text, encoding="utf-8")
    assert run(config, in_process=True, plain=True) == 0
    return place


def test_show_draws_and_plays_what_a_module_hears(place, capsys):
    stale = place / "one" / "hears-module1" / "unit-999.wav"  # of an earlier call
    stale.parent.mkdir(parents=True)
    stale.touch()
    assert show(place / "run", out=place / "one") == 0
    printed = capsys.readouterr().out.split()
    assert str(place / "one" / "hears-module1.png") in printed
    sounds = sorted((place / "one" / "hears-module1").iterdir())
    assert sounds
    assert {str(path) for path in sounds} <= set(printed)
    units = [int(path.stem.removeprefix("unit-")) for path in sounds]
    assert max(units) <= 8  # what it adds, and not the features that it passes on
    with wave.open(str(sounds[0])) as file:
        assert file.getframerate() == 8000
        assert file.getnframes() > 8000


def test_a_source_that_is_gone_is_said_and_the_rest_is_drawn(place, capsys):
    (place / "sounds").rename(place / "moved")
    assert show(place / "run", out=place / "two") == 0
    (place / "moved").rename(place / "sounds")
    said = capsys.readouterr()
    assert said.out.split() == [str(place / "two" / "filters-learner.png")]
    assert said.err.startswith("left out: what the modules hear: ")
    assert said.err.count("\n") == 1
