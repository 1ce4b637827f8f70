"""Verify: a run is what its frames give, to the last bit; and where it is not, the first difference is named."""

import os
import re
import tomllib
from contextlib import closing

import numpy as np
import pytest
import zmq
from helpers.devices import Device
from helpers.extras import needs
from helpers.steered import ask

from stream_infomax.cli.verify import verify as command
from stream_infomax.configuration.load import ConfigError, convert
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.one_process import whole
from stream_infomax.run.threads import THREADS
from stream_infomax.run.verify import verify
from stream_infomax.service.checkpoints import checkpoints_in
from stream_infomax.service.signals import Signals
from stream_infomax.state import file as state_file
from stream_infomax.transport.messages import Accepted

RECORDED = """
[source]
kind = "synthetic"
n_sources = 4
rows = 20
frames = 60
"""
LIVE = """
[source]
kind = "devices"
ends = true
[source.journal]
enabled = true
"""
LEARNER = """
[[stage]]
name = "learner"
kind = "learner"
warmup = 100
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Makes a run in this process; given a source, and what is done to its loop until that is over."""
    for name in THREADS:
        monkeypatch.setenv(name, os.environ.get(name, "1"))

    def make(source, turns=None, stages=LEARNER):
        text = f'[run]\nfolder = "{tmp_path}/run"\ncheckpoint_every = 16\nrecord = true\n{source}{stages}'
        config = convert(tomllib.loads(text))
        folder = RunFolder(tmp_path / "run")
        folder.path.mkdir(exist_ok=True)
        folder.open(config, True, fresh=False)
        with closing(Signals()) as signals, whole(config, folder, signals) as loop:
            if turns is not None:
                turns(loop)
            assert loop.run()
        return folder.path

    return make


def watched(*_):
    """Nobody looks."""


def test_a_run_over_files_is_computed_again_from_the_beginning(run, capsys):
    place = run(RECORDED)
    assert command(place) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{place}: 60 frames (0 to 59) of its source computed again, from the beginning"
    assert re.fullmatch("  in-process  after (\\d+, )*60 frames: the same bits", said[1])
    assert said[2].split(maxsplit=1) == ["recorder", "frames 0 to 59: the same bits"]
    assert said[3] == "verified: no bit differs"


def arrays(tree):
    """Yield where the arrays of a state are."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from arrays(value)
        elif isinstance(value, np.ndarray) and value.size:
            yield tree, key


def test_one_bit_is_found_and_named(run, capsys):
    place = run(RECORDED)
    path = checkpoints_in(place / "in-process")[-1]
    tree = state_file.load(path)
    within, key = next(arrays(tree["stages"]["learner"]))
    within[key] = within[key].copy()
    within[key].view(np.uint8)[..., 0] ^= 1
    state_file.save(path, tree)
    assert command(place) == 1
    said = capsys.readouterr().out
    assert f"differs after 60 frames ({path.name}): learner/" in said
    assert f"/{key}[0" in said
    assert said.endswith("NOT VERIFIED: the run differs\n")


def test_a_frame_that_was_kept_otherwise_is_found(run):
    place = run(RECORDED)
    path = max((place / "recorder").glob("part-*"))
    tree = state_file.load(path)
    content = tree["frames"]["bytes"].copy()
    content[-3] ^= 1  # in the last array
    tree["frames"]["bytes"] = content
    state_file.save(path, tree)
    verdict = verify(place, watched)
    assert verdict.compared[1].difference.startswith("frame 59: arrays/learner[")
    assert not verdict.compared[0].difference


@needs("mcap")
@pytest.mark.parametrize("more", ["", 'part = "8 KiB"\nkeep = "40 KiB"\n'], ids=["all", "the newest"])
def test_a_live_run_is_computed_again_from_its_journal(run, context, tmp_path, more):
    device = Device(context, f"ipc://{tmp_path}/run/source.devices", rate=100.0)
    generator = np.random.default_rng(0)
    told = {30: ("pause", ""), 40: ("resume", ""), 75: ("mark", "near the end"), 76: ("hold", "")}

    def turns(loop):
        client = context.socket(zmq.DEALER)
        client.connect(loop.service.control)
        for number in range(80):
            if number in told:
                assert ask(loop, client, *told[number], name=str(number)) == Accepted(str(number), number)
            device.send(generator.laplace(size=(20, 2)).astype(np.float32), time=1e9 + number / 5)
            while loop.newest < number:
                loop.turn()
        device.tell(end=True)

    place = run(LIVE + more, turns)
    verdict = verify(place, watched)
    assert verdict.same
    assert verdict.source == "its journal"
    assert (verdict.first == 0) == (not more)
    assert verdict.end == 81
    assert verdict.compared[0].frames[-1] == 81
    assert verdict.compared[1].frames == [verdict.first, 81]


def test_a_live_run_without_a_journal_cannot_be_computed_again(run, context, tmp_path):
    device = Device(context, f"ipc://{tmp_path}/run/source.devices", rate=100.0)
    device.send()
    device.tell(end=True)
    place = run(LIVE.replace("enabled = true", "enabled = false"))
    with pytest.raises(ConfigError, match="'devices' is live and kept no journal"):
        verify(place, watched)
    with pytest.raises(ConfigError, match="no run in this folder"):
        verify(tmp_path / "nothing", watched)


@needs("mcap")
def test_a_journal_that_ends_before_the_run_verifies_no_more_than_it_has(run, context, tmp_path, capsys):
    """The machine died: the checkpoint was on the disk, and the end of the journal was not."""
    device = Device(context, f"ipc://{tmp_path}/run/source.devices", rate=100.0)

    def turns(loop):
        for number in range(40):
            device.send(time=1e9 + number / 25)
            while loop.newest < number:
                loop.turn()
        device.tell(end=True)

    place = run(LIVE, turns)
    (path,) = (place / "in-process/journal").glob("part-*")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 17 // 20])
    assert command(place) == 2
    said = capsys.readouterr().out
    assert re.search("; not compared: after ([0-9]+, )*41\n", said)
    assert "NOT VERIFIED: its journal ends before the run does; until there no bit differs" in said


@needs("mcap")
@pytest.mark.parametrize("kind", ["empty", "folder"])
def test_a_journal_that_begins_with_no_file_of_its_own_is_named(run, context, tmp_path, kind):
    device = Device(context, f"ipc://{tmp_path}/run/source.devices", rate=100.0)
    device.send()
    device.tell(end=True)
    place = run(LIVE)
    (path,) = (place / "in-process/journal").glob("part-*")
    path.unlink()
    path.mkdir() if kind == "folder" else path.touch()
    with pytest.raises(ConfigError, match=f"{path}: {'Is a directory' if kind == 'folder' else 'no MCAP file'}"):
        verify(place, watched)
