"""Checkpoint: what a service has on disk; Checkpoints: the last few of them; and what may differ between two runs."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from stream_infomax.frames.contracts import State
from stream_infomax.frames.ledger import Balance
from stream_infomax.state.file import StateFileError, load, pages_of, save
from stream_infomax.state.numbered import CHECKPOINT, frames_behind, next_number, numbered
from stream_infomax.state.pages import PageStore

_log = logging.getLogger(__name__)


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """State and position of a service, saved together.

    Attributes
    ----------
    log
        The id of the log that was read.
    processed
        The last offset that the stages have processed, -1 for none.
    finished
        Whether the stream ended there.
    lost
        Frames that never came, by reason.
    config
        The configuration, as plain values.
    source
        The state of the source, where one is read: what tells whether the same offsets still mean the same data.
    counts
        What source and sinks have counted so far, under their names.
    ledger
        What has become of all that its input, its stages and its sinks have accepted.
    commands
        How many of the commands in the service's folder have been carried out.
    stages
        The state of each stage under its name.
    sinks
        What each sink returned on saving, under its name: of a service, its log with the frames that its readers may
        still ask for.
    """

    log: str
    processed: int
    finished: bool
    lost: dict[str, int]
    config: dict[str, Any]
    source: State
    counts: dict[str, dict[str, float]] = {}
    ledger: list[Balance] = []
    commands: int = 0
    stages: dict[str, State]
    sinks: dict[str, State]


def read(path: Path) -> Checkpoint:
    """Return the checkpoint in a file.

    Raises
    ------
    StateFileError
        Where the file is missing, damaged, or no checkpoint of this version.
    """
    try:
        return msgspec.convert(load(path), Checkpoint)
    except msgspec.ValidationError as error:
        raise StateFileError(f"{path}: no checkpoint of this version: {error}") from error


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first; a service may be writing the next one meanwhile."""
    return [path for _, path in numbered(folder, CHECKPOINT)]


def newest_before(folder: Path, offset: int) -> Checkpoint | None:
    """Return the newest readable checkpoint with no frame from `offset` on behind it, None where there is none.

    A service may be pruning its checkpoints meanwhile.
    """
    for _, path in reversed(numbered(folder, CHECKPOINT) if folder.is_dir() else []):
        if frames_behind(path) <= offset:
            try:
                return read(path)
            except StateFileError as error:
                _log.warning("%s; the checkpoint before it is used", error)
    return None


class NoneReadableError(StateFileError):
    """There are checkpoints, and all of them are damaged: another start would end the same way."""


class Checkpoints:
    """The last few checkpoints in a folder.

    Parameters
    ----------
    folder
        Made where it is missing.
    keep
        How many stay.

    Attributes
    ----------
    safe
        The last offset that need not come again though the newest checkpoint turned out to be damaged: where the second
        newest stands that is readable, or the only one that is kept. -1 where there is none.
    """

    def __init__(self, folder: Path, keep: int = 3) -> None:
        if keep < 1:
            raise ValueError(f"keep = {keep}; at least 1 checkpoint is kept")
        self.folder = folder
        self.keep = keep
        self._newest: deque[int] = deque(maxlen=min(2, keep))  # where they stand
        self._pages = PageStore(folder)
        self._needed: dict[Path, set[str]] = {}  # the pages of those that are there
        folder.mkdir(parents=True, exist_ok=True)

    def paths(self) -> list[Path]:
        """Return the files, oldest first."""
        return checkpoints_in(self.folder)

    @property
    def safe(self) -> int:
        """What stands above."""
        return min(self._newest) if len(self._newest) == self._newest.maxlen else -1

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, and forget the oldest beyond `keep`."""
        files = numbered(self.folder, CHECKPOINT)
        number = next_number(files, 1)
        path = self.folder / f"checkpoint-{number:06d}-at-{checkpoint.processed + 1}.safetensors"
        self._pages.half = number % min(2, self.keep)
        ledger = msgspec.to_builtins(checkpoint.ledger)
        save(path, {**msgspec.structs.asdict(checkpoint), "ledger": ledger}, self._pages)
        self._newest.append(checkpoint.processed)
        for _, old in files[: max(0, len(files) + 1 - self.keep)]:
            old.unlink(missing_ok=True)
        for left in self.folder.glob("checkpoint-*.tmp"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)
        self._forget()
        return path

    def _forget(self) -> None:
        """Remove the pages that no checkpoint needs."""
        there = {path: self._needed.get(path) for path in self.paths()}
        self._needed = {path: _pages_of(path) if names is None else names for path, names in there.items()}
        self._pages.forget(set().union(*self._needed.values()))

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint, None where there is no checkpoint yet.

        A damaged file is put aside (renamed to ``*.damaged``) with a warning, and the one before it is used. The second
        newest is read as well: see `safe`.

        Raises
        ------
        NoneReadableError
            Where there are checkpoints but none is readable.
        """
        damaged: list[Path] = []
        found: list[Checkpoint] = []
        for path in reversed(self.paths()):
            try:
                found.append(read(path))
                self._needed[path] = pages_of(path)
                self._pages.trust(self._needed[path])
            except StateFileError as error:
                _log.warning("%s; the checkpoint before it is used", error)
                damaged.append(path)
            if len(found) == self._newest.maxlen:
                break
        if damaged and not found:
            raise NoneReadableError(
                f"{self.folder}: none of {len(damaged)} checkpoints is readable; start afresh without them"
            )
        for path in damaged:  # or the next ones would be pruned in their place
            path.replace(path.with_name(path.name + ".damaged"))
        self._newest.extend(one.processed for one in reversed(found))
        return found[0] if found else None


