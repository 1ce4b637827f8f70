"""Commands whose output goes where it cannot all be taken: a pipe that is closed, a disk that is full."""

import os
import subprocess
from pathlib import Path

import pytest
from helpers.commands import ENVIRONMENT, command
from helpers.faults import fault

CONFIG = """
[run]
folder = "run"

[source]
kind = "synthetic"
n_sources = 4
rows = 64
frames = 20

[[stage]]
name = "learner"
kind = "learner"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.toml").write_text(CONFIG)
    return tmp_path


COMMANDS = [("check", "pipeline.toml"), ("run", "pipeline.toml"), ("run", "pipeline.toml", "--in-process"), ("--help",)]


@fault("pipe")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_pipe_whose_reader_has_gone_ends_it_quietly(folder: Path, arguments: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            command(*arguments),
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=folder,
            check=False,
        )
    finally:
        os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_disk_that_takes_no_more_output_is_one_line(folder: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*arguments),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=folder,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "stream-infomax: standard output: No space left on device\n"


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_closed_streams_are_no_fault(folder: Path, arguments: tuple[str, ...]) -> None:
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command(*arguments)]
    assert subprocess.run(closed, env=ENVIRONMENT, cwd=folder, check=False).returncode == 0
    if "run" in arguments:
        assert '"frames": 20' in (folder / "run" / "run.json").read_text()
