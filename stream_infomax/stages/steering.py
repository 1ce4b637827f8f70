"""Steering: whether a stage's learning is paused, and the events that say what it was told."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from msgspec import convert
from msgspec.structs import asdict

from stream_infomax.frames.command import Action, Command
from stream_infomax.frames.event import GRAVE, Event, Happening, event_line
from stream_infomax.state.kept import Kept, within

# Why rows are set aside while learning is paused.
PAUSED = "paused"
# What a stage that learns can be told, and what a learner can.
ACTIONS: frozenset[Action] = frozenset({"pause", "resume"})
LEARNERS_ACTIONS: frozenset[Action] = ACTIONS | {"hold", "undo"}
# Events that are kept, as many as a learner keeps.
RECENT = 64

log = logging.getLogger(__name__)


class Steering(Kept):
    """Pauses and resumes the learning of a stage, and keeps the events until a frame takes them along.

    Parameters
    ----------
    stage
        Name of the stage.

    Attributes
    ----------
    paused
        Whether nothing is learnt.
    rows
        Rows that have come, for a stage that counts them here: where its events were.
    """

    kept: ClassVar[tuple[str, ...]] = ("paused", "rows")

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.paused = False
        self.rows = 0
        self._recent: deque[Event] = deque(maxlen=RECENT)
        self._untold: deque[Event] = deque(maxlen=RECENT)  # of which no frame has told yet

    def command(self, command: Command, learns: bool) -> None:
        """Pause or resume a stage whose rows are counted here; `learns`: False for one that only encodes."""
        if command.action == "pause":
            self.pause(self.rows, learns)
        elif not self.resume(self.rows):
            self.refuse("resume", self.rows, "it is not paused")

    def pause(self, position: int, learns: bool) -> bool:
        """Learn nothing from now on; return whether that is new. `learns`: False for a stage that only encodes."""
        if self.paused or not learns:
            self.refuse("pause", position, "it is paused already" if learns else "it only encodes")
            return False
        self.paused = True
        self.say("pause", position, "frames are encoded, nothing is learnt until it is resumed")
        return True

    def resume(self, position: int) -> bool:
        """Learn again; return whether it was paused, and say nothing where it was not."""
        if not self.paused:
            return False
        self.paused = False
        self.say("resume", position, "learning goes on with the next frame")
        return True

    def refuse(self, action: Action, position: int, why: str) -> None:
        """Say that something that was asked for is not done."""
        self.say("refused", position, f"{action}, because {why}")

    def say(self, kind: Happening, position: int, text: str) -> None:
        """Add an event, for a frame to take along."""
        event = Event(stage=self.stage, position=position, kind=kind, text=text)
        self._recent.append(event)
        self._untold.append(event)

    def tell(self) -> list[Event]:
        """Return the events that no frame has told of yet; from now on one has."""
        untold = list(self._untold)
        self._untold.clear()
        return untold

    def counts(self) -> dict[str, float]:
        """Return ``paused``: 1 while it is."""
        return {"paused": 1} if self.paused else {}

    def events(self) -> list[Event]:
        """Return the newest 64 events, oldest first."""
        return list(self._recent)

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs."""
        events = {"recent": self._recent, "untold": self._untold}
        return super().state() | {name: [asdict(event) for event in some] for name, some in events.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        super().restore(state)
        for name, events in (("recent", self._recent), ("untold", self._untold)):
            with within(name):
                taken = convert(state[name], list[Event])
            events.clear()
            events.extend(taken)


def logged(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return events as a frame takes them along; the log has a line of each."""
    told = tuple(events)
    for event in told:
        log.log(logging.WARNING if event.kind in GRAVE else logging.INFO, event_line(event))
    return told


def renamed(event: Any, stage: str, before: str = "") -> Event:
    """Return an event of a learner as one of its stage, with words before its text."""
    return Event(stage=stage, **{**asdict(event), "text": before + event.text})
