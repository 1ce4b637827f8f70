"""Watch: tells when the stream that a learner follows has changed, and keeps what was good before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import signal_kernels
from stream_infomax.learning.infomax.archive import Archive
from stream_infomax.learning.infomax.charts import Alarm, Charts
from stream_infomax.learning.infomax.examination import Examination
from stream_infomax.learning.infomax.gains import Gains
from stream_infomax.learning.infomax.lag import MOST_OUTPUTS, Lag
from stream_infomax.learning.infomax.rules import Rule, Step
from stream_infomax.learning.infomax.warm_up import Unit, unit_of
from stream_infomax.state.kept import Kept, within

Floats = NDArray[np.floating[Any]]
# Who made learning wait: nobody, a change under `adapt = "hold"`, a person.
Held: TypeAlias = Literal["", "change", "person"]

LEVEL, SHAPE, SPREAD = range(3)
# The level counts both ways; shape and spread where they rise: outputs nearer to normal, variances further from 1.
TWO_SIDED = (True, False, False)
# Share of the newest block in the powers that the spread is taken from.
POWER_SHARE = 1 / 16
# Mean |u| of a normal output at unit root mean square.
NORMAL = math.sqrt(2 / math.pi)
# The least changes that matter, whatever their significance: of the level; of the shape, as a share of what tells the
# outputs from normal ones; of the spread, as a mean squared deviation of variances.
LEAST_LEVEL, LEAST_LOSS, LEAST_SPREAD = 0.4, 0.1, 0.04
# A level that needs no reference: so far above the usual for so many blocks, or below it for so many.
FAR, FAR_BLOCKS, SILENT_BLOCKS = 3.0, 3, 100
# What rows are gathered about that no alarm asked for.
RESUMED = "learning was resumed"
# Learning waits where rows are so much longer or shorter than usual: it would learn from nothing else.
PAUSE = 1.0


class Watch(Kept):
    """The signals of a stream, their charts, an examination where one is under way, and the archive.

    Parameters
    ----------
    n_features, n_rank, n_components
        K, K0 and K1.
    blocks
        Between two false alarms.

    Attributes
    ----------
    values
        The newest block's level, shape and spread.
    examination
        Under way after an alarm.
    held
        Why learning waits for a person; empty where it does not.
    undone
        Whether a person went back to an earlier basis, and it is to be found out yet whether it fits.
    """

    kept: ClassVar[tuple[str, ...]] = (
        "charts",
        "archive",
        "gains",
        "lag",
        "held",
        "undone",
        "values",
        "_power",
        "_signal",
        "_far",
        "_patience",
    )

    def __init__(self, n_features: int, n_rank: int, n_components: int, blocks: float) -> None:
        self.n_features = n_features
        self.charts = Charts(TWO_SIDED, blocks)
        self.archive = Archive()
        self.gains = Gains(n_features)
        self.lag = Lag(n_features, min(n_rank, MOST_OUTPUTS), n_components == n_rank)
        self.examination: Examination | None = None
        self.held: Held = ""
        self.undone = False
        self.values: Floats = np.zeros(3)
        self._power: Floats = np.ones(n_components, np.float32)
        self._signal = LEVEL  # of the newest alarm
        self._far = 0
        self._patience = 1

    def add(self, step: Step, rule: Rule) -> str:
        """Take in what a step has learnt from; return what an alarm says, in words, or nothing."""
        signal_kernels.block_signals(step.y, step.lengths, rule.sign, POWER_SHARE, self._power, self.values)
        alarm = self.charts.add(self.values)
        if alarm is None:
            return self._say_far()
        self._signal = alarm.signal
        text = describe(alarm, rule.sign)
        if not text:
            self.charts.dismiss()
        return text

    def _say_far(self) -> str:
        level = self.values[LEVEL]
        far = abs(level) > FAR and not self.charts.ready
        self._far = self._far + 1 if far else 0
        if self._far < self._patience * (FAR_BLOCKS if level > 0 else SILENT_BLOCKS):
            return ""
        self._far, self._signal = 0, LEVEL
        return f"rows are {math.exp(self.values[LEVEL]):.3g} times as long as the basis expects"

    def examine(self, text: str, rows: Floats, follows: bool) -> None:
        """Begin to gather rows after an alarm; those of its block (n, K) float64 only say in which unit."""
        self.archive.doubt()
        pauses = bool(abs(self.values[LEVEL]) > PAUSE)
        self.examination = Examination(self.n_features, unit_of(rows), text, pauses, follows)

    def resume(self, unit: Unit) -> None:
        """End a hold; where a change began it, rows are gathered, in a unit to begin with: what they say is followed.

        A person has reasons of their own to hold: then the stream need not have changed.
        """
        asks = self.undone or self.held == "change"
        self.held = ""
        if asks:
            self.ask(unit, RESUMED)

    def ask(self, unit: Unit, about: str) -> None:
        """Gather rows although there was no alarm, in a unit to begin with; what they say is followed."""
        self.examination = Examination(self.n_features, unit, about, True, True)

    @property
    def is_about_shape(self) -> bool:
        """Whether the newest alarm was raised by the shape of the outputs."""
        return self._signal == SHAPE

    @property
    def usual_level(self) -> float | None:
        """The mean of ln r that is usual; None where it is not known."""
        return float(self.charts.means[LEVEL]) if self.charts.ready else None

    def look_elsewhere(self, rows: Floats, follows: bool) -> None:
        """Count rows from where these are, (n, K) float64, far from the mean: how they vary may be seen from there."""
        self.examination = Examination(self.n_features, unit_of(rows), "rows lie far from their mean", True, follows)

    def quarantined(self) -> None:
        """Conclude nothing from rows before a quarantine: they may have been bad already."""
        self.charts.dismiss()
        self.archive.doubt()
        if self.examination is not None:
            self.examination.rows = self.examination.rows[:0]
            if not self.examination.pauses:
                self.examination = None

    def dismiss(self) -> None:
        """Let an alarm pass that was none: its signal needs a new reference."""
        self.examination, self.undone = None, False
        self.charts.clear((self._signal,))
        self._patience = min(2 * self._patience, 1 << 20)

    def moved(self, is_new: bool) -> None:
        """After a change has been followed: what is known of the level holds on, of a new world nothing else."""
        self.examination, self.undone = None, False
        self.lag.clear()
        self.gains.end()
        self._power[:] = 1
        self._patience = 1
        if is_new:
            self.charts.clear((SHAPE, SPREAD))
        else:
            self.charts.dismiss()

    def begin_again(self, adapts: bool) -> None:
        """After a person went back to an earlier basis: nothing is usual any more; who adapts finds out what is."""
        self.moved(True)
        self.charts.clear()
        self.archive.doubt()
        self._far, self._signal, self.undone = 0, LEVEL, adapts

    def hold(self, by: Held) -> None:
        """Let learning wait; what was being examined is left."""
        self.examination, self.held = None, by

    def loss(self, outputs: Floats, sign: Floats, blocks: float) -> float:
        """Return the share of what told the outputs from normal ones that rows with these outputs (n, K1) have lost.

        It is the least that is likely: less two standard errors, or three of what so many blocks may wander.
        """
        if not self.charts.knows(SHAPE):
            return 1.0
        size = np.sqrt(np.mean(np.square(outputs), axis=1, keepdims=True))
        shapes = np.mean(sign * np.abs(outputs) / np.maximum(size, 1e-30), axis=1)
        wandering = 3 * self.charts.deviation(SHAPE) / math.sqrt(blocks) if blocks else 0.0
        shape = float(shapes.mean()) - max(2 * float(shapes.std()) / math.sqrt(len(shapes)), wandering)
        return share_lost(self.charts.means[SHAPE], shape, sign)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        state = super().state()
        if self.examination is not None:
            state["examination"] = self.examination.state()
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        super().restore(state)
        self.examination = None
        if "examination" in state:
            unit = Unit(np.zeros(self.n_features), np.ones(self.n_features))
            self.examination = Examination(self.n_features, unit, "", False, False)
            with within("examination"):
                self.examination.restore(state["examination"])


def share_lost(before: float, since: float, sign: Floats) -> float:
    """Return the share of the distance from the shape of normal outputs that is gone, between 0 and 1."""
    normal = NORMAL * float(np.mean(sign))
    return min(max((since - before) / max(normal - before, 1e-3), 0.0), 1.0)


def describe(alarm: Alarm, sign: Floats) -> str:
    """Return what an alarm says, in words; nothing where the change is too small to matter."""
    found = f"over {alarm.blocks} blocks"
    if alarm.signal == LEVEL:
        change = alarm.since - alarm.before
        if abs(change) < LEAST_LEVEL:
            return ""
        return f"rows are {math.exp(change):.3g} times as long as before {found}"
    if alarm.signal == SHAPE:
        lost = share_lost(alarm.before, alarm.since, sign)
        if lost < LEAST_LOSS:
            return ""
        return f"outputs have lost {lost:.0%} of what tells them from normal ones {found}"
    if math.exp(alarm.since) < LEAST_SPREAD:
        return ""
    return f"variances of outputs are off by {math.exp(alarm.since / 2):.0%} ({math.exp(alarm.before / 2):.0%}) {found}"
