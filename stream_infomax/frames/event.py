"""Event: something that happened to a stage and that a person should hear of."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

Happening: TypeAlias = Literal[
    "change", "hold", "resume", "quarantine", "release", "undo", "thin", "pause", "mark", "refused"
]

# What a person may have to do something about.
GRAVE: frozenset[Happening] = frozenset({"change", "hold", "quarantine", "undo", "thin"})


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happened, and where in the stream.

    Attributes
    ----------
    stage
        The stage's name.
    position
        Rows that the stage had seen; of a mark, the offset of the frame.
    kind
        ``change`` of the stream; ``hold`` and ``resume`` of learning; ``quarantine`` of bad rows and their
        ``release``; ``undo`` of what was learnt; ``thin`` where fewer frames are learnt from; ``pause`` by a command;
        ``mark`` that somebody set; a command that was ``refused``, because it cannot be done.
    text
        One plain sentence with its numbers.
    """

    stage: str
    position: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    kind: Happening
    text: str


def event_line(event: Event) -> str:
    """Return an event in one line, for logs and terminals.

    Examples
    --------
    >>> event_line(Event(stage="learner", position=12800, kind="change", text="the variance doubled"))
    'learner, row 12,800, change: the variance doubled'
    """
    unit = "frame" if event.kind == "mark" else "row"
    return f"{event.stage}, {unit} {event.position:,}, {event.kind}: {event.text}"
