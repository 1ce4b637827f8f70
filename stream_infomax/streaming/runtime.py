"""The one loop of every service: frames in, frames out, checkpoints, signals and exit codes."""

from __future__ import annotations

import math
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import zmq

from stream_infomax.streaming.checkpoint import CheckpointError, Checkpoints, differences
from stream_infomax.streaming.feeds import Feed, Pace, Source, SourceFeed
from stream_infomax.streaming.frames import Frame
from stream_infomax.streaming.inlet import Arrival, Inlet
from stream_infomax.streaming.log import OutputLog, Policy
from stream_infomax.streaming.outlet import Outlet
from stream_infomax.streaming.parent import end_with_parent
from stream_infomax.streaming.sockets import LINGER_MS, MAX_PART_BYTES, RefusedError, StreamError
from stream_infomax.streaming.stage import Stage, State
from stream_infomax.streaming.status import Meter
from stream_infomax.streaming.taps import Tap

# Seconds that a finished reader waits for upstream to confirm its last commit. Upstream may be gone for good.
FAREWELL = 5.0
# Frames after which a busy service looks at what its readers ask; it must be small beside their credit.
FRAMES_A_TURN = 8
# Seconds that a service which had finished before it was restarted waits to hear from its readers: one that had to
# fall back to an older checkpoint must be told what is gone.
REUNION = 60.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True)
class Service:
    """What a service is called, where it is had, and how much it keeps.

    Attributes
    ----------
    name
        Its name: what it reads under, and the first word after READY.
    outlet, tap
        The addresses to bind.
    folder
        Where its checkpoints lie, nobody else's.
    readers
        The names of the services (and collectors) that read its log and must commit; none: the log keeps nothing.
    policy
        What a full log does.
    log_frames, log_bytes
        The log's bounds.
    checkpoint_every
        Frames between checkpoints.
    keep
        Checkpoints kept.
    config
        Plain values that a checkpoint stores; a restart under other values is refused, by naming the key.
    may_change
        Patterns of keys that may differ all the same: see `checkpoint.differences`.
    """

    name: str
    outlet: str
    tap: str
    folder: Path
    readers: tuple[str, ...] = ()
    policy: Policy = "wait"
    log_frames: int = 1024
    log_bytes: int = 64 << 20
    checkpoint_every: int = 512
    keep: int = 3
    config: Mapping[str, Any] = field(default_factory=dict)
    may_change: tuple[str, ...] = ()


def run(
    stage: Stage,
    service: Service,
    inlet: str,
    *,
    warmup: Callable[[], None] | None = None,
    start: Callable[[], None] | None = None,
) -> int:
    """Run `stage` as a service until its stream ends or a signal comes. Returns the exit code.

    Parameters
    ----------
    stage
        What turns frame n into frame n.
    service
        Name, addresses, bounds.
    inlet
        The outlet to read from, under the service's name.
    warmup
        Called before READY: compiles kernels, for example.
    start
        Called before READY where there is no checkpoint yet: takes over another run's state, for example.
    """

    def work() -> None:
        if warmup:
            warmup()
        checkpoints = Checkpoints(service.folder, service.keep)
        saved = checkpoints.latest()
        if saved is None and start:
            start()
        processed, log_id = _check(saved, service, stage)

        def connect(context: zmq.Context[Any]) -> Inlet:
            return Inlet(context, inlet, service.name, log_id, processed + 1)

        _serve(service, stage, checkpoints, saved, log_id, connect)

    return guard(service.name, work)


def run_source(source: Source, service: Service, *, pace: Pace = "fast") -> int:
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

    def work() -> None:
        checkpoints = Checkpoints(service.folder, service.keep)
        saved = checkpoints.latest()
        stage = _SourceStage(source)
        processed, log_id = _check(saved, service, stage)
        feed = SourceFeed(source, log_id or secrets.token_hex(8), pace)
        feed.seek(processed + 1)
        _serve(service, stage, checkpoints, saved, feed.log_id, lambda _: feed)

    return guard(service.name, work)


class _SourceStage:
    """What stands in a stage's place behind a source: the frames are done already."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.metrics = source.metrics

    def process(self, frame: Frame) -> Frame:
        return frame

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        """A source has no state but its position."""


def _check(saved: State | None, service: Service, stage: Stage) -> tuple[int, str]:
    """Give `stage` its saved state back; return the last offset processed and the log's id."""
    if saved is None:
        return -1, ""
    changed = differences(saved["config"], service.config, service.may_change)
    if changed:
        raise ValueError(
            f"the checkpoint in {service.folder} is of another configuration: {'; '.join(changed)}. "
            f"Change it back, or start afresh"
        )
    try:
        stage.restore(saved["stage"])
    except KeyError as error:
        raise ValueError(
            f"the checkpoint in {service.folder} does not hold {error}: another version wrote it"
        ) from error
    return saved["processed"], saved["log"]


