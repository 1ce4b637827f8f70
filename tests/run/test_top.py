"""Runs that are watched: in a terminal, by other programs, while they go on and when they do not."""

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import zmq
from helpers.commands import call, started
from helpers.terminals import terminal
from helpers.wire import status as said

from stream_infomax.cli.run import run
from stream_infomax.cli.top import top
from stream_infomax.configuration.load import ConfigError, load
from stream_infomax.frames.event import Event
from stream_infomax.frames.measure import Measure
from stream_infomax.run import followed
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.followed import Followed
from stream_infomax.run.standing import Standing
from stream_infomax.transport.tap import Tap
from stream_infomax.watch.history import HEAD
from stream_infomax.watch.report import Report, ServiceReport

CONFIG = """
[run]
folder = "run"
checkpoint_every = 10

[source]
kind = "synthetic"
n_sources = 2
rows = 8
frames = {frames}
rate = 80.0
pace = "{pace}"

[[stage]]
name = "learner"
kind = "learner"
"""


def written(folder: Path, frames: int = 10_000, pace: str = "live", more: str = "") -> Path:
    path = folder / "pipeline.toml"
    path.write_text(CONFIG.format(frames=frames, pace=pace) + more)
    return path


async def heard(taps: dict[str, Tap], run: str, condition, **changes: object) -> None:
    """Say how services are until `condition` holds."""
    async with asyncio.timeout(30):
        while not condition():
            for name, tap in taps.items():
                tap.attend()
                tap.status(said(9, name=name, run=run, **changes))
            await asyncio.sleep(0.02)


def test_a_run_is_followed_over_its_end_and_its_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: zmq.Context
) -> None:
    config = load(written(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(followed, "LOOK", 0.02)
    folder = RunFolder(tmp_path / "run")

    async def check() -> None:
        with folder.lock():
            folder.begin(config, in_process=False)
            folder.history.write_text(f"{HEAD}\n1.0,learner,,objective,64,5\n")
            monkeypatch.setattr(followed, "saved", lambda _, name: Standing(from_="checkpoint", frame=6))
            run = Followed(tmp_path / "run")
            following = asyncio.create_task(run.follow())
            async with asyncio.timeout(30):
                while run.board.last.newest != 6:  # of one that hangs, too, it is known how far it was
                    await asyncio.sleep(0.01)
            taps = {name: Tap(context, config.addresses(name)[1]) for name in ("source", "learner")}
            await heard(taps, folder.id, lambda: run.state == run.board.last.state == "running")
            await heard(taps, folder.id, lambda: run.board.last.restarts == 1, started=1.0)
            assert run.board.curves()["learner", "", "objective"].values == [5.0]
        async with asyncio.timeout(30):
            while run.state != "stopped":
                await asyncio.sleep(0.01)
        with folder.lock():  # --fresh
            folder.begin(config, in_process=False)
            await heard(taps, folder.id, lambda: run.state == "running" and run.board.last.restarts == 0)
            assert run.place.run == folder.id
            (tmp_path / "run" / "run.json").unlink()
            async with asyncio.timeout(30):
                while not run.problem:
                    await asyncio.sleep(0.01)
        assert (run.state, "no run in this folder" in run.problem) == ("stopped", True)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following

    asyncio.run(check())


def test_a_run_of_another_machine_says_itself_that_it_is_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: zmq.Context
) -> None:
    tap = Tap(context, "tcp://127.0.0.1:*")
    path = written(tmp_path, more=f'\n[stage.log]\ntap = "{tap.address}"\nbind = "tcp://127.0.0.1:5611"\n')
    monkeypatch.setattr(followed, "LOOK", 0.02)

    async def check() -> None:
        run = Followed(path)
        assert list(run.board.rows) == ["learner"]
        following = asyncio.create_task(run.follow())
        await heard({"in-process": tap}, "0123", lambda: "in-process" in run.board.rows)
        assert run.state == "running"
        await heard({"in-process": tap}, "0123", lambda: run.state == "finished", finished=True)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following

    asyncio.run(check())


def test_in_a_terminal_q_ends_it_and_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    written(tmp_path)
    with started("run", "pipeline.toml", "--in-process", folder=tmp_path) as (_, lines):
        assert any("in-process: running" in line for line in lines)
        with terminal("top", "run", folder=tmp_path) as seen:
            seen.until("objective")
            text = ""
            while "run: running" not in text:  # a picture may come in two pieces
                text += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.until("frames "))
            assert seen.is_raw()
            seen.press("xq")
            seen.until("\x1b[?1049l")
            assert seen.process.wait(timeout=60) == 0
            assert not seen.is_raw()
        with started("top", "run", "--json", folder=tmp_path) as (_, reports):
            found = [msgspec.json.decode(line, type=Report) for _, line in zip(range(3), reports, strict=False)]
        assert [one.state for one in found] == ["running"] * 3
        assert found[2].services["in-process"].frame > found[0].services["in-process"].frame
        assert found[2].time > found[1].time > found[0].time


def test_finished_runs_are_told_once_and_a_folder_without_a_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, frames=200, pace="fast")
    assert run(tmp_path / "pipeline.toml", set=[f"run.folder={tmp_path}/run"], in_process=True) == 0
    capsys.readouterr()
    plain = call("top", "run", "run", folder=tmp_path)
    assert (plain.code, plain.errors) == (0, "")
    assert [line.partition("  learner")[0] for line in plain.output.splitlines()] == ["run: finished  frame 200"] * 2
    assert top(tmp_path / "run", json=True) == 0
    assert json.loads(capsys.readouterr().out)["services"]["in-process"]["state"] == "finished"
    with pytest.raises(ConfigError, match=r"no run in this folder \(run.json\)"):
        top(tmp_path / "run", tmp_path)


def test_the_documentation_names_every_field_of_a_line() -> None:
    text = Path("docs/operations.md").read_text()
    table = text.partition("## Several runs at once")[2].partition("\n## ")[0]
    fields = [field for of in (Report, ServiceReport, Measure, Event) for field in of.__struct_fields__]
    assert [field for field in fields if f"`{field}`" not in table] == []
