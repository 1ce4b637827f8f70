"""The warm-up: the unit of rows from the first block, then rank and first whitening from the rows that follow."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.outliers import shorten_first, typical
from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.learning.threads import Beside
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

# Of the rows that end the warm-up, the share that has to differ from the row before.
VARYING = 0.25
# The largest number of the first block: differences of two are numbers of float32 still.
LONGEST = 1e38


# Powers of two that a unit may have: numbers of float64 times these are numbers of float64, mostly.
LARGEST_POWER = 500


class Unit(NamedTuple):
    """How float32 rows are counted: as (x - origin) * scale; both (K,) float64."""

    origin: Floats
    scale: Floats

    def rows(self, first: Floats) -> Floats:
        """Return the rows of the first block (n, K) in this unit; what float32 cannot hold is cut."""
        with np.errstate(over="ignore"):
            return np.clip((first - self.origin) * self.scale, -LONGEST, LONGEST).astype(np.float32)

    def absolute(self, rows: Floats) -> Floats:
        """Return rows (n, K) of this unit in their own units, float64."""
        return np.asarray(rows.astype(np.float64) / self.scale + self.origin)


def unit_of(first: Floats) -> Unit:
    """Return the unit that fits the first block (n, K) float64: later rows are near it, whatever they measure.

    Each channel has its own. One that is constant in this block takes the median of the others'.
    """
    origin = np.median(first, axis=0)
    # Halved: no difference overflows.
    halves = np.abs(first / 2 - origin / 2)
    with np.errstate(over="ignore"):
        spread = np.array([typical(column) for column in halves.T])
    varies = (spread > 0) & (spread < np.inf)
    power = -np.round(np.log2(np.where(varies, spread, 0.5))) - 1
    if varies.any():
        power = np.where(varies, power, np.round(np.median(power[varies])))
    return Unit(origin, power_of_two(power))


def power_of_two(power: Floats) -> Floats:
    """Return powers of two, which scale without rounding: a gain of the sensor changes nothing."""
    return np.exp2(np.clip(power, -LARGEST_POWER, LARGEST_POWER))


class Wanted(NamedTuple):
    """The dimensions and filters that were asked for: see the parameters of OnlineInfomax."""

    n_rank: int | None
    energy: float
    n_components: int | None
    overcomplete: bool

    def missed(self, whitener: StreamingWhitener) -> list[str]:
        """Return what is to be said where the rows have not the dimensions that were wanted, a sentence each."""
        said = []
        n_rank, rank = whitener.n_rank, whitener.rank
        kept = f"the rows have rank {rank}" if n_rank == rank else f"energy = {self.energy:g} keeps {n_rank} dimensions"
        if self.n_components is not None and self.n_components > n_rank and not self.overcomplete:
            said.append(
                f"n_components = {self.n_components}, but {kept}: {n_rank} filters are learnt, as many as there are "
                f"dimensions; overcomplete=True learns {self.n_components}"
            )
        elif self.n_rank is not None and n_rank < min(self.n_rank, self.n_components or self.n_rank):
            said.append(f"n_rank = {self.n_rank}, but {kept}: {n_rank} dimensions are kept")
        # Where fewer directions are wanted than there are, channels without a part are what was wanted.
        unseen = whitener.unseen() if n_rank == rank else []
        if unseen:
            all_of = len(whitener.whiten)
            said.append(f"of {all_of} channels these vary only as rounding does, and are left out: {unseen}")
        return said


class Settled(NamedTuple):
    """What the warm-up has led to.

    Attributes
    ----------
    whitener
        The whitening, in the unit that the learner has from now on.
    rows
        Those of the warm-up in that unit, the outlying ones shortened, (n, K) float32.
    n_shortened
        How many were outlying.
    said
        What is to be said where the rows have not the dimensions that were wanted, a sentence each.
    later
        Rows that came meanwhile, as they are, in that unit, (m, K) float32.
    """

    whitener: StreamingWhitener
    rows: Floats
    n_shortened: int
    said: list[str]
    later: Floats


class WarmUp(Kept):
    """The rows of the warm-up, kept until its end: only then can outliers be told from the rest.

    What follows from them takes as long as many steps of learning. Where rows are wide it is computed beside the stream
    while some more blocks come, and taken over after a fixed number of rows: when depends on the rows alone.

    Parameters
    ----------
    n_features
        K.
    length
        Rows that end it.
    delay
        Rows between its end and what follows from it.

    Attributes
    ----------
    rows, later
        What is kept, (n, K) float32, in the unit of the first block; and what has come since the end.
    """

    kept = ("rows", "later")
    free: ClassVar = {"rows": (0,), "later": (0,)}

    def __init__(self, n_features: int, length: int, delay: int = 0) -> None:
        self.length = length
        self.delay = delay
        self.rows = self.later = np.zeros((0, n_features), np.float32)
        self._beside: Beside[Settled | Floats] | None = None

    @property
    def rows(self) -> Floats:
        return np.concatenate(self._parts)

    @rows.setter
    def rows(self, rows: Floats) -> None:
        self._parts = [rows]
        self._n_varying = int(np.count_nonzero(_varying(rows)))

    def add(self, rows: Floats) -> None:
        """Keep a block of rows (n, K)."""
        if self.over:
            self.later = np.concatenate([self.later, rows])
            return
        last = next((part[-1:] for part in reversed(self._parts) if len(part)), rows[:0])
        self._n_varying += int(np.count_nonzero(_varying(np.concatenate([last, rows])))) - len(last)
        self._parts.append(rows.copy())

    @property
    def over(self) -> bool:
        """Whether so many rows have come."""
        return sum(map(len, self._parts)) >= self.length

    @property
    def due(self) -> bool:
        """Whether `settle` is to be called."""
        return self.over and len(self.later) >= self.delay

    def drop_repeated(self) -> None:
        """Take all rows that have come, and keep only those that differ from the one before."""
        rows = np.concatenate([self.rows, self.later])
        self.rows, self.later, self._beside = rows[_varying(rows)], rows[:0], None

    def missing(self, block: int) -> int:
        """Return the rows until there is a basis, in whole blocks, where all that come vary."""
        kept, varying, later, more = sum(map(len, self._parts)), self._n_varying, len(self.later), 0
        while True:
            gathered = -(min(0, kept - self.length) // block) * block
            kept, varying = kept + gathered, varying + gathered
            more += max(gathered + self.delay - later, block)
            if varying >= VARYING * kept:
                return more
            kept, later = varying + self.delay, 0
            varying = kept

    def begin(self, unit: Unit, horizon: Horizon, wanted: Wanted, eps: float) -> None:
        """Begin with what `settle` is to return, beside the stream where that can be."""
        if self._beside is None and Beside.possible:
            self._beside = Beside(settled_from, self.rows, unit, horizon, wanted, eps)

    def settle(self, unit: Unit, horizon: Horizon, wanted: Wanted, eps: float) -> Settled | None:
        """Decide the rank and whiten for the first time; None where too little varies yet.

        The rows are in a unit; `eps` is that of the coarsest numbers that they came in.
        """
        found = self._beside.result() if self._beside is not None else None
        if found is None:
            found = settled_from(self.rows, unit, horizon, wanted, eps)
        later, self._beside = self.later, None
        self.later = later[:0]
        if not isinstance(found, Settled):
            self.rows = np.concatenate([found, later])
            return None
        self.rows = self.later
        return found._replace(later=np.asarray(later * (found.whitener.scale / unit.scale), np.float32))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_beside": None}  # a copy computes it again


def settled_from(rows: Floats, unit: Unit, horizon: Horizon, wanted: Wanted, eps: float) -> Settled | Floats:
    """Return what follows from the rows (n, K) of a warm-up, or those of them to go on with where too little varies."""
    varying = _varying(rows)
    # The rank is decided once: a few rows after a silence, or between silences, must not decide it.
    if np.count_nonzero(varying) < VARYING * len(rows):
        return rows[varying]
    shortened, n_shortened = shorten_first(rows)
    unit, shortened = in_own_unit(unit, shortened)
    whitener = StreamingWhitener(unit.origin, unit.scale, horizon)
    whitener.begin(shortened)
    if whitener.settle(wanted.n_rank, wanted.energy, wanted.n_components, eps) == 0:
        return rows[:1].copy()
    return Settled(whitener, shortened, n_shortened, wanted.missed(whitener), rows[:0])


def in_own_unit(unit: Unit, rows: Floats) -> tuple[Unit, Floats]:
    """Return the unit in which each channel of the rows (n, K) has about unit variance, and the rows in it."""
    deviation = rows.std(axis=0, dtype=np.float64)
    power = np.where(deviation > 0, -np.round(np.log2(np.where(deviation > 0, deviation, 1.0))), 0.0)
    own = Unit(unit.origin, power_of_two(np.log2(unit.scale) + power))
    return own, np.asarray(rows * (own.scale / unit.scale), np.float32)


def _varying(rows: Floats) -> NDArray[np.bool_]:
    """Return which rows (n, K) differ from the one before; the first does."""
    return np.append(np.ones(min(1, len(rows)), np.bool_), np.any(rows[1:] != rows[:-1], axis=1))
