"""Pictures of what the learners of a run have learnt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_infomax.frames.contracts import Stage

if TYPE_CHECKING:
    from stream_infomax.stages.learner import LearnerStage


def draw(stages: Iterable[Stage], config: Mapping[str, Any], folder: Path, alone: bool = False) -> list[Path]:
    """Draw filters and basis of each learner; return the paths of the pictures.

    Parameters
    ----------
    stages
        Stages with their states; those that are no learner, or have no basis yet, are passed over.
    config
        The configuration as plain values: it knows the samples per second of recordings.
    folder
        Where the pictures go.
    alone
        Whether there is one learner only, which needs no name of its own in the file's.
    """
    from stream_infomax import plots

    pictures = []
    for stage in learners(stages):
        learner = stage.learner
        figure = plots.components(learner.components_, learner.mixing_, stage.row_axes, stage.row_shape, _rate(config))
        pictures.append(plots.save(figure, folder / ("filters.png" if alone else f"filters-{stage.name}.png")))
    return pictures


def learners(stages: Iterable[Stage]) -> list[LearnerStage]:
    """Return the stages that are learners with a basis of at least one component."""
    from stream_infomax.stages.learner import LearnerStage

    found = [stage for stage in stages if isinstance(stage, LearnerStage)]
    return [stage for stage in found if stage.is_warm and len(stage.learner.components_)]


def _rate(config: Mapping[str, Any]) -> float:
    """Return the samples per second of recordings, 0 where the configuration leaves them as they are."""
    source = config.get("source", {})
    return float(source.get("rate", 0)) if source.get("kind") == "audio" else 0.0
