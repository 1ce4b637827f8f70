"""Booking: what became of the rows that a learner took, in the account of its stage."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any

from stream_infomax.frames.ledger import NOT_FINITE, Account


class Booking:
    """Takes into an account what a learner counts: it sets aside and learns from blocks, of rows of all streams.

    Parameters
    ----------
    learner
        The OnlineInfomax that counts.
    """

    def __init__(self, learner: Any) -> None:
        self.learner = learner
        self._booked: Counter[str] = Counter()  # of what the learner counts, what the account has
        self._pending: deque[tuple[str, int]] = deque()  # rows that the learner has, by stream, oldest first

    def begin(self) -> None:
        """Go on from a learner that was restored: what it had counted by then is booked elsewhere."""
        self._booked, self._pending = self._counted(), deque()

    def book(self, account: Account, stream: str) -> None:
        """Take into an account what the learner has counted since, the newest rows being of a stream."""
        counted, booked = self._counted(), self._booked
        new = {what: n - booked[what] for what, n in counted.items() if n != booked[what]}
        booked.update(new)
        account.set_aside(stream, NOT_FINITE, new.pop(NOT_FINITE, 0))
        if taken := new.pop("taken", 0):
            self._pending.append((stream, taken))
        for what, n in new.items():
            for of, rows in self._take_pending(n):
                if what == "learnt":
                    account.process(of, rows)
                else:
                    account.set_aside(of, what, rows)

    def _take_pending(self, n: int) -> Iterator[tuple[str, int]]:
        """Yield the oldest `n` rows that the learner has, by stream; fewer where the first are of another run."""
        while n and self._pending:
            stream, rows = self._pending.popleft()
            if rows > n:
                self._pending.appendleft((stream, rows - n))
            yield stream, min(rows, n)
            n -= min(rows, n)

    def in_flight(self) -> Mapping[str, int]:
        """Return the rows of each stream in the block that is not full yet."""
        held: Counter[str] = Counter()
        for stream, rows in self._pending:
            held[stream] += rows
        return held

    def take_up(self, in_flight: Mapping[str, int]) -> None:
        """Learn of which streams the rows in the block are."""
        self._pending = deque(in_flight.items())

    def _counted(self) -> Counter[str]:
        """Return what the learner has counted of the rows that it took."""
        learner = self.learner
        if not hasattr(learner, "n_features_in_"):
            return Counter()
        return Counter({"taken": learner.n_rows_seen_, **learner.n_set_aside_, **learner.became()})
