"""Health: whether the loop of a run turns, and whether the run does what it is for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

from stream_infomax.watch.http import Answer
from stream_infomax.watch.tally import Seen, Tally

# Seconds after which a loop that has not turned stands still: as long as a service's frame may take under systemd.
TURNS_WITHIN = 60.0
# Seconds without a frame after which a stream stands still, and in mean times between two of its frames.
FRESH, TIMES = 60.0, 3.0
# Checkpoints that may be missing.
CHECKPOINTS = 3
# Bytes without which no checkpoint is sure to have room.
ROOM = 64 << 20
# States in which a service does what it is for.
WELL = frozenset({"running", "waiting", "finished"})
FORM = "application/json"


def live(tally: Tally) -> Answer:
    """Return 200 while the loop of the run turns, also while it starts, and restarts a service; else 503.

    Whoever ends a run for this ends one that does not mend itself.
    """
    still = time.monotonic() - tally.turned
    if still <= TURNS_WITHIN:
        return Answer(200, FORM, b'{"live": true}\n')
    return Answer(503, FORM, _json({"live": False, "problems": [f"the run has stood still for {still:.0f} s"]}))


def ready(tally: Tally) -> Answer:
    """Return 200 while every service does what it is for, else 503 and what is in the way."""
    found = list(problems(tally))
    return Answer(503 if found else 200, FORM, _json({"ready": not found, "problems": found}))


def problems(tally: Tally) -> Iterator[str]:
    """Yield in plain words what keeps a run from doing what it is for."""
    layout = tally.layout
    for seen in tally.seen():
        yield from _of_service(seen, layout.checkpoint_every[seen.name], layout.learning)
    try:
        disk = os.statvfs(layout.folder)
    except OSError as error:
        yield f"run folder: {error.strerror}"
    else:
        free = disk.f_bavail * disk.f_frsize
        if free < ROOM:
            yield f"disk of the run folder: {free >> 20} MiB free, less than {ROOM >> 20} MiB"


def _of_service(seen: Seen, checkpoint_every: int, learning: frozenset[str]) -> Iterator[str]:
    who, status = f"service {seen.name!r}", seen.status
    if seen.state not in WELL:
        yield f"{who}: {seen.state}"
    elif seen.process and status is None:
        yield f"{who}: nothing heard of it"
    elif status is not None:
        warm = {measure.stage for measure in status.measures if measure.kind == "objective"}
        for stage in sorted(learning & status.counts.keys() - warm):
            yield f"stage {stage!r}: still in its warm-up"
        if (unsaved := status.processed - status.checkpoint) > CHECKPOINTS * checkpoint_every:
            yield f"{who}: {unsaved:,} frames since its newest checkpoint, which is due every {checkpoint_every:,}"
        if not status.finished and seen.state != "waiting":
            yield from _stands_still(seen)


def _stands_still(seen: Seen) -> Iterator[str]:
    """Yield how long no frame has come; a stream of rare frames may take its time."""
    status = seen.status
    assert status is not None
    still = time.time() - (status.last_frame or status.started)
    usual = (status.last_frame - status.started) / status.frames if status.frames else 0.0
    if still > max(FRESH, TIMES * usual):
        yield f"service {seen.name!r}: no frame for {still:.0f} s"


def _json(value: dict[str, object]) -> bytes:
    return (json.dumps(value) + "\n").encode()
