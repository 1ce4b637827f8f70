"""Supervisor: starts the processes of a pipeline, restarts what dies, stops them in the order of the data.

A service is any program that prints ``READY name address`` once it serves, exits 0 when it has finished or has been
asked to stop, and exits 2 where starting it again would end the same way. Any other end is a death.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stream_infomax.service.parent import PARENT

# Results must not depend on how many cores a machine has; the processes share the cores among them.
THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
USELESS_TO_RESTART = 2
LAST_WORDS = 20


@dataclass(frozen=True)
class Service:
    """A process to keep alive: its name and the command that starts it."""

    name: str
    command: Sequence[str]


@dataclass(frozen=True)
class Patience:
    """When the supervisor gives up; times in seconds.

    Attributes
    ----------
    deaths
        So many deaths in a row without progress between them are a crash loop.
    forgiven_after
        A service that lived so long starts with a clean slate.
    pause, longest_pause
        Before the first restart; it doubles from death to death up to the longest.
    ready
        From the start of a process to its READY; after that it is killed, which counts as a death.
    stop
        From the request to stop to the exit; after that it is killed, and its last checkpoint counts.
    """

    deaths: int = 5
    forgiven_after: float = 60.0
    pause: float = 0.1
    longest_pause: float = 5.0
    ready: float = 120.0
    stop: float = 20.0


class ServiceError(RuntimeError):
    """A service that cannot be kept alive: which, why, its last words and where the others are."""

    def __init__(self, name: str, reason: str, last_words: str, log: Path) -> None:
        super().__init__(f"service {name!r} {reason}")
        self.name = name
        self.last_words = last_words
        self.log = log


class Supervisor:
    """Keeps services alive until the last of them has finished.

    Parameters
    ----------
    services
        In the order of the data: the source first.
    folder
        Where ``<name>.log`` keeps what each service writes to stderr.
    on_change
        Called with a service's name, its new state (``starting``, ``running``, ``restarting``, ``stopping``,
        ``stopped``, ``finished`` or ``failed``) and the number of its restarts so far.
    patience
        When to give up.
    """

    def __init__(
        self,
        services: Sequence[Service],
        folder: Path,
        on_change: Callable[[str, str, int], None] = lambda name, state, restarts: None,
        patience: Patience = Patience(),
    ) -> None:
        self._patience = patience
        self._on_change = on_change
        self._processes = [_Process(service, folder / f"{service.name}.log") for service in services]
        self._by_name = {service.name: process for service, process in zip(services, self._processes, strict=True)}
        self._over = asyncio.Event()
        self._failure: ServiceError | None = None
        self.killed = False

    def progress(self, name: str, offset: int) -> None:
        """Note that a service has come as far as `offset`; deaths on the way there are no crash loop.

        Nor are those of the services before it, without whom it could not have: one that was restarted may have to
        make again what it had made, for readers far behind.
        """
        process = self._by_name[name]
        if offset > process.progress:
            process.progress = offset
            for served in self._processes[: self._processes.index(process) + 1]:
                served.advanced = True

    def stop(self) -> None:
        """Ask all services to stop, save and exit; a second request kills them."""
        if not self._over.is_set():
            self._over.set()
            return
        self.killed = True
        for process in self._processes:
            process.send(signal.SIGKILL)

    async def run(self) -> bool:
        """Keep the services alive until the last has finished (True) or `stop` was called (False).

        SIGINT and SIGTERM call `stop`.

        Raises
        ------
        ServiceError
            Where a service is in a crash loop or says that a restart is useless; the others have been stopped.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        keepers = [asyncio.create_task(self._keep(process)) for process in self._processes]
        keepers[-1].add_done_callback(lambda _: self._over.set())
        try:
            await self._over.wait()
            finished = self._processes[-1].finished
            if finished:  # all that the others had is committed, and they are about to end by themselves
                await asyncio.wait(keepers, timeout=self._patience.stop)
            await self._stop_in_order(keepers)
            await asyncio.gather(*keepers)
        finally:
            for process in self._processes:
                process.send(signal.SIGKILL)
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
        if self._failure is not None:
            raise self._failure
        return finished

    async def _stop_in_order(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        for process, keeper in zip(self._processes, keepers, strict=True):
            if keeper.done():
                continue
            self._tell(process, "stopping")
            process.asked_to_stop = True
            process.send(signal.SIGTERM)
            await asyncio.wait([keeper], timeout=self._patience.stop)
            process.send(signal.SIGKILL)
            await asyncio.wait([keeper])

    async def _keep(self, process: _Process) -> None:
        """Start a service again and again until it exits 0, the pipeline is over or patience ends."""
        loop = asyncio.get_running_loop()
        while not self._over.is_set():
            start = loop.time()
            code = await self._live(process)
            if code == 0 or self._over.is_set():
                process.finished = code == 0 and not process.asked_to_stop
                break
            process.count_death(forgive=loop.time() - start >= self._patience.forgiven_after)
            if code == USELESS_TO_RESTART or process.deaths >= self._patience.deaths:
                self._give_up(process, code)
                return
            process.restarts += 1
            self._tell(process, "restarting")
            pause = self._patience.pause * 2 ** (process.deaths - 1)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), min(pause, self._patience.longest_pause))
        self._tell(process, "finished" if process.finished else "stopped")

    async def _live(self, process: _Process) -> int:
        """Run the process once and return its exit code."""
        self._tell(process, "starting")
        child = await process.start()
        if process.asked_to_stop:  # while it was being started
            process.send(signal.SIGTERM)
        late = asyncio.get_running_loop().call_later(self._patience.ready, process.send, signal.SIGKILL)
        assert child.stdout is not None
        async for line in child.stdout:
            if line.startswith(b"READY "):
                late.cancel()
                self._tell(process, "running")
        code = await child.wait()
        late.cancel()
        return code

    def _give_up(self, process: _Process, code: int) -> None:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if process.deaths > 1:
            how += f", {process.deaths} times without progress"
        self._failure = self._failure or ServiceError(process.service.name, how, process.last_words(), process.log)
        self._tell(process, "failed")
        self._over.set()

    def _tell(self, process: _Process, state: str) -> None:
        self._on_change(process.service.name, state, process.restarts)


class _Process:
    """A service over all its lives."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self.log = log
        self.deaths = 0
        self.restarts = 0
        self.progress = -1
        # Whether it or one behind it has come further since its last death.
        self.advanced = False
        self.asked_to_stop = False
        self.finished = False
        self._child: asyncio.subprocess.Process | None = None
        self._log_start = 0

    async def start(self) -> asyncio.subprocess.Process:
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._child = await asyncio.create_subprocess_exec(
                *self.service.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **THREADS, PARENT: str(os.getpid())},
                # Ctrl-C in a terminal reaches all processes of a group; only the supervisor shall hear it.
                start_new_session=True,
            )
        return self._child

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        if self._child is not None and self._child.returncode is None:
            with suppress(ProcessLookupError):
                self._child.send_signal(number)

    def count_death(self, forgive: bool) -> None:
        self.deaths = 1 if forgive or self.advanced else self.deaths + 1
        self.advanced = False

    def last_words(self) -> str:
        """Return the end of what this life, not an earlier one, wrote to stderr."""
        with self.log.open("rb") as file:
            file.seek(max(self._log_start, self.log.stat().st_size - (1 << 16)))
            text = file.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-LAST_WORDS:])
