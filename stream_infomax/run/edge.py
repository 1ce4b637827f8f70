"""Edge: a whole run as this process, with a tap in place of the terminal. services/edge.py calls it."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from stream_infomax.run.threads import THREADS

if TYPE_CHECKING:
    from stream_infomax.configuration.load import Config
    from stream_infomax.watch.http import Server


def main(description: str | None) -> int:
    """Be the whole run of a configuration, which the command line names.

    Parameters
    ----------
    description
        What the script says of itself.

    Returns
    -------
    The exit code: 0 finished or asked to stop, 1 a death, 2 where starting again would end the same way.
    """
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("config", help="the pipeline's TOML file, or the name of a shipped one")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.PATH=VALUE", help="as of stream-infomax run")
    arguments = parser.parse_args()
    os.environ.update(THREADS)  # before numpy is there
    return work(Path(arguments.config), arguments.set)


def work(path: Path, changes: list[str]) -> int:
    """Run what a configuration describes, or resume it; return the exit code."""
    from stream_infomax.configuration.compose import service_of
    from stream_infomax.configuration.load import ConfigError, load
    from stream_infomax.run.folder import IN_PROCESS, RunFolder
    from stream_infomax.run.one_process import whole
    from stream_infomax.run.told import Told
    from stream_infomax.service.process import guard
    from stream_infomax.service.signals import Signals
    from stream_infomax.settings.extras import MissingExtraError
    from stream_infomax.settings.printable import log_printably, printable
    from stream_infomax.watch.systemd import Systemd

    log_printably()
    manager = Systemd([IN_PROCESS])
    try:
        config = load(path, changes)
        folder = RunFolder(Path(config.run.folder))
        tap = service_of(config, config.services()[-1]).tap

        def loop(signals: Signals) -> bool:
            told = Told(manager, tally)
            with whole(config, folder, signals, told) as made:
                print(f"READY {config.source.name} {tap}", flush=True)
                told.begin()
                try:
                    return made.run()
                finally:
                    manager.stopping()

        with folder.lock(), _metrics(config) as server:
            if folder.open(config, in_process=True, fresh=False) == "finished":
                print(f"{printable(str(folder.path))}: this run has finished")
                return 0
            tally = None
            if server is not None:
                from stream_infomax.run.metrics import serve

                tally = serve(server, config, folder, in_process=True)
            return guard("edge", loop)
    except (ConfigError, MissingExtraError) as error:
        print(printable(f"edge: {error}"), file=sys.stderr)
        return 2


def _metrics(config: Config) -> AbstractContextManager[Server | None]:
    """Hold the address of the metrics; a box that serves none does not load what they need."""
    if not config.run.metrics:
        return nullcontext()
    from stream_infomax.run.metrics import served

    return served(config)
