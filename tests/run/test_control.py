"""Runs that are steered: at a stated frame, whoever dies, and computed again to the same bits."""

import os
import re
import signal
import tomllib
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import zmq
from cyclopts import CycloptsError
from helpers.commands import call, child_of, ended, started
from helpers.faults import fault
from helpers.kills import leaves
from helpers.steered import ask
from helpers.stepping import step

from stream_infomax import cli
from stream_infomax.configuration.load import ConfigError, convert
from stream_infomax.frames.frame import Frame
from stream_infomax.run.control import Answer, control
from stream_infomax.run.folder import IN_PROCESS, RunFolder
from stream_infomax.run.one_process import whole
from stream_infomax.run.place import place_of
from stream_infomax.run.replay import changed, fork, past_run, told
from stream_infomax.run.summary import summarise
from stream_infomax.run.summary_text import lines
from stream_infomax.run.threads import THREADS
from stream_infomax.run.verify import verify
from stream_infomax.service.checkpoints import checkpoints_in, read
from stream_infomax.service.commands import FILE
from stream_infomax.service.signals import Signals
from stream_infomax.sinks.store import FrameStore
from stream_infomax.state.numbered import frames_behind
from stream_infomax.transport.messages import Accepted
from stream_infomax.transport.tap import BASIS, FRAME, TapReader

CONFIG = """
[run]
folder = "{folder}"
checkpoint_every = 16
keep = 50
record = true

[source]
kind = "synthetic"
n_sources = 4
rows = 40
frames = {frames}
pace = "{pace}"
speed = 4.0
log.frames = 64

[[stage]]
name = "first"
kind = "learner"
warmup = 100

[[stage]]
name = "second"
kind = "learner"
warmup = 100
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Of a run whose states can be compared with what other processes compute."""
    for name in THREADS:
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    return convert(tomllib.loads(CONFIG.format(folder=tmp_path / "run", frames=200, pace="fast")))


@contextmanager
def life(config):
    """Give the loop of a run in this process and who steers it; what was not saved at the end is lost."""
    folder = RunFolder(Path(config.run.folder))
    folder.path.mkdir(exist_ok=True)
    folder.open(config, True, fresh=False)
    with (
        closing(Signals()) as signals,
        whole(config, folder, signals) as loop,
        zmq.Context() as context,
        context.socket(zmq.DEALER) as client,
    ):
        client.linger = 0
        client.connect(loop.service.control)
        yield loop, client


def versions(loop):
    return {basis.stage: basis.version for basis in loop.stages.bases()}


def test_a_run_in_one_process_computed_again(config, tmp_path):
    """A death after each command; then `verify`, and a fork in the midst of what it was told."""
    run = tmp_path / "run"
    with life(config) as (loop, client):
        step(loop, 30)
        early = versions(loop)
        step(loop, 20)
        assert versions(loop) != early
        assert ask(loop, client, "pause", stage="second", name="1") == Accepted("1", 50)
        step(loop, 5)
    with life(config) as (loop, client):
        assert ask(loop, client, "undo", early["first"][:6], name="2") == Accepted("2", 55)
        assert ask(loop, client, "mark", "taken back", name="3") == Accepted("3", 55)
        step(loop, 20)
    with life(config) as (loop, client):
        step(loop, 60 - loop.feed.next)
        assert versions(loop)["first"] == early["first"]
        kinds = [event.kind for event in loop.stages.events()]
        assert (kinds.count("pause"), kinds.count("undo")) == (1, 1)
        assert ask(loop, client, "hold", stage="first", name="4") == Accepted("4", 68)
        assert ask(loop, client, "resume", name="5") == Accepted("5", 68)
        assert loop.run()
    verdict = verify(run, lambda *_: None)
    assert verdict.same, [one.difference for one in verdict.compared]
    assert [dict(frame.labels) for frame in FrameStore(run / "recorder").frames() if frame.labels] == [
        {"mark": "taken back"}
    ]
    for offset in (55, 70):
        past = past_run(run)
        forked = changed(past, tmp_path / f"fork{offset}", ())
        moment, fates = fork(past, forked, offset, lambda _: None)
        assert moment.offset == offset
        later = " is not done: 1× undo, 1× mark, 1× hold, 1× resume"
        said = list(told(past, tmp_path, moment, fates))
        assert any(line.endswith(later) for line in said) == (offset == 55), said
        with life(forked) as (loop, client):
            assert loop.feed.next == offset
            given = [command.id for command in loop.steering.commands.given]
            assert given == (["1"] if offset == 55 else ["1", "2", "3", "4", "5"])
            assert loop.stages.stages[1].state()["steering"]["paused"] == (offset == 55)
    before = next(path for path in checkpoints_in(run / IN_PROCESS) if frames_behind(path) == 64)
    moment, _ = fork(past_run(run), changed(past_run(run), tmp_path / "there", ()), 64, lambda _: None)
    assert leaves({stage.name: stage.state() for stage in moment.stages}) == leaves(read(before).stages)


