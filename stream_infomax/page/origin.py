"""Origin: what a learner's rows are cut from, as far as the configuration tells."""

from __future__ import annotations

from typing import NamedTuple

from stream_infomax.frames.basis import Basis
from stream_infomax.page.watched import Stage, Watched


class Origin(NamedTuple):
    """What a learner's rows are cut from.

    Attributes
    ----------
    rate
        Samples a second of the signal; 0 where there is none, or it is not known.
    step
        Seconds between two steps of a log-mel patch; 0 elsewhere.
    channels
        Names of the signal's channels; empty where they have none.
    input
        The array that the learner reads.
    """

    rate: float = 0.0
    step: float = 0.0
    channels: tuple[str, ...] = ()
    input: str = ""


def origin(watched: Watched, basis: Basis) -> Origin:
    """Return what the rows of the learner of a basis are cut from."""
    stages = {stage.name: stage for stage in watched.stages}
    learner = stages.get(basis.stage)
    front = stages.get(learner.input) if learner else None
    if front is None:
        return Origin()
    if front.kind != "windows":
        return Origin(front.rate, 0.0, front.channels, front.name)
    signal = stages.get(front.input, Stage("", "", ""))
    is_mel = front.settings.get("form") == "log-mel"
    step = float(front.settings.get("shift_ms", 10.0)) / 1000 if is_mel else 0.0
    return Origin(signal.rate, step, signal.channels, front.name)
