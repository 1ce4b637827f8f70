"""Horizon: how many rows count. Everything in a learner that ages follows this one number."""

from __future__ import annotations

import math
from typing import ClassVar

from stream_infomax.state.kept import Kept

# The fewest rows that a drift leaves, for each dimension: a rotation cannot be learnt from fewer, however much lags.
LEAST = 64.0


class Horizon(Kept):
    """The rows that what is learnt stands on; they grow with the stream, and a change of it cuts them.

    From them follow the length of a step, the share of the newest C in its average, how the covariance forgets, and
    the rhythm of refreshing and publishing. A learner whose rows have been cut to n goes on as one that has seen n.

    Parameters
    ----------
    half_life
        Rows after which the weight of a row halves; None where only what the stream does shortens it.

    Attributes
    ----------
    rows
        Rows since the warm-up, or those that a change has left and the rows since.
    first
        Rows of the warm-up as long as they count.
    bound
        Rows that count at most as long as the stream drifts; infinite where it rests.
    together
        Learners that learn together: while one row comes to this one, as many come to all. It is not part of the state
        here.
    """

    kept: ClassVar[tuple[str, ...]] = ("rows", "first", "bound")

    def __init__(self, half_life: float | None = None) -> None:
        self.half_life = math.inf if half_life is None else half_life
        self.rows = 0.0
        self.first = 0.0
        self.bound = math.inf
        self.together = 1

    @property
    def limit(self) -> float:
        """The half-life of what is learnt, in rows; infinite where nothing is forgotten."""
        return min(self.half_life, self.bound)

    @property
    def length(self) -> float:
        """Rows that count."""
        return min(self.rows, self.limit)

    @property
    def in_all(self) -> float:
        """Rows that count, those of the warm-up included."""
        return min(self.rows + self.first, self.limit)

    def adapt(self, factor: float, n_rank: int) -> None:
        """Multiply the bound; one that was infinite is what counts now, and one beyond all rows is infinite again."""
        if factor < 1:
            self.bound = max(self.length * factor, LEAST * n_rank)
        elif factor > 1:
            self.bound *= factor
            if self.bound > self.rows:
                self.bound = math.inf

    @property
    def recent(self) -> int | None:
        """Rows that may be learnt from again; None for all."""
        return None if math.isinf(self.limit) else int(self.limit)

    def add(self, n: int) -> None:
        """Count n rows, and as many of each other learner."""
        self.rows += n * self.together

    def decay(self, n: int) -> float:
        """Return what a weight is multiplied by when n rows come."""
        return 1.0 if math.isinf(self.limit) else float(0.5 ** (n * self.together / self.limit))

    def cut(self, rows: float) -> None:
        """Let so many rows count at most from now on, and no warm-up; the bound ends."""
        self.rows = min(self.rows, rows)
        self.first = 0.0
        self.bound = math.inf
