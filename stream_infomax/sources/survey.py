"""Survey: which files at a path a source can read, with their labels, and how many of what it leaves out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from stream_infomax.settings.error import SettingError
from stream_infomax.settings.shards import shard_of
from stream_infomax.sources.files import NOT_INCLUDED, UNREADABLE, find, key_of, name_of
from stream_infomax.sources.labels import Labels, compile_pattern
from stream_infomax.sources.playlist import FileSettings

log = logging.getLogger(__name__)


class Named(Protocol):
    """A file that can be read."""

    @property
    def segment(self) -> str:
        """Its path below the folder."""
        ...


F = TypeVar("F", bound=Named)


class Place(NamedTuple):
    """A file that may be one: where it is, what it is called, its key in an inventory, and who knows its labels."""

    path: Path
    segment: str
    key: bytes
    labels: Labels


class Surveyed(NamedTuple, Generic[F]):
    """What is at a path.

    Attributes
    ----------
    files
        Those that can be read.
    left_out
        How many of what is not used.
    without_label
        How many files have no label although there are some.
    """

    files: list[F]
    left_out: Counter[str]
    without_label: int


def survey(
    root: Path,
    given: FileSettings,
    probe: Callable[[Place], F],
    *,
    suffixes: Collection[str],
    accepted: str,
    what: str,
    usable: str,
    unusable: tuple[type[Exception], ...],
    reason: Callable[[Exception], str] = str,
    beside: Path | None = None,
) -> Surveyed[F]:
    """Look at the files at a path that the settings fit.

    Parameters
    ----------
    root
        A file or a folder.
    given
        Which files are used, and what labels them.
    probe
        Returns what a file holds.
    suffixes, accepted
        Of the files; what `path` may be, in words.
    what, usable
        What the files are called in messages, and one that can be read.
    unusable, reason
        What `probe` raises for a file that is passed over, and how that is told.
    beside
        A file in the folder that is none of them, where the settings name no table of labels.

    Raises
    ------
    SettingError
        There is nothing at `root`, no readable file; labels that fit none; or what `probe` says of its settings.
    """
    shard = shard_of(given.shard)
    found = find(root, suffixes, accepted, Path(given.labels_csv) if given.labels_csv else beside, shard)
    include = compile_pattern("include", given.include)
    labels = Labels(given.labels, given.labels_csv, root, what)
    names = {file: name_of(file, found.folder) for file in found.files}
    wanted = [file for file in found.files if include.search(names[file])]
    here = [file for file in wanted if shard.has(key_of(file, found.folder))]
    left_out = found.left_out
    left_out[NOT_INCLUDED] += sum(shard.has(key_of(file, found.folder)) for file in found.files) - len(here)
    files: list[F] = []
    passed_over: list[str] = []
    for file in here:
        try:
            files.append(probe(Place(file, names[file], key_of(file, found.folder), labels)))
        except SettingError:  # of the settings, not of the file
            raise
        except unusable as error:
            passed_over.append(f"{file}: {reason(error)}")
    if not files:
        reasons = "; ".join(passed_over[:3])
        if not reasons:
            reasons = f"include = {include.pattern!r} fits none" if found.files else found.nothing()
            reasons = f"none of {len(wanted):,} files is of shard {given.shard}" if wanted else reasons
        raise SettingError("path", str(root), accepted, f"no {usable} there ({reasons})")
    for sentence in passed_over:
        log.warning("passed over %s", sentence)
    left_out[UNREADABLE] += len(passed_over)
    left_out += labels.check(root, files[0].segment, names.values())
    return Surveyed(files, left_out, labels.without)