def _pages_of(path: Path) -> set[str]:
    try:
        return pages_of(path)
    except StateFileError:  # it is damaged: nobody reads it
        return set()


def differences(saved: Mapping[str, Any], current: Mapping[str, Any], may_change: Collection[str] = ()) -> list[str]:
    """Return one sentence for each key that differs between two configurations and may not.

    Every version writes down all settings that it knows. A setting that only one of two tables of the same kind has
    tells that two versions wrote them; all such settings together are one sentence.

    Parameters
    ----------
    saved, current
        Trees of plain values. Tables in a list are told apart by their ``name``.
    may_change
        Shell patterns of keys that are free to change, matched with the dotted path or its end: ``half_life``,
        ``log.*``, ``run.folder``.
    """
    before, now = flatten(saved, ""), flatten(current, "")
    sentences, tables = list[str](), list[str]()
    unknown, gone = list[str](), list[str]()  # to the version that wrote the checkpoint; to this one
    for key in sorted(before.keys() | now.keys()):
        if any(fnmatchcase(key, pattern) or fnmatchcase(key, f"*.{pattern}") for pattern in may_change):
            continue
        if key in before and key in now:
            if before[key] != now[key]:
                sentences.append(f"{key} is {now[key]!r}, the checkpoint has {before[key]!r}")
        elif table := _other_table(key, before, now):
            tables.append(table)
        else:
            (unknown if key in now else gone).append(key)
    for table in dict.fromkeys(tables):
        if f"{table}.kind" not in before.keys() & now.keys():  # else it is told above that the kind is another
            is_new = any(key.startswith(f"{table}.") for key in now)
            sentences.append(f"{table} is {'not in the checkpoint' if is_new else 'in the checkpoint only'}")
    if unknown:
        sentences.append(f"an older version wrote the checkpoint, which had no {_shortened(unknown)}")
    if gone:
        sentences.append(f"another version wrote the checkpoint, which had {_shortened(gone)}")
    return sentences


def _other_table(key: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the table, around a key of one side only, that is missing on the other side or of another kind there.

    An empty text where there is none: then only the version that wrote the other side can tell why the key is missing.
    """
    parts = key.split(".")
    for table in (".".join(parts[:n]) for n in range(1, len(parts))):
        kind = f"{table}.kind"
        if table in before or table in now or before.get(kind) != now.get(kind):
            return table
    return key if any(name.startswith(f"{key}.") for name in (*before, *now)) else ""


def _shortened(keys: Sequence[str]) -> str:
    """Return the first keys of a list in words, and how many more there are."""
    more = f" and {len(keys) - 3} more settings" if len(keys) > 4 else ""
    return ", ".join(keys[:3] if more else keys) + more


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Return a tree of plain values with dotted keys; tables in a list are told apart by their ``name``."""
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
        flat.update(flatten(child, f"{path}.{key}" if path else key))
    return flat
