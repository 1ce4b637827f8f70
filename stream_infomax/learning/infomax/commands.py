"""Commands: how a person steers a learner."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from stream_infomax.learning.infomax.encoder import Encoder
from stream_infomax.learning.infomax.fitted import Fitted
from stream_infomax.learning.threads import one_thread


class Commands(Fitted):
    """What a person can do to OnlineInfomax while it learns. Each is an event, and is part of the state."""

    @property
    def held_(self) -> bool:
        """Whether learning waits for `resume`."""
        return self._learner is not None and self._learner.held

    @property
    def examining_(self) -> bool:
        """Whether learning waits until ten times as many rows as features say what has changed."""
        return self._learner is not None and self._learner.examining

    def hold(self) -> Self:
        """Learn nothing until `resume`: rows are looked at for faults and counted, no more.

        Raises
        ------
        NotWarmError
            While the warm-up lasts: nothing is learnt yet that could be held.
        """
        self._published()
        self._begun_learner().hold()
        return self

    def resume(self) -> Self:
        """End a hold (`hold`, or `adapt="hold"` after a change): learning goes on with the next row.

        After a change it is found out first what has changed, from ten times as many rows as there are features.
        """
        if self._learner is not None:
            self._learner.resume()
        return self

    def undo(self, earlier: Any) -> Self:
        """Go back to a basis that was published before, and learn on from there.

        One of the learner's archive is back as it was, under its version. The filters of another one are carried into
        today's whitening; the newest of `events_` says how alike its outputs are to what they were. No row that came
        before is learnt from again, and changes of the stream are judged from the rows that follow. Unless `adapt` is
        `fixed`, it is found out first whether their level, gains or covariance are others than the basis knows.

        Parameters
        ----------
        earlier
            Encoder, or a basis from a tap.

        Raises
        ------
        NotWarmError
            While the warm-up lasts.
        ValueError
            Where it has other numbers of features, components or dimensions, or not finite ones.
        """
        published = self._published()
        encoder = Encoder.of(earlier)
        here = (*published.filters.shape, self.n_rank_)
        there = (*encoder.components.shape, encoder.n_rank)
        if here != there:
            sizes = "components, features and dimensions"
            raise ValueError(f"earlier: it has {there} {sizes}; this learner has {here}")
        if not all(np.isfinite(getattr(encoder, name)).all() for name in Encoder.ARRAYS):
            raise ValueError("earlier: it has numbers that are not finite; accepted are finite ones")
        with one_thread():
            self._begun_learner().undo(encoder)
        return self
