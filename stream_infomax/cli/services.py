"""A run as processes: the supervisor, and an ear on every tap."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Literal

import msgspec
import zmq
import zmq.asyncio

from stream_infomax.cli.settings import script
from stream_infomax.cli.watch import Watch
from stream_infomax.config import ClassifierSettings, Config, ContrastSettings, LearnerSettings, WindowsSettings
from stream_infomax.run_folder import RunFolder
from stream_infomax.supervisor import Service, ServiceError, Supervisor

# The script for a service, by its last stage: each has at hand what the stages up to that kind need.
SCRIPTS = {
    WindowsSettings: "learner",
    LearnerSettings: "learner",
    ContrastSettings: "contrast",
    ClassifierSettings: "classifier",
}
STATUS = b"status"
REFRESH = 0.25
# Milliseconds within which the last words of services that have ended arrive.
LAST_STATUS = 100


def run(config: Config, folder: RunFolder, watch: Watch) -> Literal["finished", "stopped", "failed"]:
    """Run every service of `config` in a process of its own; return how it ended."""
    services = [Service(name, _command(config, folder, name)) for name in config.services()]
    # Compiled once, here: several processes that write numba's cache at once get in each other's way.
    subprocess.run([sys.executable, "-P", "-m", "stream_infomax.cli", "warmup"], check=True)
    try:
        with watch:
            finished = asyncio.run(_supervise(config, services, folder, watch))
    except ServiceError as error:
        print(
            f"stream-infomax: {error}; its last words:\n{error.last_words}\n(all of them: {error.log})", file=sys.stderr
        )
        return "failed"
    return "finished" if finished else "stopped"


async def _supervise(config: Config, services: list[Service], folder: RunFolder, watch: Watch) -> bool:
    supervisor = Supervisor(services, folder.path, watch.change)
    context = zmq.asyncio.Context()
    sockets = {}
    for service in services:
        sockets[service.name] = socket = context.socket(zmq.SUB)
        socket.subscribe(STATUS)
        socket.connect(config.addresses(service.name)[1])
    ears = [asyncio.create_task(_listen(socket, name, watch, supervisor)) for name, socket in sockets.items()]
    ticker = asyncio.create_task(_tick(watch))
    try:
        return await supervisor.run()
    finally:
        for task in (*ears, ticker):
            task.cancel()
        await asyncio.gather(*ears, ticker, return_exceptions=True)
        for name, socket in sockets.items():
            while await socket.poll(LAST_STATUS):
                _take(await socket.recv_multipart(), name, watch, supervisor)
        context.destroy(linger=0)


async def _listen(socket: zmq.asyncio.Socket, name: str, watch: Watch, supervisor: Supervisor) -> None:
    while True:
        _take(await socket.recv_multipart(), name, watch, supervisor)


def _take(parts: list[bytes], name: str, watch: Watch, supervisor: Supervisor) -> None:
    status = msgspec.msgpack.decode(parts[1])
    watch.hear(name, status)
    supervisor.progress(name, status["newest"])


async def _tick(watch: Watch) -> None:
    while True:
        watch.refresh()
        await asyncio.sleep(REFRESH)


def _command(config: Config, folder: RunFolder, name: str) -> list[str]:
    program = "source" if name == config.source.name else SCRIPTS[type(config.stages_of(name)[-1])]
    return [sys.executable, "-P", str(script(program)), "--config", str(folder.pipeline), "--service", name]
