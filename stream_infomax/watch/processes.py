"""Processes: what the kernel says of the processes of a run: CPU time, memory, open files. From /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from stream_infomax.watch.counting import Lives

PROC = Path("/proc")
# Fields of /proc/PID/stat behind the name of the program.
PARENT, USER, SYSTEM, START, PAGES = 1, 11, 12, 19, 21


class Used(NamedTuple):
    """What a process takes: bytes of memory, and open files."""

    memory: int
    files: int


class Processes:
    """Looks at processes, and adds up the CPU time of each service over all its lives.

    What a process has used between the last look and its end is not known.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, Lives] = {}

    def look(self, pids: Mapping[str, int]) -> dict[str, Used]:
        """Return what each process takes, by service; one that has ended, or is not ours, is left out."""
        found = {}
        for name, pid in pids.items():
            with suppress(OSError, ValueError, IndexError):  # it has just ended
                stat = (PROC / str(pid) / "stat").read_bytes()
                # The name of the program stands in brackets and may hold anything.
                fields = stat[stat.rindex(b")") + 2 :].split()
                if pid != os.getpid() and int(fields[PARENT]) != os.getpid():
                    continue
                files = len(os.listdir(PROC / str(pid) / "fd"))  # noqa: PTH208  (only how many)
                seconds = (int(fields[USER]) + int(fields[SYSTEM])) / os.sysconf("SC_CLK_TCK")
                self._seconds.setdefault(name, Lives()).add((pid, fields[START]), {("cpu",): seconds})
                found[name] = Used(int(fields[PAGES]) * os.sysconf("SC_PAGE_SIZE"), files)
        return found

    def seconds(self) -> dict[str, float]:
        """Return the CPU seconds of each service so far."""
        return {name: lives.totals["cpu",] for name, lives in self._seconds.items()}
