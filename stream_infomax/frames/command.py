"""Command: what a person wants of a stage, and from which frame on. Steered: a stage that does what it is told."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from stream_infomax.frames.basis import Basis

# Of the stages; a service itself takes `mark` and `save`, too.
Action: TypeAlias = Literal["pause", "resume", "hold", "undo", "mark"]
# Characters of an id, and of a value.
MAX_ID, MAX_VALUE = 64, 256


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done right before a frame is processed.

    Attributes
    ----------
    id
        Chosen by who gave it: the same id is the same command.
    action
        ``pause`` learning and ``resume`` it, in every stage that learns; ``hold`` what was learnt; ``undo`` what came
        after a version of the basis; ``mark`` the frame.
    stage
        The one that is meant; empty for every one that it concerns.
    value
        Of ``undo`` the version, of ``mark`` the text.
    offset
        The frame before which it takes effect; where that never comes, the next one.
    """

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
    action: Action
    stage: Annotated[str, msgspec.Meta(max_length=MAX_VALUE)] = ""
    value: Annotated[str, msgspec.Meta(max_length=MAX_VALUE)] = ""
    offset: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0


@runtime_checkable
class Steered(Protocol):
    """A stage that takes commands.

    Attributes
    ----------
    name
        The stage's name.
    actions
        What it can be told.
    """

    name: str
    actions: ClassVar[frozenset[Action]]

    def command(self, command: Command, basis: Basis | None) -> None:
        """Do it now, before the next frame, and add an event that says so.

        Same state, same command: the same bits. It never raises: what cannot be done is an event that says why.

        Parameters
        ----------
        command
            Its action is one of `actions`.
        basis
            What ``undo`` goes back to; None for all other actions, and where it is not there any more.
        """
        ...
