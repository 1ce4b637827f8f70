"""``stream-infomax page``: a run in the browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from stream_infomax.run.settings import Flag


def page(
    run: Path,
    *,
    bind: str = "",
    keys: Path | None = None,
    server: Path | None = None,
    child: Annotated[Flag, Parameter(show=False)] = False,
) -> int:
    """Show a run in the browser, at the address that is printed: how it is, what it learns; and steer it.

    Parameters
    ----------
    run
        The folder of a run that goes on or has finished; or the configuration file of one on another machine, whose
        taps have tcp addresses.
    bind
        HOST:PORT to serve at; by default 127.0.0.1 and the first free port from 5006 on.
    keys
        The folder of your keys, where the run has keys.
    server
        The file with the run's public key; without it the run has the keys of the same folder.
    child
        For `run --page`.
    """
    from stream_infomax.run.threads import THREADS

    os.environ.update(THREADS)  # before numpy is there
    from stream_infomax.run.page import address_of, serve
    from stream_infomax.run.place import place_of
    from stream_infomax.service.parent import end_with_parent

    end_with_parent()
    host, port = address_of(bind)
    serve(place_of(run, keys, server), host, port, child=child)
    return 0
