"""Observer: who watches a loop and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_infomax.frames.basis import Basis
from stream_infomax.frames.contracts import Output
from stream_infomax.transport.messages import Status


class Observer:
    """Takes note of nothing; a subclass has what it needs.

    Attributes
    ----------
    sockets
        What becomes readable when `attend` has something to do.
    """

    sockets: Sequence[Any] = ()

    def input(self, arrived: Output) -> None:
        """Take in a frame that has come, before the stages have it."""

    def frame(self, output: Output) -> None:
        """Take in a frame that is done."""

    def basis(self, basis: Basis) -> None:
        """Take in with what the next frames will be encoded; called before they are."""

    def status(self, status: Status) -> None:
        """Take in how the loop is; called a few times a second."""

    def attend(self) -> None:
        """Answer whoever asks for something."""
