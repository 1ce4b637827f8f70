"""Commands as a person gives them: real processes, their output and exit codes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "error"}


@dataclass
class Ended:
    """How a command ended."""

    code: int
    output: str
    errors: str


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", "stream_infomax.cli", *map(str, arguments)]


def call(*arguments: object, folder: Path, **environment: str) -> Ended:
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        timeout=150,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(*arguments: object, folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Start a command; yield its process and what it prints. It does not outlive the block."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    surroundings = {**ENVIRONMENT, **environment}
    with subprocess.Popen(command(*arguments), text=True, env=surroundings, cwd=folder, **streams) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a command that was started."""
    output, errors = process.communicate(timeout=150)
    return Ended(process.returncode, output, errors)


def child_of(parent: int, words: str) -> int:
    """Return the child process whose command line holds `words`."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (found,) = (int(child) for child in children if words in Path(f"/proc/{child}/cmdline").read_text())
    return found
