"""Pictures of what the learners of a run have learnt, and of how the learning went."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_infomax.frames.contracts import Pipeline, Stage
from stream_infomax.frames.event import Event
from stream_infomax.learning.infomax.encoder import in_file
from stream_infomax.settings.types import NAME_PATTERN

if TYPE_CHECKING:
    from stream_infomax.configuration.load import Config
    from stream_infomax.run.diff import Difference
    from stream_infomax.run.folder import RunFolder
    from stream_infomax.service.checkpoints import Checkpoint
    from stream_infomax.stages.learner import LearnerStage


def draw_run(
    config: Config, folder: RunFolder, checkpoints: Mapping[str, Checkpoint], stages: Mapping[str, list[Stage]]
) -> list[Path]:
    """Draw filters, recovery and learning curves into the folder of a run; return the paths of the pictures.

    Parameters
    ----------
    config
        Of the run.
    folder
        Of the run.
    checkpoints, stages
        The last checkpoint of each service, and its stages with their states.
    """
    pictures = []
    alone = sum(stage.kind == "learner" for stage in config.stage) == 1
    for service, checkpoint in checkpoints.items():
        pictures += draw_learners(stages[service], checkpoint.config, folder.path, alone)
        pictures += _draw_recovery(config, checkpoint, stages[service], folder.path)
    events = Pipeline([stage for own in stages.values() for stage in own]).events()
    return pictures + _draw_learning_curves(folder, events)


def draw_difference(found: Difference, path: Path) -> Path:
    """Draw two runs over each other; return the path of the picture."""
    import numpy as np

    from stream_infomax import plots

    components = {
        name: np.array([match.correlation for match in matches if match.before is not None])
        for name, matches in found.matched.items()
    }
    features = {name: agreement.correlations for name, agreement in found.features.items()}
    names = str(found.one.place), str(found.other.place)
    curves = found.one.curves, found.other.curves
    return plots.save(plots.differences(names, curves, components, features, found.origin), path)


def draw_learners(stages: Iterable[Stage], config: Mapping[str, Any], folder: Path, alone: bool = False) -> list[Path]:
    """Draw filters and basis of each learner; return the paths of the pictures.

    Parameters
    ----------
    stages
        Stages with their states; those that are no learner, or have no basis yet, are passed over.
    config
        The configuration as plain values: it knows the samples per second of recordings, and names of channels.
    folder
        Where the pictures go.
    alone
        Whether there is one learner only, which needs no name of its own in the file's.
    """
    from stream_infomax import plots

    pictures = []
    for stage in learners(stages):
        learner = stage.learner
        measured = stage.observed.spectra.stretches > 0
        figure = plots.components(
            learner.components_,
            learner.mixing_,
            stage.row_axes,
            stage.row_shape,
            stage.observed.spectra.rate if measured else rate_of(config),
            channels_of(config, stage) if measured else (),
            stage.observed.spectra.power if measured else None,
        )
        pictures.append(plots.save(figure, folder / picture_of(stage.name, stage.stream, alone)))
    return pictures


def picture_of(stage: str, stream: str, alone: bool) -> str:
    """Return the name of a picture: of the only learner, of one of several, or of a stream's."""
    if stream and re.search(NAME_PATTERN, stream):
        return f"filters-{stage}.{stream}.png"
    if stream:  # any text; what is no name gets its digest too, which keeps two of them apart
        return f"filters-{stage}.{re.sub(r'[^A-Za-z0-9_]', '-', stream)[:40]}-{in_file(f'/{stream}')[1:]}.png"
    return "filters.png" if alone else f"filters-{stage}.png"


def _draw_learning_curves(folder: RunFolder, events: Sequence[Event]) -> list[Path]:
    """Draw the measures that have moved: a run that only encodes has none."""
    from stream_infomax import plots
    from stream_infomax.watch import history

    curves = {curve: columns for curve, columns in history.read(folder.history).items() if len(columns["value"]) > 1}
    if not curves:
        return []
    return [plots.save(plots.learning_curves(curves, events), folder.path / "learning_curve.png")]


def _draw_recovery(config: Config, checkpoint: Checkpoint, stages: list[Stage], folder: Path) -> list[Path]:
    """Where the sources are known and read directly, draw how well each filter has found one of them."""
    from stream_infomax import plots
    from stream_infomax.configuration.compose import source_of
    from stream_infomax.learning.measures.information import amari_distance
    from stream_infomax.sources.synthetic import SyntheticSource

    first = next((stage for stage in learners(stages) if stage.name == config.stage[0].name), None)
    if config.source.kind != "synthetic" or first is None:
        return []
    source = source_of(config)
    assert isinstance(source, SyntheticSource)
    product = first.learner.components_ @ source.mixing(checkpoint.processed)
    distance = amari_distance(product) if product.shape[0] == product.shape[1] else None
    return [plots.save(plots.recovery(product, distance), folder / "recovery.png")]


def learners(stages: Iterable[Stage]) -> list[LearnerStage]:
    """Return the stages that are learners with a basis of at least one component."""
    return [stage for stage in all_learners(stages) if stage.is_warm and len(stage.learner.components_)]


def all_learners(stages: Iterable[Stage]) -> list[LearnerStage]:
    """Return the stages that are learners; of one with a learner for each stream, the learners of the first streams."""
    from stream_infomax.stages.learner import LearnerStage
    from stream_infomax.stages.own_learners import OwnLearners

    found: list[LearnerStage] = []
    for stage in stages:
        found += [stage] if isinstance(stage, LearnerStage) else stage.shown if isinstance(stage, OwnLearners) else []
    return found


def channels_of(config: Mapping[str, Any], stage: LearnerStage) -> tuple[str, ...]:
    """Return the names of a row's channels; none where the source has none, or is not there any more."""
    from stream_infomax.configuration.compose import source_of
    from stream_infomax.configuration.load import ConfigError, convert

    try:
        source: Any = source_of(convert(dict(config), "checkpoint"))
    except ConfigError:
        return ()
    names: tuple[str, ...] = source.outline().channels if hasattr(source, "outline") else ()
    return names if len(names) == stage.row_shape[0] else ()


def rate_of(config: Mapping[str, Any]) -> float:
    """Return the samples per second of recordings, 0 where the configuration leaves them as they are."""
    source = config.get("source", {})
    return float(source.get("rate", 0)) if source.get("kind") in ("audio", "microphone") else 0.0
