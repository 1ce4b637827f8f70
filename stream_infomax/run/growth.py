"""How the bases of a run grew, from those that its services have kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stream_infomax.configuration.load import ConfigError
from stream_infomax.learning.infomax.encoder import Encoder, Kept, in_file, kept_bases
from stream_infomax.run.learnt import stages_in
from stream_infomax.run.pictures import channels_of, learners, picture_of, rate_of
from stream_infomax.service.checkpoints import Checkpoint, read

if TYPE_CHECKING:
    from stream_infomax.stages.learner import LearnerStage

# Of an animation; so many pictures tell it, and more would be a large file.
MOST_STEPS = 60


def animate(place: Path, checkpoints: Sequence[Path], path: Path) -> tuple[list[Path], list[str]]:
    """Draw how the basis of each learner grew; return the files, and of which learners there is too little.

    Parameters
    ----------
    place
        The folder of a service or a run.
    checkpoints
        The newest in it: they know what the rows of a learner are.
    path
        The file; where there are several learners, each has one, with its name before the ending.

    Raises
    ------
    ConfigError
        Where the ending is none of an animation, or no learner has kept two bases.
    """
    from stream_infomax import plots
    from stream_infomax.plots.growth import ENDINGS

    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"{path}: accepted are files that end in {' or '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}")
    found = [(one, stage) for one in map(read, checkpoints) for stage in learners(stages_in(one, str(place)))]
    kept = kept_bases(place)
    files, lacking = [], []
    for checkpoint, stage in found:
        key = f"{stage.name}/{stage.stream}" if stage.stream else stage.name
        own = chosen([one for one in kept if one.stage == in_file(key)])
        encoders = [Encoder.load(one.path) for one in own]
        fitting = [i for i, encoder in enumerate(encoders) if encoder.mixing.shape == encoders[-1].mixing.shape]
        if len(fitting) < 2:
            lacking.append(f"{key}: {len(fitting)} basis kept so far; an animation takes two or more")
            continue
        moments = [(f"frame {own[i].offset:,}", encoders[i].mixing) for i in fitting]
        pictures = plots.growth(encoders[-1].components, moments, *_geometry(checkpoint, stage))
        files.append(path if len(found) == 1 else path.with_stem(f"{path.stem}-{_name(stage)}"))
        plots.save_animation(pictures, files[-1])
    if not files:
        raise ConfigError(f"{place}: {'; '.join(lacking) or 'no learner that has learnt a basis yet'}")
    return files, lacking


def _geometry(
    checkpoint: Checkpoint, stage: LearnerStage
) -> tuple[tuple[str, ...], tuple[int, ...], float, tuple[str, ...]]:
    measured = stage.observed.spectra.stretches > 0
    names = channels_of(checkpoint.config, stage) if measured else ()
    return stage.row_axes, stage.row_shape, rate_of(checkpoint.config), names


def _name(stage: LearnerStage) -> str:
    return picture_of(stage.name, stage.stream, False).removeprefix("filters-").removesuffix(".png")


def chosen(kept: Sequence[Kept], most: int = MOST_STEPS) -> list[Kept]:
    """Return at most so many of the bases, the first and the last among them, more of the beginning than of the end.

    A basis changes the less the longer it has been learnt: they are evenly apart in the logarithm of their frames.
    """
    if len(kept) <= most:
        return list(kept)
    age = np.log1p([one.offset for one in kept])
    wanted = np.linspace(age[0], age[-1], most)
    nearest = np.abs(age[:, None] - wanted).argmin(0)
    return [kept[i] for i in np.unique(nearest)]
