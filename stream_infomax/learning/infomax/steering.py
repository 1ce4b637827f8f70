"""Steering: what a person does to a learner: hold, resume, undo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.adapting import REFRESH_BLOCKS, REFRESH_GROWTH, Adapting
from stream_infomax.learning.infomax.archive import Entry
from stream_infomax.learning.infomax.basis import Basis
from stream_infomax.learning.infomax.follow import World
from stream_infomax.learning.infomax.matrices import polar
from stream_infomax.learning.infomax.published import Published
from stream_infomax.learning.infomax.warm_up import Unit, power_of_two
from stream_infomax.learning.infomax.whitening import StreamingWhitener

if TYPE_CHECKING:
    from stream_infomax.learning.infomax.encoder import Encoder

Floats = NDArray[np.floating[Any]]


class Steering(Adapting):
    """The part of BlockLearner that a person steers: see there for what it has."""

    _filled: int

    @property
    def held(self) -> bool:
        """Whether learning waits."""
        return self._stream is not None and bool(self._stream.held)

    @property
    def examining(self) -> bool:
        """Whether rows are gathered to find out what has changed, and none is learnt from meanwhile."""
        examination = self._stream.examination if self._stream is not None else None
        return examination is not None and examination.pauses

    def hold(self) -> None:
        """Learn nothing until `resume`; a learner in its warm-up has nothing to hold."""
        if self._stream is not None and not self._stream.held:
            before = self._unit()
            self._stream.hold("person")
            self._recount(before)
            self.events.add(self.n_seen, "hold", "as a person asked; learning waits")

    def resume(self) -> None:
        """End a hold; where a change began it, what has changed is found out from the rows that follow."""
        if self._stream is not None and self._whitener is not None and self._stream.held:
            self._stream.resume(Unit(self._whitener.reference, self._whitener.scale))
            goes_on = "it is examined what has changed, then learning" if self.examining else "learning"
            self.events.add(self.n_seen, "resume", f"{goes_on} goes on with the rows that follow")

    def undo(self, earlier: Encoder) -> None:
        """Go back to a basis of the same sizes that was published before: mean, covariance and filters are its own.

        No row that came before is learnt from again. Who adapts finds out from the rows that follow whether channels
        have another level or gain now, or all of them another covariance; the rotation stays.
        """
        whitener, rule, stream = self._whitener, self._rule, self._stream
        if whitener is None or rule is None or stream is None or self.published is None:
            return
        self._leave()
        before, present = self._unit(), self.published
        rows = max(self.horizon.in_all, *(entry.rows for entry in stream.archive.entries), 0.0)
        entry = stream.archive.recall(earlier.version, earlier.output)
        entry = entry or Entry(published_of(earlier, whitener), self._rest(), min(rows, self.horizon.half_life))
        deviations, correlations = compared(entry.published, present, whitener)
        world = World(whitener, rule, self.horizon, self._memory, self._origin)
        world.turn_back(entry.basis, _scale_of(entry.basis, whitener.scale), entry.rows)
        world.forget()
        self._origin, self._scale = world.origin, whitener.scale
        rule.tuning.beta[:], rule.tuning.bias[:] = entry.published.beta, entry.published.bias
        self._next_refresh = self._after(REFRESH_GROWTH, REFRESH_BLOCKS)
        self._publication.clear()
        stream.begin_again(self.sizes.adapt != "fixed")
        self._publish(Published.of(whitener, rule))
        self.published = entry.published
        if stream.undone and not stream.held:
            stream.ask(Unit(whitener.reference, whitener.scale), f"after the undo to {earlier.version}")
        self._recount(before)
        self.events.add(
            self.n_seen,
            "undo",
            f"version {earlier.version} is back in place of {present.version(earlier.output)}: over the rows until now "
            f"their outputs correlate by {_span(correlations)}, and deviations are {_span(deviations)}; "
            f"{self.horizon.length:,.0f} rows count on",
        )

    def _recount(self, before: Unit) -> None:
        """Count the rows of the block under way in the unit that holds now."""
        now, rows = self._unit(), self._rows[: self._filled]
        if not all(np.array_equal(one, other) for one, other in zip(before, now, strict=True)):
            rows[:] = now.rows(before.absolute(rows))


def published_of(earlier: Encoder, whitener: StreamingWhitener) -> Published:
    """Return a basis that was published, with the rotation C that it has in the whitening nearest to the present one.

    W = a V C and B = Σ V C / a are known. Of all whitenings V with such W the nearest to the present V' is the one with
    C = polar(V'ᵀ Σ' W): over rows of the present covariance Σ' its outputs before the rotation differ least.
    """
    filters = earlier.components.astype(np.float64) / earlier.amplitude / whitener.scale
    return Published(
        mean=np.array(earlier.mean, np.float64),
        rotation=polar(whitener.dewhiten.T @ filters.T).astype(np.float32),
        filters=np.array(earlier.components, np.float32),
        basis=np.array(earlier.mixing, np.float32),
        amplitude=float(earlier.amplitude),
        beta=np.array(earlier.beta, np.float32),
        bias=np.array(earlier.bias, np.float32),
    )


def compared(earlier: Published, present: Published, whitener: StreamingWhitener) -> tuple[Floats, Floats]:
    """Return how large the outputs ŷ of a basis are, and how alike to those of the present one, over rows until now.

    Returns
    -------
    deviations, correlations
        Of each output, (K1,); 1 where nothing has changed. 0 where one has no variance.
    """
    covariance = whitener.covariance()
    one, other = (basis.filters.astype(np.float64) / basis.amplitude / whitener.scale for basis in (earlier, present))
    powers = [np.einsum("ki,ij,kj->k", filters, covariance, filters) for filters in (one, other)]
    across = np.einsum("ki,ij,kj->k", one, covariance, other)
    size = np.sqrt(np.maximum(powers[0] * powers[1], 0))
    correlations = np.divide(across, size, out=np.zeros(len(across)), where=size > 0)
    return np.sqrt(np.maximum(powers[0], 0)), np.asarray(correlations)


def _scale_of(basis: Basis, present: Floats) -> Floats:
    """Return the unit of each channel (K,) for rows as a basis knows them; as at present where they do not vary."""
    deviations = basis.deviations()
    varies = deviations > 0
    return np.where(varies, power_of_two(-np.round(np.log2(np.where(varies, deviations, 1.0)))), present)


def _span(values: Floats) -> str:
    return f"{values.min():.3f} to {values.max():.3f}"
