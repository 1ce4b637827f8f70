"""Quarantine: rows that say nothing of the world, or something wrong, teach nothing and age nothing."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import signal_kernels
from stream_infomax.learning.infomax.events import Events
from stream_infomax.learning.infomax.warm_up import Unit
from stream_infomax.state.kept import Kept

Floats = NDArray[np.floating[Any]]
Reason: TypeAlias = Literal["", "silent", "stuck", "clipped"]

# Share of the newest block in what is usual for a channel.
USUAL_SHARE = 1 / 64
# Blocks without a fault before a quarantine ends, and blocks of silence that are reported.
QUIET, LONG_SILENCE = 16, 16
# Rows after which a fault of single channels is taken as their usual state.
PATIENCE = 200_000


class Quarantine(Kept):
    """Looks at the rows of a block before anything is learnt from them.

    Silent are rows that are all the same. Stuck is a channel that stands still while it usually does not; clipped is
    one of whose values more than usual lie at the extremes, which stay where they are. What is usual is taken from
    blocks without a fault: pixels that never vary, the whites of photographs and integers are no faults.

    Parameters
    ----------
    n_features
        K.

    Attributes
    ----------
    counts
        Rows that were not learnt from, by reason.
    usual
        Shares of values that are as before, and at the extremes, (2, K) float32.
    """

    kept: ClassVar[tuple[str, ...]] = (
        "counts",
        "usual",
        "_rails",
        "_origin",
        "_scale",
        "_reason",
        "_quiet",
        "_rows",
        "_reported",
    )

    def __init__(self, n_features: int) -> None:
        self.counts: dict[str, int] = {}
        self.usual: Floats = np.zeros((2, n_features), np.float32)
        self._rails: Floats = np.zeros((3, n_features), np.float32)
        # The unit of the rails.
        self._origin: Floats = np.zeros(n_features)
        self._scale: Floats = np.ones(n_features)
        self._faults: Floats = np.zeros(n_features, np.float32)
        self._reason: str = ""
        self._quiet = 0
        self._rows = 0
        self._reported = False

    def learn_usual(self, rows: Floats) -> None:
        """Take what is usual from the rows of the warm-up (n, K) float32."""
        if len(rows) > 2:
            self.usual[:] = 0
            self.usual[0] = np.mean(rows[1:] == rows[:-1], axis=0)
            ends = (rows == rows.min(axis=0)) | (rows == rows.max(axis=0))
            self.usual[1] = np.maximum(np.sum(ends, axis=0) - 2, 0) / len(rows)

    def holds(self, rows: Floats, unit: Unit, position: int, events: Events) -> bool:
        """Return whether a block (n, K) float32 is not to be learnt from; it ends at a position of the stream."""
        if len(rows) < 3:
            return False
        self._count_in(unit)
        still, cut, constant = signal_kernels.channel_faults(rows, self.usual, self._rails, USUAL_SHARE, self._faults)
        if still + cut or constant == rows.shape[1]:
            silent = max(still, constant) == rows.shape[1]
            self._begin("silent" if silent else "stuck" if still else "clipped", position, events)
        elif not self._reason:
            return False
        else:
            self._quiet += 1
            if self._reason == "silent" or self._quiet > QUIET:
                self._release(position, events, f"as usual again after {self._rows:,} rows")
                return False
        self._count(len(rows))
        if self._rows > PATIENCE and self._reason != "silent" and not self._quiet:
            self._accept(position, events)
        return True

    def _count_in(self, unit: Unit) -> None:
        """Count the rails in the unit that rows have now."""
        if unit.origin is self._origin and unit.scale is self._scale:
            return
        if not (np.array_equal(unit.origin, self._origin) and np.array_equal(unit.scale, self._scale)):
            self._rails[:2] = unit.rows(self._rails[:2] / self._scale + self._origin)
        self._origin, self._scale = unit

    def _count(self, n: int) -> None:
        self.counts[self._reason] = self.counts.get(self._reason, 0) + n
        self._rows += n

    def _begin(self, reason: Reason, position: int, events: Events) -> None:
        """Begin a quarantine, or go on with one."""
        if reason != self._reason:
            self._reason, self._rows, self._reported = reason, 0, False
        self._quiet = 0
        if not self._reported and (reason != "silent" or self._rows >= LONG_SILENCE * 64):
            self._reported = True
            events.add(position, "quarantine", f"{self._in_words()}: not learnt from")

    def _release(self, position: int, events: Events, why: str) -> None:
        if self._reported:
            events.add(position, "release", why)
        self._reason, self._quiet, self._rows, self._reported = "", 0, 0, False

    def _accept(self, position: int, events: Events) -> None:
        """Take the faults of channels as their usual state, and go on with the others."""
        self.usual[0, self._faults == 1] = 1
        self.usual[1, self._faults == 2] = 1
        self._release(position, events, f"{self._in_words()}: after {self._rows:,} rows this is taken as usual")

    def _in_words(self) -> str:
        if self._reason == "silent":
            return "all rows are the same"
        what = "stand still" if self._reason == "stuck" else "lie at their extremes"
        channels = np.flatnonzero(self._faults)
        named = ", ".join(map(str, channels[:8])) + (" and others" if len(channels) > 8 else "")
        return f"{len(channels)} of {len(self._faults)} channels ({named}) {what}"
