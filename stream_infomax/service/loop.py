"""Loop: the one loop of every service, every run in one process and every recorder: feed -> stages -> sinks."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import zmq

from stream_infomax.frames.contracts import Arrival, Counts, Held, Mark, Output, Pipeline, Sink
from stream_infomax.frames.event import Event
from stream_infomax.frames.ledger import BEFORE, OTHERS, Ledger
from stream_infomax.service.bases import Bases
from stream_infomax.service.checkpoints import Checkpoint, Checkpoints
from stream_infomax.service.feeds import Feed
from stream_infomax.service.parent import run_id
from stream_infomax.service.saving import Saving
from stream_infomax.service.service import Service
from stream_infomax.service.signals import Signals
from stream_infomax.service.status import Meter, plain_counts
from stream_infomax.service.steering import Steering
from stream_infomax.transport.messages import MAX_EVENTS, Status
from stream_infomax.transport.observer import Observer

if TYPE_CHECKING:
    from stream_infomax.service.rounds import Taking

# Seconds that a finished reader waits for upstream to confirm its last commit. Upstream may be gone for good.
FAREWELL = 5.0
# Frames after which a busy loop looks at what its sinks are asked; it must be small beside a reader's credit.
FRAMES_A_TURN = 8


class Loop:
    """One service at work.

    Parameters
    ----------
    service
        What it is called and how much it keeps.
    feed
        Where the frames come from.
    stages
        What turns frame n into frame n.
    sinks
        Where the frames end.
    checkpoints
        Where state and position are saved together.
    observers
        Who watches.
    signals
        What asks to stop.
    saved
        The checkpoint that feed, stages and sinks were set to; None for a loop that begins.
    ledger
        Counts what becomes of the frames.
    steering
        What it is told while it runs.
    taking
        What it takes from others that learn the same basis; None: it learns alone.

    Attributes
    ----------
    moved
        Whether the last turn has processed something.
    """

    def __init__(
        self,
        service: Service,
        feed: Feed,
        stages: Pipeline,
        sinks: Sequence[Sink],
        checkpoints: Checkpoints,
        observers: Sequence[Observer],
        signals: Signals,
        saved: Checkpoint | None,
        ledger: Ledger,
        steering: Steering,
        taking: Taking | None = None,
    ) -> None:
        self.service = service
        self.feed = feed
        self.stages = stages
        self.sinks = sinks
        self.saving = Saving(checkpoints)
        self.observers = observers
        self.signals = signals
        self.ledger = ledger
        self.steering = steering
        self.taking = taking
        self.moved = False
        self.meter = Meter()
        self.finished = saved is not None and saved.finished
        # The last offset that was handed on, the last that upstream may forget, and the frames since a checkpoint.
        self.newest = saved.processed if saved else -1
        self.committed = checkpoints.safe
        self.since = 0
        self.bases = Bases(service.folder)
        self.deadline = time.monotonic() + FAREWELL
        self._asking = {socket for sink in sinks for socket in sink.sockets}
        self._watching = {socket for observer in observers for socket in observer.sockets}
        always = [*self._asking, *self._watching, *steering.sockets, signals.wakeup.fileno(), self.saving.bell.fileno()]
        self._always = always
        self._blocked = _poller(always)
        self._busy = _poller([*always, *feed.sockets])
        self.announce(self.newest + 1)

    def run(self) -> bool:
        """Work until the stream has ended and everybody has everything (True), or a signal comes (False)."""
        self.start()
        while self.once():
            pass
        return self.stop()

    def start(self) -> None:
        """Begin to work; where the stream was over in a life before, say so once more."""
        if self.finished:
            self.end()

    def once(self, longest: float = math.inf) -> bool:
        """Work for a moment; where there is nothing to do, sleep, for so many seconds at most.

        Returns
        -------
        False where nobody needs this loop any more, or a signal has come.
        """
        if self.done() or self.signals.stop:
            return False
        if self.turn(longest):
            self.attend()
        self.tend()
        if self.meter.due():
            self.report()
        return True

    def stop(self) -> bool:
        """Save what is not saved. Returns whether the work is done."""
        done = self.done()
        self.settle(wait=True)
        if self.since:
            self.save()
        self.report()
        return done

    def tend(self) -> None:
        """Tell of a checkpoint that is on disk, and begin the next one where somebody waits for it, or it is time."""
        self.settle(wait=False)
        if not self.saving.busy and self._awaited():  # also of what came while one was written
            self.begin()
        self.keep_up()

    def done(self) -> bool:
        """Whether nobody needs this loop any more."""
        if not (self.finished and all(sink.drained for sink in self.sinks)):
            return False
        return self.feed.settled or time.monotonic() > self.deadline

    def turn(self, longest: float = math.inf) -> bool:
        """Process a few frames, or sleep until something can be done. Returns whether a sink may be asked something."""
        self.moved = False
        for _ in range(FRAMES_A_TURN):
            if not self.advance():
                return self.wait(longest)
            self.moved = True
            if self.signals.stop or self.meter.due():
                break
        return True

    def advance(self) -> bool:
        """Process a frame if there is one and room for it. Returns whether something happened."""
        if self.finished or any(sink.full for sink in self.sinks):
            return False
        if self._waits_for_others():
            return self._begun_where_wanted()
        try:
            arrival = self.feed.receive()
        except OSError:  # a device has gone: the next life is to know exactly what it missed
            self.save()
            raise
        if arrival is not None:
            self.ledger.input.accept(arrival.frame.stream)
            self.step(arrival)
        elif self.feed.finished:
            self._finish()
        else:
            return self._begun_where_wanted()
        return True

    def _finish(self) -> None:
        """Take note that the stream is over; a learner of a fleet takes part in the round under way before."""
        if self.taking is not None and not self.taking.rounds.over:
            self.taking.rounds.end()
            return
        self.finished = True
        self.save()
        self.end()

    def _begun_where_wanted(self) -> bool:
        """Begin a checkpoint where somebody waits for one. Returns whether it was begun."""
        if not self._wanted() or self.saving.busy:
            return False
        self.begin()
        return True

    def _waits_for_others(self) -> bool:
        """Whether no frame may be processed, because others have not learnt so far."""
        if self.taking is None:
            return False
        # Where a life after a death would learn from other frames, what is handed in has to be on disk.
        if self.taking.hands_in and (self.taking.rounds.timed or not self.steering.again):
            self.save()
        taken = self.taking.rounds.taken
        if self.taking.blocks(self.feed.next):
            return True
        if self.taking.rounds.taken != taken:
            self.announce(self.feed.next)
        return False

    def _wanted(self) -> bool:
        """Whether somebody waits for a checkpoint: upstream, or who else does."""
        return (self.feed.full and self.feed.next - 1 > self.committed) or self._awaited()

    def _awaited(self) -> bool:
        """Whether a sink waits for a checkpoint, which a slow stream does not ask otherwise, or somebody who steers."""
        return self.steering.due or any(sink.due for sink in self.sinks)

    def step(self, arrival: Arrival) -> None:
        """Make the output frame of a frame, and hand it on."""
        frame = self.steering.apply(arrival.frame)
        if self.taking is not None:
            self.taking.note(frame.offset)
        arrived = Output(frame, self.feed.log_id, arrival.origin)
        for observer in self.observers:
            observer.input(arrived)
        try:
            made = self.stages.process(frame)
            output = Output(made, self.feed.log_id, arrival.origin, self.stages.beside)
            if output.frame.offset != frame.offset:
                raise ValueError(f"its output has offset {output.frame.offset}")
            for sink in self.sinks:
                if sink.account is not None:
                    sink.account.accept(frame.stream)
                sink.accept(output)
        except ValueError as error:
            raise ValueError(f"frame {frame.offset} of stream {frame.stream!r}: {error}") from error
        self.newest = frame.offset
        self.ledger.input.process(frame.stream)
        for observer in self.observers:
            observer.frame(output)
        self.announce(frame.offset + 1)
        self.meter.count(output.frame, arrival.sent, arrival.origin)
        self.since += 1
        self.keep_up()

    def announce(self, offset: int) -> None:
        """Tell the observers where the frames from `offset` on are encoded otherwise than those before."""
        for basis in self.bases.follow(self.stages.bases(), offset):
            for observer in self.observers:
                observer.basis(basis)

    def attend(self) -> None:
        """Let the sinks answer whoever asks for something."""
        for sink in self.sinks:
            sink.attend()
            if sink.wanted is not None:
                self.rewind(sink.wanted)

    def listen(self) -> None:
        """Take the commands that have come; each takes effect before a frame that is still to come."""
        for asked in self.steering.asked():
            if asked.order.action == "undo":  # what the stages have published until now is to be found on disk
                self.settle(wait=True)
                self.bases.save()
            self.steering.take(asked, self.feed.next, over=self.finished)

    def rewind(self, offset: int) -> None:
        """Set the source back (or on) to `offset`."""
        self.settle(wait=True)
        if (passed := offset - self.feed.next) > 0:
            self.ledger.input.accept(OTHERS, passed)
            self.ledger.input.set_aside(OTHERS, BEFORE, passed)
        self.feed.seek(offset)
        self.finished = False
        self.newest = min(self.newest, offset - 1)
        self.steering.rewind(offset)
        for sink in self.sinks:
            sink.rewind(offset)

    def save(self) -> None:
        """Save everything up to here; it is on disk afterwards."""
        self.settle(wait=True)
        self.begin()
        self.settle(wait=True)

    def keep_up(self) -> None:
        """Begin a checkpoint where one is due; wait for the one before it where what is not saved grows too long."""
        every = self.service.checkpoint_every
        if self.since >= every and (not self.saving.busy or self.since >= 2 * every):
            self.settle(wait=True)
            self.begin()

    def end(self) -> None:
        """Save until upstream may forget all of the stream, which is over."""
        while self.committed < self.feed.next - 1:
            self.save()
        self.deadline = time.monotonic() + FAREWELL

    def begin(self) -> None:
        """Save what the sinks have, then take what a checkpoint holds; a thread writes it."""
        mark = Mark(self.feed.log_id, self.feed.next, self.finished)
        kept = {sink.name: sink.save(mark) for sink in self.sinks}
        self.steering.begin(mark.next)
        if self.taking is not None:
            self.taking.begin()
        checkpoint = Checkpoint(
            log=mark.log,
            processed=mark.next - 1,
            finished=self.finished,
            lost=dict(self.feed.lost),
            config=dict(self.service.config),
            source=self.feed.state(),
            counts=plain_counts({**self.feed.counts(), **self.sink_counts()}),
            ledger=self.ledger.balances(),
            commands=self.steering.applied,
            stages=self.stages.state(),
            sinks=kept,
        )
        self.saving.begin(checkpoint, self.bases.new())
        self.since = 0

    def settle(self, *, wait: bool) -> None:
        """Tell upstream and the sinks' readers of a checkpoint that is on disk, and of no other."""
        if not self.saving.written(wait=wait):
            return
        self.committed = self.saving.checkpoints.safe
        self.feed.commit(self.committed)
        for sink in self.sinks:
            sink.committed()
        self.steering.saved()
        if self.taking is not None:
            self.taking.saved()

    def close(self) -> None:
        """End the thread that writes."""
        self.saving.close()
        if self.taking is not None:
            self.taking.close()

    def sink_counts(self) -> dict[str, Counts]:
        """Return what the sinks count, under their names."""
        return {sink.name: counts for sink in self.sinks if (counts := sink.counts())}

    def report(self) -> None:
        """Take what people ask for, and tell the observers how it stands."""
        self.listen()
        for observer in self.observers:
            observer.attend()
        status = self.status()
        for observer in self.observers:
            observer.status(status)

    def status(self) -> Status:
        """Return how it stands."""
        held = _together([sink.held() for sink in self.sinks])
        return Status(
            name=self.service.name,
            run=self.service.run or run_id(),
            log=self.feed.log_id,
            processed=self.feed.next - 1,
            newest=self.feed.next - 1 if self.finished else self.newest,
            committed=dict(held.committed),
            finished=self.finished,
            log_frames=held.frames,
            log_bytes=held.bytes,
            log_fill=held.fill,
            dropped=held.dropped,
            lost=dict(self.feed.lost),
            refused=dict(
                sum(
                    map(Counter, (held.refused, self.feed.refusals(), self.steering.refusals())),
                    self.service.access.refusals(),
                )
            ),
            expected=self.feed.expected,
            ledger=[balance.folded() for balance in self.ledger.balances()],
            measures=self.stages.measures(),
            counts=plain_counts({**self.feed.counts(), **self.stages.counts(), **self.sink_counts()}),
            events=self._events(),
            checkpoint=self.saving.last,
            last_checkpoint=self.saving.at,
            **self.meter.read()._asdict(),
        )

    def _events(self) -> list[Event]:
        """Return the newest marks, and as many of the stages' newest events as there is room for."""
        marks = self.steering.events()
        return [*marks, *self.stages.events()[len(marks) - MAX_EVENTS :]]

    def wait(self, longest: float = math.inf) -> bool:
        """Sleep until something can be done. Returns whether somebody has asked a sink for something."""
        if self.meter.welcome():
            self.report()
        seconds, begin = min(longest, self.meter.remaining()), time.perf_counter()
        if self.taking is not None and self.taking.blocking:
            poller = _poller([*self._always, *self.taking.sockets])
            ready = dict(poller.poll(math.ceil(1000 * min(seconds, self.taking.due()))))
        elif not self.finished and any(sink.full for sink in self.sinks):
            ready = dict(self._blocked.poll(math.ceil(1000 * seconds)))
        else:
            ready = dict(self._busy.poll(math.ceil(1000 * min(seconds, self.feed.due()))))
            if self.finished:
                self.feed.receive()  # that the last commit has arrived, or a refusal
            self.feed.attend(ready)
        self.stages.rest(time.perf_counter() - begin)
        if not self._watching.isdisjoint(ready):
            for observer in self.observers:
                observer.attend()
        if not ready.keys().isdisjoint(self.steering.sockets):
            self.listen()
        return not self._asking.isdisjoint(ready)


def _poller(sockets: Sequence[Any]) -> zmq.Poller:
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    return poller


def _together(held: Sequence[Held]) -> Held:
    """Return what several sinks hold, as if they were one."""
    if len(held) == 1:
        return held[0]
    committed: dict[str, int] = {}
    refused: Counter[str] = Counter()
    for one in held:
        committed.update(one.committed)
        refused.update(one.refused)
    return Held(
        frames=sum(one.frames for one in held),
        bytes=sum(one.bytes for one in held),
        fill=max((one.fill for one in held), default=0.0),
        dropped=sum(one.dropped for one in held),
        committed=committed,
        refused=refused,
    )
