"""``stream-infomax replay``: a run from one of its frames on, with other settings; or a journal, as it came."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from stream_infomax.configuration.load import ConfigError
from stream_infomax.run.settings import Changes, Flag, check
from stream_infomax.state.error import StateFileError

# Seconds between two lines while frames are computed again.
SAID_EVERY = 2.0


def replay(
    run: Path,
    *,
    from_: Annotated[int | None, Parameter(name="--from")] = None,
    pipeline: Path | None = None,
    speed: float = 1.0,
    set: Changes = (),  # noqa: A002  (the option's name)
    to: Path | None = None,
    plain: Flag = False,
) -> int:
    """Go back to a frame of a run, and go on from there with other settings, as a run of its own in a new folder.

    Up to that frame all is as it was, to the last bit; the run is left alone.

    Of a journal (an .mcap file, or a folder of such): give its frames again as they came, or faster, to a pipeline or,
    without one, to whoever reads the tap.

    Parameters
    ----------
    run
        The folder of a run; or a journal.
    from_
        The offset of the first frame under the new settings; of a journal, of the first frame (default: the oldest).
    pipeline
        For a journal: the configuration whose stages and sinks read it.
    speed
        For a journal: how many times as fast as the frames came (default: 1); 0: as fast as they are read.
    to
        The new folder; by default RUN-from-OFFSET or JOURNAL-replayed, beside it.
    plain
        Print lines instead of the live view (as where the output is no terminal).
    """
    from stream_infomax.run.threads import THREADS

    os.environ.update(THREADS)  # before numpy is there
    from stream_infomax.run.played import is_journal, journal_within

    if is_journal(run):
        return _play(run, pipeline, from_ or 0, speed, set, to, plain)
    if from_ is None or pipeline is not None or speed != 1.0:
        within = journal_within(run)
        hint = f": `stream-infomax replay {within}`" if within else ""
        raise ConfigError(
            f"{run}: a run is replayed with --from OFFSET; --pipeline and --speed are for a journal{hint}"
        )
    return _fork(run, from_, set, to, plain)


def _fork(run: Path, from_: int, changes: Sequence[str], to: Path | None, plain: bool) -> int:
    """Go back to a frame of a run, and on from there."""
    from stream_infomax.run.folder import RunFolder
    from stream_infomax.run.replay import changed, fork, past_run, told
    from stream_infomax.run.whole import carry_on
    from stream_infomax.settings.printable import printable

    past = past_run(run)
    place = run.resolve()
    config = changed(past, to or run.with_name(f"{place.name}-from-{from_}"), changes)
    check(config)
    try:
        moment, fates = fork(past, config, from_, _progress(from_))
    except StateFileError as error:
        raise ConfigError(str(error)) from error
    folder = RunFolder(Path(config.run.folder))
    with folder.lock():
        folder.open(config, past.in_process, fresh=False)
        for line in told(past, folder.path, moment, fates):
            print(printable(line), flush=True)
        again = f"stream-infomax run {folder.pipeline}" + (" --in-process" if past.in_process else "")
        title = f"{run} from {from_:,} → {folder.path}"
        return carry_on(config, folder, past.in_process, title=title, again=again, plain=plain)


def _play(
    journal: Path,
    pipeline: Path | None,
    start: int,
    speed: float,
    changes: Sequence[str],
    to: Path | None,
    plain: bool,
) -> int:
    """Give the frames of a journal again."""
    from stream_infomax.run.folder import RunFolder
    from stream_infomax.run.played import played
    from stream_infomax.run.whole import carry_on
    from stream_infomax.settings.printable import printable

    config = played(journal, pipeline, start, speed, to, changes)
    check(config)
    folder = RunFolder(Path(config.run.folder))
    there = os.path.lexists(folder.path)
    with folder.lock():
        if folder.open(config, False, fresh=False) == "finished":
            print(printable(f"{folder.path}: this replay has come to its end; --to names another folder"))
            return 0
        title = f"{journal} → {folder.path}"
        begun = f"{folder.path}: frames at {config.addresses(config.services()[-1])[1]}"
        try:
            return carry_on(config, folder, False, title=title, again="the same command", plain=plain, begun=begun)
        except ConfigError:  # nothing has been started
            if not there:
                shutil.rmtree(folder.path)
            raise


def _progress(end: int) -> Callable[[int], None]:
    """Return what says every few seconds how far the frames before `end` have been computed again."""
    due = time.monotonic() + SAID_EVERY

    def watch(offset: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + SAID_EVERY
            print(f"computing again up to frame {end:,}: frame {offset:,}", flush=True)

    return watch
