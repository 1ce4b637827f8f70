"""Worker: a process that runs several shards of a fleet, one frame of each in turn.

``python -m stream_infomax.fleet.worker --config RUN/pipeline.toml --shards 0,2,4``. Prints READY once all are set to
their checkpoints, and FINISHED once all streams are over. Exit code: 0 finished or asked to stop, 1 another start may
help, 2 it would end the same way.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stream_infomax.run.threads import THREADS

if TYPE_CHECKING:
    from stream_infomax.configuration.load import Config
    from stream_infomax.fleet.layout import Shard
    from stream_infomax.run.folder import RunFolder
    from stream_infomax.service.loop import Loop
    from stream_infomax.service.rounds import Joining
    from stream_infomax.service.signals import Signals
    from stream_infomax.transport.observer import Observer
    from stream_infomax.watch.history import History

# Seconds that a loop sleeps at most while the others have nothing to do either: what one waits for comes to all.
MOMENT = 0.005


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the shards that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", required=True, type=Path, help="the fleet's pipeline")
    parser.add_argument("--shards", required=True, help="numbers of shards, for example 0,2,4")
    parser.add_argument("--name", default="", help="of this process; by default worker-SHARD, of the first shard")
    given = parser.parse_args(arguments)
    os.environ.update(THREADS)  # before numpy is there
    from stream_infomax.configuration.load import load
    from stream_infomax.fleet.layout import shards
    from stream_infomax.service.process import guard
    from stream_infomax.settings.printable import log_printably

    log_printably()
    name = given.name or f"worker-{given.shards.partition(',')[0]}"

    def work(signals: Signals) -> bool:
        config = load(given.config)
        every = shards(config)
        return run(config, every, chosen(every, given.shards), signals, name)

    return guard(name, work)


def chosen(every: Sequence[Shard], numbers: str) -> list[Shard]:
    """Return the shards of these numbers. Raises ConfigError where one is none, or has no data."""
    from stream_infomax.configuration.load import ConfigError
    from stream_infomax.settings.words import one_of

    found = {str(shard.number): shard for shard in every}
    wanted = numbers.split(",")
    for number in wanted:
        if number not in found:
            raise ConfigError(f"--shards {numbers}: no shard {number!r} with data; accepted are {one_of(found)}")
    return [found[number] for number in dict.fromkeys(wanted)]


def run(config: Config, every: Sequence[Shard], wanted: Sequence[Shard], signals: Signals, name: str) -> bool:
    """Run shards until their streams are over (True), or a signal comes (False).

    Raises
    ------
    ConfigError, ValueError, StreamError, OSError
        As a run in one process.
    """
    from stream_infomax.run.folder import RunFolder

    with ExitStack() as locks:
        folders = [RunFolder(Path(shard.config.run.folder)) for shard in wanted]
        for shard, folder in zip(wanted, folders, strict=True):
            locks.enter_context(folder.lock())
            folder.open(shard.config, in_process=True, fresh=False)
        unfinished = [pair for pair in zip(wanted, folders, strict=True) if pair[1].summary() is None]
        with ExitStack() as stack:
            loops: dict[str, Loop] = {}
            for shard, folder in unfinished:
                with of_shard(shard.name):
                    if not is_over(shard, folder):
                        loops[shard.name] = stack.enter_context(
                            _loop(joining(config, every, shard), shard, folder, signals)
                        )
            print(f"READY {name} {','.join(shard.name for shard in wanted)}", flush=True)
            _turn(loops)
            done = [loop.stop() for loop in loops.values()]
        if not all(done):
            return False
        for shard, folder in unfinished:
            finish(shard, folder)
    return True


def joining(config: Config, every: Sequence[Shard], shard: Shard) -> Joining:
    """Return how a shard learns with the others."""
    from stream_infomax.configuration.compose import access_of
    from stream_infomax.fleet.folder import address_in
    from stream_infomax.fleet.layout import fleet_of
    from stream_infomax.service.rounds import Joining

    run = Path(config.run.folder)
    return Joining(
        name=shard.name,
        rows=fleet_of(config).round,
        learners=len(every),
        begins=shard.number == every[0].number,
        address=lambda: address_in(run),
        keys=access_of(config).keys,
    )


def is_over(shard: Shard, folder: RunFolder) -> bool:
    """Return whether nothing of a shard is left to run."""
    from stream_infomax.run import summary

    return summary.is_over(shard.config, folder, in_process=True)


@contextmanager
def _loop(joining: Joining, shard: Shard, folder: RunFolder, signals: Signals) -> Iterator[Loop]:
    from stream_infomax.run.one_process import whole
    from stream_infomax.watch.history import History

    with (
        closing(History(folder.history)) as history,
        whole(shard.config, folder, signals, noted(history), joining=joining) as loop,
    ):
        yield loop


def noted(history: History) -> Observer:
    """Return an observer that writes every measure into the history of a run."""
    from stream_infomax.transport.messages import Status
    from stream_infomax.transport.observer import Observer

    before = history.seconds - time.monotonic()

    class Noted(Observer):
        def status(self, status: Status) -> None:
            history.append(before + time.monotonic(), status.measures)

    return Noted()


def _turn(loops: Mapping[str, Loop]) -> None:
    """Let the loops of shards work in turn, each until nobody needs it any more."""
    for loop in loops.values():
        loop.start()
    going, longest = dict(loops), 0.0
    while going:
        for name, loop in loops.items():
            with of_shard(name):
                if name in going and not loop.once(longest):
                    del going[name]
        longest = 0.0 if any(loop.moved for loop in going.values()) else MOMENT


@contextmanager
def of_shard(name: str) -> Iterator[None]:
    """Say in an error that a person can mend which shard it is of."""
    from stream_infomax.state.error import StateFileError

    try:
        yield
    except StateFileError:  # it names the file, and another start may help
        raise
    except ValueError as error:
        raise ValueError(f"shard {name}: {error}") from error


def finish(shard: Shard, folder: RunFolder) -> None:
    """Note what came of a shard."""
    from msgspec import to_builtins

    from stream_infomax.run.summary import summarise
    from stream_infomax.watch.history import History

    with closing(History(folder.history)) as history:
        seconds = history.seconds
    folder.finish(to_builtins(summarise(shard.config, folder, seconds, folder.record.in_process)))


if __name__ == "__main__":
    sys.exit(main())
