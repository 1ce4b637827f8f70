"""Archive: the last good basis of each of the newest worlds that a stream has been in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stream_infomax.learning.infomax.basis import Basis
from stream_infomax.learning.infomax.published import Published
from stream_infomax.state.kept import Kept

PLACES = 8


@dataclass(frozen=True)
class Entry(Kept):
    """A basis that was good while the stream was calm.

    Attributes
    ----------
    published
        The basis.
    rest
        Mean variance of what it leaves out.
    rows
        Rows that it stands on.
    """

    kept: ClassVar[tuple[str, ...]] = ("published", "rest", "rows")

    published: Published
    rest: float
    rows: float

    @property
    def basis(self) -> Basis:
        """It as a model of rows."""
        return Basis.of(self.published, self.rest)


class Archive(Kept):
    """Good bases, oldest first, at most eight; that of the present world is the last, as far as there is one.

    What is offered waits until the next is: the newest basis may have learnt from a change that is not yet known.
    """

    kept: ClassVar[tuple[str, ...]] = ("present",)

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.present = False
        self._waiting: Entry | None = None

    @property
    def earlier(self) -> list[Entry]:
        """The entries of other worlds than the present one."""
        return self.entries[: len(self.entries) - self.present]

    def offer(self, entry: Entry) -> None:
        """Take the basis that was offered before in place of an older one of the same world, and let this one wait."""
        if self._waiting is not None:
            self.entries = [*self.earlier, self._waiting][-PLACES:]
            self.present = True
        self._waiting = entry

    def doubt(self) -> None:
        """Take nothing that waits: the stream may have changed."""
        self._waiting = None

    def leave(self) -> None:
        """The stream has changed: what is offered from now on belongs to another world."""
        self.present, self._waiting = False, None

    def return_to(self, which: int) -> Entry:
        """Make the world of an entry the present one again, and return the entry."""
        entry = self.entries.pop(which)
        self.entries.append(entry)
        self.present, self._waiting = True, None
        return entry

    def recall(self, version: str, output: str) -> Entry | None:
        """Return the entry of a version for an output, whose world is the present one again; None where none is."""
        for number, entry in enumerate(self.entries):
            if entry.published.version(output) == version:
                return self.return_to(number)
        if self._waiting is not None and self._waiting.published.version(output) == version:
            return self._waiting
        return None

    def state(self) -> dict[str, Any]:
        """Return the entries by their number, and the one that waits."""
        entries = {str(i): entry.state() for i, entry in enumerate(self.entries)}
        waiting = {} if self._waiting is None else {"waiting": self._waiting.state()}
        return super().state() | {"entries": entries} | waiting

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        super().restore(state)
        kept = state["entries"]
        self.entries = [_entry(kept[str(i)]) for i in range(len(kept))]
        self._waiting = _entry(state["waiting"]) if "waiting" in state else None


def _entry(state: Mapping[str, Any]) -> Entry:
    return Entry(Published.restored(state["published"]), float(state["rest"]), float(state["rows"]))
