"""Told: when events happened that commands have caused, of which the run folder knows the time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stream_infomax.frames.event import Event


class Told(NamedTuple):
    """A command that a service was given.

    Attributes
    ----------
    action, stage
        What was asked, and of which stage; empty: of all that it concerns.
    offset
        The frame that it took effect at.
    time
        When it came, in seconds of the wall clock.
    """

    action: str
    stage: str
    offset: int
    time: float


def times(events: Sequence[Event], commands: Sequence[Told]) -> list[float]:
    """Return when events of a service happened; 0 for those that nobody has asked for.

    Events do not say which command they are of, but both are in order: they are matched from the newest back.
    """
    found = [0.0] * len(events)
    left: dict[tuple[str, str], list[Told]] = {}
    for number in reversed(range(len(events))):
        event = events[number]
        action = _action(event)
        if not action:
            continue
        if action == "mark":
            own = [one for one in commands if one.action == action and one.offset == event.position]
            found[number] = own[-1].time if own else 0.0
            continue
        if (key := (action, event.stage)) not in left:
            left[key] = [one for one in commands if one.action == action and one.stage in ("", event.stage)]
        if left[key]:
            found[number] = left[key].pop().time
    return found


def _action(event: Event) -> str:
    """Return which action an event is of; empty where the stage itself has done it."""
    if event.kind == "refused":
        return event.text.partition(",")[0]
    if event.kind == "hold" and "a person asked" not in event.text:
        return ""
    if event.kind == "resume" and not event.text.startswith("learning goes on with"):
        return ""
    return event.kind if event.kind in ("pause", "resume", "hold", "undo", "mark") else ""
