"""The stages of a run as they were at its newest checkpoints."""

from __future__ import annotations

from stream_infomax.configuration.compose import stage_of
from stream_infomax.configuration.load import convert
from stream_infomax.frames.contracts import Stage
from stream_infomax.service.checkpoints import Checkpoint
from stream_infomax.state.error import fitting


def stages_in(checkpoint: Checkpoint, origin: str = "checkpoint") -> list[Stage]:
    """Return the stages of a checkpoint with their states, made as its own configuration describes them.

    Raises
    ------
    ConfigError
        Where the configuration in it is none of this version; names `origin`.
    ValueError
        Where a state does not fit its stage.
    """
    config = convert(checkpoint.config, origin)
    stages = [stage_of(config, settings) for settings in config.stage if settings.name in checkpoint.stages]
    for stage in stages:
        with fitting(f"{origin}: the state of {stage.name!r}"):
            stage.restore(checkpoint.stages[stage.name])
    return stages
