"""What the two learning rules share: the record of a step, its length, the average of C (Huang & Zhang 2017)."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.matrices import polar
from stream_infomax.learning.infomax.neurons import start_beta
from stream_infomax.learning.infomax.outliers import Reach
from stream_infomax.learning.infomax.tuning import Tuning
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]

# Steps are kept below this angle (radians, of the plane that turns most): beyond, neither the series of the
# exponential nor Newton-Schulz holds.
LARGEST_TURN = 0.7
# The learning rate and its decay, for all data alike: found on photographs, tried on everything (docs/learning.md).
LEARNING_RATE = 0.77
DECAY_ROWS = 64.0
LARGEST_LEARNING_RATE = 1.0


class Step(NamedTuple):
    """What a step has learnt from, for whitening, tuning and objective: the new rows of its batch.

    Attributes
    ----------
    rows
        (n, K) float32, the outlying ones shortened.
    y
        Potentials ŷ of `rows` before the step, (n, K1) float32. They are the rule's own: valid until its next step.
    lengths
        r of each row as it came, (n,) float32 (see :mod:`~stream_infomax.learning.infomax.outliers`).
    bound
        The longest r that was left as it is.
    """

    rows: Floats
    y: Floats
    lengths: Floats
    bound: float


class Rule(Kept):
    """A learning rule: moves C in the whitened space, and averages it.

    Parameters
    ----------
    whiten, dewhiten
        The whitening V to start in, and Σ V, the transpose of its inverse; both (K, K0).
    n_components
        K1.
    horizon
        Rows that count. The learner's own: whoever holds it sees it change, and it is not part of the state here.

    Attributes
    ----------
    beta
        β0, at which Q is defined and learning stays, with b = 0.
    average
        The running average of C, or of V C.
    tuning
        β and b of the neurons that are published.
    reach
        How far rows reach.
    sign
        Of the units' scores, (K1,) float32.
    learnt, running
        The names of what is learnt and averaged, and of the statistics that are means over rows.
    led_back
        Whether the last step cost more than others, for it made C orthonormal again.
    """

    average: Floats
    kept: ClassVar[tuple[str, ...]] = ("average", "tuning", "reach")
    learnt: ClassVar[str]
    running: ClassVar[tuple[str, ...]]

    def __init__(self, whiten: Floats, dewhiten: Floats, n_components: int, horizon: Horizon) -> None:
        self.whiten: Floats = whiten.astype(np.float32)
        self.dewhiten: Floats = dewhiten.astype(np.float32)
        self.n_rank = whiten.shape[1]
        self.n_components = n_components
        self.horizon = horizon
        self.beta = start_beta(n_components, self.n_rank)
        self.tuning = Tuning(n_components, self.beta)
        self.reach = Reach()
        self.sign: Floats = np.ones(n_components, np.float32)
        self.led_back = False
        # What a step writes before it reads it: memory that is new to the process costs as much as a pass over it.
        self._y: Floats = np.zeros((0, n_components), np.float32)
        self._scores: Floats = np.zeros((0, n_components), np.float32)

    def step(self, rows: Floats, n_new: int) -> Step:
        """Learn from a batch of rows, the new ones of which the horizon counts already.

        Parameters
        ----------
        rows
            (n, K) float32, relative to the mean; they stay as they are.
        n_new
            The first so many are new, the others were drawn from the memory.
        """
        raise NotImplementedError

    def objective(self, step: Step) -> float:
        """Return the objective at the new rows of the last step, in nats."""
        raise NotImplementedError

    def renew(self, whiten: Floats, dewhiten: Floats) -> None:
        """Carry C and its average over to another whitening."""
        raise NotImplementedError

    def outputs(self, n: int) -> Floats:
        """Return filters (K, n) in the whitening's unit: of the first averaged outputs, or of whitened dimensions."""
        raise NotImplementedError

    def linear_part(self, n: int) -> Floats:
        """Return the linear part of the scores of these outputs (n,)."""
        raise NotImplementedError

    def turn_to(self, rotation: Floats) -> None:
        """Go on from another C, which is its average as well."""
        raise NotImplementedError

    def recover(self) -> None:
        """Make C a rotation again, where rounding has led it far away: the whitening has become that steep."""
        raise NotImplementedError

    def averaged(self) -> Floats:
        """Return the average of C, (K0, K1) float32: no rotation, but near one."""
        raise NotImplementedError

    def _make_room(self, n: int) -> None:
        """Have room for the potentials and scores of n rows."""
        if len(self._y) != n:
            self._y, self._scores = (np.zeros((n, self.n_components), np.float32) for _ in range(2))

    def learning_rate(self, n: int, n_new: int) -> float:
        """Return the length of a step from n rows: it falls with the square root of the rows that count.

        Learners that learn together step as one does that has all of their rows.
        """
        decay = math.sqrt(1 + self.horizon.length / (DECAY_ROWS * self.n_rank))
        rate = LEARNING_RATE * math.sqrt(n * n_new) / self.n_rank / decay
        return float(min(LARGEST_LEARNING_RATE, rate * self.horizon.together))

    def share(self, n_new: int) -> float:
        """Return the share of the newest C, after a step from so many new rows, in the average.

        Weights grow polynomially (Shamir & Zhang 2013) to forget the start. The power falls from 3 to 1 as rows come
        in: forgetting matters early, the number of steps averaged later.
        """
        power = 1 + 2 / (1 + self.horizon.rows / (1000 * self.n_rank))
        return float((power + 1) / (power + max(1.0, self.horizon.length / (n_new * self.horizon.together))))


def sound(rotation: Floats) -> Floats:
    """Return the rotation (K0, K1) nearest to what C has become; a random one where it is not finite."""
    if not np.isfinite(rotation).all():
        return random_rotation(len(rotation), rotation.shape[1], seed=0)
    return polar(rotation.astype(np.float64)).astype(np.float32)


def random_rotation(n_rank: int, n_components: int, seed: int | None) -> Floats:
    """Return a random C (K0, K1) float32 with orthonormal rows; zeros without a seed."""
    if seed is None:
        return np.zeros((n_rank, n_components), np.float32)
    start = np.random.default_rng(seed).standard_normal((n_components, n_rank))
    return np.ascontiguousarray(np.linalg.qr(start)[0].T, np.float32)
