"""What `stream-infomax top --json` says of a run, once a second; docs/operations.md describes it."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec

from stream_infomax.frames.event import Event
from stream_infomax.frames.measure import Measure
from stream_infomax.watch.board import Board
from stream_infomax.watch.service_row import ServiceRow

Seconds = Annotated[float, msgspec.Meta(ge=0)]


class ServiceReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a service is.

    Attributes
    ----------
    state
        As in the live view: ``starting``, ``running``, ``waiting``, ``silent``, ``disk full``, ``stopped`` or
        ``finished``.
    silence
        Seconds since it was last heard of.
    restarts
        How often it was started again while it was watched.
    frame
        The last offset that it has made, -1 before the first.
    frames_per_second, rows_per_second
        Over the last 10 s; 0 where it does not run.
    fill
        How full its log is, from 0 to 1.
    step_p50, step_p99, total_p50, total_p99
        Latency in seconds, since the step before sent a frame and since the source had it; null where none came.
    lost, refused
        Frames that never came, and requests that were not granted, by reason.
    """

    state: str
    silence: Seconds
    restarts: int
    frame: int
    frames_per_second: Seconds
    rows_per_second: Seconds
    fill: float
    step_p50: float | None
    step_p99: float | None
    total_p50: float | None
    total_p99: float | None
    lost: dict[str, int]
    refused: dict[str, int]


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a run is.

    Attributes
    ----------
    time
        Seconds of the wall clock.
    run, id
        As it was given; the id of the run, empty where that is not known yet.
    state
        ``starting``, ``running``, ``stopped`` or ``finished``; ``silent`` or ``disk full`` where a service is.
    problem
        Why nothing is known of it; else empty.
    frames
        Frames that will pass in all, 0 where the source does not know.
    lost
        Frames that were lost on the way through.
    services
        By their names, in the order of the data.
    measures
        The newest value of each: ``stage``, ``level``, ``kind``, ``value``, ``position``.
    events
        Those that came since the last line: ``stage``, ``position``, ``kind``, ``text``.
    """

    time: float
    run: str
    id: str
    state: str
    problem: str
    frames: int
    lost: int
    services: dict[str, ServiceReport]
    measures: list[Measure]
    events: list[Event]


def report(name: str, run: str, state: str, problem: str, board: Board) -> Report:
    """Return how a run is now; its new events are told once."""
    curves = ((*curve, points.last, points.position) for curve, points in board.curves().items())
    return Report(
        time=time.time(),
        run=name,
        id=run,
        state=state,
        problem=problem,
        frames=board.n_frames,
        lost=board.lost(),
        services={service: _service(row) for service, row in board.rows.items()},
        measures=[Measure(stage, level, kind, value, at) for stage, level, kind, value, at in curves if at >= 0],
        events=board.untold(),
    )


def _service(row: ServiceRow) -> ServiceReport:
    frames, rows = row.throughput()
    return ServiceReport(
        state=row.state,
        silence=row.silence,
        restarts=row.restarts,
        frame=row.newest,
        frames_per_second=frames,
        rows_per_second=rows,
        fill=row.status.log_fill if row.status else 0.0,
        step_p50=row.step[0],
        step_p99=row.step[1],
        total_p50=row.total[0],
        total_p99=row.total[1],
        lost=dict(row.lost),
        refused=dict(row.refused),
    )