def guard(name: str, work: Callable[[], None]) -> int:
    """Do the work of a service; turn an error that a person can mend into one line.

    Returns
    -------
    0 where it ended well, 1 where another start may help, 2 where it would end the same way.
    """
    end_with_parent()
    try:
        work()
    except (StreamError, ValueError, OSError, zmq.ZMQError) as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        same_again = isinstance(error, ValueError | RefusedError) and not isinstance(error, CheckpointError)
        return 2 if same_again else 1
    return 0


def _serve(
    service: Service,
    stage: Stage,
    checkpoints: Checkpoints,
    saved: State | None,
    log_id: str,
    connect: Callable[[zmq.Context[Any]], Feed],
) -> None:
    """Open the sockets and loop."""
    log = OutputLog(service.readers, max_frames=service.log_frames, max_bytes=service.log_bytes, policy=service.policy)
    if saved is not None:
        log.restore(saved["outputs"])
        if saved["finished"]:
            log.finish(saved["processed"])
    with ExitStack() as stack:
        signals = stack.enter_context(closing(Signals()))
        context: zmq.Context[Any] = zmq.Context()
        reserved = stack.enter_context(ExitStack())
        stack.callback(context.destroy, LINGER_MS)  # before the addresses are given free
        feed = connect(context)
        seekable = isinstance(feed, SourceFeed) and service.policy == "wait"
        outlet = Outlet(context, service.outlet, log, log_id, seekable=seekable)
        reserved.callback(outlet.release)
        tap = Tap(context, service.tap)
        reserved.callback(tap.release)
        loop = _Loop(service, stage, feed, log, outlet, tap, checkpoints, signals)
        if saved is not None:
            loop.saved = saved["processed"]
            loop.restored = True
            loop.patient = seekable
            feed.lost.update(saved["lost"])
        elif isinstance(feed, SourceFeed):
            loop.save()  # the log's id must be on disk before anyone sees it
        print(f"READY {service.name} {outlet.address}", flush=True)
        loop.run()


