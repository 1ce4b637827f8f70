"""``stream-infomax replay``: a run from one of its frames on, with other settings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from stream_infomax.run.settings import Changes, Flag, check

# Seconds between two lines while frames are computed again.
SAID_EVERY = 2.0


def replay(
    run: Path,
    *,
    from_: Annotated[int, Parameter(name="--from")],
    set: Changes = (),  # noqa: A002  (the option's name)
    to: Path | None = None,
    plain: Flag = False,
) -> int:
    """Go back to a frame of a run, and go on from there with other settings, as a run of its own in a new folder.

    Up to that frame all is as it was, to the last bit; the run is left alone.

    Parameters
    ----------
    run
        The folder of a run.
    from_
        The offset of the first frame under the new settings.
    to
        The new folder; by default RUN-from-OFFSET, beside the run.
    plain
        Print lines instead of the live view (as where the output is no terminal).
    """
    from stream_infomax.run.threads import THREADS

    os.environ.update(THREADS)  # before numpy is there
    from stream_infomax.run.folder import RunFolder
    from stream_infomax.run.replay import changed, fork, past_run, told
    from stream_infomax.run.whole import carry_on
    from stream_infomax.settings.printable import printable

    past = past_run(run)
    place = run.resolve()
    config = changed(past, to or run.with_name(f"{place.name}-from-{from_}"), set)
    check(config)
    moment, fates = fork(past, config, from_, _progress(from_))
    folder = RunFolder(Path(config.run.folder))
    with folder.lock():
        folder.open(config, past.in_process, fresh=False)
        for line in told(past, folder.path, moment, fates):
            print(printable(line), flush=True)
        again = f"stream-infomax run {folder.pipeline}" + (" --in-process" if past.in_process else "")
        title = f"{run} from {from_:,} → {folder.path}"
        carry_on(config, folder, past.in_process, title=title, again=again, plain=plain)
    return 0


def _progress(end: int) -> Callable[[int], None]:
    """Return what says every few seconds how far the frames before `end` have been computed again."""
    due = time.monotonic() + SAID_EVERY

    def watch(offset: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + SAID_EVERY
            print(f"computing again up to frame {end:,}: frame {offset:,}", flush=True)

    return watch
