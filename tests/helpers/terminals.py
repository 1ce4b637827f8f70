"""A command in a terminal of its own, as a person sees it."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.commands import ENVIRONMENT, command

PATIENCE = 60.0


class Terminal:
    """What a command has written to its terminal, and its keyboard."""

    def __init__(self, process: subprocess.Popen[bytes], number: int) -> None:
        self.process = process
        self._number = number
        self._said = b""

    def until(self, words: str) -> str:
        """Read until the command has written `words`; return all since the last time."""
        end = time.monotonic() + PATIENCE
        while words.encode() not in self._said:
            assert time.monotonic() < end, self._said[-2000:]
            if select.select([self._number], [], [], 1.0)[0]:
                self._said += os.read(self._number, 65536)
        said, self._said = self._said, b""
        return said.decode()

    def press(self, keys: str) -> None:
        os.write(self._number, keys.encode())

    def is_raw(self) -> bool:
        """Whether keys come one by one and are not shown."""
        return not termios.tcgetattr(self._number)[3] & (termios.ICANON | termios.ECHO)


@contextmanager
def terminal(*arguments: object, folder: Path, columns: int = 80, lines: int = 24) -> Iterator[Terminal]:
    """Start a command in a terminal; it does not outlive the block."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    environment = {**ENVIRONMENT, "TERM": "xterm-256color"}
    try:
        with subprocess.Popen(command(*arguments), cwd=folder, env=environment, **streams) as process:
            try:
                yield Terminal(process, ours)
            finally:
                process.kill()
    finally:
        os.close(ours)
        os.close(theirs)
