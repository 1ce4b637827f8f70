"""Pictures of what the learners in a checkpoint have learnt."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_infomax.learning.infomax.estimator import OnlineInfomax


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
    from stream_infomax.learning.infomax.estimator import NotWarmError, OnlineInfomax

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
