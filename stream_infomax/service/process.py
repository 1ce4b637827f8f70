"""How a process starts: `opened` gives its loop, `run` is what the scripts under services/ call."""

from __future__ import annotations

import errno
import gc
import os
import resource
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import zmq

from stream_infomax.frames.contracts import Live, Mark, Pipeline, Seekable, Sink
from stream_infomax.frames.ledger import Ledger
from stream_infomax.journal.settings import JOURNAL
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints, NoneReadableError, differences
from stream_infomax.service.commands import Commands
from stream_infomax.service.feeds import Feed, LiveFeed, Pace, SeekableFeed, feed_of
from stream_infomax.service.late_labels import LateLabels
from stream_infomax.service.loop import Loop
from stream_infomax.service.parent import end_with_parent
from stream_infomax.service.published import Published
from stream_infomax.service.service import Service
from stream_infomax.service.signals import Signals
from stream_infomax.service.steering import Steering
from stream_infomax.settings.extras import require
from stream_infomax.settings.printable import printable
from stream_infomax.state.error import StateFileError, fitting
from stream_infomax.state.private import private
from stream_infomax.transport.control import Control
from stream_infomax.transport.inlet import Inlet
from stream_infomax.transport.observer import Observer
from stream_infomax.transport.sockets import LINGER_MS, RefusedError, StreamError
from stream_infomax.transport.tap import Tap

if TYPE_CHECKING:  # whoever learns with others brings the learner, which no other service is to wait for
    from stream_infomax.service.rounds import Joining

__all__ = ["FromLog", "FromSource", "Service", "guard", "opened", "run"]


# Seconds after which the thread that writes checkpoints lets the stream go on; Python's own 5 ms are an age to a frame.
SWITCH = 0.0005


class Upstream(Protocol):
    """Where a service's frames come from: a recipe for its feed."""

    def open(self, context: zmq.Context[Any], service: Service, saved: Checkpoint | None, safe: int) -> Feed:
        """Return the feed, set to what comes after the checkpoint; all up to `safe` need not come again."""
        ...


@dataclass(frozen=True)
class FromLog:
    """The log of another service, at the `address` of its outlet."""

    address: str

    def open(self, context: zmq.Context[Any], service: Service, saved: Checkpoint | None, safe: int) -> Feed:
        """Return an inlet, which reads under the service's name."""
        log, start = (saved.log, saved.processed + 1) if saved else ("", 0)
        return Inlet(context, self.address, service.name, log, start, keys=service.access.keys, committed=safe)


@dataclass(frozen=True)
class FromSource:
    """A source; `pace` says whether a seekable one's frames wait for their time, `speed` how fast that goes by.

    In `wait` it is read again from whatever offset a reader asks for.
    """

    source: Seekable | Live
    pace: Pace = "fast"
    speed: float = 1.0

    def open(self, context: zmq.Context[Any], service: Service, saved: Checkpoint | None, safe: int) -> Feed:
        """Return the source as a feed. A source that begins makes the log's id."""
        log = saved.log if saved else secrets.token_hex(8)
        labels = partial(LateLabels, context, service.labels, service.access) if service.labels else None
        if service.journal.enabled and isinstance(self.source, Live):
            over = saved is not None and saved.finished
            feed: SeekableFeed | LiveFeed = _journaled(self.source, log, service, labels, over=over)
        else:
            feed = feed_of(self.source, log, self.pace, self.speed, rewinds=service.policy == "wait", labels=labels)
        try:
            if saved:
                with fitting(f"the checkpoint in {service.folder}"):
                    feed.restore(saved.source)
                feed.seek(saved.processed + 1)
            feed.open()
        except BaseException:
            feed.close()
            raise
        return feed


def _journaled(
    source: Live, log: str, service: Service, labels: Callable[[], LateLabels] | None, *, over: bool
) -> LiveFeed:
    """Return a live source as a feed with a journal."""
    require(*service.journal.needs())
    from stream_infomax.journal.journal import Journal
    from stream_infomax.service.journaled import JournaledFeed

    journal = Journal(service.folder / JOURNAL, log, service.journal, service.log_bytes)
    try:
        may = service.policy == "wait"  # else what is dropped is gone
        return JournaledFeed(source, log, journal, labels() if labels else None, rewinds=may, over=over)
    except BaseException:
        journal.close()
        raise


def run(
    service: Service,
    upstream: Upstream,
    stages: Pipeline | None = None,
    sinks: Sequence[Sink] = (),
    *,
    compile_kernels: Callable[[], None] | None = None,
    start: Callable[[], None] | None = None,
    joining: Joining | None = None,
) -> int:
    """Be a service until its stream ends or a signal comes. Returns the exit code.

    Parameters
    ----------
    service
        Name, addresses, bounds.
    upstream
        Where its frames come from.
    stages
        What turns frame n into frame n; None: frames pass as they are.
    sinks
        Where they end, beside the service's own log.
    compile_kernels
        Called before READY.
    start
        Called before READY where there is no checkpoint yet: takes over another run's state, for example.
    joining
        How it learns with others; None: it learns alone.
    """

    def work(signals: Signals) -> bool:
        if compile_kernels:
            compile_kernels()
        with opened(service, upstream, stages or Pipeline([]), sinks, signals, start=start, joining=joining) as loop:
            address = next((sink.address for sink in loop.sinks if sink.address), service.tap)
            # What is there now stays: the garbage collector need not look at it again and again, some ms each time.
            gc.collect()
            gc.freeze()
            sys.setswitchinterval(SWITCH)
            print(f"READY {service.name} {address}", flush=True)
            return loop.run()

    return guard(service.name, work)


