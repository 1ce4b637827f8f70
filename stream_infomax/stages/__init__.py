"""Where mathematics meets frames: one file a stage. `build` makes a stage from its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_infomax.config import (
    AnyStage,
    ClassifierSettings,
    Config,
    ContrastSettings,
    LearnerSettings,
    WindowsSettings,
)

if TYPE_CHECKING:
    from stream_infomax.streaming.stage import Pipeline, Stage

# Keys that say where and how a stage runs; the stage itself does not know them.
_PLACEMENT = ("name", "input", "carry", "service", "log", "device", "learn", "start")


def build(settings: AnyStage, *, input: str, seed: int) -> Stage:
    """Return the stage that `settings` describe, reading the array `input` unless they name another."""
    place: dict[str, Any] = {"name": settings.name, "input": settings.input or input, "carry": settings.carry}
    own = {key: value for key, value in msgspec.structs.asdict(settings).items() if key not in _PLACEMENT}
    match settings:
        case WindowsSettings():
            from stream_infomax.stages.windows import WindowsStage

            return WindowsStage(**place, **own)
        case LearnerSettings():
            from stream_infomax.stages.learner import LearnerStage

            return LearnerStage(**place, learn=settings.learn, seed=seed, **own)
        case ContrastSettings():
            from stream_infomax.stages.contrast import ContrastStage

            return ContrastStage(**place, learn=settings.learn, device=settings.device, seed=seed, **own)
        case ClassifierSettings():
            from stream_infomax.stages.classifier import ClassifierStage

            return ClassifierStage(**place, learn=settings.learn, seed=seed, **own)


def build_pipeline(config: Config, service: str | None = None) -> Pipeline:
    """Return the stages of one service, or of all of them, in a row.

    Raises
    ------
    ConfigError
        Where there is no such service.
    """
    from stream_infomax.streaming.stage import Pipeline

    wanted = config.stage if service is None else config.stages_of(service)
    inputs = [config.source.name, *(stage.name for stage in config.stage)]
    stages = [build(stage, input=inputs[config.stage.index(stage)], seed=config.run.seed) for stage in wanted]
    return Pipeline(stages, name=service or "pipeline")
