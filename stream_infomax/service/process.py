"""What the scripts under services/ call: `run` for a stage, `run_source` for a source."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import zmq

from stream_infomax.frames.contracts import Pipeline, Seekable
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints, differences
from stream_infomax.service.feeds import Feed, Pace, SourceFeed
from stream_infomax.service.loop import Loop
from stream_infomax.service.parent import end_with_parent
from stream_infomax.service.service import Service
from stream_infomax.service.signals import Signals
from stream_infomax.state.file import StateFileError
from stream_infomax.transport.inlet import Inlet
from stream_infomax.transport.log import OutputLog
from stream_infomax.transport.outlet import Outlet
from stream_infomax.transport.sockets import LINGER_MS, RefusedError, StreamError
from stream_infomax.transport.tap import Tap

__all__ = ["Service", "guard", "run", "run_source"]


def run(
    stages: Pipeline,
    service: Service,
    inlet: str,
    *,
    compile_kernels: Callable[[], None] | None = None,
    start: Callable[[], None] | None = None,
) -> int:
    """Run `stages` as a service until its stream ends or a signal comes. Returns the exit code.

    Parameters
    ----------
    stages
        What turns frame n into frame n.
    service
        Name, addresses, bounds.
    inlet
        The outlet to read from, under the service's name.
    compile_kernels
        Called before READY: compiles kernels, for example.
    start
        Called before READY where there is no checkpoint yet: takes over another run's state, for example.
    """

    def work(signals: Signals) -> bool:
        if compile_kernels:
            compile_kernels()
        checkpoints = Checkpoints(service.folder, service.keep)
        saved = checkpoints.latest()
        if saved is None and start:
            start()
        processed, log_id = _check(saved, service, stages)

        def connect(context: zmq.Context[Any]) -> Inlet:
            return Inlet(context, inlet, service.name, log_id, processed + 1)

        return _serve(service, stages, checkpoints, saved, log_id, connect, signals)

    return guard(service.name, work)


def run_source(source: Seekable, service: Service, *, pace: Pace = "fast") -> int:
    """Run `source` as a service until it ends or a signal comes. Returns the exit code.

    Parameters
    ----------
    source
        What gives the frames, from any offset on.
    service
        Name, addresses, bounds. In `wait` the source is read again from whatever offset a reader asks for.
    pace
        ``fast`` or ``live``: whether a frame waits for its time.
    """

    def work(signals: Signals) -> bool:
        checkpoints = Checkpoints(service.folder, service.keep)
        saved = checkpoints.latest()
        stages = Pipeline([])  # the frames are done already
        processed, log_id = _check(saved, service, stages)
        if saved is not None:
            source.restore(saved.source)
        feed = SourceFeed(source, log_id or secrets.token_hex(8), pace)
        feed.seek(processed + 1)
        return _serve(service, stages, checkpoints, saved, feed.log_id, lambda _: feed, signals)

    return guard(service.name, work)


def _check(saved: Checkpoint | None, service: Service, stages: Pipeline) -> tuple[int, str]:
    """Give `stages` their saved state back; return the last offset processed and the log's id."""
    if saved is None:
        return -1, ""
    changed = differences(saved.config, service.config, service.may_change)
    if changed:
        raise ValueError(
            f"the checkpoint in {service.folder} is of another configuration: {'; '.join(changed)}. "
            f"Change it back, or start afresh"
        )
    try:
        stages.restore(saved.stages)
    except KeyError as error:
        raise ValueError(
            f"the checkpoint in {service.folder} does not hold {error}: another version wrote it"
        ) from error
    return saved.processed, saved.log


def guard(name: str, work: Callable[[Signals], bool]) -> int:
    """Do the work of a service, which hears signals; turn an error that a person can mend into one line.

    Prints FINISHED where the work says that it has come to its end.

    Returns
    -------
    0 where it ended well, 1 where another start may help, 2 where it would end the same way.
    """
    end_with_parent()
    try:
        with closing(Signals()) as signals:
            finished = work(signals)
    except (StreamError, ValueError, OSError, zmq.ZMQError) as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        same_again = isinstance(error, ValueError | RefusedError) and not isinstance(error, StateFileError)
        return 2 if same_again else 1
    if finished:
        print(f"FINISHED {name}", flush=True)
    return 0


def _serve(
    service: Service,
    stages: Pipeline,
    checkpoints: Checkpoints,
    saved: Checkpoint | None,
    log_id: str,
    connect: Callable[[zmq.Context[Any]], Feed],
    signals: Signals,
) -> bool:
    """Open the sockets and loop. Returns whether the stream has ended and everybody has everything."""
    log = OutputLog(service.readers, max_frames=service.log_frames, max_bytes=service.log_bytes, policy=service.policy)
    if saved is not None:
        log.restore(saved.outputs)
        if saved.finished:
            log.finish(saved.processed)
    with ExitStack() as stack:
        context: zmq.Context[Any] = zmq.Context()
        reserved = stack.enter_context(ExitStack())
        stack.callback(context.destroy, LINGER_MS)  # before the addresses are given free
        feed = connect(context)
        seekable = isinstance(feed, SourceFeed) and service.policy == "wait"
        outlet = Outlet(context, service.outlet, log, log_id, seekable=seekable)
        reserved.callback(outlet.release)
        tap = Tap(context, service.tap)
        reserved.callback(tap.release)
        loop = Loop(service, stages, feed, log, outlet, tap, checkpoints, signals)
        if saved is not None:
            loop.saved = saved.processed
            loop.restored = True
            loop.patient = seekable
            feed.lost.update(saved.lost)
        elif isinstance(feed, SourceFeed):
            loop.save()  # the log's id must be on disk before anyone sees it
        print(f"READY {service.name} {outlet.address}", flush=True)
        return loop.run()
