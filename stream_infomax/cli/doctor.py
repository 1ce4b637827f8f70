"""``stream-infomax doctor``: what is installed, and what this machine can do."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

from stream_infomax.run.settings import Changes

WIDTH = 80


def doctor(config: Path | None = None, *, set: Changes = (), seconds: float = 3.0) -> int:  # noqa: A002
    """Look at what is installed, the clock, sockets and disk; measure what rate is sustained for a configuration.

    Parameters
    ----------
    config
        The TOML file, or the name of a shipped one, to be measured.
    seconds
        How long it is measured.

    Returns
    -------
    1 where something is wrong, else 0.
    """
    from stream_infomax.run.threads import THREADS

    os.environ.update(THREADS)  # before numpy is there
    from stream_infomax.run.doctor import look
    from stream_infomax.run.settings import read
    from stream_infomax.settings.printable import printable

    wrong = 0
    for finding in look(read(config, set) if config else None, seconds):
        verdict = f"{finding.verdict}: " if finding.verdict in ("careful", "wrong") else ""
        indent = " " * 10
        text = textwrap.wrap(printable(verdict + finding.text), WIDTH - len(indent), break_on_hyphens=False)
        print(f"{finding.title:<10}" + f"\n{indent}".join(text), flush=True)
        wrong += finding.verdict == "wrong"
    print(f"{wrong} things are wrong" if wrong > 1 else "1 thing is wrong" if wrong else "nothing is wrong")
    return int(bool(wrong))
