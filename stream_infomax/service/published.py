"""Published: a service's output log behind its outlet, as the sink of a loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import zmq

from stream_infomax.frames.contracts import Held, Mark, Output, Sink, State
from stream_infomax.service.service import Service
from stream_infomax.transport.log import OutputLog
from stream_infomax.transport.outlet import Outlet
from stream_infomax.transport.sockets import MAX_PART_BYTES

# Seconds that a service which had finished before it was restarted waits to hear from its readers: one that had to
# fall back to an older checkpoint must be told what is gone.
REUNION = 60.0


class Published(Sink):
    """The log and its outlet.

    Parameters
    ----------
    context
        The ZeroMQ context.
    service
        Address, readers, bounds.
    log_id
        The run's id, empty where a stage has not learnt it yet.
    rewinds
        Whether the feed can be set back to an offset that a reader asks for.
    after_restart
        Which of its readers' offsets to go on with; None where they are not asked.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        service: Service,
        log_id: str,
        *,
        rewinds: Callable[[int], bool] | None = None,
        after_restart: Callable[[Iterable[int]], int] | None = None,
    ) -> None:
        self.name = service.name
        self.log = OutputLog(
            service.readers,
            max_frames=service.log_frames,
            max_bytes=service.log_bytes,
            policy=service.policy,
            name=service.name,
        )
        self.account = self.log.account
        self.outlet = Outlet(context, service.outlet, self.log, log_id, seekable=rewinds, access=service.access)
        self.address = self.outlet.address
        self.sockets = (self.outlet.socket,)
        self._after_restart = after_restart
        # A feed that was restarted hears first where its readers are.
        self._patient = False
        self._reunion = 0.0
        self._announced = False
        # Readers whose last commit the checkpoint that is being written holds.
        self._owed: set[str] = set()

    @property
    def full(self) -> bool:
        """Whether readers have to commit first, or to say where they are."""
        return self.log.full or self._patient

    @property
    def due(self) -> bool:
        """Whether a reader waits to hear that its last commit is on disk."""
        return bool(self.outlet.owed)

    @property
    def drained(self) -> bool:
        """Whether every reader has committed all of it, and nobody may still come with an older checkpoint."""
        if not self.log.drained or self.outlet.owed:
            return False
        return self.outlet.heard_all() or time.monotonic() >= self._reunion

    def accept(self, output: Output) -> None:
        """Append a frame to the log, and send it to the readers that have asked for it."""
        largest = max(map(len, output.parts))
        if largest > MAX_PART_BYTES:
            raise ValueError(f"an array of {largest} bytes; at most {MAX_PART_BYTES} are sent")
        self.outlet.log_id = output.log
        self.log.append(output.frame.offset, output.parts, output.origin, output.frame.stream)
        self.outlet.pump()

    def save(self, mark: Mark) -> State:
        """Return the frames that a reader may still ask for, and the readers' positions."""
        self.outlet.log_id = mark.log
        if mark.finished and not self.log.finished:
            self.log.finish(mark.next - 1)
            self._announced = False
        self._owed = set(self.outlet.owed)
        return self.log.state()

    def restore(self, state: State, mark: Mark) -> None:
        """Take the log over, and wait for the readers."""
        self.log.restore(state)
        if mark.finished:
            self.log.finish(mark.next - 1)
        self._reunion = time.monotonic() + REUNION
        self._patient = self._after_restart is not None
        self._announced = True

    def committed(self) -> None:
        """Tell the readers what is on disk now."""
        if self.log.finished and not self._announced:
            self.outlet.announce()
            self._announced = True
        self.outlet.acknowledge(self._owed)

    def attend(self) -> None:
        """Serve the readers."""
        self.outlet.answer()
        self.wanted = self.outlet.rewind_to
        if self._patient and self.outlet.heard_all():
            self._patient = False
            wanted = self._after_restart(self.outlet.wanted()) if self._after_restart and self.log.readers else -1
            if self.wanted is None and wanted > self.log.newest + 1:
                self.wanted = wanted

    def rewind(self, offset: int) -> None:
        """Go on with `offset`; what lies between it and the newest frame, if it is further, is gone."""
        if offset <= self.log.newest:
            self.log.rewind(offset)
        self.wanted = None
        self.outlet.rewound()

    def in_flight(self) -> Mapping[str, int]:
        """Return the frames of each stream that the log holds."""
        return self.log.in_flight()

    def held(self) -> Held:
        """Return what the log holds."""
        log = self.log
        fill = max(len(log) / log.max_frames, log.n_bytes / log.max_bytes)
        return Held(len(log), log.n_bytes, fill, log.dropped, dict(log.committed), self.outlet.refusals())
