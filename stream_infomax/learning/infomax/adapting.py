"""Adapting: how a learner looks whether its stream has changed, and what it does then."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.basis import Basis
from stream_infomax.learning.infomax.events import Events, Happening
from stream_infomax.learning.infomax.examination import Examination, Verdict, judge
from stream_infomax.learning.infomax.follow import World, follow, in_words
from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.lag import FIRST_ROWS
from stream_infomax.learning.infomax.published import Publication, Published
from stream_infomax.learning.infomax.quarantine import Quarantine
from stream_infomax.learning.infomax.replay import RowMemory
from stream_infomax.learning.infomax.rules import Rule, Step
from stream_infomax.learning.infomax.settings import REPLAYS, Adapt
from stream_infomax.learning.infomax.warm_up import Unit
from stream_infomax.learning.infomax.watch import LEAST_LOSS, RESUMED, Watch
from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

# The whitening holds until this share more blocks have come, and at least that many.
REFRESH_GROWTH, REFRESH_BLOCKS = 0.05, 4
# What a piece of a refresh or a publication costs at most, in products of K³ multiplications.
PIECE = 5.0
# Rows in quarantine are looked at from nearby where a channel lies so far from its mean, in deviations or so, and
# varies by so little of that that float32 may not tell.
FAR_AWAY, COARSE = 1.0, 1e-5


@dataclass(frozen=True)
class Sizes:
    """What is decided before the first row: see the parameters of OnlineInfomax."""

    n_features: int
    n_components: int | None
    overcomplete: bool
    n_rank: int | None
    energy: float
    block: int
    memory: int
    half_life: float | None
    adapt: Adapt
    false_alarm_rows: float
    warmup: int
    seed: int

    @property
    def pieces(self) -> int:
        """Pieces of a refresh or a publication after a block: they cost less together than its step."""
        rows = (1 + REPLAYS if self.memory else 1) * self.block
        return max(1, int((2 * rows / self.n_features + 1) / PIECE))

    @property
    def multiplications(self) -> int:
        """Of the largest product."""
        rows = max(self.warmup, (1 + REPLAYS) * self.block)
        return rows * self.n_features * max(self.n_features, self.n_components or 0)


class Adapting(Kept):
    """The part of BlockLearner that watches the stream: see there for what it has."""

    sizes: Sizes
    events: Events
    horizon: Horizon
    quarantine: Quarantine
    published: Published | None
    n_seen: int
    n_updates: int
    _rows: Floats
    _origin: Floats
    _scale: Floats
    _stream: Watch | None
    _memory: RowMemory | None
    _rule: Rule | None
    _whitener: StreamingWhitener | None
    _publication: Publication
    _next_refresh: int
    _next_publication: int

    def _unit(self) -> Unit:
        """Return how the rows of the block under way are counted."""
        raise NotImplementedError

    def _after(self, growth: float, least: int) -> int:
        """Return the block after which to act again."""
        raise NotImplementedError

    def _publish(self, published: Published) -> None:
        """Make a basis the one that the world sees."""
        raise NotImplementedError

    def _leave(self) -> None:
        """Learn alone from now on."""
        raise NotImplementedError

    def _hold_back(self, stream: Watch) -> None:
        """Conclude nothing from what came before a quarantine; of rows far away float32 may not see how they vary."""
        stream.quarantined()
        rows = self._rows[: self.sizes.block]
        looking = stream.examination is not None and not stream.examination.pauses
        if stream.held or looking or self.sizes.adapt == "fixed":
            return
        farthest, spread = np.abs(rows).max(axis=0), np.ptp(rows, axis=0)
        if np.any((farthest > FAR_AWAY) & (spread < COARSE * farthest)) or 0 < spread.max() < COARSE:
            stream.look_elsewhere(self._unit().absolute(rows), self.sizes.adapt == "follow")

    def _look_for_lag(self, whitener: StreamingWhitener, rule: Rule, stream: Watch, step: Step) -> None:
        """Shorten what counts where learning lags behind, and lengthen it where it need not be so short."""
        if self.horizon.rows < FIRST_ROWS * rule.n_rank:
            return
        factor = stream.lag.add(step.rows, rule.beta, self.horizon)
        if factor != 1:
            self.horizon.adapt(factor, rule.n_rank)
            whitener.weigh(min(whitener.weight, self.horizon.limit / math.log(2)))

    def _look(self, stream: Watch, rule: Rule, step: Step) -> None:
        """Look whether the stream has changed."""
        found = stream.add(step, rule)
        if not found:
            return
        if self.sizes.adapt == "fixed":
            self.events.add(self.n_seen, "change", found)
            stream.charts.clear()
        else:
            rows = self._unit().absolute(self._rows[: self.sizes.block])
            stream.examine(found, rows, self.sizes.adapt == "follow")

    def _examine(self, stream: Watch, examination: Examination) -> bool:
        """Gather a block after an alarm; with the last one, conclude what has happened and act upon it.

        Returns whether the block is still to be learnt from.
        """
        examination.add(self._unit().absolute(self._rows[: self.sizes.block]))
        if not examination.over or self.published is None or self._rule is None:
            return not examination.pauses
        # A person who goes back to a basis knows better than its neighbours which rotation is the right one.
        earlier = [] if stream.undone else [entry.basis for entry in stream.archive.earlier]
        verdict = judge(examination.absolute(), Basis.of(self.published, self._rest()), earlier, stream.usual_level)
        # In a new world nothing that the old one did is usual.
        blocks = 0.0 if verdict.kind == "new" else len(verdict.rows) / self.sizes.block
        lost = 0.0
        if not stream.undone and (
            verdict.kind == "new" or stream.is_about_shape
        ):  # a level that has changed says nothing of the rotation
            lost = stream.loss(verdict.basis.potentials(verdict.rows), self._rule.sign, blocks)
        if verdict.kind == "none" and lost < LEAST_LOSS:
            asked = stream.undone or examination.about == RESUMED  # then somebody waits for the answer
            stream.dismiss()
            if asked:
                text = f"{examination.about}: {in_words(verdict)}; learning goes on"
                self.events.add(self.n_seen, "resume", text)
            return not examination.pauses
        if not examination.follows:
            stream.hold("change")
            self.events.add(self.n_seen, "hold", f"{examination.about}: {in_words(verdict)}; learning waits")
        else:
            self._follow(stream, verdict, lost, examination.about)
        return False

    def _follow(self, stream: Watch, verdict: Verdict, lost: float, about: str) -> None:
        """Act upon a change of the stream."""
        whitener, rule = self._whitener, self._rule
        if whitener is None or rule is None:
            return
        self._leave()
        entry = stream.archive.return_to(verdict.which) if verdict.kind == "earlier" else None
        world = World(whitener, rule, self.horizon, self._memory, self._origin)
        follow(world, verdict, lost, entry)
        self._origin, self._scale = world.origin, whitener.scale
        self._next_refresh = self._after(REFRESH_GROWTH, REFRESH_BLOCKS)
        self._publication.clear()
        self._publish(Published.of(whitener, rule))
        if entry is None:
            stream.archive.leave()
        else:
            self.published = entry.published
        stream.moved(verdict.kind == "new" or lost >= LEAST_LOSS)
        if verdict.kind in ("level", "channels"):
            stream.gains.begin(verdict.factors, len(verdict.rows))
        kind: Happening = "change" if entry is None else "undo"
        self.events.add(self.n_seen, kind, f"{about}: {in_words(verdict)}; {self.horizon.length:,.0f} rows count on")

    def _rest(self) -> float:
        """Return the mean variance of a direction that the whitening leaves out."""
        return self._whitener.rest() if self._whitener is not None else 0.0

    def _mend_gains(self, whitener: StreamingWhitener, stream: Watch, step: Step) -> None:
        """Count channels whose gain has changed in the unit that is known by now."""
        factors = stream.gains.add(step.rows, whitener)
        if factors is not None and self._rule is not None:
            world = World(whitener, self._rule, self.horizon, self._memory, self._origin)
            world.rescale(whitener.reference + whitener.mean() / whitener.scale, factors)
            self._origin, self._scale = world.origin, whitener.scale
            self._next_publication = self.n_updates
            stream.lag.clear()
