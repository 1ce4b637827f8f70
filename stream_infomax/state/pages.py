"""Pages: large arrays beside the files of states, in pieces, so that what has not changed is not written again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infomax.state.error import StateFileError
from stream_infomax.state.numbered import PAGE, PAGES
from stream_infomax.state.regular import open_regular
from stream_infomax.state.replacing import replacing, sync_folder

# How much of an array is a page; and from what size on an array that is not made of pages is cut into some.
PAGE_BYTES, LARGE = 256 << 10, 1 << 20


class Page:
    """A piece of an array at a moment: a view of it, until what it shows is about to change.

    Parameters
    ----------
    array
        The piece, of one dimension.
    """

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.digest = ""  # of its bytes, once somebody had to know
        self._array = array
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._array)

    def leave(self) -> None:
        """Keep a copy: the array goes on, and the piece stays what it was."""
        with self._lock:
            self._array = self._array.copy()

    def copy(self) -> npt.NDArray[Any]:
        """Return what it shows; in any thread."""
        with self._lock:
            return self._array.copy()


class Paged:
    """An array as it was at a moment, made of pages; numpy takes it for an array.

    Parameters
    ----------
    pages
        Its numbers in the order of C, each a piece of one dimension.
    shape, dtype
        Of the whole.
    """

    def __init__(self, pages: Sequence[Page], shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.pages = list(pages)
        self.shape = shape
        self.dtype = np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return an array of its own."""
        whole = np.empty(math.prod(self.shape), self.dtype)
        done = 0
        for page in self.pages:
            whole[done : done + len(page)] = page.copy()
            done += len(page)
        return whole.reshape(self.shape).astype(dtype or self.dtype, copy=False)

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()


def paged(array: npt.NDArray[Any]) -> Paged:
    """Return the pages of an array that does not change any more, in the order of C."""
    flat = array.reshape(-1)
    step = PAGE_BYTES // flat.itemsize
    return Paged([Page(flat[i : i + step]) for i in range(0, len(flat), step)], array.shape, array.dtype)


class PageStore:
    """A folder of pages. Those that several states share are there once, in each of two halves.

    States that follow one another are kept in different halves: no two of them have a file in common that may be
    damaged.

    Parameters
    ----------
    folder
        Where the files lie that name pages.

    Attributes
    ----------
    half
        Where the next state is kept: 0 or 1.
    """

    def __init__(self, folder: Path) -> None:
        self.half = 0
        self._folder = folder / PAGES
        self._known: set[str] = set()  # those that were written or read in this life

    def keep(self, pages: Iterable[Page]) -> list[str]:
        """Write those that are not there yet, and return the names of all.

        Raises
        ------
        StateFileError
            Where the disk does not take it; names the file.
        """
        names, new = [], False
        for page in pages:
            content = None
            if not page.digest:
                content = page.copy()
                page.digest = digest(content.data)
            name = f"{self.half}-{page.digest}"
            names.append(name)
            if name in self._known:
                continue
            if not new:
                self._make()
            with replacing(self._folder / name, sync=False) as file:
                file.write((page.copy() if content is None else content).data)
            self._known.add(name)
            new = True
        if new:
            sync_folder(self._folder)
        return names

    def trust(self, names: Iterable[str]) -> None:
        """Take note of pages that were found to be whole."""
        self._known.update(names)

    def forget(self, needed: Collection[str]) -> None:
        """Remove all others, and what a process left that was killed while it wrote."""
        self._known.intersection_update(needed)
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                name = path.name.removesuffix(".tmp")
                if PAGE.fullmatch(name) and (name != path.name or name not in needed):
                    path.unlink(missing_ok=True)

    def _make(self) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StateFileError(f"{self._folder}: not written: {error.strerror or error}") from error


def read_pages(folder: Path, names: Sequence[str], shape: Sequence[int], dtype: str) -> npt.NDArray[Any]:
    """Return the array that is made of pages.

    Raises
    ------
    StateFileError
        Where a page is missing or damaged; names it.
    ValueError
        Where they are no pages of such an array.
    """
    kind = np.dtype(dtype)
    if kind.hasobject or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"shape {list(shape)} and dtype {dtype!r} of pages")
    whole = bytearray()
    for content in _contents(folder / PAGES, names):
        whole += content
        if len(whole) > math.prod(shape) * kind.itemsize:
            break
    if len(whole) != math.prod(shape) * kind.itemsize:
        raise ValueError(f"{len(whole)} bytes or more in pages of an array of shape {list(shape)} and {kind}")
    return np.frombuffer(whole, kind).reshape(tuple(shape))


def _contents(folder: Path, names: Sequence[str]) -> Iterator[bytes]:
    for name in names:
        if not isinstance(name, str) or not PAGE.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a page")
        path = folder / name
        try:
            with open_regular(path) as file:
                content = file.read(PAGE_BYTES + 1)
        except OSError as error:
            raise StateFileError(f"{path}: not readable: {error.strerror or error}") from error
        if len(content) > PAGE_BYTES or digest(content) != name[2:]:
            raise StateFileError(f"{path}: its content does not match its name: damaged")
        yield content


def digest(content: bytes | memoryview) -> str:
    """Return what stands for the bytes of a page."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
