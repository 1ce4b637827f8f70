"""``stream-infomax encode``: features of other data by what a learner has learnt."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from stream_infomax.run.settings import Changes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_infomax.frames.frame import Frame
    from stream_infomax.run.encode import Encoded


def encode(
    checkpoint: Path,
    source: Path,
    *,
    to: Annotated[Path, Parameter(name="--to")],
    stage: str = "",
    set: Changes = (),  # noqa: A002  (the option's name)
) -> int:
    """Encode data with what a learner has learnt; nothing is learnt from them.

    Parameters
    ----------
    checkpoint
        What `OnlineInfomax.save` or `Encoder.save` wrote; or, of a run, a checkpoint, a service's folder or the run's
        folder, of which the newest checkpoint is taken; of a fleet that of the shard with the newest round.
    source
        A file or folder of what the run was fed with, sound or pictures; its frames go through the run's stages before
        the learner. Or a file of the learner's rows: .npy, .npz (one array, or one called rows), .csv.
    to
        The file of features: .npz or .parquet (as of --save-features), or .csv.
    stage
        The learner, where the run has several.
    """
    from stream_infomax.run.threads import THREADS

    os.environ.update(THREADS)  # before numpy is there
    from stream_infomax.fleet.folder import newest_of
    from stream_infomax.run.encode import Encoded, learnt
    from stream_infomax.run.feature_files import SUFFIXES, try_out, write
    from stream_infomax.settings.printable import printable

    try_out("--to", to, (*SUFFIXES, ".csv"))
    one = learnt(newest_of(checkpoint), stage or None)
    encoded = Encoded(one, source, set)
    write(to, _shown(encoded), one.name, one.encoder.width, about=encoded.of_run)
    aside = f", {encoded.n_aside:,} of them not finite" if encoded.n_aside else ""
    print(
        printable(
            f"{to}: {encoded.n_rows:,} rows{aside}, {one.encoder.width} columns ({one.encoder.output}), "
            f"basis {one.encoder.version}"
        )
    )
    return 0


def _shown(encoded: Encoded) -> Iterator[Frame]:
    """Yield the frames, and show how many are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield from progress.track(encoded.frames(), total=encoded.total, description="frames")
