"""``stream-infomax show``: draw what was learnt from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_infomax.config import ConfigError

if TYPE_CHECKING:
    from stream_infomax.learning.infomax import OnlineInfomax


def show(checkpoint: Path, *, out: Path | None = None) -> int:
    """Draw the filters and the basis of every learner in a checkpoint.

    Parameters
    ----------
    checkpoint
        A checkpoint of a learner's service, the folder of such (the newest is taken), or a run's folder.
    out
        The folder for the pictures; by default the checkpoint's own.
    """
    from stream_infomax.state_file import StateFileError, load

    paths = _newest(checkpoint) if checkpoint.is_dir() else [checkpoint]
    if not paths:
        raise ConfigError(f"no checkpoint in the folder {checkpoint}")
    pictures = []
    for path in paths:
        try:
            pictures += draw(load(path), out or path.parent)
        except StateFileError as error:
            raise ConfigError(str(error)) from error
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from error
    if not pictures:
        names = ", ".join(map(str, paths))
        raise ConfigError(f"no learner that has learnt a basis yet in {names}; give a later one, or a learner's")
    for picture in pictures:
        print(picture)
    return 0


def _newest(folder: Path) -> list[Path]:
    """Return the newest checkpoint in a service's folder, or that of every service in a run's."""
    from stream_infomax.streaming.checkpoint import checkpoints_in

    services = [folder, *sorted(place for place in folder.iterdir() if place.is_dir())]
    return [found[-1] for found in map(checkpoints_in, services) if found]


def draw(tree: Mapping[str, Any], folder: Path, alone: bool = False) -> list[Path]:
    """Draw each learner in a service's checkpoint; return the paths of the pictures.

    One that is `alone` needs no name of its own in the file's.
    """
    from stream_infomax import plots

    pictures = []
    for name, (learner, state) in learners(tree).items():
        figure = plots.components(
            learner.components_, learner.mixing_, state["row_axes"], state["row_shape"], _rate(tree["config"])
        )
        pictures.append(plots.save(figure, folder / ("filters.png" if alone else f"filters-{name}.png")))
    return pictures


def learners(tree: Mapping[str, Any]) -> dict[str, tuple[OnlineInfomax, Mapping[str, Any]]]:
    """Return the learners in a service's checkpoint that have learnt a basis, and their stages' states, by name."""
    from stream_infomax.learning.infomax import NotWarmError, OnlineInfomax

    found = {}
    for name, state in tree["stage"].items():
        if not isinstance(state, Mapping) or "row_axes" not in state:
            continue
        learner = OnlineInfomax(**state["learner"]["settings"])
        learner.restore(state["learner"])
        with suppress(NotWarmError):
            if len(learner.components_):
                found[name] = (learner, state)
    return found


def _rate(config: Mapping[str, Any]) -> float:
    """Return the samples per second of recordings, 0 where the configuration leaves them as they are."""
    source = config.get("source", {})
    return float(source.get("rate", 0)) if source.get("kind") == "audio" else 0.0
