"""``stream-infomax top``: watch several runs."""

from __future__ import annotations

import sys
from pathlib import Path

from stream_infomax.run.settings import Flag


def top(
    run: Path,
    /,
    *others: Path,
    json: Flag = False,
    plain: Flag = False,
    keys: Path | None = None,
    server: Path | None = None,
) -> int:
    """Show how runs are, each with its services, until the key q; runs that are started or stopped meanwhile, too.

    Parameters
    ----------
    run
        The folder of a run; or a configuration with tcp addresses, for a run on another machine.
    others
        Further ones.
    json
        Print one JSON object a run and second instead, for other programs; ends when all runs have finished.
    plain
        Print lines instead of the live view (as where the output is no terminal); ends when all runs have finished.
    keys
        The folder of your keys, where the runs have other ones.
    server
        The file with the runs' public key; without it they have the keys of the same folder.
    """
    from stream_infomax.fleet.folder import runs_in
    from stream_infomax.run.followed import Followed
    from stream_infomax.run.top import watch

    runs = [Followed(path, keys, server) for place in (run, *others) for path in runs_in(place)]
    watch(runs, json=json, plain=plain or not sys.stdout.isatty())
    return 0
