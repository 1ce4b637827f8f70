"""Commands: what a service was told, on its disk, and done before the frames that it was accepted for."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stream_infomax.frames.basis import Basis
from stream_infomax.frames.command import Command
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Frame
from stream_infomax.service.bases import read_basis
from stream_infomax.state.error import StateFileError
from stream_infomax.state.regular import open_regular
from stream_infomax.state.replacing import sync_folder
from stream_infomax.transport.messages import MAX_EVENTS

FILE = "commands.jsonl"
# The label of a frame that somebody marked.
MARK = "mark"
# What a frame can hold of them: see docs/protocol.md.
MOST_LABELS, LONGEST_LABEL, MOST_EVENTS = 64, 1024, 64

_log = logging.getLogger(__name__)


class Given(Command, frozen=True, kw_only=True):
    """A command as it stands in the file: with when it came, in seconds of the wall clock, and by whose key."""

    time: float = 0.0
    by: str = ""


class Commands:
    """The commands of a service, one a line, in the order of their offsets.

    What a service was told is done by offset, in whatever life: so frames that are processed again give the same bits.

    Parameters
    ----------
    folder
        Of the service.
    applied
        How many of them a checkpoint holds.
    source
        Whose frames it marks; empty: it reads none.

    Attributes
    ----------
    given
        All of them.
    applied
        How many have been done.
    gone
        A mark up to here was on a frame that does not come again.
    marks
        The newest marks, as events.

    Raises
    ------
    StateFileError
        Where a line is no command. A last line that is not complete was never confirmed, and is passed over.
    """

    def __init__(self, folder: Path, applied: int = 0, source: str = "") -> None:
        self.folder = folder
        self.source = source
        self.path = folder / FILE
        self.gone = -1
        self.given, self._size = _read(self.path)
        if applied > len(self.given):
            _log.warning("%s: %d commands were done, and %d are there", self.path, applied, len(self.given))
        self._set(min(applied, len(self.given)))

    def _set(self, applied: int) -> None:
        self.applied = applied
        done = [one for one in self.given[:applied] if one.action == "mark"]
        self.marks = deque(map(self._event, done[-MAX_EVENTS:]), MAX_EVENTS)

    def append(self, command: Given) -> None:
        """Write a command to the disk. Raises OSError where that does not take it; nothing is there then."""
        line = msgspec.json.encode(command) + b"\n"
        with open_regular(self.path, "ab", follow=False) as file:
            file.truncate(self._size)  # what was written of a line when the process died
            try:
                if os.write(file.fileno(), line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(self._size)
                raise
        if not self.given:
            sync_folder(self.folder)
        self._size += len(line)
        self.given.append(command)

    def apply(self, frame: Frame, stages: Pipeline) -> Frame:
        """Have the stages do what is to be done before a frame; return the frame with its marks."""
        if self.applied == len(self.given):
            return frame
        due = self._due(frame.offset)
        frame = self.marked(frame)
        for number, command in enumerate(due, self.applied):
            if command.action == "mark":
                self.marks.append(self._event(command))
            else:
                stages.command(command, self._basis(number) if command.action == "undo" else None)
        self.applied += len(due)
        return frame

    def marked(self, frame: Frame) -> Frame:
        """Return a frame with the marks that belong on it; those that are on it already are not put there twice."""
        marks = [one for one in self._due(frame.offset) if one.action == "mark" and one.offset > self.gone]
        if not marks:
            return frame
        text = "; ".join(one.value for one in marks)
        label = text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
        labels = {**frame.labels, MARK: label}
        events = tuple(dict.fromkeys([*frame.events, *map(self._event, marks)]))[-MOST_EVENTS:]
        if len(labels) > MOST_LABELS:
            _log.warning("frame %d has %d labels: no room for the mark %r", frame.offset, MOST_LABELS, label)
            labels = dict(frame.labels)
        return msgspec.structs.replace(frame, labels=labels, events=events)

    def pass_over(self, offset: int) -> None:
        """What was for frames before `offset` is done."""
        self._set(bisect_left(self.given, offset, key=lambda one: one.offset))

    def rewind(self, offset: int) -> None:
        """The frames from `offset` on come again; nothing changes where they come for the first time."""
        self._set(min(self.applied, bisect_left(self.given, offset, key=lambda one: one.offset)))

    def basis_path(self, number: int) -> Path:
        """Return the file with the basis that the command of a number goes back to."""
        return self.folder / f"command-{number}.safetensors"

    def _due(self, offset: int) -> Sequence[Given]:
        """Return what is to be done before a frame, and was not yet: also what was meant for one that never came."""
        end = self.applied
        while end < len(self.given) and self.given[end].offset <= offset:
            end += 1
        return self.given[self.applied : end]

    def _basis(self, number: int) -> Basis | None:
        try:
            return read_basis(self.basis_path(number))
        except StateFileError as error:
            _log.warning("%s", error)
            return None

    def _event(self, mark: Given) -> Event:
        return Event(stage=self.source, position=mark.offset, kind="mark", text=mark.value)


def copy_until(source: Path, folder: Path, offset: int) -> int:
    """Copy to a folder the commands that a service did before the frame `offset`; return how many."""
    there = Commands(source)
    made = Commands(folder)
    for number, command in enumerate(there.given):
        if command.offset >= offset:
            break
        if there.basis_path(number).is_file():
            shutil.copyfile(there.basis_path(number), made.basis_path(number))
        made.append(command)
    return len(made.given)


def given_since(run: Path, offset: int) -> str:
    """Return what the services of a run were told for frames from `offset` on, in words; empty where nothing."""
    found = {one.id: one.action for path in run.glob(f"*/{FILE}") for one in _read(path)[0] if one.offset >= offset}
    return ", ".join(f"{count:,}× {action}" for action, count in Counter(found.values()).items())


def _read(path: Path) -> tuple[list[Given], int]:
    """Return the commands in a file, and the bytes of their lines."""
    try:
        with open_regular(path, follow=False) as file:
            content = file.read()
    except FileNotFoundError:
        return [], 0
    size = content.rfind(b"\n") + 1
    decoder, given = msgspec.json.Decoder(Given), list[Given]()
    for number, line in enumerate(content[:size].split(b"\n")[:-1], 1):
        try:
            command = decoder.decode(line)
            if given and command.offset < given[-1].offset:
                raise ValueError(f"offset {command.offset} behind {given[-1].offset}")
        except ValueError as error:
            raise StateFileError(f"{path}: line {number} is no command: {error}") from error
        given.append(command)
    return given, size
