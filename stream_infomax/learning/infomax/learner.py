"""BlockLearner: what happens after every block of a stream, from the warm-up to the published basis."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels
from stream_infomax.learning.infomax.outliers import shorten_first, typical
from stream_infomax.learning.infomax.replay import RowMemory
from stream_infomax.learning.infomax.rules import CompleteRule, OvercompleteRule, make_rule
from stream_infomax.learning.infomax.whitening import StreamingWhitener

Array = NDArray[Any]

# The whitening and the published basis hold until this share more blocks have come, and at least that many.
REFRESH_GROWTH, REFRESH_BLOCKS = 0.05, 4
PUBLISH_GROWTH, PUBLISH_BLOCKS = 0.05, 16
# Of long blocks so many rows are enough to publish, though no fewer blocks than for a refresh.
PUBLISH_ROWS = 1024
# Blocks learnt from the memory for each new one.
REPLAYS = 4
# Fewest rows of a step, new and drawn, for each feature and for each component: with fewer, the products of the step
# alone would cost more than those of its rows.
ROWS_A_FEATURE, ROWS_A_COMPONENT = 1.75, 0.5
# Of the rows that end the warm-up, the share that has to differ from the row before.
VARYING = 0.25
# The largest number of the first block: differences of two are numbers of float32 still.
LONGEST = 1e38
OBJECTIVE_EVERY = 8
OBJECTIVE_WEIGHT = 0.05


@dataclass(frozen=True)
class Published:
    """A basis as the world sees it: never changed, only replaced."""

    mean: Array
    rotation: Array
    filters: Array
    basis: Array
    scale: float
    beta: Array
    bias: Array


def rows_a_block(block: int, n_features: int, n_components: int | None, memory: int) -> int:
    """Rows between two updates: `block`, or more where the products of an update ask for it."""
    least = max(ROWS_A_FEATURE * n_features, ROWS_A_COMPONENT * (n_components or 0))
    return max(block, math.ceil(least / (1 + REPLAYS if memory else 1)))


@dataclass(frozen=True)
class Sizes:
    """What is decided before the first row: see the parameters of OnlineInfomax."""

    n_features: int
    n_components: int | None
    n_rank: int | None
    energy: float
    block: int
    memory: int
    half_life: float | None
    warmup: int
    seed: int


class BlockLearner:
    """Learns after whole blocks of finite rows, however they come, so that the cut of a stream changes nothing."""

    _batch: Array
    _drawn: Array

    def __init__(self, sizes: Sizes) -> None:
        """Nothing learnt yet; raises ValueError where the memory holds less than a block."""
        self.sizes = sizes
        self.n_updates = 0
        self.objective = math.nan
        self.published: Published | None = None
        self._n_watched = 0
        self._origin = np.zeros(sizes.n_features)
        self._scale = 1.0
        self._whitener: StreamingWhitener | None = None
        # A block as it fills: float32 and relative to the whitener's reference, before there is one as rows come. What
        # is drawn from the memory follows it.
        self._block: Array = np.empty((sizes.block, sizes.n_features))
        self._filled = 0
        self._rule: CompleteRule | OvercompleteRule | None = None
        # The rows of the warm-up, kept until its end: only then can outliers be told from the rest.
        self._first: list[Array] = []
        self._settled_at = 0
        self._next_refresh = 0
        self._next_publication = 0
        self._memory: RowMemory | None = None
        if sizes.memory:
            self._memory = RowMemory(sizes.memory, sizes.n_features, sizes.seed)
            if len(self._memory.rows) < sizes.block:
                raise ValueError(
                    f"memory={sizes.memory} bytes hold {len(self._memory.rows)} rows of {sizes.n_features} numbers; "
                    f"accepted are 0 or at least one block, {4 * sizes.n_features * sizes.block} bytes"
                )

    @property
    def n_shortened(self) -> int:
        """Outlying rows so far."""
        return self._rule.reach.n_shortened if self._rule is not None else 0

    def take(self, rows: Array) -> int:
        """Learn from rows (n, n_features), after every whole block; returns how many were set aside as not finite."""
        start, aside = 0, 0
        while start < len(rows):
            before = start - self._filled
            reference = self._origin if self._whitener is None else self._whitener.reference
            start, self._filled = kernels.take_rows(rows, start, reference, self._scale, self._block, self._filled)
            aside += start - self._filled - before
            if self._filled == self.sizes.block:
                self._filled = 0
                self._learn()
        return aside

    def _learn(self) -> None:
        """Learn from a block that is full."""
        if self._whitener is None:
            self._whitener = self._start(self._block)
        whitener, rule, size = self._whitener, self._rule, self.sizes.block
        self.n_updates += 1
        if rule is None:
            self._first.append(self._block.copy())
            if sum(map(len, self._first)) >= self.sizes.warmup:
                self._settle()
            return
        if self._memory is not None:
            # Rows that hardly count any more are not learnt from again.
            recent = None if self.sizes.half_life is None else int(self.sizes.half_life)
            self._memory.draw(self._shift(whitener), self._drawn, recent)
        rule.step(self._batch, size, (self.n_updates - self._settled_at) * size)
        # What comes in after the step is what it has left of the rows: outliers are shortened by now.
        whitener.add(self._block)
        if self._memory is not None:
            self._memory.add(self._block + self._shift(whitener))
        if self.n_updates % OBJECTIVE_EVERY == 0:
            self._watch(rule.watch(size))
        # Never both after one block, so that no pause is long.
        if self.n_updates >= self._next_refresh:
            if whitener.refresh():
                rule.renew(whitener.whiten, whitener.dewhiten)
                self._next_refresh = self._after(REFRESH_GROWTH, REFRESH_BLOCKS)
        elif self.n_updates >= self._next_publication:
            self._publish(whitener, rule)

    def _shift(self, whitener: StreamingWhitener) -> Array:
        """What rows in the memory, which are relative to the origin, are beyond those of a block."""
        return np.asarray((whitener.reference - self._origin) * self._scale, np.float32)

    def _start(self, rows: Array) -> StreamingWhitener:
        """Take origin and unit of the float32 rows from the first block: later rows are near, whatever they measure."""
        rows = np.asarray(rows, np.float64)
        self._origin = np.median(rows, axis=0)
        # Halved, so that no difference overflows; a square may.
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(rows / 2 - self._origin / 2, axis=1)
        spread = 2 * typical(lengths) / math.sqrt(rows.shape[1])
        # A power of two scales without rounding, so that a gain of the sensor changes nothing.
        self._scale = 2.0 ** -round(math.log2(spread)) if spread > 0 else 1.0
        self._make_room()
        # What float32 cannot hold is set aside from the next block on.
        with np.errstate(over="ignore"):
            self._block[:] = np.clip((rows - self._origin) * self._scale, -LONGEST, LONGEST)
        return StreamingWhitener(self._origin, self._scale, self.sizes.half_life)

    def _make_room(self) -> None:
        """Room for the float32 rows of a step: a block, and what is drawn from the memory for it."""
        size = self.sizes.block
        drawn = 0 if self._memory is None else REPLAYS * size
        self._batch = np.empty((size + drawn, self.sizes.n_features), np.float32)
        self._block, self._drawn = self._batch[:size], self._batch[size:]

    def _settle(self) -> None:
        """End the warm-up, unless too little varies yet: decide K0 and K1, whiten, start C at random."""
        first = np.concatenate(self._first)
        varying = np.append(True, np.any(first[1:] != first[:-1], axis=1))
        # The rank is decided once: a few rows after a silence, or between silences, must not decide it.
        if np.count_nonzero(varying) < VARYING * len(first):
            self._first = [first[varying]]
            return
        rows, n_shortened = shorten_first(first)
        whitener = StreamingWhitener(self._origin, self._scale, self.sizes.half_life)
        whitener.add(rows)
        n_rank = whitener.settle(self.sizes.n_rank, self.sizes.energy, self.sizes.n_components)
        if n_rank == 0:
            self._first = [first[:1]]
            return
        self._first.clear()
        if self._memory is not None:
            self._memory.add(rows)
        self._whitener = whitener
        self._rule = self._make_rule(whitener, self.sizes.n_components or n_rank)
        self._rule.reach.n_shortened = n_shortened
        self._settled_at = self.n_updates
        self._next_refresh = self._after(REFRESH_GROWTH, REFRESH_BLOCKS)
        self._publish(whitener, self._rule)

    def _make_rule(self, whitener: StreamingWhitener, n_components: int) -> CompleteRule | OvercompleteRule:
        return make_rule(whitener.whiten, whitener.dewhiten, n_components, self.sizes.seed, self.sizes.half_life)

    def _publish(self, whitener: StreamingWhitener, rule: CompleteRule | OvercompleteRule) -> None:
        """Publish the averaged basis in the whitening as it stands."""
        scale = math.sqrt(rule.n_components / rule.n_rank)
        rotation = rule.published()
        filters = (scale * self._scale * whitener.whiten.T).astype(np.float32)
        basis = (whitener.dewhiten / (scale * self._scale)).astype(np.float32)
        self.published = Published(
            mean=whitener.reference.copy(),
            rotation=rotation,
            filters=rotation.T @ filters,
            basis=basis @ rotation,
            scale=scale,
            beta=rule.tuned_beta.astype(np.float32),
            bias=rule.tuned_bias.astype(np.float32),
        )
        enough = max(REFRESH_BLOCKS, min(PUBLISH_BLOCKS, PUBLISH_ROWS // self.sizes.block))
        self._next_publication = self._after(PUBLISH_GROWTH, enough)

    def _after(self, growth: float, least: int) -> int:
        """The block after which to act again: a share of the blocks that count from now."""
        blocks = float(self.n_updates)
        if self.sizes.half_life is not None:
            blocks = min(blocks, self.sizes.half_life / self.sizes.block)
        return self.n_updates + max(least, int(growth * blocks))

    def _watch(self, value: float) -> None:
        """Follow the objective of rows that have not been learnt from yet."""
        self._n_watched += 1
        if self._n_watched == 1:
            self.objective = value
        else:
            self.objective += max(1 / self._n_watched, OBJECTIVE_WEIGHT) * (value - self.objective)

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on with the same bits."""
        state: dict[str, Any] = {
            "n_updates": self.n_updates,
            "objective": None if math.isnan(self.objective) else self.objective,
            "n_watched": self._n_watched,
            "scale": self._scale,
            "settled_at": self._settled_at,
            "next_refresh": self._next_refresh,
            "next_publication": self._next_publication,
            "origin": self._origin,
            "pending": self._block[: self._filled],
        }
        if self._whitener is not None:
            state["whitener"] = self._whitener.state()
        if self._first:
            state["first"] = np.concatenate(self._first)
        if self._memory is not None:
            state["memory"] = self._memory.state()
        if self._rule is not None and self.published is not None:
            state["rule"] = self._rule.state()
            state["published"] = asdict(self.published)
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state into a learner of the same sizes."""
        self.n_updates = int(state["n_updates"])
        self.objective = math.nan if state["objective"] is None else float(state["objective"])
        self._n_watched = int(state["n_watched"])
        self._scale = float(state["scale"])
        self._settled_at = int(state["settled_at"])
        self._next_refresh = int(state["next_refresh"])
        self._next_publication = int(state["next_publication"])
        self._origin = np.array(state["origin"], np.float64)
        if self._memory is not None:
            self._memory.restore(state["memory"])
        if "whitener" in state:
            self._make_room()
        if "first" in state:
            self._first = [np.array(state["first"], np.float32)]
        self._filled = len(state["pending"])
        self._block[: self._filled] = state["pending"]
        if "whitener" not in state:
            return
        self._whitener = StreamingWhitener(self._origin, self._scale, self.sizes.half_life)
        self._whitener.restore(state["whitener"])
        if "rule" in state:
            self.published = Published(**state["published"])
            self._rule = self._make_rule(self._whitener, len(self.published.filters))
            self._rule.restore(state["rule"])
