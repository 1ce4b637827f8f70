"""BlockLearner: what happens after every block of a stream, from the warm-up to the published basis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels
from stream_infomax.learning.infomax.adapting import REFRESH_BLOCKS, REFRESH_GROWTH, Sizes
from stream_infomax.learning.infomax.archive import Entry
from stream_infomax.learning.infomax.course import Course
from stream_infomax.learning.infomax.events import Events
from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.making import make_rule
from stream_infomax.learning.infomax.outliers import lengthened
from stream_infomax.learning.infomax.published import Publication, Published
from stream_infomax.learning.infomax.quarantine import Quarantine
from stream_infomax.learning.infomax.replay import RowMemory
from stream_infomax.learning.infomax.rounds import Round, Rounds
from stream_infomax.learning.infomax.rules import Rule
from stream_infomax.learning.infomax.settings import BESIDE_BLOCKS, BESIDE_FEATURES, REPLAYS
from stream_infomax.learning.infomax.warm_up import Unit, Wanted, WarmUp, unit_of
from stream_infomax.learning.infomax.watch import Watch
from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.state.kept import Kept, within

Floats = NDArray[np.floating[Any]]

# The published basis holds until this share more blocks have come, and at least that many.
PUBLISH_GROWTH, PUBLISH_BLOCKS = 0.05, 16
# Of long blocks so many rows are enough to publish, though no fewer blocks than for a refresh.
PUBLISH_ROWS = 1024
# Why a block is not learnt from, besides what a quarantine says.
HELD, EXAMINED = "held", "a change is examined"
OBJECTIVE_EVERY = 8
OBJECTIVE_WEIGHT = 0.05


class BlockLearner(Rounds):
    """Learns after whole blocks of finite rows, however they come: the cut of a stream changes nothing.

    Parameters
    ----------
    sizes
        What is decided before the first row.

    Attributes
    ----------
    n_updates
        Blocks that were learnt from, those of the warm-up included.
    n_seen
        Finite rows in the blocks so far.
    objective
        Running mean of the objective at rows before they are learnt from, in nats; NaN before there is one.
    course
        Of the objective.
    events
        What happened to it.
    horizon
        How many rows count.
    quarantine
        Keeps bad rows from being learnt from.
    published
        The basis; None while the warm-up lasts.
    became
        Rows of whole blocks that were learnt from, that a hold kept out, and that a change was examined with; since
        this object was made.
    notes
        What is to be said of the end of the warm-up, a sentence each; whoever says it empties the list.
    """

    kept = (
        "n_updates",
        "objective",
        "course",
        "events",
        "horizon",
        "quarantine",
        "_n_watched",
        "n_seen",
        "_origin",
        "_scale",
        "_eps",
        "_warm_up",
        "_next_refresh",
        "_next_publication",
        "_publication",
    )

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.n_updates = 0
        self.n_seen = 0
        self.objective = math.nan
        self.course = Course()
        self.events = Events()
        self.horizon = Horizon(sizes.half_life)
        self.quarantine = Quarantine(sizes.n_features)
        self.published: Published | None = None
        self._n_watched = 0
        self._origin: Floats = np.zeros(sizes.n_features)
        self._scale: Floats = np.ones(sizes.n_features)
        self._eps = 0.0  # of the coarsest numbers that the rows of the warm-up came in
        self.notes: list[str] = []
        self.became = {"learnt": 0, HELD: 0, EXAMINED: 0}
        # The rows of a step: a block as it fills, then what is drawn from the memory for it; before the unit is known
        # a block as it comes, in float64.
        self._rows: Floats = np.zeros((sizes.block, sizes.n_features))
        self._filled = 0
        delay = BESIDE_BLOCKS * sizes.block if sizes.n_features >= BESIDE_FEATURES else 0
        self._warm_up = WarmUp(sizes.n_features, sizes.warmup, delay)
        self._whitener: StreamingWhitener | None = None
        self._rule: Rule | None = None
        self._stream: Watch | None = None
        self._next_refresh = 0
        self._next_publication = 0
        self._publication = Publication()
        self._round: Round | None = None
        self._memory: RowMemory | None = None
        if sizes.memory:
            self._memory = RowMemory(sizes.memory, sizes.n_features, sizes.seed)

    @property
    def n_shortened(self) -> int:
        """Outlying rows so far."""
        return self._rule.reach.n_shortened if self._rule is not None else 0

    @property
    def has_enough(self) -> bool:
        """Whether as many rows have come as the warm-up takes."""
        return self._whitener is not None or self._warm_up.over

    @property
    def n_missing(self) -> int:
        """Rows until the warm-up is over, where all of them vary; 0 where it is."""
        return self._warm_up.missing(self.sizes.block) - self._filled if self._whitener is None else 0

    @property
    def drift(self) -> float:
        """How far the stream is on its way to an alarm of change, which 1 raises; 0 before there is a basis."""
        return self._stream.charts.nearness if self._stream is not None else 0.0

    def multiplications(self, n: int) -> int:
        """Return those of the largest product that n more rows lead to: none where they fill no block."""
        return self.sizes.multiplications if self._filled + n >= self.sizes.block else 0

    def take(self, rows: Floats) -> int:
        """Learn from rows (n, K), after every whole block; return how many were set aside as not finite."""
        start, aside, size = 0, 0, self.sizes.block
        if self._whitener is None and not self._warm_up.over:
            self._eps = max(self._eps, float(np.finfo(rows.dtype).eps))
        while start < len(rows):
            before = start - self._filled
            origin, scale = self._unit()
            start, self._filled = kernels.take_rows(rows, start, origin, scale, self._rows[:size], self._filled)
            aside += start - self._filled - before
            if self._filled == size:
                self._filled = 0
                self._end_block()
        return aside

    def _unit(self) -> Unit:
        """Return how the rows of the block under way are counted."""
        if self._whitener is None or self._stream is None:
            return Unit(self._origin, self._scale)
        examination = self._stream.examination
        if examination is not None and examination.pauses:
            return examination.unit
        return Unit(self._whitener.reference, self._whitener.scale)

    def finish(self) -> bool:
        """Take what has come for all there is: end the warm-up with it.

        Returns whether there is a basis: there is none where nothing varies.
        """
        if self._whitener is None:
            if self._filled:
                if self.n_updates == 0:
                    self._begin(self._filled)
                self.n_updates += 1
                self.n_seen += self._filled
                self._warm_up.add(self._rows[: self._filled])
                self._filled = 0
            if self._warm_up.over:
                self._settle()
        if self._whitener is None:
            self._warm_up.drop_repeated()
            if len(self._warm_up.rows):
                self._settle()
        return self.published is not None

    def _end_block(self) -> None:
        """Learn from a block that is full."""
        if self.n_updates == 0 and self._whitener is None:
            self._begin(self.sizes.block)
        self.n_seen += self.sizes.block
        if self._whitener is not None and self.quarantine.holds(
            self._rows[: self.sizes.block], self._unit(), self.n_seen, self.events
        ):
            if self._stream is not None:
                self._hold_back(self._stream)
            return
        if self._stream is not None and self._stream.held:
            self.became[HELD] += self.sizes.block
            return
        self.n_updates += 1
        if self._whitener is None or self._rule is None or self._stream is None:
            self.became["learnt"] += self.sizes.block
            self._warm_up.add(self._rows[: self.sizes.block])
            if self._warm_up.due:
                self._settle()
            elif self._warm_up.over:
                self._warm_up.begin(*self._to_settle())
            return
        examination = self._stream.examination
        if examination is not None and not self._examine(self._stream, examination):
            self.became[EXAMINED] += self.sizes.block
            return
        self.became["learnt"] += self.sizes.block
        self._learn(self._whitener, self._rule, self._stream)
        # Where C was made orthonormal again, that was a piece.
        for _ in range(self.sizes.pieces - self._rule.led_back):
            self._tend(self._whitener, self._rule, self._stream)

    def _tend(self, whitener: StreamingWhitener, rule: Rule, stream: Watch) -> None:
        """Do a piece of what is due besides learning: no block takes much longer than the others."""
        publication = self._publication
        if whitener.refreshing or (self.n_updates >= self._next_refresh and not publication.under_way):
            if whitener.refresh():
                rule.renew(whitener.whiten, whitener.dewhiten)
                stream.lag.expect(whitener, rule)
                self._next_refresh = self._after(REFRESH_GROWTH, REFRESH_BLOCKS)
        elif publication.under_way or self.n_updates >= self._next_publication:
            published = publication.step(whitener, rule)
            if published is not None:
                self._publish(published)

    def _learn(self, whitener: StreamingWhitener, rule: Rule, stream: Watch) -> None:
        """Take a step, and let whitening, memory, tuning and objective have what it learnt from."""
        size, batch = self.sizes.block, self._rows
        if self._memory is not None:
            shift = np.asarray((whitener.reference - self._origin) * self._scale, np.float32)
            # Rows that hardly count any more are not learnt from again.
            if self._memory.filled:
                self._memory.draw(shift, self._rows[size:], self.horizon.recent)
            else:  # after an undo all of it is forgotten
                batch = self._rows[:size]
        self.horizon.add(size)
        if self._round is not None:
            self._round.learnt += size
        step = rule.step(batch, size)
        every = stream.lag.every(self.horizon.length / size)
        if self.sizes.adapt == "follow" and self.n_updates % every == 0:
            self._look_for_lag(whitener, rule, stream, step)
        whitener.add(step.rows)
        if self._memory is not None:
            self._memory.add(step.rows + shift)  # relative to the origin, which stays
        if self.n_updates % OBJECTIVE_EVERY == 0:
            rule.tuning.follow(lengthened(step.y, step.lengths, step.bound))
            self._watch(rule.objective(step))
        if stream.gains.left and stream.examination is None:
            self._mend_gains(whitener, stream, step)
        if stream.examination is None:
            self._look(stream, rule, step)

    def _begin(self, size: int) -> None:
        """Take origin and unit from the first `size` rows, and make room for the float32 rows of a step."""
        first = self._rows[:size]
        unit = unit_of(first)
        self._origin, self._scale = unit
        self._make_room()
        self._rows[:size] = unit.rows(first)

    def _make_room(self) -> None:
        drawn = 0 if self._memory is None else REPLAYS * self.sizes.block
        self._rows = np.zeros((self.sizes.block + drawn, self.sizes.n_features), np.float32)

    def _settle(self) -> None:
        """End the warm-up, unless too little varies yet: decide K0 and K1, whiten, start C at random."""
        sizes = self.sizes
        settled = self._warm_up.settle(*self._to_settle())
        if settled is None:
            return
        self._whitener, rows, n_shortened, said, later = settled
        self._scale = self._whitener.scale
        self.notes += said
        self.quarantine.learn_usual(rows)
        if self._memory is not None:
            self._memory.add(rows)
        n_components = sizes.n_components if sizes.overcomplete else None
        self._rule = make_rule(self._whitener, n_components or self._whitener.n_rank, sizes.seed, self.horizon)
        self._rule.reach.n_shortened = n_shortened
        self.horizon.first = float(self.n_updates * sizes.block)
        self._stream = self._watching(self._rule)
        if len(later):
            self._take_in(later, self._whitener, self._rule)
        self._next_refresh = self._after(REFRESH_GROWTH, REFRESH_BLOCKS)
        self._publish(Published.of(self._whitener, self._rule))

    def _to_settle(self) -> tuple[Unit, Horizon, Wanted, float]:
        sizes = self.sizes
        wanted = Wanted(sizes.n_rank, sizes.energy, sizes.n_components, sizes.overcomplete)
        return Unit(self._origin, self._scale), self.horizon, wanted, self._eps

    def _take_in(self, rows: Floats, whitener: StreamingWhitener, rule: Rule) -> None:
        """Let covariance and memory have rows (n, K), relative to the origin, without a step."""
        shift = np.asarray((whitener.reference - self._origin) * self._scale, np.float32)
        rows = rows - shift
        shortened = rule.reach.shorten(rows, rows @ rule.whiten).rows
        whitener.add(shortened)
        if self._memory is not None:
            self._memory.add(shortened + shift)

    def _watching(self, rule: Rule) -> Watch:
        return Watch(
            self.sizes.n_features, rule.n_rank, rule.n_components, self.sizes.false_alarm_rows / self.sizes.block
        )

    def _publish(self, published: Published) -> None:
        self.published = published
        stream = self._stream
        if stream is not None and stream.charts.calm and stream.examination is None:
            stream.archive.offer(Entry(self.published, self._rest(), self.horizon.in_all))
        enough = max(REFRESH_BLOCKS, min(PUBLISH_BLOCKS, PUBLISH_ROWS // self.sizes.block))
        # At first whenever there are twice as many blocks: what was there before them is hardly worth a look.
        so_far = max(1, int(self.horizon.rows) // self.sizes.block)
        self._next_publication = self._after(PUBLISH_GROWTH, min(enough, so_far))

    def _after(self, growth: float, least: int) -> int:
        """Return the block after which to act again: a share of the blocks that count from now."""
        blocks = self.horizon.in_all / (self.sizes.block * self.horizon.together)
        return self.n_updates + max(least, int(growth * blocks))

    def _watch(self, value: float) -> None:
        """Follow the objective of rows that had not been learnt from."""
        self._n_watched += 1
        if self._n_watched == 1:
            self.objective = value
        else:
            self.objective += max(1 / self._n_watched, OBJECTIVE_WEIGHT) * (value - self.objective)
        self.course.add(self.n_seen, self.objective)

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs to go on with the same bits."""
        parts: dict[str, Kept | None] = {"memory": self._memory, "whitener": self._whitener, "rule": self._rule}
        parts |= {"published": self.published, "stream": self._stream, "round": self._round}
        return {
            **super().state(),
            "pending": self._rows[: self._filled].copy(),
            **{name: part.state() for name, part in parts.items() if part is not None},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state into a fresh learner of the same sizes; raises KeyError, ValueError as `Kept`."""
        super().restore(state)
        if self.n_updates > 0 or "rule" in state:
            self._make_room()
        self._filled = len(state["pending"])
        self._rows[: self._filled] = state["pending"]
        if self._memory is not None:
            with within("memory"):
                self._memory.restore(state["memory"])
        if "rule" not in state:
            return
        with within("published"):
            self.published = Published.restored(state["published"])
        self._whitener = StreamingWhitener(self._origin, self._scale, self.horizon)
        with within("whitener"):
            self._whitener.restore(state["whitener"])
        self._rule = make_rule(self._whitener, len(self.published.filters), self.sizes.seed, self.horizon)
        with within("rule"):
            self._rule.restore(state["rule"])
        self._stream = self._watching(self._rule)
        with within("stream"):
            self._stream.restore(state["stream"])
        if "round" in state:
            begun = Round(self._origin)
            with within("round"):
                begun.restore(state["round"])
            self._enter(begun)
        if self.sizes.adapt != "hold" and self._stream.held == "change":
            self.resume()