def test_a_summary_says_what_was_held_and_what_ends_on_hold(config):
    with life(config) as (loop, client):
        step(loop, 50)
        ask(loop, client, "pause", stage="first", name="1")
        step(loop, 20)
        ask(loop, client, "resume", stage="first", name="2")
        ask(loop, client, "hold", stage="first", name="3")
        assert loop.run()
    summary = summarise(config, RunFolder(Path(config.run.folder)), 1.0, True)
    assert summary.idle == {"first": "on hold"}
    assert summary.set_aside["first"].keys() == {"paused", "held"}
    said = list(lines(summary))
    assert any(line.startswith("first: of ") and " (paused), " in line and " (held)" in line for line in said)
    assert "first: ends on hold" in said


def test_fresh_removes_what_a_run_was_told(config):
    with life(config) as (loop, client):
        ask(loop, client, "pause")
        step(loop, 1)
    folder = RunFolder(Path(config.run.folder))
    assert {path.name for path in (folder.path / IN_PROCESS).iterdir()} >= {FILE, "furthest"}
    folder.open(config, True, fresh=True)
    assert not (folder.path / IN_PROCESS).exists()


@fault("commands")
def test_a_run_whose_commands_are_damaged_does_not_go_on(config, tmp_path):
    with life(config) as (loop, client):
        ask(loop, client, "pause")
        step(loop, 20)
    (tmp_path / "run" / IN_PROCESS / FILE).write_bytes(b"what is this\n")
    (tmp_path / "run.toml").write_text(CONFIG.format(folder=tmp_path / "run", frames=200, pace="fast"))
    end = call("run", "run.toml", "--in-process", "--plain", folder=tmp_path)
    assert end.code == 2
    assert "commands.jsonl: line 1 is no command" in end.errors
    for again in (cli.verify, partial(cli.replay, from_=5, to=tmp_path / "fork")):
        with pytest.raises(ConfigError, match=r"commands\.jsonl: line 1 is no command"):
            again(tmp_path / "run")
    assert not (tmp_path / "fork").exists()


def test_a_run_of_several_processes_that_lose_one(tmp_path):
    (tmp_path / "run.toml").write_text(CONFIG.format(folder=tmp_path / "run", frames=100_000, pace="live"))
    with started("run", "run.toml", "--plain", folder=tmp_path) as (process, _):
        with TapReader(f"ipc://{tmp_path}/run/second.tap", topics=(FRAME, BASIS)) as tap:
            until(tap, 40)
            early = dict(tap.bases)
            where = place_of(tmp_path / "run")
            paused = control(where, "pause", command="a")
            assert [answer.service for answer in paused] == ["first", "second"]
            assert all(answer.offset >= 0 and not answer.problem for answer in paused)
            (marked,) = control(where, "mark", value="here")
            assert marked.service == "source"
            assert [answer.service for answer in control(where, "save")] == ["source", "first", "second"]
            assert control(where, "resume")
            os.kill(child_of(process.pid, "first"), signal.SIGKILL)
            assert control(where, "pause", command="a") == paused
            (undone,) = control(where, "undo", value=early["second"].version)
            assert (undone.service, undone.problem) == ("second", "")
            (held,) = control(where, "hold", "first")
            assert (held.service, held.problem) == ("first", "")
            source, *learners = control(where, "undo", value="ffffffffffff")
            assert source == Answer("source", problem="no stage here takes undo")
            for answer in learners:
                assert re.match(r"no basis 'ffffffffffff' is kept here; .*: [0-9a-f]{12} \(frame ", answer.problem)
        process.send_signal(signal.SIGINT)
        end = ended(process)
        assert end.code == 0, end.errors
    with pytest.raises(ConfigError, match="this run does not go on"):
        control(where, "pause")
    verdict = verify(tmp_path / "run", lambda *_: None)
    assert verdict.same, [one.difference for one in verdict.compared]
    marks = [frame.offset for frame in FrameStore(tmp_path / "run" / "recorder").frames() if frame.labels]
    assert marks == [marked.offset]


def until(tap, offset):
    for frame in tap:
        assert isinstance(frame, Frame)
        if frame.offset >= offset:
            return


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere", "pause"), "nowhere: there is no such folder of a run"),
        (("run", "pause"), "this run does not go on"),
        (("run", "pause", "extra"), "pause takes no value; given was 'extra'"),
        (("run", "dance"), "action 'dance'; accepted are pause, resume, hold"),
    ],
)
def test_what_cannot_be_told_is_said_in_a_line(tmp_path, monkeypatch, arguments, says):
    text = CONFIG.format(folder=tmp_path / "run", frames=9, pace="fast")
    (tmp_path / "run").mkdir()
    RunFolder(tmp_path / "run").begin(convert(tomllib.loads(text)), in_process=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(says)):
        cli.app(["control", *arguments])


def test_arguments_that_are_none_are_named():
    for arguments, says in (
        (
            ("control", "run", "pause", "", "extra"),
            "'extra': no argument or option takes this; --help says what there is",
        ),
        (("replay", "run", "--from", "abc"), "--from 'abc': accepted is a whole number"),
    ):
        with pytest.raises(CycloptsError) as error:
            cli.app([*arguments])
        assert cli.misunderstood(error.value) == says
