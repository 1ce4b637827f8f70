"""What a loop takes its frames from: an `Inlet`, or a source in the inlet's place."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from stream_infomax.frames.contracts import Arrival, Counts, Live, Recorded, Refusing, Seekable, State
from stream_infomax.frames.frame import Frame
from stream_infomax.service.late_labels import LateLabels

# Frames after which a busy source looks whether labels have come: to ask a socket takes longer than a frame.
LOOK = 16

Pace: TypeAlias = Literal["fast", "live"]
S = TypeVar("S", bound=Seekable | Live)


class Feed(Protocol):
    """Frames in the order of their offsets, without waiting for them.

    Attributes
    ----------
    next
        The offset that is expected next.
    lost
        Frames that will never come, by reason.
    full
        Whether upstream waits for a commit.
    log_id
        The id of the log; empty while an inlet has not learnt it.
    expected
        How many frames there will be in all; 0 where that is not known here.
    after_restart
        Which of the offsets that the readers ask for a restarted feed goes on with, where it asks them; None where it
        goes on with the one after the checkpoint.
    """

    next: int
    lost: Counter[str]
    full: bool
    log_id: str
    expected: int
    after_restart: Callable[[Iterable[int]], int] | None

    @property
    def sockets(self) -> Sequence[Any]:
        """What becomes readable when there may be a frame."""
        ...

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

    def attend(self, ready: Collection[Any]) -> None:
        """Do what is due, after a wait of which these sockets came back as ready."""
        ...

    def due(self) -> float:
        """Return the seconds until something is due."""
        ...

    def rewinds(self, offset: int) -> bool:
        """Return whether it can be set back to an offset."""
        ...

    def seek(self, offset: int) -> None:
        """Go on with the frame `offset`."""
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

    def refusals(self) -> Mapping[str, int]:
        """Return what was refused to strangers, by reason."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class _SourceFeed(Generic[S]):
    """What seekable and live sources share as feeds: nothing is upstream of them."""

    def __init__(self, source: S, log_id: str) -> None:
        self.source = source
        self.log_id = log_id
        self.next = 0
        self.lost: Counter[str] = Counter()
        self.full = False
        self.settled = True

    def open(self) -> None:
        """Nothing is to be taken."""

    def attend(self, ready: Collection[Any]) -> None:
        """Nothing is due but the next frame."""

    def commit(self, offset: int) -> None:
        """Nobody is to be told."""

    def restore(self, state: State) -> None:
        """Take over what `state` returned; before the first frame."""
        self.source.restore(state)

    def state(self) -> State:
        """Return the state of the source."""
        return self.source.state()

    def counts(self) -> dict[str, Counts]:
        """Return what the source counts."""
        return {self.source.name: self.source.counts()}

    def refusals(self) -> Mapping[str, int]:
        """Return what the source refused to strangers."""
        return self.source.refusals() if isinstance(self.source, Refusing) else {}

    def _arrived(self, frame: Frame) -> Arrival:
        """Return the frame as it leaves here, now."""
        self.next += 1
        now = time.time()
        return Arrival(frame, now, now)


class SeekableFeed(_SourceFeed[Seekable]):
    """A seekable source as a feed.

    Parameters
    ----------
    source
        What gives the frames.
    log_id
        The run's id.
    pace
        ``fast``: as they are asked for; ``live``: not before their time, counted from the first frame.
    speed
        How many times as fast as they were recorded ``live`` frames come.
    rewinds
        Whether it may be set back to what a reader asks for.
    """

    def __init__(
        self, source: Seekable, log_id: str, pace: Pace = "fast", speed: float = 1.0, *, rewinds: bool = True
    ) -> None:
        if pace not in ("fast", "live"):
            raise ValueError(f"pace {pace!r}; accepted are 'fast' and 'live'")
        super().__init__(source, log_id)
        lost = getattr(source, "lost", None)
        self.lost = lost if isinstance(lost, Counter) else self.lost
        self._furthest = 0  # the offset after the last one that was read, also in lives before
        self.pace = pace
        self.speed = speed
        self._rewinds = rewinds
        # What no reader asks for is not read again.
        self.after_restart: Callable[[Iterable[int]], int] | None = min if rewinds else None
        self.expected = len(source)
        self.finished = False
        self.sockets: Sequence[Any] = ()
        self._frames: Iterator[tuple[float, Frame]] | None = None
        self._waiting: Frame | None = None
        # When it is to come, and the clock's reading at which the time of a frame would be 0.
        self._when = self._zero = 0.0

    def rewinds(self, offset: int) -> bool:
        """Return whether it may be set back; any frame can be read again."""
        return self._rewinds

    def seek(self, offset: int) -> None:
        """Go on with the frame `offset`."""
        self.next = offset
        self._furthest = max(self._furthest, offset)
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
        if self.pace == "live" and self._when > time.monotonic():
            self._waiting = frame
            return None
        self._waiting = None
        return self._arrived(frame)

    def due(self) -> float:
        """Return the seconds until the next frame's time."""
        if self._waiting is None:
            return float("inf")
        return max(0.0, self._when - time.monotonic())

    def close(self) -> None:
        """Let the frames go."""
        self._frames = None

    def _read(self) -> Frame | None:
        first = self._frames is None
        if self._frames is None:
            self._frames = _timed(self.source, self.next)
        lost = dict(self.lost) if self.next < self._furthest else None
        at, frame = next(self._frames, (0.0, None))
        if lost is not None and lost != self.lost:  # what is read again is not lost again
            self.lost.clear()
            self.lost.update(lost)
        self._furthest = max(self._furthest, self.next + 1)
        if frame is None:
            if self.next == 0:
                raise ValueError(f"source {self.source.name!r} gives no frame at all")
            self.finished = True
        elif frame.offset != self.next:
            raise ValueError(f"source {self.source.name!r} gave offset {frame.offset}, expected was {self.next}")
        elif first:
            self._zero = time.monotonic() - at / self.speed
        self._when = self._zero + at / self.speed
        return frame


