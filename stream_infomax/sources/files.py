"""Which files of a folder a source may use, and how many of what it leaves out."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from stream_infomax.frames.contracts import LEFT_OUT
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.shards import WHOLE, Shard, shard_of
from stream_infomax.settings.words import one_of
from stream_infomax.sources.inventory import listed

log = logging.getLogger(__name__)

# What is left out, in words that follow a number.
HIDDEN = "hidden files and folders"
SUFFIX = "files of another suffix"
NOT_INCLUDED = "files that include does not fit"
UNREADABLE = "unreadable files"
BROKEN_OFF = "ends of files that broke off"
NO_FILES = "pipes, sockets and devices"
NOWHERE = "links to nothing"
LINKED = "linked folders"
CLOSED = "folders that cannot be entered"


class Found(NamedTuple):
    """The files of a source.

    Attributes
    ----------
    files
        Those that it may use, in the order of their paths below the folder.
    folder
        What their names begin below.
    left_out
        How many of what it does not use.
    """

    files: list[Path]
    folder: Path
    left_out: Counter[str]

    def nothing(self) -> str:
        """Return why there is no file."""
        words = in_words(self.left_out)
        return "nothing there has their suffix" + (f"; left out: {words}" if words else "")


def find(root: Path, suffixes: Collection[str], accepted: str, used: Path | None = None, shard: Shard = WHOLE) -> Found:
    """Return the file at `root`, or those of the folder and its subfolders that have one of these suffixes.

    Hidden files and folders are left out, and linked folders, which may lead in circles. What a person hardly expects
    is named in the log.

    Parameters
    ----------
    accepted
        What `path` may be, in words.
    used
        A file in the folder that is used otherwise: the table of labels.
    shard
        Where what is left out is counted.

    Raises
    ------
    SettingError
        There is nothing at `root`, or it cannot be entered.
    """
    try:
        if not stat.S_ISDIR(root.stat().st_mode):
            return Found([root], root.parent, Counter())
        os.scandir(root).close()
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "no such file or folder" if missing else getattr(error, "strerror", "") or str(error)
        raise SettingError("path", str(root), f"{accepted}, or a folder of them", reason) from error
    left_out: Counter[str] = Counter()
    odd: dict[str, list[str]] = {}
    files = []
    for entry, kind in _walk(root, odd):
        if kind:
            left_out[kind] += shard.has(key_of(Path(entry.path), root))
        elif used is not None and used.exists() and used.samefile(entry.path):
            continue
        elif Path(entry.path).suffix.lower() in suffixes:
            files.append(Path(entry.path))
        else:
            left_out[SUFFIX] += shard.has(key_of(Path(entry.path), root))
    for kind, names in odd.items():
        log.warning("left out %s below %s: %s", kind, root, listed(names))
    return Found(sorted(files, key=lambda file: file.parts), root, left_out)


def counted_files(path: str, suffixes: Collection[str], include: str, used: str, shard: str) -> int:
    """Return how many of the files at a path are of a shard; see `find` and the settings of these names."""
    found = find(Path(path), suffixes, one_of(suffixes), Path(used) if used else Path(path) / "labels.csv")
    return counted_of(found, include, shard)


def counted_of(found: Found, include: str, shard: str) -> int:
    """Return how many files that include fits are of a shard."""
    wanted = [key_of(file, found.folder) for file in found.files if re.search(include, name_of(file, found.folder))]
    return sum(map(shard_of(shard).has, wanted))


def _walk(root: Path, odd: dict[str, list[str]]) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield what is below a folder, and why it cannot be used; empty for files. Those worth a word go to `odd`."""
    folders = [os.fspath(root)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                kind = _kind(entry)
                if kind == "folder":
                    folders.append(entry.path)
                    continue
                if kind in (NO_FILES, NOWHERE, LINKED, CLOSED):
                    odd.setdefault(kind, []).append(os.path.relpath(entry.path, root))
                yield entry, kind


def _kind(entry: os.DirEntry[str]) -> str:
    """Return why an entry of a folder cannot be used, "folder" for a folder, nothing for a file."""
    if entry.name.startswith("."):
        return HIDDEN
    if entry.is_dir(follow_symlinks=False):
        try:
            os.scandir(entry.path).close()
        except OSError:
            return CLOSED
        return "folder"
    if entry.is_dir():
        return LINKED
    if entry.is_file():
        return ""
    return NOWHERE if entry.is_symlink() else NO_FILES


def name_of(file: Path, folder: Path) -> str:
    """Return the path below the folder, as text that can be sent."""
    return key_of(file, folder).decode("utf-8", "replace")


def key_of(file: Path, folder: Path) -> bytes:
    """Return the path below the folder, as an inventory has it."""
    return os.fsencode(file.relative_to(folder).as_posix())


def counted(left_out: Counter[str]) -> dict[str, int]:
    """Return what was left out as a source counts it."""
    return {f"{LEFT_OUT}{what}": count for what, count in left_out.items() if count}


def in_words(left_out: Counter[str]) -> str:
    """Return what was left out, for a message."""
    return ", ".join(f"{count:,} {what}" for what, count in left_out.items() if count)
