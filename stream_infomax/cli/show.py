"""``stream-infomax show``: draw what was learnt from a checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_infomax.configuration.load import ConfigError

if TYPE_CHECKING:
    from stream_infomax.frames.contracts import Stage


def show(checkpoint: Path, *, out: Path | None = None, animate: Path | None = None) -> int:
    """Draw the filters and the basis of every learner in a checkpoint, and what its contrastive modules hear.

    What drives the units of a module most is found in the run's source, which is read again, in parts where it is long:
    pictures, and of sound WAV files in a folder beside them.

    Parameters
    ----------
    checkpoint
        A checkpoint of a learner's service, the folder of such (the newest is taken), or a run's folder. Of a fleet
        that of the shard whose learner has the newest round is taken.
    out
        The folder for the pictures; by default the checkpoint's own.
    animate
        Draw instead how the basis grew, from the bases that a run has kept: a file that ends in .gif or .webp, of at
        most 1.5 MB.
    """
    from stream_infomax.fleet.folder import newest_of
    from stream_infomax.run.learnt import stages_in
    from stream_infomax.run.pictures import draw_learners
    from stream_infomax.service.checkpoints import read
    from stream_infomax.settings.printable import printable
    from stream_infomax.state.file import StateFileError
    from stream_infomax.state.numbered import newest_checkpoints

    if not checkpoint.exists():
        raise ConfigError(f"{checkpoint}: there is no such checkpoint or folder")
    checkpoint = newest_of(checkpoint)
    paths = newest_checkpoints(checkpoint) if checkpoint.is_dir() else [checkpoint]
    if not paths:
        raise ConfigError(f"no checkpoint in the folder {checkpoint}")
    if animate is not None:
        return _animated(checkpoint, paths, animate, out)
    pictures: list[Path] = []
    stages: list[Stage] = []
    config: Mapping[str, Any] = {}
    for path in paths:
        try:
            found = read(path)
            own = stages_in(found, str(path))
            pictures += draw_learners(own, found.config, out or path.parent)
            stages, config = stages + own, found.config
        except StateFileError as error:
            raise ConfigError(str(error)) from error
        except ValueError as error:
            text = str(error)
            raise ConfigError(text if text.startswith(str(path)) else f"{path}: {text}") from error
    pictures += _heard(config, stages, out or paths[-1].parent)
    if not pictures:
        names = ", ".join(map(str, paths))
        raise ConfigError(f"no learner that has learnt a basis yet in {names}; give a later one, or a learner's")
    for picture in pictures:
        print(printable(str(picture)))
    return 0


def _heard(config: Mapping[str, Any], stages: list[Stage], folder: Path) -> list[Path]:
    """Draw what the modules hear; where the source cannot be read again, say so."""
    from stream_infomax.configuration.load import convert
    from stream_infomax.run.hearing import draw_hearing
    from stream_infomax.settings.printable import printable

    try:
        files, read = draw_hearing(convert(dict(config), "checkpoint"), stages, folder)
    except ConfigError as error:
        print(printable(f"left out: what the modules hear: {error}"), file=sys.stderr)
        return []
    if read:
        print(f"what the modules hear is found in {read}", file=sys.stderr)
    return files


def _animated(place: Path, checkpoints: list[Path], path: Path, out: Path | None) -> int:
    from stream_infomax.run.growth import animate
    from stream_infomax.settings.printable import printable
    from stream_infomax.state.file import StateFileError

    if out is not None:
        raise ConfigError(f"--out {out}: with --animate the file is said there")
    folder = place if place.is_dir() else place.parent
    try:
        files, lacking = animate(folder, checkpoints, path)
    except (StateFileError, ValueError) as error:
        raise error if isinstance(error, ConfigError) else ConfigError(str(error)) from error
    for line in lacking:
        print(printable(f"left out: {line}"), file=sys.stderr)
    for file in files:
        print(printable(str(file)))
    return 0
