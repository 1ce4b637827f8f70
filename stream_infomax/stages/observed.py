"""Observed: what is measured of a learner while it learns, on rows that it has not learnt from yet."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.frame import Frame
from stream_infomax.frames.measure import Kind
from stream_infomax.learning.measures.panel import Panel
from stream_infomax.learning.threads import one_thread
from stream_infomax.state.kept import Kept

# Rows of a frame, spread over it, that the running measures look at: enough for a curve, and hardly a cost.
WATCHED = 32

Rows = npt.NDArray[np.float32] | npt.NDArray[np.float64]


class Observed(Kept):
    """The panel that judges a basis, and running measures of the newest rows.

    Parameters
    ----------
    learner
        The OnlineInfomax that is measured.
    seed
        Of the panel.

    Attributes
    ----------
    panel
        Rows spread evenly over the stream.
    spectra
        Of the outputs, where channels are measured at a rate.
    frame_information
        Bits that the newest frame's rows transmit; NaN before there are any.
    """

    kept: ClassVar[tuple[str, ...]] = ("panel", "_information", "spectra", "frame_information")

    def __init__(self, learner: Any, seed: int) -> None:
        from stream_infomax.learning.measures.information import RunningInformation
        from stream_infomax.learning.measures.spectra import RunningSpectra

        self.learner = learner
        self.panel = Panel(seed=seed)
        self.spectra = RunningSpectra()
        self.frame_information = math.nan
        self._information = RunningInformation()

    def look(self, frame: Frame, rows: Rows, row_axes: tuple[str, ...], bad: bool) -> None:
        """Measure rows of a frame that have not been learnt from yet, and let them into the panel.

        Parameters
        ----------
        row_axes
            Of a row.
        bad
            Whether they are in quarantine: rows that teach nothing judge nothing either.
        """
        if bad:
            self.spectra.interrupt()
            return
        # Channels that are measured at a rate have a spectrum; windows show theirs themselves.
        if row_axes == ("channel",) and self.spectra.wants(len(rows), frame.rate, frame.stream, frame.segment):
            with one_thread(), np.errstate(invalid="ignore", over="ignore"):  # of sums of large powers
                self.spectra.add(self._potentials(rows))
        rows = rows[:: -(-len(rows) // WATCHED) or 1]
        with one_thread():
            self.frame_information = self._information.partial_fit(self._potentials(rows), self.learner.rotation_)
        self.panel.add(rows)

    def clear(self) -> None:
        """What was before is not what is learnt from now on."""
        self.spectra.clear()
        self.panel.clear()

    def _potentials(self, rows: Rows) -> npt.NDArray[np.float32]:
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is not measured
            centred = (rows - self.learner.mean_).astype(np.float32)
            return np.asarray(centred @ self.learner.components_.T)

    def values(self) -> dict[Kind, float]:
        """Return objective (nats) and coefficient entropy (bits) on the panel, and the information of recent rows."""
        from stream_infomax.learning.measures.information import RunningEntropy, RunningInformation

        if not self.panel.seen:
            return {}
        learner = self.learner
        objective = learner.objective_
        with one_thread():
            potentials = self._potentials(self.panel.rows)
            if learner.n_components_ == learner.n_rank_:
                judged = RunningInformation()
                judged.partial_fit(potentials, learner.rotation_)
                objective = judged.objective
        return {
            "objective": objective,
            "entropy": RunningEntropy().partial_fit(potentials).value,
            "information": self._information.information,
        }
