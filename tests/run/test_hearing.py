"""stream-infomax show: what the modules of a run hear."""

import wave

import pytest
from helpers.extras import extra
from helpers.tones import PIPELINE, record, trained

extra("torch")
extra("matplotlib")

from stream_infomax.cli.show import show  # noqa: E402


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return the folder of a finished run of residual modules and of its recordings."""
    place = tmp_path_factory.mktemp("heard")
    sounds = record(place / "sounds", voices=2)
    trained(place / "run", sounds, PIPELINE.replace("width = 8", "width = 8\nresidual = true"))
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
