"""A state on disk: a tree of numpy arrays and JSON values in one safetensors file, written atomically.

The arrays are the file's tensors; the tree with their names in it, the format's version and a digest of everything
stand in the file's metadata. A file is either whole or refused: never pickle, never half a state. What is large may lie
in pages beside it, which the tree names.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as arrays_of

from stream_infomax.state.error import StateFileError
from stream_infomax.state.nesting import check_json
from stream_infomax.state.pages import LARGE, Paged, PageStore, paged, read_pages
from stream_infomax.state.regular import open_regular
from stream_infomax.state.replacing import replacing, sync_folder

__all__ = [
    "StateFileError",
    "Tree",
    "copied",
    "digest_of",
    "dumped",
    "load",
    "load_with_digest",
    "loaded_with_digest",
    "pages_of",
    "replacing",
    "save",
    "sync_folder",
]

FORMAT = 1
_ARRAY, _PAGES = "$array", "$pages"
# The arrays that a safetensors file holds, by their kind and bytes.
_TYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8")

# Dicts with texts for keys, lists, JSON values, numpy arrays and what is `Paged`.
Tree: TypeAlias = dict[str, Any]


def save(path: Path, tree: Tree, pages: PageStore | None = None) -> None:
    """Write `tree` to `path`: at any moment either the old file or the whole new one is there.

    Parameters
    ----------
    path
        The file.
    tree
        What it holds.
    pages
        Where large arrays are kept, in the same folder; None: in the file.

    Raises
    ------
    StateFileError
        Where the disk does not take it (the file that was there before is untouched).
    TypeError
        Where the tree holds something that is neither an array nor a JSON value; names the key.
    """
    arrays, metadata = _parts(tree, pages)
    with replacing(path) as file:
        _write(file, arrays, metadata)


def dumped(tree: Tree) -> bytes:
    """Return the bytes that `save` writes for `tree`. Raises TypeError as it does."""
    file = io.BytesIO()
    _write(file, *_parts(tree, None))
    return file.getvalue()


def _parts(tree: Tree, pages: PageStore | None) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Return the arrays of a file, and its metadata."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    text = json.dumps(_split(tree, "", arrays, pages))
    return arrays, {"format": str(FORMAT), "tree": text, "digest": _digest(text, arrays)}


def _write(file: IO[bytes], arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file piece by piece: the library copies it as a whole, and no other thread runs meanwhile."""
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in order:
        array = arrays[name]
        end += array.nbytes
        header[name] = {
            "dtype": _type_of(array),
            "shape": array.shape,
            "data_offsets": [end - array.nbytes, end],
        }
    content = json.dumps(header, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)
    file.write(len(content).to_bytes(8, "little") + content)
    for name in order:
        file.write(arrays[name].data)


def _type_of(array: npt.NDArray[Any]) -> str:
    kind = array.dtype.str[1:]
    return {"b1": "BOOL", "c8": "C64"}.get(kind, f"{kind[0].upper()}{8 * array.itemsize}")


