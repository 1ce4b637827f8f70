"""``stream-infomax label``: say what a live source hears or sees."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def label(
    run: Path,
    labels: Annotated[tuple[str, ...], Parameter(negative=())],
    /,
    *,
    stream: str = "",
    segment: str = "",
    offset: int = -1,
    time: float | None = None,
) -> int:
    """Label a segment of a live source while the run goes on; a classifier learns from it.

    Without --segment, --offset or --time the segment of this moment is meant.

    Parameters
    ----------
    run
        The folder of a run.
    labels
        NAME=VALUE, for example word=yes.
    stream
        The stream (default: the only one that is open; where several or none are, the label is left out, and counted).
    segment
        The name of the segment.
    offset
        A frame of the segment, by its place in the log.
    time
        A moment within the segment, in seconds as in its frames.
    """
    from stream_infomax.configuration.compose import access_of
    from stream_infomax.configuration.load import ConfigError, load
    from stream_infomax.run.folder import RunFolder
    from stream_infomax.transport.labels import send_label
    from stream_infomax.transport.sockets import StreamError

    named = dict(one.partition("=")[::2] for one in labels)
    wrong = [one for one in labels if not one.partition("=")[0] or "=" not in one]
    if wrong or not named:
        raise ConfigError(f"label {wrong[0] if wrong else ''!r}; accepted is NAME=VALUE, for example word=yes")
    pipeline = RunFolder(run).pipeline
    if not pipeline.is_file():
        raise ConfigError(f"{run} is no folder of a run: it has no {pipeline.name}")
    config = load(pipeline)
    at = clock.time() if time is None else time
    where, keys = config.label_address(), access_of(config).keys
    try:
        send_label(where, stream, named, segment=segment, offset=offset, time=at, keys=keys)
    except StreamError as error:
        raise ConfigError(str(error)) from error
    return 0
