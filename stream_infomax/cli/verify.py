"""``stream-infomax verify``: is a run what its frames give, to the last bit?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stream_infomax.configuration.load import ConfigError
from stream_infomax.state.error import StateFileError

if TYPE_CHECKING:
    from stream_infomax.run.verify import Compared

# Seconds between two lines while frames are computed again.
SAID_EVERY = 2.0
SAME, DIFFERENT, INCOMPLETE = 0, 1, 2


def verify(run: Path) -> int:
    """Compute a run again from the frames that its source gave, in one process, and compare to the last bit.

    A seekable source gives them again; a live one has them in its journal: from the beginning, or from the oldest
    checkpoint behind which the journal still has them all. Compared are the states of all stages at every checkpoint
    that there is, and the frames that the run has kept (--save-features). The run may be under way.

    The exit code is 0 where no bit differs, 1 where one does, 2 where the run cannot be computed again.

    Parameters
    ----------
    run
        The folder of a run.
    """
    from stream_infomax.run.threads import THREADS

    os.environ.update(THREADS)  # before numpy is there
    from stream_infomax.run.verify import verify
    from stream_infomax.settings.printable import printable

    try:
        verdict = verify(run, _progress())
    except StateFileError as error:  # no difference, which is what the code 1 says
        raise ConfigError(str(error)) from error
    begin = "from the beginning" if not verdict.first else "from a checkpoint"
    count = f"{verdict.end - verdict.first:,} frames ({verdict.first:,} to {verdict.end - 1:,})"
    print(printable(f"{run}: {count} of {verdict.source} computed again, {begin}"))
    width = max(len(one.name) for one in verdict.compared)
    for one in verdict.compared:
        print(printable(f"  {one.name:{width}}  {_said(one)}"))
    if not verdict.same:
        print("NOT VERIFIED: the run differs")
        return DIFFERENT
    if not verdict.complete:
        print(printable(f"NOT VERIFIED: {verdict.source} ends before the run does; until there no bit differs"))
        return INCOMPLETE
    print("verified: no bit differs")
    return SAME


def _said(one: Compared) -> str:
    """Return what was found of a service, or of the frames that were kept."""
    if one.difference:
        return f"differs {one.difference}"
    if one.name == "recorder":
        return f"frames {one.frames[0]:,} to {one.frames[1] - 1:,}: the same bits"
    same = f"after {_listed(one.frames)} frames: the same bits" if one.frames else "nothing to compare"
    return f"{same}; not compared: after {_listed(one.missed)}" if one.missed else same


def _listed(counts: list[int]) -> str:
    return ", ".join(f"{n:,}" for n in dict.fromkeys(counts))


def _progress() -> Callable[[int, int, int], None]:
    """Return what says every few seconds how far the frames have been computed again, and how long the rest takes."""
    began: tuple[float, int] | None = None
    due = 0.0

    def watch(offset: int, first: int, end: int) -> None:
        nonlocal began, due
        now = time.monotonic()
        if began is None:  # with the first frame came what is loaded and compiled: it says nothing of the others
            began, due = (now, offset), now + SAID_EVERY
        elif now >= due:
            due = now + SAID_EVERY
            left = (now - began[0]) / (offset - began[1]) * (end - offset - 1)
            print(f"computing again: frame {offset:,} of {end:,}, about {left:,.0f} s left", flush=True)

    return watch
