"""Small scripts in a folder, and the supervisor over them."""

import asyncio
import sys
import textwrap
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from stream_infomax.run.program import Program
from stream_infomax.run.supervisor import Patience, Supervisor

QUICK = Patience(pause=0.01, longest_pause=0.05, ready=30.0, stop=10.0)
READY = "print('READY service ipc://somewhere', flush=True)\n"
# A service that serves until it is asked to stop, and then exits 0.
OBEDIENT = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: exit(0))\n" + READY + "signal.pause()\n"
FINISHED = "print('FINISHED service', flush=True)\n"
FINISHES = READY + FINISHED


class Stage:
    """Scripts in a folder, the supervisor over them and everything it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: list[Program] = []
        self.told: list[tuple[str, str, int]] = []
        self.reactions: dict[tuple[str, str], Callable[[], None]] = {}
        self.beside: list[Coroutine[Any, Any, None]] = []
        self.logs = folder
        self.supervisor: Supervisor

    def add(self, name: str, script: str) -> None:
        path = self.folder / f"{name}.py"
        path.write_text(textwrap.dedent(script))
        self.programs.append(Program(name, [sys.executable, "-P", str(path)]))

    def run(self, patience: Patience = QUICK) -> bool:
        async def main() -> bool:
            self.supervisor = Supervisor(self.programs, self.logs, self._note, patience)
            return await self.supervisor.run(*self.beside)

        return asyncio.run(main())

    def when(self, name: str, state: str, react: Callable[[], None]) -> None:
        self.reactions[name, state] = react

    def states(self, name: str) -> list[str]:
        return [state for service, state, _ in self.told if service == name]

    def _note(self, name: str, state: str, restarts: int) -> None:
        self.told.append((name, state, restarts))
        react = self.reactions.get((name, state))
        if react is not None:
            react()