class Signals:
    """SIGINT and SIGTERM: the first asks the loop to end, the second ends the process."""

    def __init__(self) -> None:
        self.stop = False
        self.wakeup, self._write = socket.socketpair()
        self.wakeup.setblocking(False)
        self._write.setblocking(False)
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)

    def close(self) -> None:
        """Put back what was there before."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.wakeup.close()
        self._write.close()

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.stop:
            os._exit(128 + number)
        self.stop = True


class _Loop:
    """One service at work."""

    def __init__(
        self,
        service: Service,
        stage: Stage,
        feed: Feed,
        log: OutputLog,
        outlet: Outlet,
        tap: Tap,
        checkpoints: Checkpoints,
        signals: Signals,
    ) -> None:
        self.service = service
        self.stage = stage
        self.feed = feed
        self.log = log
        self.outlet = outlet
        self.tap = tap
        self.checkpoints = checkpoints
        self.signals = signals
        self.meter = Meter()
        # Where the newest checkpoint stands, and the frames since.
        self.saved = -1
        self.since = 0
        # A source that was restarted hears first where its readers are.
        self.patient = False
        self.restored = False
        self.started = time.monotonic()
        self.deadline = self.started + FAREWELL
        self.busy = self._poller()
        self.blocked = self._poller()
        for inlet in feed.sockets:
            self.busy.register(inlet, zmq.POLLIN)

    def run(self) -> None:
        """Work until the stream has ended and everybody has everything, or a signal comes."""
        while not (self.signals.stop or self.done()):
            asked = True
            for _ in range(FRAMES_A_TURN):
                if not self.advance():
                    asked = self.wait()
                    break
            if asked:
                self.answer()
            if self.meter.due():
                self.report()
        if self.since:
            self.save()
        self.report()

    def answer(self) -> None:
        """Serve the readers."""
        self.outlet.answer()
        if self.outlet.rewind_to is not None:
            self.rewind(self.outlet.rewind_to)
        if self.outlet.owed:
            self.save()
            self.outlet.acknowledge()

    def done(self) -> bool:
        """Whether nobody needs this service any more."""
        if not (self.log.drained and not self.outlet.owed):
            return False
        now = time.monotonic()
        if self.restored and not self.outlet.heard_all() and now < self.started + REUNION:
            return False
        return self.feed.settled or now > self.deadline

    def advance(self) -> bool:
        """Process a frame if there is one and room for it. Returns whether something happened."""
        if self.log.finished or self.log.full or self.patience():
            return False
        arrival = self.feed.receive()
        if arrival is not None:
            self.step(arrival)
            return True
        if self.feed.finished:
            self.finish()
            return True
        if self.feed.full and self.feed.next - 1 > self.saved:
            self.save()
            return True
        return False

    def patience(self) -> bool:
        """Whether a restarted source still waits to hear from its readers."""
        if self.patient and self.outlet.heard_all():
            self.patient = False
            wanted = self.outlet.wanted()
            if wanted is not None and wanted > self.feed.next:
                self.rewind(wanted)
        return self.patient

    def step(self, arrival: Arrival) -> None:
        """Make the output frame of a frame, and hand it on."""
        frame = arrival.frame
        try:
            output = self.stage.process(frame)
            if output.offset != frame.offset:
                raise ValueError(f"its output has offset {output.offset}")
            parts = output.to_parts()
            if max(map(len, parts)) > MAX_PART_BYTES:
                raise ValueError(f"an array of {max(map(len, parts))} bytes; at most {MAX_PART_BYTES} are sent")
        except ValueError as error:
            raise ValueError(f"frame {frame.offset} of stream {frame.stream!r}: {error}") from error
        if not self.outlet.log_id:
            self.outlet.log_id = self.feed.log_id
        self.log.append(frame.offset, parts, arrival.origin)
        self.outlet.pump()
        self.tap.frame(self.feed.log_id, frame.offset, parts, arrival.origin)
        self.meter.count(output, arrival.sent, arrival.origin)
        self.since += 1
        if self.since >= self.service.checkpoint_every:
            self.save()

    def finish(self) -> None:
        """Save, commit, and tell the readers that this is the end."""
        self.log.finish(self.feed.next - 1)
        self.save()
        self.outlet.log_id = self.feed.log_id
        self.outlet.announce()
        self.deadline = time.monotonic() + FAREWELL

    def rewind(self, offset: int) -> None:
        """Set a source back (or on) to `offset`."""
        assert isinstance(self.feed, SourceFeed)
        self.log.rewind(offset)
        self.feed.seek(offset)
        self.outlet.rewound()

    def save(self) -> None:
        """Write a checkpoint; only then tell upstream that its frames are not needed any more."""
        processed = self.feed.next - 1
        tree = {
            "log": self.feed.log_id,
            "processed": processed,
            "finished": self.log.finished,
            "outputs": self.log.state(),
            "lost": dict(self.feed.lost),
            "config": dict(self.service.config),
            "stage": self.stage.state(),
        }
        self.checkpoints.save(tree, processed + 1)
        self.feed.commit(processed)
        self.saved = processed
        self.since = 0

    def report(self) -> None:
        """Publish the status."""
        self.tap.attend()
        log = self.log
        self.tap.status(
            {
                "name": self.service.name,
                "log": self.feed.log_id,
                "processed": self.feed.next - 1,
                "newest": log.newest,
                "committed": dict(log.committed),
                "finished": log.finished,
                "log_frames": len(log),
                "log_bytes": log.n_bytes,
                "log_fill": max(len(log) / log.max_frames, log.n_bytes / log.max_bytes),
                "dropped": log.dropped,
                "lost": dict(self.feed.lost),
                "refused": dict(self.outlet.refused),
                **self.meter.read(),
                "metrics": dict(self.stage.metrics()),
            }
        )

    def wait(self) -> bool:
        """Sleep until something can be done. Returns whether a reader has asked for something."""
        seconds = self.meter.remaining()
        if self.log.full or self.patient:
            ready = dict(self.blocked.poll(math.ceil(1000 * seconds)))
        else:
            ready = dict(self.busy.poll(math.ceil(1000 * min(seconds, self.feed.due()))))
            if self.log.finished:
                self.feed.receive()
            if not self.feed.sockets or self.feed.sockets[0] not in ready:
                self.feed.attend()
        if self.tap.socket in ready:
            self.tap.attend()
        return self.outlet.socket in ready

    def _poller(self) -> zmq.Poller:
        poller = zmq.Poller()
        poller.register(self.outlet.socket, zmq.POLLIN)
        poller.register(self.tap.socket, zmq.POLLIN)
        poller.register(self.signals.wakeup.fileno(), zmq.POLLIN)
        return poller
