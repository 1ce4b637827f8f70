"""Program: a process of a run, and the one way in which every process is started."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stream_infomax.run.threads import THREADS
from stream_infomax.service.parent import PARENT, RUN


@dataclass(frozen=True)
class Program:
    """A process to start: its name, its command, and the id of the run that it belongs to.

    `reads` names the program whose output it reads; empty: the one before it.
    """

    name: str
    command: Sequence[str]
    run: str = ""
    reads: str = ""


def module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a module; -P keeps what lies in the working folder from being imported."""
    return [sys.executable, "-P", "-m", name, *arguments]


def script(path: Path, *arguments: str) -> list[str]:
    """Return the command that runs a script."""
    return [sys.executable, "-P", str(path), *arguments]


class Life:
    """One process of a program, from its start to its end.

    Attributes
    ----------
    lines
        What it writes to stdout.
    """

    def __init__(self, child: asyncio.subprocess.Process, lines: asyncio.StreamReader, pipe: asyncio.ReadTransport):
        self.child = child
        self.lines = lines
        self._pipe = pipe

    def send(self, number: int) -> None:
        """Send a signal if the process still runs."""
        if self.child.returncode is None:
            with suppress(ProcessLookupError):
                self.child.send_signal(number)

    def close(self) -> None:
        """Stop reading."""
        self._pipe.close()


async def start(program: Program, errors: IO[bytes] | None) -> Life:
    """Start a program; what it writes to stderr goes to `errors`, None for our own stderr.

    Raises
    ------
    OSError
        Where no process can be started.
    """
    # A pipe of our own: asyncio takes a process for alive as long as a grandchild holds the pipe that it made.
    read, write = os.pipe()
    reader = asyncio.StreamReader()
    try:
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb", buffering=0)
        )
        try:
            child = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write,
                stderr=errors,
                env={**os.environ, **THREADS, "PYTHONUTF8": "1", PARENT: str(os.getpid()), RUN: program.run},
                # Ctrl-C in a terminal reaches all processes of a group; only the supervisor is to get it.
                start_new_session=True,
            )
        except BaseException:
            pipe.close()
            raise
    finally:
        os.close(write)
    return Life(child, reader, pipe)
