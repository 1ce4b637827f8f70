"""Rounds: where a learner stands that learns one basis with others (docs/fleet.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from stream_infomax.state.kept import Kept

if TYPE_CHECKING:
    from stream_infomax.learning.infomax.estimator import OnlineInfomax
    from stream_infomax.learning.infomax.exchange import Delta, Shared


class Rounds(Kept):
    """Counts the rows of a round, and says when a learner has to hand in what it has learnt.

    All follows from the frames: so a learner that is set back to a checkpoint hands in the same bytes again.

    Parameters
    ----------
    learner
        Whose rounds these are.
    name
        Of this member, another one for each.
    rows
        Of a round; 0: until 5 % more rows have come in all.
    learners
        How many begin.
    begins
        Whether this is the one whose warm-up all others begin with.

    Attributes
    ----------
    timed
        Whether a clock may decide what is learnt from: then a later life may learn otherwise.
    fleet
        The id of the fleet; empty before the first round.
    number
        The round under way; -1 before the first.
    given
        Rows that have come in it.
    until
        Rows after which it is over.
    waiting
        What has to come before the next frame: what all begin with (``first``), or go on from (``next``).
    last
        Whether the stream is over.
    taken
        How often it took what all go on from.
    given_up
        Rows that it had learnt from and gave up when it did.
    """

    kept: ClassVar[tuple[str, ...]] = ("fleet", "number", "given", "until", "waiting", "last", "taken", "given_up")

    def __init__(self, learner: OnlineInfomax, name: str, rows: int, learners: int, begins: bool) -> None:
        self.learner, self.name, self.rows = learner, name, rows
        self.learners, self.begins = learners, begins
        self.timed = False
        self.fleet = ""
        self.number = -1
        self.given = self.until = 0
        self.waiting: Literal["", "first", "next"] = "" if begins else "first"
        self.last = False
        self.taken = self.given_up = 0

    @property
    def hands_in(self) -> bool:
        """Whether it has something to hand in; else it only asks for what others have."""
        return self.number >= 0 or self.begins

    @property
    def over(self) -> bool:
        """Whether the last round has ended, too."""
        return self.last and not self.waiting

    def counts(self) -> dict[str, int]:
        """Return the round under way, and what was given up."""
        return {"round": self.number, **({"rows given up": self.given_up} if self.given_up else {})}

    def count(self, n_rows: int) -> None:
        """Take note of the rows of a frame, which the learner has been given."""
        self.given += n_rows
        if self.number < 0:
            self.waiting = "first" if hasattr(self.learner, "components_") else ""
        elif self.given >= self.until:
            self.waiting = "next"

    def hand_in(self) -> Shared | Delta:
        """Return what to hand in; the same each time."""
        return self.learner.share(self.learners) if self.number < 0 else self.learner.delta(self.name)

    def take(self, shared: Shared) -> None:
        """Begin a round, or end the last one. Raises MergeError as `OnlineInfomax.take`; then nothing has happened."""
        self.learner.take(shared)
        self.number, self.given, self.waiting = shared.number, 0, ""
        self.until = self.rows or shared.rows_of_round()
        self.taken += 1

    def end(self) -> None:
        """Take note that the stream is over: what was learnt since the round began is still to be handed in.

        Raises
        ------
        ValueError
            Where the warm-up is not over that all others wait for.
        """
        if self.last:
            return
        if self.number < 0:
            raise ValueError(
                "its stream is over before its warm-up, with which all others begin; accepted are more rows, a smaller "
                "`warmup`, or fewer shards"
            )
        self.last, self.waiting = True, "next"
