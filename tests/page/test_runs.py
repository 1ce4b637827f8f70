"""The page of a real run, without a browser: beside it while it goes on, and of what is left of it."""

import asyncio
import logging
import os
import signal
from pathlib import Path

import pytest
from helpers.commands import child_of, ended, started
from helpers.extras import needs
from helpers.pages import config, fetch

from stream_infomax.cli.run import run
from stream_infomax.configuration.load import ConfigError
from stream_infomax.configuration.survey import outlines
from stream_infomax.learning.infomax.encoder import kept_bases
from stream_infomax.run.control import control
from stream_infomax.run.page import Few, _Downloads, address_of, known, stages_of
from stream_infomax.run.place import place_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    assert run(config(folder, 60), set=[f"run.folder={folder}/run"], in_process=True) == 0
    return place_of(folder / "run")


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
    kept = [(one.version, one.offset) for one in kept_bases(finished.folder.path)]
    assert watched.versions("learner") == kept
    assert (basis.version, basis.offset) == kept[-1]
    with pytest.raises(ConfigError, match="this run has finished"):
        control(finished, "pause")


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
        "sound/heard/module1/1.wav",
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
