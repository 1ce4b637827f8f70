"""Bases: those that the stages of a service encode with, and which frame each holds from; kept in its folder."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from stream_infomax.frames.basis import Basis
from stream_infomax.learning.infomax.encoder import Encoder, Kept, in_file, kept_bases
from stream_infomax.state.error import readable
from stream_infomax.state.file import load

# The most that the bases of a stage, of all its streams, take on disk, how many of each there is room for however large
# they are, and the most there are however small: to look at them takes time with every checkpoint.
MOST_BYTES, LEAST, MOST = 64 << 20, 16, 1024


class Bases:
    """What the frames of a service were encoded with, over all its lives.

    A file is written before the checkpoint that moves on from it. Where there is no room for all, those go that have
    others close by: the older, the further apart.

    Parameters
    ----------
    folder
        Of the service.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._newest: dict[str, Basis] = {}
        self._unsaved: list[Basis] = []

    def follow(self, bases: Iterable[Basis], offset: int) -> list[Basis]:
        """Return those of `bases`, with which the frame `offset` will be encoded, that are others than before."""
        new = []
        for basis in bases:
            before = self._newest.get(basis.key)
            if before is not None and before.version == basis.version:
                continue
            if before is None:
                basis, is_known = self._dated(basis, offset)
            else:
                basis, is_known = replace(basis, previous=before.version, offset=offset), False
            self._newest[basis.key] = basis
            if not is_known:
                self._unsaved.append(basis)
            new.append(basis)
        return new

    def save(self) -> None:
        """Write what is new.

        Raises
        ------
        StateFileError
            Where the disk does not take it.
        """
        self.new()()

    def new(self) -> Callable[[], None]:
        """Return what writes those that are new, as `save` does, in whatever thread."""
        unsaved, self._unsaved = self._unsaved, []
        stages = Counter(basis.stage for basis in self._newest.values())
        most = {basis.key: MOST_BYTES // stages[basis.stage] for basis in unsaved}
        return partial(self._write, unsaved, most)

    def _write(self, unsaved: Sequence[Basis], most: Mapping[str, int]) -> None:
        for basis in unsaved:
            about = {"stage": basis.key, "previous": basis.previous, "offset": basis.offset}
            Encoder.of(basis).save(Kept(in_file(basis.key), basis.offset, basis.version, self._folder).path, **about)
        for key, most_bytes in most.items():
            thin(self._kept(key), most_bytes)

    def _dated(self, basis: Basis, offset: int) -> tuple[Basis, bool]:
        """Return the first basis of this life from where on it holds, and whether there is a file of it."""
        kept = [one for one in self._kept(basis.key) if one.offset <= offset]
        if kept and kept[-1].version == basis.version:
            previous = kept[-2].version if len(kept) > 1 else ""
            return replace(basis, previous=previous, offset=kept[-1].offset), True
        return replace(basis, previous=kept[-1].version if kept else "", offset=offset), False

    def _kept(self, key: str) -> list[Kept]:
        return [one for one in kept_bases(self._folder) if one.stage == in_file(key)]


def find_bases(folder: Path, version: str, stages: Collection[str]) -> list[Kept]:
    """Return the bases in the folder of a service of these stages whose version begins so, the newest file of each."""
    kept = [one for one in kept_bases(folder) if one.folder == folder and one.stage.partition(".")[0] in stages]
    return list({(one.stage, one.version): one for one in kept if one.version.startswith(version)}.values())


def read_basis(path: Path) -> Basis:
    """Return the basis in a file that a service has kept. Raises StateFileError, which names the file."""
    tree = load(path)
    with readable(path):
        encoder = Encoder.from_tree(tree["encoder"])
        stage, _, stream = tree["stage"].partition("/")
        arrays = {name: getattr(encoder, name) for name in Encoder.ARRAYS}
        return Basis(
            stage=stage,
            stream=stream,
            encoder="",
            version=encoder.version,
            previous=tree["previous"],
            offset=tree["offset"],
            output=encoder.output,
            amplitude=encoder.amplitude,
            seed=encoder.seed,
            **arrays,
        )


def copy_before(source: Path, folder: Path, offset: int) -> None:
    """Copy to a folder the bases that a service had published before the frame `offset`."""
    for one in kept_bases(source):
        if one.offset < offset and one.folder == source:
            shutil.copyfile(one.path, folder / one.path.name)


def thin(kept: list[Kept], most_bytes: int = MOST_BYTES) -> None:
    """Remove files, oldest first here, until there are few enough."""
    kept = list(kept)
    size = max((one.path.stat().st_size for one in kept[-LEAST:]), default=1)
    most = min(MOST, max(LEAST, most_bytes // size))
    offsets = np.array([one.offset for one in kept], np.int64)
    while len(kept) > most:
        # The first and the newest stay.
        apart = (offsets[2:] - offsets[:-2]) / (offsets[-1] - offsets[1:-1] + 1)
        gone = 1 + int(np.argmin(apart[: len(kept) - LEAST // 2 - 1]))
        kept.pop(gone).path.unlink(missing_ok=True)
        offsets = np.delete(offsets, gone)
