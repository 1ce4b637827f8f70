"""Supervisor: starts the processes of a pipeline, restarts what dies, stops them in the order of the data.

A service is any program that prints ``READY name address`` once it serves and ``FINISHED name`` once its stream has
ended, exits 0 when it has finished or was asked to stop, and exits 2 where starting it again would end the same way.
Any other end is a death, and so is an exit 0 before the end that the supervisor has not asked for.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stream_infomax.run.program import Life, Program, start
from stream_infomax.service.signals import stop_signals
from stream_infomax.state.regular import open_regular

USELESS_TO_RESTART = 2
LAST_WORDS = 20
# Bytes that are written to find out whether a disk takes any.
PROBE = 1 << 16
# Seconds after the end of a process within which its last lines are read.
LAST_LINES = 1.0


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
    """A service that cannot be kept alive: which, why, its last words and where the others are.

    Attributes
    ----------
    useless
        Whether it would end the same way again.
    """

    def __init__(self, name: str, reason: str, last_words: str, log: Path, useless: bool) -> None:
        super().__init__(f"service {name!r} {reason}")
        self.last_words = last_words
        self.log = log
        self.useless = useless


class Supervisor:
    """Keeps programs alive until the last of them has finished.

    Parameters
    ----------
    programs
        In the order of the data: the source first.
    folder
        Where ``<name>.log`` keeps what each program writes to stderr.
    on_change
        Called with a program's name, its new state (``starting``, ``running``, ``restarting``, ``stopping``,
        ``stopped``, ``finished`` or ``failed``) and the number of its restarts so far.
    patience
        When to give up.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        folder: Path,
        on_change: Callable[[str, str, int], None] = lambda name, state, restarts: None,
        patience: Patience = Patience(),
    ) -> None:
        self._patience = patience
        self._on_change = on_change
        self._processes = [_Process(program, folder / f"{program.name}.log") for program in programs]
        self._by_name = {process.name: process for process in self._processes}
        # Whom each reads: the one that its program names, or the one before it. Whom nobody reads ends the run.
        self._upstream: dict[str, _Process | None] = {}
        for before, process, program in zip((None, *self._processes), self._processes, programs, strict=False):
            self._upstream[process.name] = self._by_name[program.reads] if program.reads else before
        self._last = [one for one in self._processes if one not in self._upstream.values()]
        self._over = asyncio.Event()
        self._failure: BaseException | None = None
        self._asked = False
        self.killed = False

    def progress(self, name: str, offset: int) -> None:
        """Note that a program has come as far as `offset`; deaths on the way there are no crash loop.

        Nor are those of the programs before it, without whom it could not have: one that was restarted may have to
        make again what it had made, for readers far behind.
        """
        process = self._by_name[name]
        if offset > process.progress:
            process.progress = offset
            served: _Process | None = process
            while served is not None:
                served.advanced = True
                served = self._upstream[served.name]

    def pids(self) -> dict[str, int]:
        """Return the processes that there are now, by name; to be called from any thread."""
        return {process.name: pid for process in self._processes if (pid := process.pid) is not None}

    def stop(self) -> None:
        """Ask all programs to stop, save and exit; a second request kills them."""
        self.killed = self._asked
        self._asked = True
        self._end()
        if self.killed:
            self._kill()

    def fail(self, error: BaseException) -> None:
        """Stop, for this reason; the first one is raised at the end."""
        self._failure = self._failure or error
        self._end()

    async def run(self, *beside: Coroutine[Any, Any, None], signals: bool = True) -> bool:
        """Keep the programs alive until all that nobody reads have finished (True) or `stop` was called (False).

        Parameters
        ----------
        beside
            What is done meanwhile; one that fails ends the run.
        signals
            Whether SIGINT, SIGTERM and SIGHUP call `stop`; only a main thread can hear them.

        Raises
        ------
        ServiceError
            Where a program is in a crash loop, cannot be started or says that a restart is useless; the others have
            been stopped.
        """
        loop = asyncio.get_running_loop()
        numbers = stop_signals() if signals else []
        for number in numbers:
            loop.add_signal_handler(number, self.stop)
        keepers = [self._task(self._keep(process)) for process in self._processes]
        others = [self._task(work) for work in beside]
        for process, keeper in zip(self._processes, keepers, strict=True):
            keeper.add_done_callback(partial(self._look, process))
        try:
            await self._over.wait()
            finished = self._all_finished()
            if finished:  # all that the others had is committed, and they are about to end by themselves
                await asyncio.wait(keepers, timeout=self._patience.stop)
            await self._stop_in_order(keepers)
        finally:
            self._kill()
            for task in (*keepers, *others):
                task.cancel()
            await asyncio.gather(*keepers, *others, return_exceptions=True)
            for number in numbers:
                loop.remove_signal_handler(number)
        if self._failure is not None:
            raise self._failure
        return finished

    def _all_finished(self) -> bool:
        return all(process.finished for process in self._last)

    def _look(self, process: _Process, _: asyncio.Task[None]) -> None:
        """End the run where a program that nobody reads has ended, as soon as all of these have finished."""
        if process in self._last and (self._all_finished() or not process.finished):
            self._end()

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ends the run when it fails."""

        def look(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self.fail(error)

        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(look)
        return task

    async def _stop_in_order(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        for process, keeper in zip(self._processes, keepers, strict=True):
            if keeper.done() or process.finished:
                continue
            self._tell(process, "stopping")
            process.asked_to_stop = True
            process.send(signal.SIGTERM)
            await asyncio.wait([keeper], timeout=self._patience.stop)
            process.send(signal.SIGKILL)
            await asyncio.wait([keeper])

    async def _keep(self, process: _Process) -> None:
        """Start a program again and again until the pipeline is over or patience ends.

        One that has finished is started again for a reader that was: it may have fallen back to an older checkpoint.
        """
        loop = asyncio.get_running_loop()
        while not self._over.is_set():
            start = loop.time()
            code, how = await self._live(process)
            if code and code > 0 and process.asked_to_stop:  # it was not killed: it could not save
                self._give_up(process, f"{how} when it was asked to stop", code == USELESS_TO_RESTART)
                return
            process.finished = code == 0 and process.said_finished
            if process.finished:
                self._tell(process, "finished")
                if process in self._last:
                    return
                if self._has_reader(process):
                    await process.wanted.wait()
            elif not self._over.is_set() and not await self._outlive(process, code, how, loop.time() - start):
                return
            self._wake_before(process)
        if not process.finished:
            self._tell(process, "stopped")

    async def _outlive(self, process: _Process, code: int | None, how: str, seconds: float) -> bool:
        """Take note of a death after so many seconds; return whether there is another life, after a pause."""
        process.count_death(forgive=seconds >= self._patience.forgiven_after)
        useless = code == USELESS_TO_RESTART
        if useless or process.deaths >= self._patience.deaths:
            often = f", {process.deaths} times without progress" if process.deaths > 1 and not useless else ""
            self._give_up(process, how + often, useless)
            return False
        process.restarts += 1
        process.note(how)
        self._tell(process, "restarting")
        pause = self._patience.pause * 2 ** (process.deaths - 1)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), min(pause, self._patience.longest_pause))
        return True

    def _has_reader(self, process: _Process) -> bool:
        """Return whether all programs that read it are there; one that is being restarted may need it again."""
        readers = [one for one in self._processes if self._upstream[one.name] is process]
        return all(reader.ready or not reader.restarts for reader in readers)

    def _wake_before(self, process: _Process) -> None:
        """Have the program before it started again where that has finished."""
        upstream = self._upstream[process.name]
        if upstream is not None and upstream.finished:
            upstream.wanted.set()

    async def _live(self, process: _Process) -> tuple[int | None, str]:
        """Run a process once; return its exit code, None where it could not be started, and how it ended."""
        self._tell(process, "starting")
        try:
            life = await process.start()
        except OSError as error:
            return None, f"cannot be started: {error}"
        if process.asked_to_stop:  # while it was being started
            process.send(signal.SIGKILL if self.killed else signal.SIGTERM)
        late = asyncio.get_running_loop().call_later(self._patience.ready, process.send, signal.SIGKILL)
        ear = asyncio.create_task(self._listen(process, life.lines, late))
        try:
            code = await life.child.wait()
            await asyncio.wait([ear], timeout=LAST_LINES)
        finally:
            late.cancel()
            ear.cancel()
            life.close()
        return code, _how(code)

    async def _listen(self, process: _Process, lines: asyncio.StreamReader, late: asyncio.TimerHandle) -> None:
        """Take note of what a process says of itself."""
        while True:
            try:
                line = await lines.readline()
            except ValueError:  # longer than anything that is meant for the supervisor
                continue
            if line.startswith(b"READY "):
                late.cancel()
                process.ready = True
                self._tell(process, "running")
            elif line.startswith(b"FINISHED "):
                process.said_finished = True
            elif not line:
                return

    def _give_up(self, process: _Process, how: str, useless: bool) -> None:
        self.fail(ServiceError(process.name, how, process.last_words(), process.log, useless))
        self._tell(process, "failed")

    def _tell(self, process: _Process, state: str) -> None:
        try:
            self._on_change(process.name, state, process.restarts)
        except OSError as error:  # the terminal is closed, or the reader of a pipe has gone
            self.fail(error)

    def _end(self) -> None:
        """Nothing is started any more."""
        self._over.set()
        for process in self._processes:
            process.wanted.set()

    def _kill(self) -> None:
        for process in self._processes:
            process.send(signal.SIGKILL)


def _how(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}" if code else "was stopped by somebody else before its stream had ended"


class _Process:
    """A program over all its lives."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self.name = program.name
        self.log = log
        self.deaths = 0
        self.restarts = 0
        self.progress = -1
        # Whether it or one behind it has come further since its last death.
        self.advanced = False
        self.asked_to_stop = False
        self.ready = False
        self.said_finished = False
        self.finished = False
        # Set where it is to be started again though it has finished.
        self.wanted = asyncio.Event()
        self._life: Life | None = None
        self._log_start = 0

    async def start(self) -> Life:
        self.ready = self.said_finished = self.finished = False
        self.wanted.clear()
        self._life = None
        with open_regular(self.log, "ab", follow=False) as log:
            self._log_start = log.tell()
            self._life = await start(self.program, log)
        return self._life

    @property
    def pid(self) -> int | None:
        """Of the process, if it still runs."""
        life = self._life
        return life.child.pid if life is not None and life.child.returncode is None else None

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        if self._life is not None:
            self._life.send(number)

    def count_death(self, forgive: bool) -> None:
        self.deaths = 1 if forgive or self.advanced else self.deaths + 1
        self.advanced = False

    def note(self, how: str) -> None:
        """Write into its log how it ended: one that was killed had no words of its own."""
        with suppress(OSError), open_regular(self.log, "ab", follow=False) as log:  # the next start says what is wrong
            log.write(f"{self.name} {how}\n".encode())

    def last_words(self) -> str:
        """Return the end of what this life, not an earlier one, wrote to stderr."""
        try:
            with open_regular(self.log, follow=False) as file:
                file.seek(max(self._log_start, self.log.stat().st_size - (1 << 16)))
                text = file.read().decode(errors="replace")
        except OSError:  # gone with the run folder
            return ""
        return "\n".join(text.splitlines()[-LAST_WORDS:]) or self._unheard()

    def _unheard(self) -> str:
        """Return why nothing of what it had to say was written; empty where it just said nothing."""
        try:
            with tempfile.TemporaryFile(dir=self.log.parent) as file:
                file.write(bytes(PROBE))
        except OSError as error:
            return f"what it had to say could not be written to {self.log}: {error.strerror}"
        return ""
