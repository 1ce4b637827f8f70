"""Loop: a service at work. Frames in, frames out, readers served, checkpoints written, and when to end."""

from __future__ import annotations

import math
import time

import zmq

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints
from stream_infomax.service.feeds import Feed, SourceFeed
from stream_infomax.service.parent import run_id
from stream_infomax.service.service import Service
from stream_infomax.service.signals import Signals
from stream_infomax.service.status import Meter, plain_counts
from stream_infomax.transport.inlet import Arrival
from stream_infomax.transport.log import OutputLog
from stream_infomax.transport.messages import Status
from stream_infomax.transport.outlet import Outlet
from stream_infomax.transport.sockets import MAX_PART_BYTES
from stream_infomax.transport.tap import Tap

# Seconds that a finished reader waits for upstream to confirm its last commit. Upstream may be gone for good.
FAREWELL = 5.0
# Seconds that a service which had finished before it was restarted waits to hear from its readers: one that had to
# fall back to an older checkpoint must be told what is gone.
REUNION = 60.0
# Frames after which a busy service looks at what its readers ask; it must be small beside their credit.
FRAMES_A_TURN = 8


class Loop:
    """One service at work."""

    def __init__(
        self,
        service: Service,
        stages: Pipeline,
        feed: Feed,
        log: OutputLog,
        outlet: Outlet,
        tap: Tap,
        checkpoints: Checkpoints,
        signals: Signals,
    ) -> None:
        self.service = service
        self.stages = stages
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

    def run(self) -> bool:
        """Work until the stream has ended and everybody has everything (True), or a signal comes (False)."""
        while not (finished := self.done()) and not self.signals.stop:
            asked = True
            for _ in range(FRAMES_A_TURN):
                if not self.advance():
                    asked = self.wait()
                    break
                if self.signals.stop or self.meter.due():
                    break
            if asked:
                self.answer()
            if self.meter.due():
                self.report()
        if self.since:
            self.save()
        self.report()
        return finished

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
            output = self.stages.process(frame)
            if output.offset != frame.offset:
                raise ValueError(f"its output has offset {output.offset}")
            parts = wire.encode(output)
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
        self.checkpoints.save(
            Checkpoint(
                log=self.feed.log_id,
                processed=processed,
                finished=self.log.finished,
                lost=dict(self.feed.lost),
                config=dict(self.service.config),
                source=self.feed.state(),
                stages=self.stages.state(),
                outputs=self.log.state(),
            )
        )
        self.feed.commit(processed)
        self.saved = processed
        self.since = 0

    def report(self) -> None:
        """Publish the status."""
        self.tap.attend()
        log = self.log
        self.tap.status(
            Status(
                name=self.service.name,
                run=run_id(),
                log=self.feed.log_id,
                processed=self.feed.next - 1,
                newest=log.newest,
                committed=dict(log.committed),
                finished=log.finished,
                log_frames=len(log),
                log_bytes=log.n_bytes,
                log_fill=max(len(log) / log.max_frames, log.n_bytes / log.max_bytes),
                dropped=log.dropped,
                lost=dict(self.feed.lost),
                refused=dict(self.outlet.refused),
                expected=self.feed.expected,
                measures=self.stages.measures(),
                counts=plain_counts({**self.feed.counts(), **self.stages.counts()}),
                **self.meter.read()._asdict(),
            )
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
