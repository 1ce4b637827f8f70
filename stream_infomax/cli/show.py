"""``stream-infomax show``: draw what was learnt from a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stream_infomax.config import ConfigError


def show(checkpoint: Path, *, out: Path | None = None) -> int:
    """Draw the filters and the basis of every learner in a checkpoint.

    Parameters
    ----------
    checkpoint
        A checkpoint of a learner's service, or its folder (the newest is taken).
    out
        The folder for the pictures; by default the checkpoint's own.
    """
    from stream_infomax.streaming.checkpoint import CheckpointError, Checkpoints, load

    path = checkpoint
    if checkpoint.is_dir():
        found = Checkpoints(checkpoint).paths()
        if not found:
            raise ConfigError(f"no checkpoint in the folder {checkpoint}")
        path = found[-1]
    try:
        tree = load(path)
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
    pictures = draw(tree, out or path.parent)
    if not pictures:
        raise ConfigError(f"{path} holds no learner that has learnt a basis yet; give a later one, or a learner's")
    for picture in pictures:
        print(picture)
    return 0


def draw(tree: Mapping[str, Any], folder: Path, alone: bool = False) -> list[Path]:
    """Draw each learner in a service's checkpoint; return the paths of the pictures.

    One that is `alone` needs no name of its own in the file's.
    """
    from stream_infomax import plots
    from stream_infomax.learning.infomax import NotWarmError, OnlineInfomax

    pictures = []
    for name, state in _learners(tree["stage"]):
        learner = OnlineInfomax(**state["learner"]["settings"])
        learner.restore(state["learner"])
        try:
            filters, basis = learner.components_, learner.mixing_
        except NotWarmError:
            continue
        file = "filters.png" if alone else f"filters-{name}.png"
        figure = plots.components(filters, basis, state["row_axes"], state["row_shape"], _rate(tree["config"]))
        pictures.append(plots.save(figure, folder / file))
    return pictures


def _learners(state: Mapping[str, Any], name: str = "learner") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Find the states of learners, however deep they lie in pipelines."""
    if "row_axes" in state and "learner" in state:
        yield name, state
        return
    for key, child in state.items():
        if isinstance(child, Mapping):
            yield from _learners(child, key)


def _rate(config: Mapping[str, Any]) -> float:
    """Return the samples per second of recordings, 0 where the configuration leaves them as they are."""
    source = config.get("source", {})
    return float(source.get("rate", 0)) if source.get("kind") == "audio" else 0.0
