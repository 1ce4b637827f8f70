"""Guests: a loop that learns with a fleet without being waited for, and without waiting (docs/fleet.md).

What it takes, and before which frame, depends on when it came. So that is on disk before the frame is processed, and a
service that is set back to a checkpoint takes the same before the same frames, and nothing else before those that it
has processed in lives before.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import zmq

from stream_infomax.frames.contracts import Pipeline
from stream_infomax.learning.infomax.exchange import Shared
from stream_infomax.service.rounds import Joining, Taking
from stream_infomax.service.service import Service
from stream_infomax.service.steering import Furthest
from stream_infomax.stages.rounds import Rounds
from stream_infomax.state.error import StateFileError
from stream_infomax.state.numbered import ROUNDS, numbered
from stream_infomax.state.replacing import replacing
from stream_infomax.transport.rounds import DeclinedError, Got, Member

# What it went on from, counted from 1, and before which frame.
SHARED, TAKEN = re.compile(r"([0-9]+)\.safetensors"), re.compile(r"([0-9]+)\.json")
# Seconds that a guest waits for an answer before it learns on.
PATIENCE = 5.0

log = logging.getLogger(__name__)


class Taken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a guest has taken.

    Attributes
    ----------
    before
        The frame before which it did.
    fleet, number
        Of which fleet and round.
    given_up
        Rows that it had learnt from and gave up then.
    """

    before: int
    fleet: str
    number: int
    given_up: int


@dataclass(frozen=True, kw_only=True)
class Visiting(Joining):
    """How a pipeline learns with a fleet as a guest.

    Attributes
    ----------
    patience
        Seconds that it waits for an answer before it learns on.
    """

    learners: int = 1
    begins: bool = False
    guest: bool = True
    patience: float = PATIENCE

    def open(self, context: zmq.Context[Any], stages: Pipeline, service: Service) -> Visit:
        """Return the way to the coordinator, for stages that are prepared and restored."""
        rounds, member = self._ends(context, stages)
        return Visit(rounds, member, service.keep, service.folder / ROUNDS, self.patience)


class Visit(Taking):
    """Hands in what was learnt, and takes what came of it when that comes; meanwhile it learns on.

    Parameters
    ----------
    rounds, member, keep
        As of `Taking`.
    folder
        Where what it takes is kept as long as a checkpoint from before is.
    patience
        Seconds that it waits for an answer before it learns on.
    clock
        Returns seconds.
    """

    def __init__(
        self,
        rounds: Rounds,
        member: Member,
        keep: int,
        folder: Path,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(rounds, member, keep)
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._patience, self._clock = patience, clock
        self._until = 0.0
        # Rows of what was handed in last, and whether it was said that no more come.
        self._handed, self._ended = 0, False
        self._marks: deque[int] = deque(maxlen=keep)
        self._marking = 0
        self._again = deque(number for number, _ in numbered(folder, TAKEN) if number > rounds.taken)
        self._furthest = Furthest(folder)
        self._known = self._furthest.newest
        self._repeats = bool(self._again)

    @property
    def blocking(self) -> bool:
        """Whether no frame may be processed before an answer has come, or its patience is over."""
        rounds = self.rounds
        if self._repeats or not rounds.waiting:
            return False
        # Without a basis there is nothing to encode with, and after the last frame nothing else to do.
        return rounds.number < 0 or rounds.last or not self.member.waits or self._clock() < self._until

    def due(self) -> float:
        """Return the seconds until the coordinator is to be asked again, or waited for no more."""
        due = super().due()
        rounds = self.rounds
        return due if rounds.number < 0 or rounds.last else min(due, max(0.0, self._until - self._clock()))

    def blocks(self, offset: int) -> bool:
        """Return whether the frame at `offset` may not be processed yet; takes what has come.

        Raises
        ------
        RefusedError, StreamError
            As `Member.poll`, but for what was handed in and declined: that is given up.
        MergeError
            Where the learner cannot go on from what came.
        StateFileError
            Where what it took before cannot be read.
        """
        while self._again and self._took_again(offset):
            pass
        self._repeats = bool(self._again) or offset <= self._known
        if self._repeats or not self.rounds.waiting:
            return False
        if not self.member.waits or (self.rounds.last and not self._ended):  # also what it learnt since it asked
            self._ended = self.rounds.last
            self._ask()
            self._until = self._clock() + self._patience
        try:
            got = self.member.poll()
        except DeclinedError as error:
            if self.rounds.number < 0:
                raise
            log.warning("%s; it takes the newest round instead", error)
            self._handed = 0
            self.member.ask(self.rounds.number)
            return self.blocking
        if got is None:
            return self.blocking
        self._take(got, offset)
        return False

    def _ask(self) -> None:
        rounds = self.rounds
        if rounds.number < 0:
            self.member.ask(0)
        else:
            self.member.hand_in("delta", rounds.number, self._learnt, last=rounds.last)

    def _learnt(self) -> bytes:
        """Return what it has learnt by now."""
        delta = self.rounds.learner.delta(self.rounds.name)
        self._handed = delta.rows
        return delta.to_bytes()

    def _take(self, got: Got, offset: int) -> None:
        rounds = self.rounds
        shared = Shared.from_bytes(got.payload, f"what came from {self.member.address}")
        learnt = rounds.learner.delta(rounds.name).rows if rounds.number >= 0 else 0
        taken = Taken(
            before=offset, fleet=self.member.fleet, number=shared.number, given_up=max(0, learnt - self._handed)
        )
        self._go_on(taken, shared)
        # On disk before the next frame is processed: a death until then has taken nothing.
        shared.save(self._file(rounds.taken, "safetensors"))
        with replacing(self._file(rounds.taken, "json")) as file:
            file.write(msgspec.json.encode(taken))

    def _took_again(self, offset: int) -> bool:
        """Take the next of what it took in a life before, if that was before the frame at `offset`; return whether."""
        path = self._file(self._again[0], "json")
        try:
            taken = msgspec.json.decode(path.read_bytes(), type=Taken)
        except (OSError, msgspec.MsgspecError) as error:
            raise StateFileError(f"{path}: not readable: {error}") from error
        if taken.before > offset:
            return False
        self._go_on(taken, Shared.load(self._file(self._again.popleft(), "safetensors")))
        self.member.fleet = taken.fleet
        return True

    def _go_on(self, taken: Taken, shared: Shared) -> None:
        self.rounds.take(shared)
        self.rounds.fleet = taken.fleet
        self.rounds.given_up += taken.given_up
        self._handed = 0
        log.info("guest %s: round %d, %d rows given up", self.rounds.name, taken.number, taken.given_up)

    def _file(self, number: int, kind: str) -> Path:
        return self.folder / f"{number:06}.{kind}"

    def note(self, offset: int) -> None:
        """Take note that a frame is processed: others may have it."""
        self._furthest.note(offset)

    def close(self) -> None:
        """Close the socket, and the file."""
        super().close()
        self._furthest.close()

    def begin(self) -> None:
        """Take note that a checkpoint is being written."""
        super().begin()
        self._marking = self.rounds.taken

    def saved(self) -> None:
        """Take note that it is on disk: what was taken before the oldest one is needed no more."""
        super().saved()
        self._marks.append(self._marking)
        if len(self._marks) < (self._marks.maxlen or 0):
            return
        for pattern in (TAKEN, SHARED):
            for number, path in numbered(self.folder, pattern):
                if number <= self._marks[0]:
                    path.unlink(missing_ok=True)
