"""A state on disk: a tree of numpy arrays and JSON values in one safetensors file, written atomically.

The arrays are the file's tensors; the tree with their names in it, the format's version and a digest of everything
stand in the file's metadata. A file is either whole or refused: never pickle, never half a state.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from stream_infomax.state.error import StateFileError
from stream_infomax.state.nesting import check_json

__all__ = ["StateFileError", "Tree", "copied", "load", "replacing", "save"]

FORMAT = 1
_ARRAY = "$array"

# Dicts with texts for keys, lists, JSON values and numpy arrays.
Tree: TypeAlias = dict[str, Any]


def save(path: Path, tree: Tree) -> None:
    """Write `tree` to `path`: at any moment either the old file or the whole new one is there.

    Raises
    ------
    StateFileError
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


def load(path: Path) -> Tree:
    """Return the tree that `save` wrote.

    Raises
    ------
    StateFileError
        Where the file is missing, truncated, damaged, of a newer format or no state at all.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            version = metadata.get("format", "")
            if version != str(FORMAT):
                what = f"format {version}" if version else "no format named"
                raise StateFileError(f"{path}: {what}; format {FORMAT} is accepted")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise StateFileError(f"{path}: not readable: {error}") from error
    except SafetensorError as error:
        raise StateFileError(f"{path}: not readable, perhaps truncated: {error}") from error
    except (TypeError, AttributeError) as error:  # what numpy does not have: bfloat16, numbers of 8 bits or fewer
        raise StateFileError(f"{path}: it has arrays of a type that numpy does not know: {error}") from error
    text = metadata.get("tree", "")
    if metadata.get("digest") != _digest(text, arrays):
        raise StateFileError(f"{path}: its content does not match its digest: damaged")
    try:
        check_json(text.encode())
        tree = _join(json.loads(text), arrays)
    except (ValueError, KeyError, TypeError) as error:  # no JSON, or an array that is not there
        raise StateFileError(f"{path}: its tree makes no sense ({error}): damaged") from error
    if not isinstance(tree, dict):
        raise StateFileError(f"{path}: its tree is a {type(tree).__name__}; accepted is a map: damaged")
    return tree


def copied(tree: Tree) -> Tree:
    """Return the same tree with arrays of its own."""
    copy: Tree = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            copy[name] = copied(value)
        else:
            copy[name] = value.copy() if isinstance(value, np.ndarray) else value
    return copy


@contextlib.contextmanager
def replacing(path: Path, temporary: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` when the block ends well, and is on disk then.

    Parameters
    ----------
    path
        The file.
    temporary
        Its name until then, in the same folder; None: the same with ``.tmp`` behind.

    Raises
    ------
    StateFileError
        Where the disk does not take it; names the file.
    """
    temporary = temporary or path.with_name(path.name + ".tmp")
    try:
        with _created(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StateFileError(f"{path}: not written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _created(path: Path) -> IO[bytes]:
    """Open a new file; what is there under its name, a link for example, is removed and never written to."""
    path.unlink(missing_ok=True)
    return path.open("xb")


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
            if not isinstance(key, str):
                raise TypeError(f"state key {path}/{key!r}: keys are texts")
        return {_escaped(key): _split(child, f"{path}/{key}" if path else key, arrays) for key, child in value.items()}
    if isinstance(value, list):
        return [_split(child, f"{path}/{index}", arrays) for index, child in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(
        f"state key {path}: {type(value).__name__}; accepted are numpy arrays, dict, list, str, int, float, "
        f"bool and None"
    )


def _escaped(key: str) -> str:
    """Return a key that is none of this format's own: streams are called as devices like."""
    return f"${key}" if key.startswith("$") else key


def _join(value: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[value[_ARRAY]]
        return {
            key.removeprefix("$") if key.startswith("$$") else key: _join(child, arrays) for key, child in value.items()
        }
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


def sync_folder(folder: Path) -> None:
    """Have the names of the files in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
