"""PluggedSource: what live sources over a device have in common that a library's thread reads and that may go away."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.frame import Frame
from stream_infomax.settings.error import SettingError
from stream_infomax.sources.arrivals import Arrivals
from stream_infomax.sources.live import Cutter, LiveSettings

log = logging.getLogger(__name__)

# Seconds without anything after which a device has gone: before the first, and later.
SLOW_START = 5.0
SILENCE = 2.0
# Seconds between two looks for a device that has gone.
RETRY = 1.0


class Came(Protocol):
    """What the library's thread brought, and when, by `time.monotonic`."""

    @property
    def arrived(self) -> float:
        """When it came."""
        ...


T = TypeVar("T", bound=Came)


class PluggedSource(Generic[T]):
    """A device, there or not.

    One that goes away while it is read is an OSError: the process saves and ends, and the supervisor starts another, in
    which the library begins afresh. That one waits for the device to come back. A device that was never there is an
    error at once.

    Parameters
    ----------
    name
        Name of the stream and of its array.
    given
        The settings.
    device
        What was asked for, for messages.
    queue
        How much may wait between the library's thread and the loop.

    Attributes
    ----------
    what
        What such a device is called.
    """

    what = "device"

    def __init__(self, name: str, given: LiveSettings, device: str, queue: int) -> None:
        self.name = name
        self.lost: Counter[str] = Counter()
        self._duration = given.duration
        self._device = device
        self._queue = queue
        self._count: Counter[str] = Counter()
        self._arrivals: Arrivals[T] | None = None
        self._cutter: Cutter | None = None  # as long as the device is not there
        self._known = False  # whether it was there in the life before this one
        self._seconds = 0.0  # of data, until then
        self._gone = False
        self._until = 0.0  # the time after the last row
        self._retry = 0.0
        self._arrived = 0.0
        self._patience = SLOW_START

    # ------------------------------------------------------------------ what a kind of device says

    def begin(self) -> Cutter:
        """Take the device, begin to put into `arrivals`, and return a new cutter. Raises SettingError."""
        raise NotImplementedError

    def look_again(self) -> None:
        """Have the library notice what has been plugged in. Raises SettingError where there can be nothing."""

    def take(self, item: T) -> None:
        """Give what came to the cutter."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of the device."""
        raise NotImplementedError

    def drain(self) -> None:
        """Give the cutter what is held back until more comes: nothing comes any more, or nothing that continues it."""

    def frames_in(self, seconds: float) -> float:
        """Return how many frames would have come in so many seconds."""
        raise NotImplementedError

    # ------------------------------------------------------------------ the contract

    def open(self) -> None:
        """Take the device; where it was there before and is not now, wait for it.

        Raises
        ------
        ValueError
            Where there is none, or it cannot be opened; names what was asked for.
        """
        self._arrivals = Arrivals(self._queue)
        if self.finished:
            return
        try:
            self._start()
        except SettingError as error:
            if not self._known:
                raise
            log.warning("%s; waiting for it", error)
            self._retry = time.monotonic() + RETRY

    @property
    def sockets(self) -> Sequence[object]:
        """What becomes readable when something has come."""
        return () if self._arrivals is None else (self._arrivals.socket,)

    @property
    def finished(self) -> bool:
        """Whether the configured duration is over."""
        if self._cutter is not None:
            return self._cutter.ended
        return bool(self._duration) and self._seconds >= self._duration - 1e-6

    def receive(self) -> Frame | None:
        """Return the next frame, None where none is there yet.

        Raises
        ------
        OSError
            Where the device has gone.
        """
        cutter = self._cutter or self._look()
        if cutter is None:
            return None
        while (frame := cutter.take()) is None:
            try:
                item = None if cutter.ended else self._next()
            except OSError:
                self._gone = True
                self.drain()
                cutter.flush()
                if (rest := cutter.take()) is not None:  # it has gone for the next call as well
                    return rest
                raise
            if item is None:
                return None
            self._arrived, self._patience = item.arrived, SILENCE
            self.take(item)
        return frame

    def due(self) -> float:
        """Return the seconds until a silent device has gone, or one that has gone is looked for again."""
        if self.finished:
            return math.inf
        at = self._retry if self._cutter is None else self._arrived + self._patience
        return max(0.0, at - time.monotonic())

    def close(self) -> None:
        """Let go of the device."""
        if self._cutter is not None:
            self.release()
        if self._arrivals is not None:
            self._arrivals.close()

    def state(self) -> State:
        """Return how much has come, until when, and whether the device went away then."""
        return {
            "seconds": self._seconds if self._cutter is None else self._cutter.given,
            "until": self._until,
            "gone": self._gone,
            "counts": dict(self._count),
        }

    def restore(self, state: State) -> None:
        """Go on counting where the life before this one ended."""
        self._known = True
        self._seconds, self._until = float(state["seconds"]), float(state["until"])
        self._gone = bool(state["gone"])
        self._count.update(state["counts"])

    def note(self) -> bytes:
        """Return nothing: a frame says itself how much has come."""
        return b""

    def recall(self, frame: Frame, note: bytes) -> None:
        """Count what came in a frame."""
        seconds = frame.seconds
        self._known = True
        self._seconds += seconds
        self._until = frame.time + seconds

    def counts(self) -> Counts:
        """Return what has come, and what happened to it."""
        return self._count

    # ------------------------------------------------------------------ for kinds of devices

    @property
    def arrivals(self) -> Arrivals[T]:
        """Where the library's thread puts what comes."""
        assert self._arrivals is not None
        return self._arrivals

    @property
    def cutter(self) -> Cutter:
        """What makes frames."""
        assert self._cutter is not None
        return self._cutter

    def fail(self, how: str) -> None:
        """The library's thread has ended; from that thread."""
        self.arrivals.fail(self._has_gone(how))

    def came(self, at: float, until: float) -> None:
        """Take note of the times of what came; what a device missed while it was away is lost."""
        if self._gone:
            self._gone = False
            self.lose(at - self._until, f"the {self.what} was away")
        self._until = until

    def lose(self, seconds: float, reason: str) -> None:
        """Count the frames that would have come, and begin another segment."""
        self.drain()
        self.cutter.gap()
        self.lost[reason] += max(1, math.ceil(self.frames_in(seconds) - 1e-3))

    # ------------------------------------------------------------------ the device

    def _start(self) -> Cutter:
        cutter = self.begin()
        cutter.given = self._seconds
        self._cutter, self._arrived = cutter, time.monotonic()
        return cutter

    def _look(self) -> Cutter | None:
        """Look for a device that has gone, now and then."""
        if self.finished or time.monotonic() < self._retry:
            return None
        try:
            self.look_again()
            cutter = self._start()
        except SettingError:
            self._retry = time.monotonic() + RETRY
            return None
        log.warning("the %s is back", self.what)
        return cutter

    def _next(self) -> T | None:
        """Return what came next, None where nothing is there yet. Raises OSError where the device has gone."""
        item = self.arrivals.get()
        if item is None and time.monotonic() > self._arrived + self._patience:
            raise self._has_gone(f"nothing came for {self._patience:g} s")
        return item

    def _has_gone(self, how: str) -> OSError:
        return OSError(f"the {self.what}{' ' if self._device else ''}{self._device} has gone: {how}")