def digest_of(tree: Tree) -> str:
    """Return the digest that a file of `tree` has when it has no pages: 32 hexadecimal digits of all its content."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    return _digest(json.dumps(_split(tree, "", arrays, None)), arrays)


def load(path: Path) -> Tree:
    """Return the tree that `save` wrote; raises StateFileError as `load_with_digest`."""
    return load_with_digest(path)[0]


def load_with_digest(path: Path) -> tuple[Tree, str]:
    """Return the tree that `save` wrote, and the digest that was found right.

    Raises
    ------
    StateFileError
        Where the file is missing, truncated, damaged, of a newer format or no state at all.
    """
    try:
        with open_regular(path), safe_open(str(path), framework="numpy") as file:
            metadata = _metadata(path, file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise StateFileError(f"{path}: not readable: {error}") from error
    except SafetensorError as error:
        raise StateFileError(f"{path}: not readable, perhaps truncated: {error}") from error
    except (TypeError, AttributeError) as error:  # what numpy does not have: bfloat16, numbers of 8 bits or fewer
        raise StateFileError(f"{path}: it has arrays of a type that numpy does not know: {error}") from error
    return _tree(str(path), metadata, arrays, path.parent)


def loaded_with_digest(content: bytes, name: str) -> tuple[Tree, str]:
    """Return the tree that `dumped` wrote, and its digest; it names no files.

    Raises
    ------
    StateFileError
        Where it is truncated, damaged, of a newer format or no state at all; begins with `name`.
    """
    try:
        end = 8 + int.from_bytes(content[:8], "little")
        check_json(content[8:end])
        header = json.loads(content[8:end])
        found = header.get("__metadata__") if isinstance(header, dict) else None
        metadata = _metadata(name, found if isinstance(found, dict) else {})
        arrays = arrays_of(content)
    except StateFileError:
        raise
    except (SafetensorError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise StateFileError(f"{name}: not readable, perhaps truncated: {error}") from error
    return _tree(name, metadata, arrays, None)


def _tree(
    name: str, metadata: dict[str, str], arrays: dict[str, npt.NDArray[Any]], folder: Path | None
) -> tuple[Tree, str]:
    """Return the tree of a file's parts, and its digest, whose pages lie in a folder; None: it has none."""
    text = metadata.get("tree", "")
    if metadata.get("digest") != _digest(text, arrays):
        raise StateFileError(f"{name}: its content does not match its digest: damaged")
    try:
        check_json(text.encode())
        tree = _join(json.loads(text), arrays, folder)
    except StateFileError as error:  # of a page
        raise StateFileError(f"{name}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:  # no JSON, or an array that is not there
        raise StateFileError(f"{name}: its tree makes no sense ({error}): damaged") from error
    if not isinstance(tree, dict):
        raise StateFileError(f"{name}: its tree is a {type(tree).__name__}; accepted is a map: damaged")
    return tree, metadata["digest"]


def _metadata(path: Path | str, metadata: dict[str, str]) -> dict[str, str]:
    """Return what a file says of itself, of the format that is read here."""
    version = metadata.get("format", "")
    if version != str(FORMAT):
        what = f"format {version}" if version else "no format named"
        raise StateFileError(f"{path}: {what}; format {FORMAT} is accepted")
    return metadata


def pages_of(path: Path) -> set[str]:
    """Return the names of the pages that a file needs; raises StateFileError where it is not readable."""
    try:
        with open_regular(path), safe_open(str(path), framework="numpy") as file:
            text = _metadata(path, file.metadata() or {}).get("tree", "")
        check_json(text.encode())
        return set(_named(json.loads(text)))
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise StateFileError(f"{path}: not readable: {error}") from error


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.keys() == {_PAGES}:
            yield from value[_PAGES]["names"]
        else:
            for child in value.values():
                yield from _named(child)
    elif isinstance(value, list):
        for child in value:
            yield from _named(child)


def copied(tree: Tree) -> Tree:
    """Return the same tree with arrays of its own."""
    copy: Tree = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            copy[name] = copied(value)
        else:
            copy[name] = value.copy() if isinstance(value, np.ndarray) else value
    return copy


def _split(value: Any, path: str, arrays: dict[str, npt.NDArray[Any]], pages: PageStore | None) -> Any:
    """Return the JSON form of `value`; arrays go to `arrays` under their path, or to `pages`."""
    if isinstance(value, Paged | np.ndarray):
        return _put(value, path, arrays, pages)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"state key {path}/{key!r}: keys are texts")
        return {
            _escaped(key): _split(child, f"{path}/{key}" if path else key, arrays, pages)
            for key, child in value.items()
        }
    if isinstance(value, list):
        return [_split(child, f"{path}/{index}", arrays, pages) for index, child in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(
        f"state key {path}: {type(value).__name__}; accepted are numpy arrays, dict, list, str, int, float, "
        f"bool and None"
    )


def _put(
    value: Paged | npt.NDArray[Any], path: str, arrays: dict[str, npt.NDArray[Any]], pages: PageStore | None
) -> dict[str, Any]:
    """Put an array where arrays go, and return what stands for it."""
    if value.dtype.str[1:] not in _TYPES:
        raise TypeError(f"state key {path}: an array of {value.dtype}; accepted are {', '.join(_TYPES)}")
    if pages is not None and not isinstance(value, Paged) and value.nbytes >= LARGE:
        value = paged(_plain(value))
    if pages is not None and isinstance(value, Paged):
        return {_PAGES: {"names": pages.keep(value.pages), "shape": list(value.shape), "dtype": value.dtype.str}}
    name = path or "array"
    while name in arrays:  # {"a/b": …, "a": {"b": …}}
        name += "'"
    arrays[name] = _plain(np.asarray(value))
    return {_ARRAY: name}


def _plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array as its bytes lie in a file: in the order of C, lowest first."""
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _escaped(key: str) -> str:
    """Return a key that is none of this format's own: streams are called as devices like."""
    return f"${key}" if key.startswith("$") else key


def _join(value: Any, arrays: Mapping[str, npt.NDArray[Any]], folder: Path | None) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[value[_ARRAY]]
        if value.keys() == {_PAGES}:
            if folder is None:
                raise ValueError("it names pages in a folder")
            return read_pages(folder, **value[_PAGES])
        return {
            key.removeprefix("$") if key.startswith("$$") else key: _join(child, arrays, folder)
            for key, child in value.items()
        }
    if isinstance(value, list):
        return [_join(child, arrays, folder) for child in value]
    return value


def _digest(text: str, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()
