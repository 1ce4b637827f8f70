"""JournaledFeed: a live source whose frames are written down before they are published, and can be had again."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Arrival, Counts, Live, Noting, State
from stream_infomax.frames.frame import Frame
from stream_infomax.journal.journal import RETRY, Journal
from stream_infomax.journal.reading import Entry
from stream_infomax.service.feeds import LiveFeed
from stream_infomax.service.late_labels import LateLabels


class JournaledFeed(LiveFeed):
    """A live source as a feed that can be set back to any frame in its journal.

    Parameters
    ----------
    source, log_id, labels
        As for `LiveFeed`.
    journal
        Where its frames are written.
    rewinds
        Whether it may be set back to what a reader asks for.
    over
        Whether the stream had ended in the life before.
    """

    def __init__(
        self,
        source: Live,
        log_id: str,
        journal: Journal,
        labels: LateLabels | None = None,
        *,
        rewinds: bool = True,
        over: bool = False,
    ) -> None:
        super().__init__(source, log_id, labels)
        self.journal = journal
        self._noting = source if isinstance(source, Noting) else None
        self.after_restart = self._after_restart
        self._rewinds = rewinds
        self._over = over
        self._fresh = 0  # the offset of the next new frame
        self._reader: Iterator[Entry] | None = None
        self._held: tuple[Frame, list[bytes], bytes] | None = None  # what a full disk did not take
        self._again = 0.0
        self._told: Counter[str] | None = None  # what was lost until the newest frame in the journal

    @property
    def finished(self) -> bool:
        """Whether all frames have come, those of the journal too."""
        return (self._over or self.source.finished) and self.next >= self._fresh and self._held is None

    def open(self) -> None:
        """Bring source and labels to where the journal ends, then take the device; not where the stream has ended."""
        for entry in self.journal.entries(self.next):
            if entry.note:
                lost, note = msgspec.msgpack.decode(entry.note, type=tuple[dict[str, int], bytes])
                self.lost.update(lost)
                if self._noting is not None:
                    self._noting.recall(entry.frame, note)
            if self.labels:
                self.labels.again(entry.frame)
        self.pass_over(self.journal.following)
        if not self._over:
            super().open()

    def receive(self) -> Arrival | None:
        """Return the next frame: from the journal where it is there, else a new one, which is written first."""
        if self.next < self._fresh:
            return self._written()
        if self._over:
            return None
        if self._told is None:
            self._told = Counter(self.lost)
        if self._held is None:
            frame = self._receive()
            if frame is None:
                return None
            frame = msgspec.structs.replace(frame, offset=self.next)
            note = self._note(frame)
            frame = self.labels.note(frame) if self.labels else frame
            frame = self.marked(frame) if self.marked else frame
            self._held = frame, wire.encode(frame), note
        elif time.monotonic() < self._again:
            return None
        frame, parts, note = self._held
        if not self.journal.append(frame, parts, note) and self.journal.settings.on_full == "stop":
            self._again = time.monotonic() + RETRY
            return None
        self._held = None
        self._fresh = self.next + 1
        return self._arrived(frame)

    def rewinds(self, offset: int) -> bool:
        """Return whether it may be set back, and the frame is in the journal."""
        return self._rewinds and self.journal.has(offset)

    def state(self) -> State:
        """Return the state of the source and that of the labels; what was lost until now is in the same checkpoint."""
        self._told = Counter(self.lost)
        return super().state()

    def seek(self, offset: int) -> None:
        """Go on with the first frame from `offset` on that there is."""
        self.next = offset
        self._reader = None

    def pass_over(self, offset: int) -> None:
        """Give no new frame an offset below this one."""
        self._fresh = max(self._fresh, offset, self.next)

    def attend(self, ready: Collection[Any]) -> None:
        """Flush what is due."""
        self.journal.attend()

    def due(self) -> float:
        """Return the seconds until the source is to be asked again, or something is to be flushed."""
        if self._held is not None:  # the source waits
            return min(max(0.0, self._again - time.monotonic()), self.journal.due())
        return min(math.inf if self._over else self.source.due(), self.journal.due())

    def commit(self, offset: int) -> None:
        """Say that everything up to `offset` is on disk; what nobody needs may leave the journal."""
        self.journal.commit(min(offset, self.committed()) if self.committed else offset)

    def counts(self) -> dict[str, Counts]:
        """Return what the source, the labels and the journal count."""
        return {name: {**counts, **self.journal.counts()} for name, counts in super().counts().items()}

    def close(self) -> None:
        """Let go of device and journal."""
        super().close()
        self.journal.close()

    def _written(self) -> Arrival | None:
        """Return the next frame of the journal; None where none is left, and new ones follow."""
        if self._reader is None:
            self._reader = self.journal.entries(self.next)
        entry = next(self._reader, None)
        if entry is None or entry.frame.offset >= self._fresh:
            self._reader = None
            self.next = self._fresh
            return None
        self.next = entry.frame.offset
        arrival = self._arrived(entry.frame)
        return arrival._replace(origin=entry.nanoseconds / 1e9)

    def _note(self, frame: Frame) -> bytes:
        """Return what is to be remembered with a frame: what was lost before it, and what its source says."""
        lost: dict[str, int] = {}
        if self.lost != self._told:
            lost, self._told = dict(self.lost - (self._told or Counter())), Counter(self.lost)
        own = self._noting.note() if self._noting is not None and frame.arrays else b""
        return msgspec.msgpack.encode((lost, own)) if lost or self._noting is not None else b""

    def _after_restart(self, wanted: Iterable[int]) -> int:
        """Return where to go on: what is in the journal is read again, an offset never names two frames."""
        offsets = list(wanted)
        self.pass_over(max(offsets))
        return min(offsets)
