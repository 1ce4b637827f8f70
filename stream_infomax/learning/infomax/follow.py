"""How a learner goes on after its stream has changed: from another unit, another covariance, or an earlier basis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.archive import Entry
from stream_infomax.learning.infomax.basis import Basis
from stream_infomax.learning.infomax.examination import Verdict
from stream_infomax.learning.infomax.horizon import Horizon
from stream_infomax.learning.infomax.replay import RowMemory
from stream_infomax.learning.infomax.rules import Rule
from stream_infomax.learning.infomax.warm_up import Unit, unit_of
from stream_infomax.learning.infomax.watch import LEAST_LOSS
from stream_infomax.learning.infomax.whitening import StreamingWhitener

Floats = NDArray[np.floating[Any]]

# A learner of K0 dimensions that has seen this many times K0 rows has lost what all rows bring; of a smaller loss the
# share is as the reciprocal of the rows. The rows left after a change are those of a learner with the loss it made.
LOSS_ROWS = 15.0


@dataclass
class World:
    """What a learner stands on: all that a change of the stream moves.

    Attributes
    ----------
    origin
        From which the rows of the memory are counted, (K,).
    """

    whitener: StreamingWhitener
    rule: Rule
    horizon: Horizon
    memory: RowMemory | None
    origin: Floats

    def rescale(self, mean: Floats, factors: Floats) -> None:
        """Go on after a change of level, offset or gains: rows are counted in another unit, and all else stays."""
        before = self.whitener.rescale(mean, factors)
        self.origin = mean - (before - self.origin) * factors

    def restart(self, verdict: Verdict, lost: float) -> None:
        """Go on from the covariance of the rows, with the rotation for what it is still worth."""
        self._move(verdict.basis, unit_of(verdict.rows).scale)
        self.whitener.weigh(float(len(verdict.rows)))
        self.cut(lost)

    def turn_back(self, basis: Basis, scale: Floats, rows: float) -> None:
        """Go on from an earlier basis that stood on so many rows, with channels counted in these units (K,)."""
        self._move(basis, scale)
        self.rule.turn_to(basis.rotation.astype(np.float32))
        self.whitener.weigh(rows)
        self.horizon.rows, self.horizon.first = rows, 0.0

    def cut(self, lost: float) -> None:
        """Let so many rows count as a learner with such a loss has seen."""
        self.horizon.cut(LOSS_ROWS * self.whitener.n_rank / max(lost, 1e-3))

    def remember_only(self, rows: Floats) -> None:
        """Learn again from no earlier rows than these, (n, K) float64."""
        self.forget()
        if self.memory is not None:
            self.memory.add(Unit(self.origin, self.whitener.scale).rows(rows))

    def forget(self) -> None:
        """Learn again from no earlier row."""
        self.origin = self.whitener.reference.copy()
        if self.memory is not None:
            self.memory.forget()

    def _move(self, basis: Basis, scale: Floats) -> None:
        self.whitener.move(basis.mean, scale, basis.whiten, basis.dewhiten, basis.covariance())
        self.rule.renew(self.whitener.whiten, self.whitener.dewhiten)


def follow(world: World, verdict: Verdict, lost: float, entry: Entry | None) -> None:
    """Move a learner's world after a verdict, with the share of their shape that outputs have lost, or to an entry."""
    if entry is not None:
        world.turn_back(verdict.basis, unit_of(verdict.rows).scale, entry.rows)
    elif verdict.kind == "new":
        world.restart(verdict, lost)
    elif verdict.kind != "none":
        world.rescale(verdict.basis.mean, verdict.factors)
    if verdict.kind in ("level", "channels", "none") and lost >= LEAST_LOSS:
        world.cut(lost)
        if verdict.kind != "none":  # what has lost its shape fits no better for being larger
            world.whitener.weigh(min(world.whitener.weight, world.horizon.rows))
    if verdict.kind in ("earlier", "new") or lost >= LEAST_LOSS:
        world.remember_only(verdict.rows)
    world.rule.reach.settle(lengths(verdict.basis, verdict.rows))


def lengths(basis: Basis, rows: Floats) -> Floats:
    """Return r of rows (n, K) under a basis."""
    whitened = (rows - basis.mean) @ basis.whiten
    return np.asarray(np.sqrt(np.mean(np.square(whitened), axis=1)))


def in_words(verdict: Verdict) -> str:
    """Return what a verdict says."""
    factors = verdict.factors
    if verdict.kind == "none":
        return "the covariance fits as before"
    if verdict.kind == "earlier":
        return f"an earlier basis fits better by {verdict.gain:.3g} nats a row"
    if verdict.kind == "new":
        return f"another covariance fits better by {verdict.gain:.3g} nats a row"
    if np.all(factors == factors[0]):
        if factors[0] == 1:
            return "the mean has moved"
        return f"all channels are {factors[0]:.3g} times as large"
    changed = np.flatnonzero(np.abs(np.log(factors / np.median(factors))) > math.log(1.01))
    named = ", ".join(f"{i} ({factors[i]:.3g} times)" for i in changed[:4])
    return f"channels have another gain: {named}{' and others' if len(changed) > 4 else ''}"
