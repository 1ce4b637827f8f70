"""Whatever one process of a run gets from somebody else, the run goes on to the same bits or says why it ends."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from helpers.chains import TOYS, Chain, in_a_row
from helpers.commands import call, child_of, ended, started
from helpers.faults import fault
from helpers.manager import Manager

from stream_infomax.run.program import Program
from stream_infomax.run.supervisor import Supervisor
from stream_infomax.service.checkpoints import Checkpoints, checkpoints_in
from stream_infomax.transport.tap import TapReader

CONFIG = """
[run]
folder = "run"
checkpoint_every = 16

[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = 60
rate = 1000.0
pace = "live"

[[stage]]
name = "windows"
kind = "windows"
length = 4
hop = 4

[[stage]]
name = "learner"
kind = "learner"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.toml").write_text(CONFIG)
    return tmp_path


def until(folder: Path, service: str, offset: int) -> None:
    """Wait until a service has published a frame so late."""
    with TapReader(f"ipc://{folder}/run/{service}.tap") as observer:
        next(frame for frame in observer if frame.offset >= offset)


@fault("asked")
@pytest.mark.parametrize("service", ["source", "windows", "learner"])
def test_a_service_that_is_asked_to_stop_by_somebody_else_goes_on(folder: Path, service: str) -> None:
    with started("run", "pipeline.toml", folder=folder) as (process, _):
        until(folder, "learner", 20)
        os.kill(child_of(process.pid, f"--service\0{service}"), signal.SIGTERM)
        end = ended(process)
    assert (end.code, end.errors) == (0, "")
    assert f"{service}: restarting (restart 1)\n" in end.output
    assert "60 frames, none lost" in end.output
    saved = Checkpoints(folder / "run" / "learner").latest()
    assert saved is not None
    assert (saved.processed, saved.finished) == (59, True)


@fault("terminal")
def test_a_closed_terminal_saves_and_the_same_command_resumes(folder: Path) -> None:
    long = ("pipeline.toml", "--set", "source.frames=400")  # 25 s
    with (
        Manager(folder, watchdog=3.0) as manager,
        started("run", *long, folder=folder, **manager.environment) as (process, _),
    ):
        manager.until("READY=1")
        until(folder, "learner", 20)
        learner = child_of(process.pid, "--service\0learner")
        os.kill(learner, signal.SIGSTOP)
        manager.until("STATUS=nothing heard of learner for 3 s")
        manager.heard()
        os.kill(learner, signal.SIGCONT)
        manager.until("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        end = ended(process)
        assert manager.heard()[-1] == "STOPPING=1"
    assert (end.code, end.errors) == (0, "")
    assert "stopped and saved" in end.output
    stopped = [line for line in end.output.splitlines() if line.endswith(": stopped")]
    assert stopped == [f"{name}: stopped" for name in ("source", "windows", "learner")]
    resumed = call("run", *long, "--set", "source.pace=fast", folder=folder)
    assert resumed.code == 0
    assert "400 frames, none lost" in resumed.output


@fault("folder")
@pytest.mark.parametrize("service", ["windows", "learner"])
def test_a_run_whose_folder_is_gone_ends(folder: Path, service: str) -> None:
    """Nothing can be started there again: the run says so instead of standing still."""
    with started("run", "pipeline.toml", folder=folder) as (process, _):
        until(folder, "learner", 20)
        (folder / "run").rename(folder / "elsewhere")  # at once, whatever is being written there
        os.kill(child_of(process.pid, f"--service\0{service}"), signal.SIGKILL)
        end = ended(process)
    assert end.code == 1
    assert "Traceback" not in end.errors
    assert "cannot be started: [Errno 2] No such file or directory: 'run/" in end.errors


def test_a_source_that_has_finished_is_started_again_for_a_reader_that_falls_back(tmp_path: Path) -> None:
    """The reader's newest checkpoint is damaged when it is killed, and nobody serves what it needs any more."""
    chain = Chain(tmp_path, 60)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    behind = "import os, sys; open(sys.argv[1]).read(); os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
    toys = {
        name: [str(TOYS), "source" if name == "source" else "stage", json.dumps(chain.settings[name])]
        for name in chain.names
    }
    commands = {name: [sys.executable, *toys[name]] for name in ("source", "a")}
    commands["b"] = [sys.executable, "-c", behind, str(gate), *toys["b"]]
    states: list[tuple[str, str]] = []

    def react(name: str, state: str, restarts: int) -> None:
        states.append((name, state))
        if states.count(("source", "finished")) == 1 and (name, state) == ("source", "finished"):
            newest = checkpoints_in(tmp_path / "a")[-1]
            newest.write_bytes(newest.read_bytes()[:-100])
            os.kill(child_of(os.getpid(), '"name": "a"'), signal.SIGKILL)
        if (name, state, restarts) == ("a", "running", 1):
            gate.write_text("go on")

    async def main() -> bool:
        programs = [Program(name, commands[name]) for name in chain.names]
        return await Supervisor(programs, tmp_path, react).run()

    assert asyncio.run(main()) is True
    assert [state for name, state in states if name == "source"][:6] == 2 * ["starting", "running", "finished"]
    saved = chain.saved("b")
    assert saved.lost == {}
    assert saved.stages["b"]["total"].tobytes() == in_a_row(60, "a", "b")[1]["total"].tobytes()
