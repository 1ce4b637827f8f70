"""A fleet from its folder to its summary."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stream_infomax.configuration.load import Config, ConfigError
from stream_infomax.fleet.driver import Driver, Placing, connected
from stream_infomax.fleet.folder import open_fleet
from stream_infomax.fleet.layout import Shard, divided, empty, fleet_of, resolved, shards
from stream_infomax.fleet.nodes import are_placed, nodes
from stream_infomax.fleet.summary import summarise_fleet
from stream_infomax.fleet.view import View
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.summary import saved_summary
from stream_infomax.run.summary_text import print_summary
from stream_infomax.run.whole import code_of
from stream_infomax.settings.printable import printable

COORDINATOR = "coordinator"


def run_fleet(config: Config, *, title: str, address: str, fresh: bool, plain: bool) -> int:
    """Run a fleet to its end or to a signal, say what came of it, and return the exit code.

    Parameters
    ----------
    title
        Stands above the live view.
    address
        Of a Ray cluster; empty: one of our own.
    fresh
        Start over.
    plain
        Lines instead of the live view.

    Raises
    ------
    ConfigError, RunError
        Where it cannot be run, or cannot go on.
    """
    config = resolved(config)
    if address and not fleet_of(config).bind:
        raise ConfigError(
            'fleet.bind: missing; on a cluster, accepted is an address that other machines reach, as "tcp://*:5700"'
        )
    folder = RunFolder(Path(config.run.folder))
    shown = printable(str(folder.path))
    with folder.lock():
        found = open_fleet(config, folder, fresh=fresh)
        if found == "finished":
            print(f"{shown}: this fleet has finished; --fresh starts over")
            print_summary(summary := saved_summary(folder), None)
            return code_of(summary)
        if found == "unfinished":
            print(f"{shown}: resuming")
        placings = placed(config, folder)
        names = [placing.name for placing in placings]
        with (
            View(f"{title} → {folder.path}", names, folder.path, plain or not sys.stdout.isatty()) as view,
            connected(address, cpus=len(placings) - 1),
        ):
            finished = Driver(placings, folder.path, folder.id, view.change).run(view.refresh)
        summary = summarise_fleet(folder.path, view.seconds)
        if finished:
            folder.finish(msgspec.to_builtins(summary))
        print_summary(summary, None, "finished" if finished else "stopped")
        if not finished:
            print(f"{shown}: stopped and saved; the same command resumes")
        return code_of(summary)


def placed(config: Config, folder: RunFolder) -> list[Placing]:
    """Return the processes of a fleet: the coordinator, and the workers with their shards."""
    found = shards(config)
    if without := empty(config, found):
        print(f"no data, left out: shard {', '.join(without)}")
    place = ("--config", str(folder.pipeline.resolve()))
    first = Placing(COORDINATOR, ("-m", "stream_infomax.fleet.coordinator_process", *place), cpus=0.0)
    if are_placed(config):
        return [first, *(one for shard in found for one in services(shard, place))]
    workers = enumerate(divided(found, fleet_of(config).workers))
    return [first, *(_worker(f"worker-{number}", mine, place) for number, mine in workers)]


def _worker(name: str, mine: Sequence[Shard], place: Sequence[str]) -> Placing:
    numbers = ",".join(str(shard.number) for shard in mine)
    return Placing(name, ("-m", "stream_infomax.fleet.worker", *place, "--name", name, "--shards", numbers))


def services(shard: Shard, place: Sequence[str]) -> list[Placing]:
    """Return the processes of a shard, each on the node that its stages name, and make its folder ready for them."""
    folder, where = RunFolder(Path(shard.config.run.folder)), nodes(shard.config)
    with folder.lock():
        folder.open(shard.config, in_process=False, fresh=False)
    module = ("-m", "stream_infomax.fleet.service", *place, "--shard", str(shard.number), "--service")
    return [Placing(f"{shard.name}-{name}", (*module, name), cpus=0.0, node=node) for name, node in where.items()]
