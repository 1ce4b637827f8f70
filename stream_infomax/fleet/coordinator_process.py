"""The coordinator of a fleet as a process.

``python -m stream_infomax.fleet.coordinator_process --config FILE`` answers the members until the streams of all shards
are over and each has finished. Killed at any moment, it goes on where it was.
"""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import zmq

from stream_infomax.configuration.compose import access_of
from stream_infomax.configuration.load import Config, load
from stream_infomax.fleet.archive import Archive, held
from stream_infomax.fleet.coordinator import Coordinator, UnfitError
from stream_infomax.fleet.layout import fleet_of, shards
from stream_infomax.fleet.names import ROUNDS
from stream_infomax.run.folder import RunFolder
from stream_infomax.service.process import guard
from stream_infomax.service.signals import Signals
from stream_infomax.settings.extras import MissingExtraError
from stream_infomax.settings.printable import log_printably, printable
from stream_infomax.transport.keys import LOCAL, Access
from stream_infomax.transport.messages import Common, Heard, Refused
from stream_infomax.transport.rounds import Asked, Rendezvous
from stream_infomax.transport.sockets import LINGER_MS

NAME = "coordinator"
# Seconds between two looks whether the shards have finished.
LOOK = 0.2
# Any address beyond this machine: where the system would send a packet to, and from which address.
BEYOND = ("192.0.2.1", 9)

_log = logging.getLogger(__name__)


class Desk:
    """Where members come: takes what they want, and answers when there is an answer.

    Parameters
    ----------
    coordinator
        That knows the answers.
    rendezvous
        Where they ask.
    """

    def __init__(self, coordinator: Coordinator, rendezvous: Rendezvous) -> None:
        self.coordinator, self.rendezvous = coordinator, rendezvous
        self.address = published(rendezvous.address)
        self._waiting: dict[str, Asked] = {}
        self._turned: Counter[str] = Counter()

    def turn(self) -> None:
        """Take all that has come, merge what is due, and answer."""
        for asked in self.rendezvous.asked():
            self._take(asked)
        # Those that were turned away at the door count with the others.
        turned = Counter({why: n for why, n in self.rendezvous.refusals().items() if why not in ("fleet", "round")})
        self.coordinator.refused.update(turned - self._turned)
        self._turned = turned
        self._answer()
        while (line := self.coordinator.merge()) is not None:
            _log.info("round %d: %g rows, %d learners, agreement %.3f", *_of(line))
            self._answer()

    def _take(self, asked: Asked) -> None:
        try:
            self.coordinator.take(asked.request, asked.payload)
        except UnfitError as error:
            reason: Any = "fleet" if error.reason == "fleet" else "round"
            self.rendezvous.answer(asked, Refused(reason, str(error)))
            return
        self._waiting[asked.request.member] = asked._replace(payload=b"")
        if self.coordinator.answer(asked.request) is None and self.coordinator.due() != 0.0:
            self.rendezvous.answer(asked, Heard(self.coordinator.archive.fleet, max(0, self.coordinator.newest)))

    def _answer(self) -> None:
        archive = self.coordinator.archive
        numbers = {name: self.coordinator.answer(asked.request) for name, asked in self._waiting.items()}
        self.coordinator.keep_guests()
        contents = {number: archive.content(number) for number in set(numbers.values()) if number is not None}
        for name, number in numbers.items():
            if number is not None:
                asked = self._waiting.pop(name)
                self.rendezvous.answer(asked, Common(archive.fleet, number), contents[number])
        for name, text in self.coordinator.spoilt.items():
            if name in self._waiting:
                self.rendezvous.answer(self._waiting.pop(name), Refused("round", text))
        self.coordinator.spoilt.clear()


@contextmanager
def opened(coordinator: Coordinator, address: str, access: Access = LOCAL) -> Iterator[Desk]:
    """Open the address of a fleet, and say in its run folder where that is."""
    context: zmq.Context[Any] = zmq.Context()
    with ExitStack() as stack:
        release = stack.enter_context(ExitStack())
        stack.callback(context.destroy, LINGER_MS)
        stack.enter_context(access.answering(context))
        rendezvous = stack.enter_context(closing(Rendezvous(context, address, access)))
        release.callback(rendezvous.release)
        desk = Desk(coordinator, rendezvous)
        coordinator.archive.publish(desk.address)
        yield desk


def _of(line: Any) -> tuple[int, float, int, float]:
    return line.number, line.rows, line.learners, line.agreement


def coordinate(desk: Desk, signals: Signals, finished: Callable[[], bool]) -> bool:
    """Answer until a signal comes, or the streams are over and `finished` says that all know. Returns whether it is."""
    poller = zmq.Poller()
    poller.register(desk.rendezvous.socket, zmq.POLLIN)
    poller.register(signals.wakeup, zmq.POLLIN)
    coordinator = desk.coordinator
    while not signals.stop:
        desk.turn()
        if coordinator.over and finished():
            return True
        due = LOOK if coordinator.over else coordinator.due()
        poller.poll(None if due is None else 1 + round(1000 * due))
    return coordinator.over


def address_of(config: Config) -> str:
    """Return where the coordinator of a fleet binds."""
    return fleet_of(config).bind or f"ipc://{Path(config.run.folder).resolve() / ROUNDS / 'socket'}"


def published(bound: str) -> str:
    """Return under which address others reach one that was bound: of all interfaces, the one that leads beyond here."""
    host, _, port = bound.removeprefix("tcp://").rpartition(":")
    if not bound.startswith("tcp://") or host not in ("0.0.0.0", "[::]", "*"):
        return bound
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(BEYOND)  # sends nothing
            host = probe.getsockname()[0]
        except OSError:
            host = "127.0.0.1"
    return f"tcp://{host}:{port}"


def serve(config: Config, access: Access, names: list[str], folders: list[Path]) -> int:
    """Be the coordinator of shards with these names and run folders. Returns the exit code, as a service's."""
    run = Path(config.run.folder)

    def work(signals: Signals) -> bool:
        with held(run):
            coordinator = Coordinator(Archive(run), names, fleet_of(config).patience)
            with opened(coordinator, address_of(config), access) as desk:
                print(f"READY {NAME} {desk.address}", flush=True)
                return coordinate(desk, signals, lambda: all(map(_finished, folders)))

    return guard(NAME, work)


def _finished(folder: Path) -> bool:
    """Whether the run of a shard has come to its end, and said so."""
    try:
        return RunFolder(folder).summary() is not None
    except ValueError:  # none yet
        return False


def main(arguments: list[str] | None = None) -> int:
    """Be the coordinator of a configuration; returns the exit code."""
    log_printably()
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="the fleet's TOML file")
    given = parser.parse_args(arguments)
    try:
        config = load(given.config)
        found = shards(config)
        access = access_of(config)
    except (ValueError, MissingExtraError) as error:
        print(printable(f"{NAME}: {error}"), file=sys.stderr)
        return 2
    folders = [Path(one.config.run.folder) for one in found]
    return serve(config, access, [one.name for one in found], folders)


if __name__ == "__main__":
    sys.exit(main())
