"""A run as processes: the supervisor, and an ear on every tap."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import msgspec
import zmq
import zmq.asyncio

from stream_infomax.configuration.load import (
    RECORDER,
    ClassifierSettings,
    Config,
    ConfigError,
    ContrastSettings,
    LearnerSettings,
    WindowsSettings,
)
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.settings import RunError, script
from stream_infomax.run.supervisor import Service, ServiceError, Supervisor
from stream_infomax.transport.tap import STATUS
from stream_infomax.watch.screen import Watch

# The script for a service, by its last stage: each has at hand what the stages up to that kind need.
SCRIPTS = {
    WindowsSettings: "learner",
    LearnerSettings: "learner",
    ContrastSettings: "contrast",
    ClassifierSettings: "classifier",
}
REFRESH = 0.25
# Seconds that reading the compiled kernels takes at most; after that a person is told what takes so long.
USUAL_WARMUP = 4.0
# Milliseconds within which the last words of services that have ended arrive.
LAST_STATUS = 100


def run(config: Config, folder: RunFolder, watch: Watch) -> bool:
    """Run every service of `config` in a process of its own.

    Returns whether all came to their end; False where a signal stopped them. Raises RunError where one cannot go on.
    """
    services = [Service(name, _command(config, folder, name)) for name in config.services()]
    if config.run.record:
        services.append(Service(RECORDER, _recorder(config, folder)))
    _compile_kernels()
    try:
        return asyncio.run(_supervise(config, services, folder, watch))
    except ServiceError as error:
        raise RunError(f"{error}; its last words (all of them in {error.log}):\n{error.last_words}") from error


def _compile_kernels() -> None:
    """Do it once, here: several processes that write numba's cache at once get in each other's way."""
    compiler = subprocess.Popen([sys.executable, "-P", "-m", "stream_infomax.cli", "warmup"])
    try:
        code = compiler.wait(USUAL_WARMUP)
    except subprocess.TimeoutExpired:
        print("compiling the kernels, once for this machine …", flush=True)
        code = compiler.wait()
    if code:
        raise ConfigError("the kernels could not be compiled: see above")


async def _supervise(config: Config, services: list[Service], folder: RunFolder, watch: Watch) -> bool:
    supervisor = Supervisor(services, folder.path, watch.change)
    context = zmq.asyncio.Context()
    sockets = {}
    for name in config.services():
        sockets[name] = socket = context.socket(zmq.SUB)
        socket.subscribe(STATUS)
        socket.connect(config.addresses(name)[1])
    watchers = [asyncio.create_task(_listen(socket, name, watch, supervisor)) for name, socket in sockets.items()]
    watchers.append(asyncio.create_task(_tick(watch)))

    def stop_at_fault(watcher: asyncio.Task[None]) -> None:
        if not watcher.cancelled():
            supervisor.stop()

    for watcher in watchers:
        watcher.add_done_callback(stop_at_fault)
    try:
        finished = await supervisor.run()
    finally:
        for watcher in watchers:
            watcher.cancel()
        ends = await asyncio.gather(*watchers, return_exceptions=True)
        for name, socket in sockets.items():
            while await socket.poll(LAST_STATUS):
                _take(await socket.recv_multipart(), name, watch, supervisor)
        context.destroy(linger=0)
    for end in ends:
        if isinstance(end, Exception):
            raise end
    if supervisor.killed:
        raise RunError("killed by a second signal; the same command resumes from the last checkpoints")
    return finished


async def _listen(socket: zmq.asyncio.Socket, name: str, watch: Watch, supervisor: Supervisor) -> None:
    while True:
        _take(await socket.recv_multipart(), name, watch, supervisor)


def _take(parts: list[bytes], name: str, watch: Watch, supervisor: Supervisor) -> None:
    status = msgspec.msgpack.decode(parts[1])
    watch.hear(name, status)
    supervisor.progress(name, status["newest"])
    if RECORDER in status["committed"]:  # it has no tap of its own
        supervisor.progress(RECORDER, status["committed"][RECORDER])


async def _tick(watch: Watch) -> None:
    while True:
        watch.refresh()
        await asyncio.sleep(REFRESH)


def _command(config: Config, folder: RunFolder, name: str) -> list[str]:
    program = "source" if name == config.source.name else SCRIPTS[type(config.stages_of(name)[-1])]
    return [sys.executable, "-P", str(script(program)), "--config", str(folder.pipeline), "--service", name]


def _recorder(config: Config, folder: RunFolder) -> list[str]:
    program = [sys.executable, "-P", "-m", "stream_infomax.service.recorder"]
    outlet, _ = config.addresses(config.services()[-1])
    return [*program, outlet, str(folder.path / RECORDER), RECORDER]
