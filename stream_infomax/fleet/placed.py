"""Placed: a process of a fleet on the machine where Ray has put it.

Ray starts this actor where there is room, and again elsewhere when it or its machine dies. All that it does there is
keep one program alive, as the supervisor of a run does: with the same limits, log and last words.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from stream_infomax.fleet.names import LINES
from stream_infomax.run.program import Program
from stream_infomax.run.supervisor import ServiceError, Supervisor

Outcome: TypeAlias = Literal["finished", "stopped", "failed"]
# Seconds between two looks whether the fleet has got any further.
LOOK = 1.0


class Standing(NamedTuple):
    """Where a program is and how it does.

    Attributes
    ----------
    life
        Of the actor: another one where Ray has started it again.
    host
        The machine.
    found
        Whether the run folder is there.
    state, restarts
        Of the program, in this life of the actor.
    """

    life: str
    host: str
    found: bool
    state: str
    restarts: int


class End(NamedTuple):
    """How a program ended; `words` says why it failed, `useless` that it would do so again."""

    outcome: Outcome
    words: str
    useless: bool


class Placed:
    """Keeps one program alive on this machine.

    Parameters
    ----------
    name
        Of the program.
    arguments
        What Python runs: ``-m MODULE …`` or the path of a script.
    run
        Id of the run that it belongs to.
    folder
        The run folder, the same one on all machines.
    """

    def __init__(self, name: str, arguments: list[str], run: str, folder: str) -> None:
        os.umask(0o077)  # a run folder is its user's alone
        self._folder = Path(folder)
        self._name = name
        self._life = secrets.token_hex(4)
        self._state, self._restarts = "starting", 0
        self._asked = False
        # Python of this machine, not of the one that asks.
        program = Program(name, [sys.executable, "-P", *arguments], run)
        self._supervisor = Supervisor([program], self._folder, self._change)

    async def standing(self) -> Standing:
        """Return how the program does."""
        return self._standing()

    def _standing(self) -> Standing:
        import ray

        host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return Standing(self._life, host, self._folder.is_dir(), self._state, self._restarts)

    async def run(self) -> tuple[End, Standing]:
        """Keep the program alive until it has finished, was stopped or cannot go on; return how that was."""
        return await self._end(), self._standing()

    async def _end(self) -> End:
        try:
            finished = await self._supervisor.run(self._progress(), signals=False)
        except ServiceError as error:
            words = f"its last words (all of them in {error.log}):\n{error.last_words}"
            if not error.last_words:
                words = f"it wrote nothing to {error.log}"
            return End("failed", f"{error}; {words}", error.useless)
        except OSError as error:
            return End("failed", f"{self._name!r} could not be started: {error}", False)
        return End("finished" if finished else "stopped", "", False)

    async def stop(self) -> None:
        """Ask the program to stop and save, once."""
        if not self._asked:
            self._asked = True
            self._supervisor.stop()

    async def _progress(self) -> None:
        """Tell the supervisor how far the fleet has come: deaths between which it came further are no crash loop."""
        while True:
            with suppress(FileNotFoundError):  # before the first round
                self._supervisor.progress(self._name, (self._folder / LINES).stat().st_size)
            await asyncio.sleep(LOOK)

    def _change(self, _: str, state: str, restarts: int) -> None:
        self._state, self._restarts = state, restarts
