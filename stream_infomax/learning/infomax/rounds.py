"""Rounds: how a learner learns together with others, from what they have in common to what it adds to that."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.adapting import REFRESH_BLOCKS, REFRESH_GROWTH
from stream_infomax.learning.infomax.exchange import Delta, Shared
from stream_infomax.learning.infomax.making import make_rule
from stream_infomax.learning.infomax.merging import renewed
from stream_infomax.learning.infomax.moments import Moments
from stream_infomax.learning.infomax.published import Published
from stream_infomax.learning.infomax.rules import Rule
from stream_infomax.learning.infomax.steering import Steering
from stream_infomax.learning.infomax.triangle import packed
from stream_infomax.learning.infomax.warm_up import Unit
from stream_infomax.learning.infomax.watch import Watch
from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

NEVER = 1 << 62


class Round(Kept):
    """What a learner keeps of a round.

    Attributes
    ----------
    base, number
        Digest and number of what it began with.
    learners
        How many there are.
    learnt
        Rows that were learnt from since.
    moments
        Those of these rows.
    before
        What counts and blocks of tuning were when it began.
    """

    kept: ClassVar[tuple[str, ...]] = ("base", "number", "learners", "learnt", "moments", "before")

    def __init__(self, point: Floats, base: str = "", number: int = 0, learners: int = 1) -> None:
        self.base, self.number, self.learners = base, number, learners
        self.learnt = 0
        self.moments = Moments(point)
        self.before: dict[str, int] = {}


class Rounds(Steering):
    """The part of BlockLearner that learns with others: see there for what it has."""

    _round: Round | None

    def _make_room(self) -> None:
        raise NotImplementedError

    def _watching(self, rule: Rule) -> Watch:
        raise NotImplementedError

    def share(self, learners: int, names: list[str]) -> Shared:
        """Return what so many learners can start from; the warm-up has to be over."""
        whitener, rule = self._whitener, self._rule
        assert whitener is not None
        assert rule is not None
        copy = StreamingWhitener(whitener.reference, whitener.scale, self.horizon)
        copy.restore(whitener.state())
        return Shared(
            number=0,
            learners=learners,
            agreement=1.0,
            rows=self.horizon.rows,
            first=self.horizon.first,
            counts={"learnt": int(self.horizon.rows + self.horizon.first), **self._counts(rule)},
            half_life=self.sizes.half_life,
            names=names,
            origin=self._origin.copy(),
            scale=whitener.scale.copy(),
            usual=self.quarantine.usual.copy(),
            way=np.zeros((rule.n_rank, rule.n_components), np.float32),
            **renewed(copy, rule.state(), whitener.dewhiten),
        )

    def begin_round(self, shared: Shared) -> None:
        """Go on from what all have in common; what this learner has learnt alone is given up.

        Rows of its memory stay where they are counted alike. Raises KeyError, ValueError as `Kept`; then nothing has
        happened.
        """
        whitener = StreamingWhitener(shared.origin, shared.scale, self.horizon)
        whitener.expand(shared.whitening)
        rule = make_rule(whitener, len(shared.rule["tuning"]["beta"]), None, self.horizon)
        rule.restore(shared.rule)
        if self._rule is None or self._whitener is None:
            self.quarantine.usual[:] = shared.usual
            self._make_room()
            self._stream = self._watching(rule)
        else:
            rule.reach.n_shortened = self._rule.reach.n_shortened
        before, self._whitener, self._rule = self._unit(), whitener, rule
        self._settle_in(before, shared)
        self._publish(Published.of(whitener, rule, np.array(shared.rotation, np.float32)))
        self._round = Round(whitener.reference, shared.digest, shared.number, shared.learners)
        self._round.before = self._counts(rule) | {"tuned": rule.tuning.n}
        self._enter(self._round)

    def _settle_in(self, before: Unit, shared: Shared) -> None:
        """Count rows as what is shared does; those of the block under way were counted in another unit."""
        if not (np.array_equal(self._origin, shared.origin) and np.array_equal(self._scale, shared.scale)):
            self._origin, self._scale = (np.array(one, np.float64) for one in (shared.origin, shared.scale))
            if self._memory is not None:
                self._memory.forget()
        self.horizon.rows, self.horizon.first = shared.rows, shared.first
        self.horizon.together = shared.learners
        self._publication.clear()
        self._next_refresh = self._after(REFRESH_GROWTH, REFRESH_BLOCKS)
        self._recount(before)

    def delta(self, name: str) -> Delta | None:
        """Return what has been learnt since the round began, under this learner's name; None without a round."""
        rule, now = self._rule, self._round
        if now is None or rule is None:
            return None
        counts = {key: n - now.before.get(key, 0) for key, n in self._counts(rule).items()}
        moments = now.moments
        return Delta(
            parts={name: now.learnt},
            base=now.base,
            number=now.number,
            weight=moments.weight,
            sum=moments.sum.copy(),
            scatter=packed(moments.scatter),
            behind=np.full(rule.n_components, float(now.learnt)),
            means={
                "learnt": getattr(rule, rule.learnt).copy(),
                "average": rule.average.copy(),
                **{key: np.array(getattr(rule, key)) for key in rule.running},
                "log_beta": np.log(rule.tuning.beta),
                "bias": rule.tuning.bias.copy(),
                "log_reach": np.array(np.log(rule.reach.length)),
            },
            tuned=rule.tuning.n - now.before["tuned"],
            counts={"learnt": now.learnt, **counts},
        )

    def _enter(self, now: Round) -> None:
        """Be in a round: what is published stays that of all until the next."""
        assert self._whitener is not None
        self._round, self._whitener.since = now, now.moments
        self.horizon.together = now.learners
        self._next_publication = NEVER

    def _leave(self) -> None:
        """Learn alone from now on: what this learner stands on is no longer what all have in common."""
        self._round, self.horizon.together = None, 1
        if self._whitener is not None:
            self._whitener.since = None

    def _counts(self, rule: Rule) -> dict[str, int]:
        return {"shortened": rule.reach.n_shortened, **self.quarantine.counts}
