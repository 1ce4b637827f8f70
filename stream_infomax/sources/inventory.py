"""Inventory: the files that a source found when it began.

An offset names a place in these files. When the source is started again in a folder that has changed meanwhile, the
files that came later are left out, and one that is missing or has changed is an error: else the same offset would mean
other data.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from stream_infomax.frames.contracts import State

# So many names stand in a message.
NAMED = 3
LATER = "files that were added since the run began"

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A file's size, the time of its last change (ns) and a digest of its labels."""

    size: int
    changed: int
    labels: int


# What is lost where a file is not what it was, in words of frames.
MISSING, CHANGED, CUT = "files that are gone", "files that have changed", "files that broke off"

# By the path below the source's folder, as the file system has it.
Inventory: TypeAlias = dict[bytes, Entry]


def entry(path: Path, labels: Mapping[str, Any] | None = None) -> Entry:
    """Return what is noted of a file."""
    about = path.stat()
    digest = blake2b(json.dumps(labels or {}, sort_keys=True).encode(), digest_size=8).digest()
    return Entry(about.st_size, about.st_mtime_ns, int.from_bytes(digest, "little", signed=True))


def why_not(path: Path, noted: Entry) -> str:
    """Return why a file is not the one that was noted; empty where it is. The log says it."""
    try:
        about = path.stat()
    except OSError as error:
        log.warning("%s: %s; its frames have no rows", path, error.strerror)
        return MISSING
    if (about.st_size, about.st_mtime_ns) != (noted.size, noted.changed):
        log.warning("%s has changed since the run began; its frames have no rows", path)
        return CHANGED
    return ""


def to_state(inventory: Inventory) -> State:
    """Return arrays, which are quick to store for many files."""
    return {
        "names": np.frombuffer(b"\0".join(inventory), np.uint8),
        "entries": np.array(list(inventory.values()), np.int64).reshape(-1, 3),
    }


def from_state(state: State) -> Inventory:
    """Return the inventory that `to_state` wrote. Raises KeyError where it did not."""
    names = state["names"].tobytes().split(b"\0") if len(state["names"]) else []
    return {name: Entry(*numbers) for name, numbers in zip(names, state["entries"].tolist(), strict=True)}


def added(before: Inventory, now: Inventory, place: str) -> list[str]:
    """Return the names of files that were not there before.

    Raises
    ------
    ValueError
        Where others are missing or have changed; names them and the `place`.
    """
    missing = [name for name in before if name not in now]
    changed = [name for name in before if name in now and before[name] != now[name]]
    if missing or changed:
        what = [f"{title}: {listed(names)}" for title, names in (("missing", missing), ("changed", changed)) if names]
        raise ValueError(
            f"{place} is not what it was when this run began ({'; '.join(what)}); put back what was there, "
            f"with its size, time and labels, or start a new run"
        )
    return [_text(name) for name in now if name not in before]


class Noted(Protocol):
    """A file that a source uses."""

    @property
    def key(self) -> bytes:
        """Its path below the source's folder, as the file system has it."""

    @property
    def entry(self) -> Entry:
        """What is noted of it."""


N = TypeVar("N", bound=Noted)


def of(files: Iterable[Noted]) -> Inventory:
    """Return the inventory of files."""
    return {file.key: file.entry for file in files}


def known(state: State, files: Iterable[N], path: str | Path, left_out: Counter[str]) -> list[N]:
    """Return the files that are in the inventory of a state; those that came later are counted in `left_out`.

    Raises
    ------
    ValueError
        Where one that is in it is missing or has changed.
    """
    before, files = from_state(state), list(files)
    later = added(before, of(files), f"path = {str(path)!r}")
    if later:
        log.warning("left out, added since this run began: %s", listed(later))
        left_out[LATER] = len(later)
    return [file for file in files if file.key in before]


def listed(names: Iterable[bytes | str]) -> str:
    """Return the first few names, and how many more there are."""
    texts = [name if isinstance(name, str) else _text(name) for name in names]
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(texts[:NAMED]) + more


def _text(name: bytes) -> str:
    return os.fsdecode(name).encode("utf-8", "replace").decode("utf-8", "replace")
