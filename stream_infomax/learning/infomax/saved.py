"""Where the state of a learner is found: in a file of its own, in a checkpoint, in the folder of a service or run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stream_infomax.state.file import StateFileError, Tree, load
from stream_infomax.state.numbered import newest_checkpoints

# Of what `OnlineInfomax.state` gives; raised when its keys or their meaning change.
FORMAT = 6


def learner_state(path: Path, name: str | None = None) -> Tree:
    """Return the state of a learner.

    Parameters
    ----------
    path
        What `OnlineInfomax.save` wrote, a checkpoint, or the folder of a service or of a run, whose newest checkpoint
        is taken.
    name
        The learner's stage, where there are several.

    Raises
    ------
    StateFileError
        Where there is no learner of this name or version, or no telling which; names the file.
    """
    return learner_of(path, contents(path), name)[1]


def contents(path: Path) -> dict[Path, Tree]:
    """Return what a file holds, or the newest checkpoints in a folder.

    Raises
    ------
    StateFileError
        Where there is none, or it is damaged.
    """
    return {file: load(file) for file in (_checkpoints(path) if path.is_dir() else [path])}


def learner_of(path: Path, trees: Mapping[Path, Tree], name: str | None) -> tuple[Path, Tree]:
    """Return the state of a learner among the `contents` of `path`, and its file; raises as `learner_state`."""
    for file, tree in trees.items():
        if _is_learner(tree):
            if name is not None:
                raise StateFileError(f"{path}: a learner's state in its own file has no name; {name!r} was asked for")
            return _of_this_version(file, tree)
        if not isinstance(tree.get("stages"), dict) and not path.is_dir():
            raise StateFileError(f"{path}: neither a learner's state nor a checkpoint of a run")
    found = learners_in(trees)
    if not found:
        raise StateFileError(f"{path}: no learner among its stages")
    if name is None and len(found) > 1:
        raise StateFileError(f"{path}: holds the learners {', '.join(found)}; `name` says which")
    if name is not None and name not in found:
        raise StateFileError(f"{path}: no learner {name!r}; it holds {', '.join(found)}")
    return _of_this_version(*found[name or next(iter(found))])


def learners_in(trees: Mapping[Path, Tree]) -> dict[str, tuple[Path, Tree]]:
    """Return the files and states of the learners in checkpoints, by stage, or STAGE/STREAM where each has its own."""
    found: dict[str, tuple[Path, Tree]] = {}
    for file, tree in trees.items():
        stages = tree.get("stages")
        if isinstance(stages, dict):
            held = {key: state for stage, one in stages.items() for key, state in _held(stage, one)}
            found |= {key: (file, state["learner"]) for key, state in held.items() if _holds_learner(state)}
    return found


def _checkpoints(folder: Path) -> list[Path]:
    """Return the newest checkpoints in a folder; raises StateFileError where there is none."""
    found = newest_checkpoints(folder)
    if not found:
        raise StateFileError(f"{folder}: no checkpoint in this folder, and none in the folders in it")
    return found


def _held(stage: str, one: Any) -> Iterator[tuple[str, Any]]:
    """Yield the state of a stage, and those of its streams' learners."""
    yield stage, one
    streams = one.get("streams") if isinstance(one, Mapping) else None
    if isinstance(streams, Mapping):
        yield from ((f"{stage}/{stream}", state) for stream, state in streams.items())


def _is_learner(tree: Any) -> bool:
    return isinstance(tree, Mapping) and "format" in tree and "settings" in tree


def _holds_learner(stage: Any) -> bool:
    return isinstance(stage, Mapping) and _is_learner(stage.get("learner"))


def _of_this_version(path: Path, tree: Tree) -> tuple[Path, Tree]:
    if tree["format"] != FORMAT:  # the settings of another version may be others
        raise StateFileError(f"{path}: a learner's state of format {tree['format']!r}; this version reads {FORMAT}")
    return path, tree
