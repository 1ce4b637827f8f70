"""A run from its folder to its summary: what `run` and `replay` share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stream_infomax.configuration.compose import is_live
from stream_infomax.configuration.load import Config
from stream_infomax.frames.contracts import LEFT_OUT, LOST
from stream_infomax.run.features import save_features as write_features
from stream_infomax.run.folder import IN_PROCESS, RunFolder
from stream_infomax.run.metrics import serve
from stream_infomax.run.summary import Summary, has_begun, is_over, summarise, unforeseen
from stream_infomax.run.summary_text import print_summary
from stream_infomax.settings.printable import printable
from stream_infomax.watch.history import History
from stream_infomax.watch.http import Server
from stream_infomax.watch.monitor import Monitor

if TYPE_CHECKING:
    from stream_infomax.service.rounds import Joining

# The exit code of a run that lost what its policy does not allow.
LOSSES = 3


def carry_on(
    config: Config,
    folder: RunFolder,
    in_process: bool,
    *,
    title: str,
    again: str,
    plain: bool = False,
    begun: str = "",
    save_features: Path | None = None,
    server: Server | None = None,
    joining: Joining | None = None,
) -> int:
    """Run what is in a folder, which is locked, to its end or to a signal, and say what came of it.

    Parameters
    ----------
    title
        Stands above the live view.
    again
        What resumes it where a signal stops it.
    plain
        Lines instead of the live view.
    begun
        What is said when the first service starts.
    save_features
        Where the features go.
    server
        Where the metrics are served while it runs; None: nowhere.
    joining
        How it learns with others, in one process; None: it learns alone.

    Returns
    -------
    The exit code: `LOSSES` where something was lost that the policy does not allow.

    Raises
    ------
    ConfigError, RunError
        Where it cannot be run, or cannot go on.
    """
    if in_process:
        from stream_infomax.run.one_process import run as run_here

        run: Callable[[Config, RunFolder, Monitor], bool] = partial(run_here, joining=joining)
    else:
        from stream_infomax.run.processes import run
    names = [IN_PROCESS] if in_process else [*config.services(), *config.sinks()]
    tally = serve(server, config, folder, in_process) if server else None
    plain = plain or not sys.stdout.isatty()
    with Monitor(title, names, History(folder.history), plain, begun, tally) as monitor:
        finished = is_over(config, folder, in_process) or run(config, folder, monitor)
    code = 0
    # A live source has no end of its own: where it is stopped, that is as good as one, for the time being.
    if finished or (is_live(config) and has_begun(config, folder, in_process)):
        missing = write_features(config, folder, in_process, save_features) if save_features else {}
        summary = summarise(config, folder, monitor.seconds, in_process)
        for what, count in missing.items():  # the recorder may have known some of it
            of, name = (summary.lost, what.removeprefix(LOST)) if what.startswith(LOST) else (summary.left_out, what)
            name = name.removeprefix(LEFT_OUT)
            of[name] = max(count, of.get(name, 0))
        summary.unforeseen.update(unforeseen(config, summary.lost))
        if finished:
            folder.finish(msgspec.to_builtins(summary))
        print_summary(summary, save_features, "finished" if finished else "stopped")
        code = code_of(summary)
    if not finished:
        print(printable(f"{folder.path}: stopped and saved; {again} resumes"))
    return code


def code_of(summary: Summary) -> int:
    """Return the exit code of a run with this summary."""
    return LOSSES if summary.unforeseen or any(balance.off for balance in summary.ledger) else 0
