"""Taps: what the supervisor learns from the statuses of its services."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType

import zmq
import zmq.asyncio

from stream_infomax.configuration.load import Config
from stream_infomax.run.folder import IN_PROCESS
from stream_infomax.settings.printable import printable
from stream_infomax.transport.keys import Keys
from stream_infomax.transport.messages import Status, decode_status
from stream_infomax.transport.sockets import set_options, without_heartbeats
from stream_infomax.transport.tap import STATUS

# Seconds within which the last words of services that have ended arrive.
LAST_STATUS = 0.2
# A status is small; whoever sends more is cut off.
MAX_BYTES = 1 << 20


def taps_of(config: Config, *, in_process: bool) -> dict[str, str]:
    """Return the addresses of the taps of a run, by the names of those that publish there."""
    if in_process:
        return {IN_PROCESS: config.addresses(config.services()[-1])[1]}
    return {name: config.addresses(name)[1] for name in (*config.services(), *config.sinks())}


class Taps:
    """Listens to the taps of a run's services.

    Anybody can publish at an address. A status counts only when it is well formed and names this run and the service
    whose tap it is; others are counted, and the first of a kind is reported.

    Parameters
    ----------
    addresses
        By the names of the services.
    run
        The id of the run; None where only the run itself knows it, and whether it is one process.
    on_status
        Called with a service's name and its status.
    keys, server
        To be shown where others can reach an address, and the public key of the run; None: there are none; empty: the
        run has the keys of the same folder.
    """

    def __init__(
        self,
        addresses: Mapping[str, str],
        run: str | None,
        on_status: Callable[[str, Status], None],
        keys: Keys | None = None,
        server: str = "",
    ) -> None:
        self.run = run
        self.refused: Counter[tuple[str, str]] = Counter()
        self._on_status = on_status
        self._addresses = addresses
        self._keys, self._server = keys, server
        self._context = zmq.asyncio.Context()
        self._sockets: dict[str, zmq.asyncio.Socket] = {}

    def __enter__(self) -> Taps:
        for name, address in self._addresses.items():
            self._sockets[name] = socket = self._context.socket(zmq.SUB)
            set_options(socket, MAX_BYTES)
            without_heartbeats(socket)
            socket.subscribe(STATUS)
            if self._keys is not None:
                self._keys.call(socket, address, self._server)
            socket.connect(address)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._context.destroy(linger=0)
        for (name, reason), count in self.refused.items():
            print(
                printable(f"{self._addresses[name]}: passed over {count} statuses: {reason}"),
                file=sys.stderr,
                flush=True,
            )

    async def listen(self, name: str) -> None:
        """Take in what a service says of itself."""
        while True:
            self.take(name, await self._sockets[name].recv_multipart())
            await asyncio.sleep(0)  # however much somebody sends, the others have their turn

    async def last(self) -> None:
        """Take in what services that have ended had to say."""
        with suppress(TimeoutError):  # somebody else may go on for ever
            async with asyncio.timeout(LAST_STATUS):
                await asyncio.gather(*(self.listen(name) for name in self._sockets))

    def take(self, name: str, parts: list[bytes]) -> None:
        """Take in a message that came from the tap of `name`."""
        try:
            topic, content = parts
            status = decode_status(content)
        except ValueError:
            self._refuse(name, "not well formed")
            return
        known = name == status.name if self.run is not None else status.name in (name, IN_PROCESS)
        if topic != STATUS or not known or self.run not in (None, status.run):
            self._refuse(name, "of another run")
            return
        self._on_status(status.name, status)

    def _refuse(self, name: str, reason: str) -> None:
        self.refused[name, reason] += 1
        if self.refused[name, reason] == 1:
            print(printable(f"{self._addresses[name]}: passing over a status: {reason}"), file=sys.stderr, flush=True)