@contextmanager
def opened(
    service: Service,
    upstream: Upstream,
    stages: Pipeline,
    sinks: Sequence[Sink],
    signals: Signals,
    *,
    beside: Sequence[Observer] = (),
    start: Callable[[], None] | None = None,
    joining: Joining | None = None,
) -> Iterator[Loop]:
    """Set everything to what the newest checkpoint says, open the sockets, and give the loop.

    Parameters
    ----------
    beside
        Who watches beside the service's tap.
    joining
        How it learns with others; None: it learns alone.

    Raises
    ------
    ValueError
        Where the checkpoint is of another configuration, or does not fit.
    StreamError
        Where an address cannot be bound or connected to.
    """
    checkpoints = Checkpoints(service.folder, service.keep)
    saved = checkpoints.latest()
    if joining is not None:
        joining.prepare(stages)
    if saved is not None:
        _restore(stages, saved, service)
    elif start:
        start()
    with ExitStack() as stack:
        context: zmq.Context[Any] = zmq.Context()
        reserved = stack.enter_context(ExitStack())
        stack.callback(context.destroy, LINGER_MS)  # before the addresses are given free
        stack.enter_context(service.access.answering(context))
        feed = upstream.open(context, service, saved, checkpoints.safe)
        stack.callback(feed.close)
        ends = list(sinks)
        for sink in ends:
            stack.callback(sink.close)
        if service.outlet:
            published = Published(context, service, feed.log_id, rewinds=feed.rewinds, after_restart=feed.after_restart)
            if isinstance(feed, LiveFeed):
                feed.committed = published.log.settled
            reserved.callback(published.outlet.release)
            ends.insert(0, published)
        observers = [*beside]
        if service.tap:
            tap = Tap(context, service.tap, service.access)
            reserved.callback(tap.release)
            observers.insert(0, tap)
        ledger = Ledger(service.name, stages.stages, ends)
        if saved is not None:
            ledger.restore(saved.ledger)
            feed.lost.update(saved.lost)
            mark = Mark(saved.log, saved.processed + 1, saved.finished)
            for sink in ends:
                if sink.name in saved.sinks:  # one that is new there begins here
                    with fitting(f"the state of {sink.name!r} in {service.folder}"):
                        sink.restore(saved.sinks[sink.name], mark)
            if isinstance(feed, LiveFeed) and not service.outlet:  # an offset never names two frames
                feed.pass_over(max((sink.next for sink in ends), default=0))
        ledger.begin()
        steering = _steering(context, service, feed, stages, saved)
        stack.callback(steering.close)
        reserved.callback(steering.release)
        taking = joining.open(context, stages, service) if joining is not None else None
        loop = Loop(service, feed, stages, ends, checkpoints, observers, signals, saved, ledger, steering, taking)
        stack.callback(loop.close)
        further = min((sink.next for sink in ends), default=0)
        if saved is not None and not stages.stages and further > feed.next:
            loop.rewind(further)  # what is on disk here is neither asked for again nor lost
        if saved is None and feed.log_id:
            loop.save()  # the log's id must be on disk before anyone sees it
        yield loop


def _steering(
    context: zmq.Context[Any], service: Service, feed: Feed, stages: Pipeline, saved: Checkpoint | None
) -> Steering:
    """Return the commands that a service was given, and where others come."""
    source = feed.source.name if isinstance(feed, SeekableFeed | LiveFeed) else ""
    commands = Commands(service.folder, saved.commands if saved is not None else 0, source)
    control = Control(context, service.control, service.access) if service.control else None
    again = not isinstance(feed, LiveFeed) or service.journal.enabled
    steering = Steering(commands, stages, control, again=again)
    if isinstance(feed, LiveFeed):
        feed.marked = commands.marked
        feed.pass_over(steering.furthest + 1)
    return steering


def _restore(stages: Pipeline, saved: Checkpoint, service: Service) -> None:
    """Give `stages` their saved state back."""
    changed = differences(saved.config, service.config, service.may_change)
    if changed:
        raise ValueError(
            f"the checkpoint in {service.folder} is of another configuration: {'; '.join(changed)}. "
            f"Change it back, or start afresh"
        )
    with fitting(f"the checkpoint in {service.folder}"):
        stages.restore(saved.stages)


def guard(name: str, work: Callable[[Signals], bool]) -> int:
    """Do the work of a service, which hears signals; turn an error that a person can mend into one line.

    Prints FINISHED where the work says that it has come to its end.

    Returns
    -------
    0 where it ended well, 1 where another start may help, 2 where it would end the same way.
    """
    end_with_parent()
    try:
        with private(), closing(Signals()) as signals:
            finished = work(signals)
    except (StreamError, ValueError, OSError, zmq.ZMQError) as error:
        print(printable(f"{name}: {error}{_limit(error)}"), file=sys.stderr, flush=True)
        by_itself = isinstance(error, StateFileError) and not isinstance(error, NoneReadableError)
        same_again = isinstance(error, ValueError | RefusedError) and not by_itself
        return 2 if same_again else 1
    if finished:
        print(f"FINISHED {name}", flush=True)
    return 0


def _limit(error: Exception) -> str:
    """Return what there are too few of, where it is file descriptors."""
    words = f"; this process may have {resource.getrlimit(resource.RLIMIT_NOFILE)[0]} files open (ulimit -n)"
    return words if os.strerror(errno.EMFILE) in str(error) else ""
