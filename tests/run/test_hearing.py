"""stream-infomax show: what the modules of a run hear."""

import wave

import numpy as np
import pytest
from helpers.extras import extra
from helpers.tones import PIPELINE, record, trained

extra("torch")
extra("matplotlib")

from stream_infomax.cli.show import show  # noqa: E402
from stream_infomax.run import hearing  # noqa: E402


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
    said = capsys.readouterr()
    assert said.err == "what the modules hear is found in the whole source\n"
    printed = said.out.split()
    assert str(place / "one" / "hears-module1.png") in printed
    sounds = sorted((place / "one" / "hears-module1").iterdir())
    assert sounds
    assert {str(path) for path in sounds} <= set(printed)
    units = [int(path.stem.removeprefix("unit-")) for path in sounds]
    assert max(units) <= 8  # what it adds, and not the features that it passes on
    with wave.open(str(sounds[0])) as file:
        assert file.getframerate() == 8000
        assert file.getnframes() > 8000


@pytest.mark.parametrize(("n", "most"), [(0, 5), (5, 5), (6, 5), (101, 100), (1000, 100), (10_000, 95), (7, 1)])
def test_parts_of_a_long_source_are_spread_evenly_over_it(n, most):
    parts = hearing.spread(n, most)
    read = [frame for part in parts for frame in part]
    assert read == sorted({*read} & {*range(n)})  # none twice
    assert len(read) == n if n <= most else most - hearing.PARTS < len(read) <= most
    assert len({len(part) for part in parts}) == 1
    if len(parts) > 1:
        assert (parts[0].start, parts[-1].stop) == (0, n)
        assert np.ptp(np.diff([part.start for part in parts])) <= 1


def test_show_hears_parts_of_a_long_source(place, capsys, monkeypatch):
    monkeypatch.setattr(hearing, "MOST_SECONDS", 2.0)  # of 4.8
    assert show(place / "run", out=place / "parts") == 0
    said = capsys.readouterr()
    assert said.err.startswith("what the modules hear is found in 20 parts, spread evenly over the source: 0.03")
    assert str(place / "parts" / "hears-module2.png") in said.out.split()


def test_a_source_that_is_gone_is_said_and_the_rest_is_drawn(place, capsys):
    (place / "sounds").rename(place / "moved")
    assert show(place / "run", out=place / "two") == 0
    (place / "moved").rename(place / "sounds")
    said = capsys.readouterr()
    assert said.out.split() == [str(place / "two" / "filters-learner.png")]
    assert said.err.startswith("left out: what the modules hear: ")
    assert said.err.count("\n") == 1
