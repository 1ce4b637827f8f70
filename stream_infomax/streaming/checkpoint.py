"""Checkpoints: a tree of numpy arrays and JSON values in one safetensors file, written atomically.

The arrays are the file's tensors; the tree with their names in it, the format's version and a digest of everything
stand in the file's metadata. A file is either whole or refused: never pickle, never half a state.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from stream_infomax.streaming.stage import State

FORMAT = 1
_NAME = re.compile(r"checkpoint-(\d+)-at-(\d+)\.safetensors")
_ARRAY = "$array"

_log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or written: names the file and the reason."""


def save(path: Path, tree: State) -> None:
    """Write `tree` to `path` so that at any moment either the old file or the whole new one is there.

    Raises
    ------
    CheckpointError
        Where the disk does not take it (the file that was there before is untouched).
    TypeError
        Where the tree holds something that is neither an array nor a JSON value; names the key.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    text = json.dumps(_split(tree, "", arrays))
    metadata = {"format": str(FORMAT), "tree": text, "digest": _digest(text, arrays)}
    content = to_bytes(arrays, metadata)
    with replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` when the block ends well, and is on disk then.

    Raises
    ------
    CheckpointError
        Where the disk does not take it; names the file.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(f"{path}: not written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load(path: Path) -> State:
    """Return the tree that `save` wrote.

    Raises
    ------
    CheckpointError
        Where the file is missing, truncated, damaged, of a newer format or no checkpoint at all.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            version = metadata.get("format", "")
            if version != str(FORMAT):
                what = f"format {version}" if version else "no format named"
                raise CheckpointError(f"{path}: {what}; format {FORMAT} is accepted")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not readable, perhaps truncated: {error}") from error
    text = metadata.get("tree", "")
    if metadata.get("digest") != _digest(text, arrays):
        raise CheckpointError(f"{path}: its content does not match its digest: damaged")
    tree: State = _join(json.loads(text), arrays)
    return tree


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first; a service may be writing the next one meanwhile."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


class Checkpoints:
    """The last few checkpoints in a folder.

    Parameters
    ----------
    folder
        Made where it is missing.
    keep
        How many stay.
    """

    def __init__(self, folder: Path, keep: int = 3) -> None:
        if keep < 1:
            raise ValueError(f"keep = {keep}; at least 1 checkpoint is kept")
        self.folder = folder
        self.keep = keep
        folder.mkdir(parents=True, exist_ok=True)

    def paths(self) -> list[Path]:
        """Return the files, oldest first."""
        return checkpoints_in(self.folder)

    def save(self, tree: State, position: int) -> Path:
        """Write `tree`, which stands after `position` frames, and forget the oldest beyond `keep`."""
        paths = self.paths()
        number = 1 + max((_number(path) for path in paths), default=0)
        path = self.folder / f"checkpoint-{number:06d}-at-{position}.safetensors"
        save(path, tree)
        for old in paths[: max(0, len(paths) + 1 - self.keep)]:
            old.unlink(missing_ok=True)
        for left in self.folder.glob("checkpoint-*.tmp"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)
        return path

    def latest(self) -> State | None:
        """Return the newest tree, None where there is no checkpoint yet.

        A damaged file is put aside (renamed to ``*.damaged``) with a warning, and the one before it is used.

        Raises
        ------
        CheckpointError
            Where there are checkpoints but none is readable.
        """
        damaged: list[Path] = []
        for path in reversed(self.paths()):
            try:
                tree = load(path)
            except CheckpointError as error:
                _log.warning("%s; the checkpoint before it is used", error)
                damaged.append(path)
                continue
            for other in damaged:  # or the next ones would be pruned in their place
                other.replace(other.with_name(other.name + ".damaged"))
            return tree
        if damaged:
            raise CheckpointError(
                f"{self.folder}: none of {len(damaged)} checkpoints is readable; start afresh without them"
            )
        return None


def differences(saved: Mapping[str, Any], current: Mapping[str, Any], may_change: Collection[str] = ()) -> list[str]:
    """Return one sentence for each key that differs between two configurations and may not.

    Parameters
    ----------
    saved, current
        Trees of plain values. Tables in a list are told apart by their ``name``.
    may_change
        Shell patterns of keys that are free to change, matched with the dotted path or its end: ``half_life``,
        ``log.*``, ``run.folder``.
    """
    before, now = _flatten(saved, ""), _flatten(current, "")
    sentences = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key, "absent"), now.get(key, "absent")
        free = any(fnmatchcase(key, pattern) or fnmatchcase(key, f"*.{pattern}") for pattern in may_change)
        if old != new and not free:
            sentences.append(f"{key} is {new!r}, the checkpoint has {old!r}")
    return sentences


def _flatten(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        items = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(child, Mapping) for child in value):
        items = [
            (str(child.get("name", index)) if isinstance(child, Mapping) else str(index), child)
            for index, child in enumerate(value)
        ]
    else:
        return {path: list(value) if isinstance(value, tuple) else value}
    flat: dict[str, Any] = {}
    for key, child in items:
        flat.update(_flatten(child, f"{path}.{key}" if path else key))
    return flat


def _split(value: Any, path: str, arrays: dict[str, npt.NDArray[Any]]) -> Any:
    """Return the JSON form of `value`; arrays go to `arrays` under their path."""
    if isinstance(value, np.ndarray):
        name = path or "array"
        while name in arrays:  # {"a/b": …, "a": {"b": …}}
            name += "'"
        arrays[name] = value if value.flags.c_contiguous else value.copy(order="C")
        return {_ARRAY: name}
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key == _ARRAY:
                raise TypeError(f"checkpoint key {path}/{key!r}: keys are texts other than {_ARRAY!r}")
        return {key: _split(child, f"{path}/{key}" if path else key, arrays) for key, child in value.items()}
    if isinstance(value, list):
        return [_split(child, f"{path}/{index}", arrays) for index, child in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(
        f"checkpoint key {path}: {type(value).__name__}; accepted are numpy arrays, dict, list, str, int, float, "
        f"bool and None"
    )


def _join(value: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[value[_ARRAY]]
        return {key: _join(child, arrays) for key, child in value.items()}
    if isinstance(value, list):
        return [_join(child, arrays) for child in value]
    return value


def _digest(text: str, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _number(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
