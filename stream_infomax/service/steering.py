"""Steering: what a service does with the commands that come while it runs."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import msgspec

from stream_infomax.frames.command import Action
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Frame
from stream_infomax.service.bases import find_bases
from stream_infomax.service.commands import Commands, Given
from stream_infomax.settings.words import one_of
from stream_infomax.state.replacing import sync_folder
from stream_infomax.transport.control import Asked, Control
from stream_infomax.transport.messages import Accepted, Order, Refused

ACTIONS = get_args(Action)
# Commands of a run; all of them are in memory.
MOST = 100_000
# Marks among the events of a status.
MARKS = 4
# Bases that are named where another one is asked for.
NAMED = 4
# The least that says which version is meant.
DIGITS = 4


class _NotAcceptedError(ValueError):
    """A command that is not accepted, in words; `reason` as of `Refused`."""

    def __init__(self, text: str, reason: Literal["command", "elsewhere"] = "command") -> None:
        super().__init__(text)
        self.reason: Literal["command", "elsewhere"] = reason


class Steering:
    """The commands of a service, and who gives them.

    A command is on disk before it is confirmed, and takes effect at an offset that no frame had before: what was
    handed on stays as it was.

    Parameters
    ----------
    commands
        Those that it was given.
    stages
        That are steered.
    control
        Where commands come; None: they do not, and those of a life before are done all the same.
    again
        Whether frames after a checkpoint come again in the next life.
    """

    def __init__(self, commands: Commands, stages: Pipeline, control: Control | None, *, again: bool) -> None:
        self.commands = commands
        self.stages = stages
        self.control = control
        self.sockets: Sequence[Any] = (control.socket,) if control is not None else ()
        self._furthest = Furthest(commands.folder) if control is not None else None
        self.again = again
        if not again:
            commands.gone = self.furthest
        self._ids = {one.id: one for one in commands.given}
        # Who waits for a checkpoint that has not begun, and for the one that is being written.
        self._waiting: list[Asked] = []
        self._saving: list[tuple[Asked, int]] = []

    @property
    def furthest(self) -> int:
        """The last offset that was processed in any life, -1 where that is not known."""
        return self._furthest.newest if self._furthest is not None else -1

    @property
    def due(self) -> bool:
        """Whether somebody waits for a checkpoint."""
        return bool(self._waiting)

    def asked(self) -> Iterator[Asked]:
        """Yield what has come."""
        return self.control.asked() if self.control is not None else iter(())

    def take(self, asked: Asked, following: int, *, over: bool) -> None:
        """Accept what somebody wants, or refuse it, and answer; a checkpoint is answered when it is on disk.

        Parameters
        ----------
        following
            The offset of the frame that comes next.
        over
            Whether none does.
        """
        assert self.control is not None
        answer: Accepted | Refused
        try:
            if asked.order.action == "save":
                self._check(asked.order)
                self._waiting.append(asked)
                return
            answer = Accepted(asked.order.id, self._accepted(asked, following, over=over))
        except _NotAcceptedError as error:
            answer = Refused(error.reason, str(error))
        self.control.answer(asked, answer)

    def apply(self, frame: Frame) -> Frame:
        """Do what is to be done before a frame, which is about to be processed; return it with its marks."""
        if self._furthest is not None:
            self._furthest.note(frame.offset)
        return self.commands.apply(frame, self.stages)

    @property
    def applied(self) -> int:
        """How many commands have been carried out."""
        return self.commands.applied

    def rewind(self, offset: int) -> None:
        """The frames from `offset` on come again."""
        self.commands.rewind(offset)

    def begin(self, following: int) -> None:
        """A checkpoint of what comes before the frame `following` is about to be written."""
        self._saving += [(asked, following) for asked in self._waiting]
        self._waiting.clear()

    def saved(self) -> None:
        """The checkpoint is on disk."""
        for asked, following in self._saving:
            assert self.control is not None
            self.control.answer(asked, Accepted(asked.order.id, following))
        self._saving.clear()

    def events(self) -> list[Event]:
        """Return the newest marks; few, for the stages have events, too."""
        return list(self.commands.marks)[-MARKS:]

    def refusals(self) -> Mapping[str, int]:
        """Return what was refused, by reason."""
        return self.control.refusals("control: ") if self.control is not None else {}

    def release(self) -> None:
        """Give the address free; after the context has ended."""
        if self.control is not None:
            self.control.release()

    def close(self) -> None:
        """Stop listening."""
        if self.control is not None:
            self.control.close()
        if self._furthest is not None:
            self._furthest.close()

    def _accepted(self, asked: Asked, following: int, *, over: bool) -> int:
        """Return the offset before which it takes effect; it is on disk by then."""
        order = asked.order
        before = self._ids.get(order.id)
        if before is not None and _is(order, before):
            return before.offset
        self._check(order)
        command = self._resolved(asked)
        if over:
            raise _NotAcceptedError("the stream has ended: no frame comes any more")
        given = self.commands.given
        if len(given) >= MOST:
            raise _NotAcceptedError(f"{MOST:,} commands have been given, and no more are kept")
        offset = max([following, self.furthest + 1, *(one.offset for one in given[-1:])])
        command = msgspec.structs.replace(command, offset=offset)
        try:
            if command.action == "undo":
                self._keep_basis(command, self.commands.basis_path(len(given)))
            self.commands.append(command)
        except OSError as error:
            raise _NotAcceptedError(f"not written: {error}") from error
        self._ids[order.id] = command
        return offset

    def _check(self, order: Order) -> None:
        """Raise where an order is none, whatever state the stages are in; `save` needs no more."""
        before = self._ids.get(order.id)
        if before is not None:
            what = f"{before.action} {before.value}".strip()
            raise _NotAcceptedError(f"id {order.id!r} is that of another command: {what}")
        if order.action not in (*ACTIONS, "save"):
            raise _NotAcceptedError(f"action {order.action!r}; accepted are {one_of([*ACTIONS, 'save'])}")
        if order.value and order.action not in ("undo", "mark"):
            raise _NotAcceptedError(f"{order.action} takes no value; given was {order.value!r}")
        here = ("", self.commands.source, *(stage.name for stage in self.stages.stages))
        if order.action == "save" and order.stage not in here:
            raise _NotAcceptedError(f"stage {order.stage!r} is not here", "elsewhere")

    def _resolved(self, asked: Asked) -> Given:
        """Return what is meant, in full. Raises where it is nothing, or nothing here."""
        order = asked.order
        action = cast("Action", order.action)
        meant = Given(id=order.id, action=action, stage=order.stage, value=order.value, time=time.time(), by=asked.by)
        if action == "mark":
            if not self.commands.source or order.stage not in ("", self.commands.source):
                raise _NotAcceptedError("frames are marked at the source", "elsewhere")
            if not order.value.strip():
                raise _NotAcceptedError("a mark needs a text")
            return meant
        stages = self.stages.steered(action, order.stage)
        if not stages:
            which = f"stage {order.stage!r} here" if order.stage else "stage here"
            raise _NotAcceptedError(f"no {which} takes {action}", "elsewhere")
        if needless := self._needless(action, stages):
            raise _NotAcceptedError(needless)
        return self._with_basis(meant, stages) if action == "undo" else meant

    def _needless(self, action: Action, stages: Sequence[str]) -> str:
        """Return why `pause` or `resume` would change nothing, in words; empty where it may, and for all else."""
        if action not in ("pause", "resume"):
            return ""
        which = f"{', '.join(stages)}: " if len(stages) > 1 else ""
        if action == "pause":
            return f"{which}paused already" if all(self._paused(name) for name in stages) else ""
        if any(self._paused(name) or self._on_hold(name) for name in stages):
            return ""
        return f"{which}neither paused nor on hold"

    def _paused(self, stage: str) -> bool:
        """Return whether a stage is paused when all is done that was accepted."""
        last = next((one for one in self._accepted_of(stage) if one.action in ("pause", "resume")), None)
        return last.action == "pause" if last else bool(self.stages.counts()[stage].get("paused"))

    def _on_hold(self, stage: str) -> bool:
        """Return whether a learner may be on hold when all is done that was accepted."""
        last = next((one for one in self._accepted_of(stage) if one.action != "pause"), None)
        return last.action != "resume" if last else bool(self.stages.counts()[stage].get("on hold"))

    def _accepted_of(self, stage: str) -> Iterator[Given]:
        """Yield what a stage was told and has not done yet, the newest first."""
        waiting = self.commands.given[self.commands.applied :]
        return (one for one in reversed(waiting) if one.action != "mark" and one.stage in ("", stage))

    def _with_basis(self, command: Given, stages: Sequence[str]) -> Given:
        """Return `undo` with the stage and the version that it is about."""
        version = command.value
        if len(version) < DIGITS or set(version) - set("0123456789abcdef"):
            raise _NotAcceptedError(
                f"undo {command.value!r}; accepted is a version as on frames, {DIGITS} digits of it or more"
            )
        found = find_bases(self.commands.folder, version, stages)
        if not found:
            raise _NotAcceptedError(f"no basis {version!r} is kept here; {self._newest(stages)}", "elsewhere")
        if len(found) > 1:
            known = one_of([f"{one.version} of {one.stage}" for one in found])
            raise _NotAcceptedError(f"undo {command.value!r} may be {known}")
        stage = found[0].stage.partition(".")[0]
        return msgspec.structs.replace(command, stage=stage, value=found[0].version)

    def _newest(self, stages: Sequence[str]) -> str:
        """Return which bases are kept, in words."""
        kept = sorted(find_bases(self.commands.folder, "", stages), key=lambda one: one.offset)
        if not kept:
            return "none is, until the next checkpoint (`save`)"
        newest = [f"{one.version} (frame {one.offset:,})" for one in reversed(kept[-NAMED:])]
        return f"{'all that are' if len(kept) <= NAMED else f'the newest of {len(kept):,}'}: {', '.join(newest)}"

    def _keep_basis(self, command: Given, path: Path) -> None:
        """Keep the basis that a command goes back to, whatever becomes of the others."""
        (found,) = find_bases(self.commands.folder, command.value, [command.stage])
        path.unlink(missing_ok=True)  # of a command that was not written
        os.link(found.path, path)
        sync_folder(path.parent)


def _is(order: Order, before: Given) -> bool:
    """Return whether this order has been accepted as that command: of `undo` more stands there than was asked for."""
    if order.action == before.action == "undo":
        return order.stage in ("", before.stage) and before.value.startswith(order.value)
    return (order.action, order.stage, order.value) == (before.action, before.stage, before.value)


class Furthest:
    """The last offset that a service has processed in any of its lives, beyond its checkpoints: others may have it.

    The file is mapped into memory, where a frame costs little, and not synced: it outlives the process. Where the
    machine goes down, so do those who had the frame.
    """

    _form = struct.Struct("<q")

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / "furthest", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(file).st_size < self._form.size:
                os.pwrite(file, self._form.pack(-1), 0)  # a full disk is noticed here, and not later
            self._map = mmap.mmap(file, self._form.size)
        finally:
            os.close(file)
        self.newest: int = self._form.unpack_from(self._map)[0]

    def note(self, offset: int) -> None:
        """Take note of an offset."""
        if offset > self.newest:
            self.newest = offset
            self._form.pack_into(self._map, 0, offset)

    def close(self) -> None:
        """Close the file."""
        self._map.close()
