"""A run as processes: what is started, and what is done with what the services say of themselves."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile

from stream_infomax.configuration.compose import access_of
from stream_infomax.configuration.kinds import OTHER_SCRIPT, SCRIPTS
from stream_infomax.configuration.load import Config, ConfigError
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.program import Program, module, script, start
from stream_infomax.run.settings import RunError, service_script
from stream_infomax.run.supervisor import ServiceError, Supervisor
from stream_infomax.run.taps import Taps, taps_of
from stream_infomax.settings.printable import printable
from stream_infomax.transport.messages import Status
from stream_infomax.watch.monitor import Monitor

REFRESH = 0.25


def run(config: Config, folder: RunFolder, watch: Monitor) -> bool:
    """Run every service of `config` in a process of its own.

    Returns
    -------
    Whether all came to their end; False where a signal stopped them.

    Raises
    ------
    ConfigError
        Where the source or a stage cannot be made; nothing has been started then.
    RunError
        Where a service cannot go on.
    """
    asyncio.run(_prepare(folder))
    try:
        return asyncio.run(_supervise(config, folder, watch))
    except ServiceError as error:
        words = f"its last words (all of them in {error.log}):\n{error.last_words}"
        if not error.last_words:
            words = f"it wrote nothing to {error.log}"
        raise RunError(f"{error}; {words}", useless=error.useless) from error


async def _prepare(folder: RunFolder) -> None:
    """Try the configuration and compile the kernels."""
    with tempfile.TemporaryFile() as errors:
        life = await start(Program("prepare", module("stream_infomax.run.prepare", str(folder.pipeline))), errors)
        try:
            async for line in life.lines:
                print(printable(line.decode(errors="replace"), keep="\n"), end="", flush=True)
            code = await life.child.wait()
        finally:
            life.send(signal.SIGKILL)
            life.close()
        errors.seek(0)
        words = errors.read().decode(errors="replace").strip()
    if code == 2:
        raise ConfigError(words)
    if code:
        raise RunError(f"the run could not be prepared (exit code {code}):\n{words}")
    if words:  # warnings
        print(printable(words, keep="\n"), file=sys.stderr, flush=True)


async def _supervise(config: Config, folder: RunFolder, watch: Monitor) -> bool:
    supervisor = Supervisor(programs(config, folder), folder.path, watch.change)
    if watch.tally:
        watch.tally.pids = supervisor.pids

    def on_status(name: str, status: Status) -> None:
        try:
            watch.update(name, status)
        except OSError as error:
            raise RunError(f"{folder.history}: not written: {error.strerror}") from error
        supervisor.progress(name, status.newest)

    async def refresh() -> None:
        while True:
            watch.refresh()
            await asyncio.sleep(REFRESH)

    with Taps(addresses := taps_of(config, in_process=False), folder.id, on_status, access_of(config).keys) as taps:
        try:
            finished = await supervisor.run(refresh(), *(taps.listen(name) for name in addresses))
        finally:
            await taps.last()
    if supervisor.killed:
        raise RunError("killed by a second signal; the same command resumes from the last checkpoints")
    return finished


def programs(config: Config, folder: RunFolder) -> list[Program]:
    """Return the processes of a run in the order of the data."""
    found = []
    for name in config.services():
        kind = "source" if name == config.source.name else SCRIPTS.get(config.stages_of(name)[-1].kind, OTHER_SCRIPT)
        command = script(service_script(kind), "--config", str(folder.pipeline), "--service", name)
        found.append(Program(name, command, folder.id))
    for name in config.sinks():
        place = ("--config", str(folder.pipeline), "--service", name)
        command = module("stream_infomax.configuration.serving", *place)
        found.append(Program(name, command, folder.id, reads=config.upstream_of(name)))
    return found