def _timed(source: Seekable, start: int) -> Iterator[tuple[float, Frame]]:
    """Return the frames of a source from `start` on, each with the time by which it is paced."""
    if isinstance(source, Recorded):
        return source.arrivals(start)
    return ((frame.time, frame) for frame in source.frames(start))


class LiveFeed(_SourceFeed[Live]):
    """A live source as a feed: its frames get their offsets here, when they arrive.

    Parameters
    ----------
    source
        What gives the frames; `open` opens it.
    log_id
        The run's id.
    labels
        Labels from outside; None: there are none.

    Attributes
    ----------
    marked
        Returns a frame with the marks that people have set, before it is written down.
    committed
        Returns the last offset that no reader will ask for again, where there are readers.
    """

    expected = 0

    def __init__(self, source: Live, log_id: str, labels: LateLabels | None = None) -> None:
        super().__init__(source, log_id)
        self.lost = source.lost
        self.labels = labels
        self.committed: Callable[[], int] | None = None
        self.marked: Callable[[Frame], Frame] | None = None
        # What a reader has read since the checkpoint is gone here; an offset never names two frames.
        self.after_restart: Callable[[Iterable[int]], int] | None = max

    @property
    def sockets(self) -> Sequence[Any]:
        """What becomes readable when there may be a frame or a label."""
        return [*self.source.sockets, *([self.labels.socket] if self.labels else [])]

    @property
    def finished(self) -> bool:
        """Whether no frame will come any more."""
        return self.source.finished

    def receive(self) -> Arrival | None:
        """Return the next frame under its offset, None where none is there yet."""
        frame = self._receive()
        if frame is None:
            return None
        frame = msgspec.structs.replace(frame, offset=self.next)
        return self._arrived(self.labels.note(frame) if self.labels else frame)

    def _receive(self) -> Frame | None:
        """Return the next frame of the source, or the next label of a segment that is over."""
        if self.labels is None:
            return self.source.receive()
        while True:
            if (self.labels.ready or self.next % LOOK == 0) and (label := self.labels.receive()) is not None:
                return label
            frame = self.source.receive()
            if frame is None:
                return self.labels.receive()
            if frame.arrays or not frame.labels:
                return frame
            self.labels.place(frame)  # what a device says of a segment, which may be open

    def state(self) -> State:
        """Return the state of the source and that of the labels."""
        state = {"source": self.source.state()}
        return state | ({"labels": self.labels.state()} if self.labels else {})

    def restore(self, state: State) -> None:
        """Take over what `state` returned."""
        self.source.restore(state["source"])
        if self.labels and "labels" in state:
            self.labels.restore(state["labels"])

    def open(self) -> None:
        """Take the device."""
        if self.labels:
            self.labels.interrupt()
        self.source.open()

    def counts(self) -> dict[str, Counts]:
        """Return what the source and the labels count."""
        own = self.labels.counts() if self.labels else {}
        return {self.source.name: {**self.source.counts(), **own}}

    def refusals(self) -> Mapping[str, int]:
        """Return what the source and the labels refused to strangers."""
        return {**super().refusals(), **(self.labels.refusals() if self.labels else {})}

    def due(self) -> float:
        """Return the seconds until the source is to be asked again."""
        return self.source.due()

    def rewinds(self, offset: int) -> bool:
        """Return that it cannot be set back: what a live source gave is gone."""
        return False

    def seek(self, offset: int) -> None:
        """Give the next frame this offset."""
        self.next = offset

    def pass_over(self, offset: int) -> None:
        """Give no new frame an offset below this one: somebody has frames under those."""
        self.next = max(self.next, offset)

    def close(self) -> None:
        """Let go of the device."""
        if self.labels:
            self.labels.close()
        self.source.close()


def feed_of(
    source: Seekable | Live,
    log_id: str,
    pace: Pace = "fast",
    speed: float = 1.0,
    *,
    rewinds: bool = True,
    labels: Callable[[], LateLabels] | None = None,
) -> SeekableFeed | LiveFeed:
    """Return the feed of a source of either kind; `labels` opens the way in for those of a live one.

    Raises
    ------
    ValueError
        Where it is neither; names what it lacks.
    """
    if isinstance(source, Live):
        return LiveFeed(source, log_id, labels() if labels else None)
    if isinstance(source, Seekable):
        return SeekableFeed(source, log_id, pace, speed, rewinds=rewinds)
    raise ValueError(
        f"{type(source).__name__} is no source: it needs `frames` (seekable) or `receive` (live), "
        f"and what frames/contracts.py lists with it"
    )
