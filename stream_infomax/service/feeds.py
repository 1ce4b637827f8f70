"""What a service's loop takes its frames from: an `Inlet`, or a source in the inlet's place."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, Protocol, TypeAlias

import zmq

from stream_infomax.frames.contracts import Counts, Seekable, State
from stream_infomax.frames.frame import Frame
from stream_infomax.transport.inlet import Arrival

Pace: TypeAlias = Literal["fast", "live"]


class Feed(Protocol):
    """Frames in the order of their offsets, without waiting for them."""

    # The offset that is expected next, and the frames that will never come, by reason.
    next: int
    lost: Counter[str]
    # Whether upstream waits for a commit.
    full: bool
    log_id: str
    sockets: tuple[zmq.Socket[Any], ...]

    @property
    def finished(self) -> bool:
        """Whether all frames have come."""
        ...

    @property
    def settled(self) -> bool:
        """Whether upstream knows the last commit."""
        ...

    def receive(self) -> Arrival | None:
        """Return the next frame, None where none is there yet."""
        ...

    def attend(self) -> None:
        """Do what is due while nothing comes."""
        ...

    def due(self) -> float:
        """Return the seconds until something is due."""
        ...

    def commit(self, offset: int) -> None:
        """Say that everything up to `offset` is on disk here."""
        ...

    def state(self) -> State:
        """Return the state of a source at its beginning."""
        ...

    def counts(self) -> dict[str, Counts]:
        """Return what a source at its beginning counts, under the source's name."""
        ...

    @property
    def expected(self) -> int:
        """How many frames there will be in all, 0 where that is not known here."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class SourceFeed:
    """A source as a feed: nothing is committed, and it can be set back.

    Parameters
    ----------
    source
        What gives the frames.
    log_id
        The run's id.
    pace
        ``fast``: as they are asked for; ``live``: not before their time, counted from the first frame.
    """

    def __init__(self, source: Seekable, log_id: str, pace: Pace = "fast") -> None:
        if pace not in ("fast", "live"):
            raise ValueError(f"pace {pace!r}; accepted are 'fast' and 'live'")
        self.source = source
        self.log_id = log_id
        self.pace = pace
        self.next = 0
        self.lost: Counter[str] = Counter()
        self.full = False
        self.finished = False
        self.settled = True
        self.sockets: tuple[zmq.Socket[Any], ...] = ()
        self._frames: Iterator[Frame] | None = None
        self._waiting: Frame | None = None
        # The clock's reading at which frame.time would be 0.
        self._zero = 0.0

    def seek(self, offset: int) -> None:
        """Go on with the frame `offset`."""
        self.next = offset
        self.finished = False
        self._frames = None
        self._waiting = None

    def receive(self) -> Arrival | None:
        """Return the next frame, None where its time has not come or there is none any more.

        Raises
        ------
        ValueError
            Where the source gives no frame at all, or one under another offset.
        """
        frame = self._waiting or self._read()
        if frame is None:
            return None
        if self.pace == "live" and self._zero + frame.time > time.monotonic():
            self._waiting = frame
            return None
        self._waiting = None
        self.next += 1
        return Arrival(frame, 0.0, time.time())

    def attend(self) -> None:
        """Nothing is due but the next frame."""

    def due(self) -> float:
        """Return the seconds until the next frame's time."""
        if self._waiting is None:
            return float("inf")
        return max(0.0, self._zero + self._waiting.time - time.monotonic())

    def commit(self, offset: int) -> None:
        """Nothing is upstream of a source."""

    def state(self) -> State:
        """Return the state of the source."""
        return self.source.state()

    def counts(self) -> dict[str, Counts]:
        """Return what the source counts."""
        return {self.source.name: self.source.counts()}

    @property
    def expected(self) -> int:
        """How many frames there will be in all."""
        return len(self.source)

    def close(self) -> None:
        """Let the frames go."""
        self._frames = None

    def _read(self) -> Frame | None:
        first = self._frames is None
        if self._frames is None:
            self._frames = iter(self.source.frames(self.next))
        frame = next(self._frames, None)
        if frame is None:
            if self.next == 0:
                raise ValueError(f"source {self.source.name!r} gives no frame at all")
            self.finished = True
        elif frame.offset != self.next:
            raise ValueError(f"source {self.source.name!r} gave offset {frame.offset}, expected was {self.next}")
        elif first:
            self._zero = time.monotonic() - frame.time
        return frame
