"""Events: what happened to a learner that a person should hear of, the newest of it."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Literal, TypeAlias

import msgspec

from stream_infomax.state.kept import Kept

Happening: TypeAlias = Literal["change", "hold", "resume", "quarantine", "release", "undo"]

RECENT = 64


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a learner.

    Attributes
    ----------
    position
        Finite rows that it had seen.
    kind
        ``change`` of the stream; ``hold`` and ``resume`` of learning; ``quarantine`` of bad rows and their
        ``release``; ``undo`` of what was learnt.
    text
        One plain sentence with its numbers.
    """

    position: int
    kind: Happening
    text: str


class Events(Kept):
    """The newest events, and how many there were in all.

    Attributes
    ----------
    count
        Events so far.
    """

    kept: ClassVar[tuple[str, ...]] = ("count", "_recent")

    def __init__(self) -> None:
        self.count = 0
        self._recent: deque[dict[str, Any]] = deque(maxlen=RECENT)

    def add(self, position: int, kind: Happening, text: str) -> None:
        """Note an event; of more than 64 the oldest is forgotten."""
        self.count += 1
        self._recent.append({"position": position, "kind": kind, "text": text})

    def since(self, count: int) -> list[Event]:
        """Return the events after the first `count`, as far as they are still known."""
        n = min(self.count - count, len(self._recent))
        return [Event(**event) for event in list(self._recent)[len(self._recent) - n :]]
