"""The page of a real run: in a browser while it goes on, and of what is left of it."""

import asyncio
import logging
import os
import re
import signal
from pathlib import Path

import pytest
from helpers.browsers import MISSING, Tab, browser, is_there, wait
from helpers.commands import call, child_of, ended, started
from helpers.extras import needs
from helpers.pages import fetch

from stream_infomax.configuration.load import ConfigError
from stream_infomax.configuration.survey import outlines
from stream_infomax.run.page import Few, _Downloads, address_of, known, stages_of
from stream_infomax.run.place import place_of

CONFIG = """
[run]
folder = "run"
checkpoint_every = 8
[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = {frames}
pace = "{pace}"
[[stage]]
name = "learner"
kind = "learner"
block = 16
warmup = 64
"""


def config(folder, frames, pace="fast"):
    path = folder / "pipeline.toml"
    path.write_text(CONFIG.format(frames=frames, pace=pace))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    done = call("run", config(folder, 60), "--in-process", folder=folder)
    assert done.code == 0, done.errors
    return place_of(folder / "run")


def mosaic(tab):
    """Return the numbers of which the first mosaic of the components is drawn."""
    script = "return JSON.stringify(model.renderers.map(r => Object.values(r.data_source.data).map(v => [...v])))"
    return tab.model("components-filters", script)


@needs("bokeh", "selenium")
@pytest.mark.skipif(not is_there(), reason=MISSING)
def test_a_run_is_seen_steered_and_mended_and_its_page_ends_with_it(tmp_path: Path) -> None:
    path = config(tmp_path, 100_000, "live")
    with started("run", path, "--plain", "--page", folder=tmp_path) as (process, output), browser() as chromium:
        url = output.readline().split()[1]
        tab = Tab(chromium, url)
        wait(lambda: "[" in (mosaic(tab) or ""), "a mosaic")
        tab.shown("learner: 4 components", "components-about")
        before = mosaic(tab)
        wait(lambda: mosaic(tab) != before, "the mosaic changes as it learns")

        tab.press("Pause learning")
        tab.shown("learner: pause takes effect at frame", "steering-answer")
        offset = int(re.search(r"frame ([\d,]+)", tab.text("steering-answer"))[1].replace(",", ""))
        assert (tmp_path / "run" / "learner" / "commands.jsonl").read_text().count("pause") == 1
        tab.shown("pause", "learning-events")
        tab.shown("learner is paused", "pipeline-problems")
        assert offset > 0
        tab.press("Resume learning")
        tab.shown("learner: resume takes effect at frame", "steering-answer")
        wait(lambda: "is paused" not in tab.text("pipeline-problems"), "it learns again")

        os.kill(child_of(process.pid, "learner"), signal.SIGKILL)
        tab.shown("started again 1×", "pipeline-problems")
        tab.shown("restart", "learning-events")

        process.send_signal(signal.SIGINT)
        tab.shown("The run was stopped", "banner")
        done = ended(process)
    assert done.code == 0, done.errors
    assert not (tmp_path / "run" / "page.log").read_text()


@needs("bokeh")
def test_a_run_does_not_mind_that_its_page_is_killed(tmp_path: Path) -> None:
    path = config(tmp_path, 100_000, "live")
    with started("run", path, "--plain", "--page", "--in-process", folder=tmp_path) as (process, output):
        url = output.readline().split()[1]
        status, _, _ = fetch(url)
        assert status == 302
        os.kill(child_of(process.pid, "stream_infomax.cli"), signal.SIGKILL)
        for line in output:
            if "frame" in line:
                break
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.code == 0, done.errors
    assert "the page has ended (killed by signal 9" in done.errors


@needs("bokeh")
def test_the_page_of_a_finished_run_knows_how_it_went(finished) -> None:
    watched = known(finished)
    assert any("60 frames, none lost" in line for line in watched.over)
    assert watched.curves["learner", "", "objective"].position > 1000
    basis = watched.bases["learner"]
    assert (basis.axes, basis.shape) == (("channel",), (4,))
    assert [stage.name for stage in watched.stages] == ["source", "learner"]
    described = stages_of(finished, outlines(finished.config))
    assert (described[0].rate, described[0].row) == (1000.0, (4,))
    moved = watched.moved("learner")
    assert len(moved.born_offset) == 4
    assert len(watched.versions("learner")) >= 1


@needs("bokeh", "matplotlib")
def test_all_that_can_be_kept_of_a_finished_run_is_there(finished) -> None:
    downloads = _Downloads(finished, known(finished))

    def get(path):
        return asyncio.run(downloads.fetch(path))

    assert b"[source]" in get("download/configuration.toml")[2]
    assert get("download/bases.npz")[2].startswith(b"PK")
    assert get("download/filters.png")[2].startswith(b"\x89PNG")
    assert get("download/features.npz") is None, "nothing came while the page was there"
    for path in (
        "download/run.json",
        "download/",
        "sound/learner/x.wav",
        "sound/learner/0.wav",
        "sound/learner/99.wav",
    ):
        assert get(path) is None, path


@needs("bokeh")
def test_an_address_is_a_host_and_a_port() -> None:
    assert address_of("") == ("127.0.0.1", 0)
    assert address_of("[::1]:5006") == ("::1", 5006)
    with pytest.raises(ConfigError, match="--bind 'nowhere': accepted is HOST:PORT"):
        address_of("nowhere")


def test_the_log_of_a_page_ends_with_a_word_that_it_does():
    few, records = Few(2), [logging.makeLogRecord({"msg": "%s", "args": ("failed",)}) for _ in range(4)]
    assert [few.filter(record) for record in records] == [True, True, False, False]
    assert records[1].getMessage() == "failed (the last message: no more are written)"
