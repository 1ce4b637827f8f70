"""Rounds of a loop: between two of them it waits for others that learn the same basis (docs/fleet.md)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from stream_infomax.frames.contracts import Pipeline
from stream_infomax.service.service import Service
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.stages.rounds import Rounds
from stream_infomax.transport.keys import Keys
from stream_infomax.transport.rounds import Member

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Joining:
    """How a pipeline learns with others.

    Attributes
    ----------
    name
        Of this member.
    rows
        Of a round; 0: until 5 % more have come in all.
    learners
        How many begin.
    begins
        Whether all others begin with this one's warm-up.
    address
        Where the coordinator is; empty text while nobody knows.
    keys, server
        As of `Member`.
    guest
        Whether nobody waits for it.
    """

    name: str
    rows: int
    learners: int
    begins: bool
    address: Callable[[], str]
    keys: Keys | None = None
    server: str = ""
    guest: bool = False

    def prepare(self, stages: Pipeline) -> None:
        """Let the learner of a pipeline, which has learnt nothing yet, learn in rounds.

        Raises
        ------
        ValueError
            Where there is not one learner that can.
        """
        learners = [stage for stage in stages.stages if isinstance(stage, LearnerStage)]
        if len(learners) != 1:
            raise ValueError(f"{len(learners)} stages of kind learner with share = 'all'; a fleet has one")
        learners[0].begin_rounds(self.name, self.rows, self.learners, self.begins)

    def open(self, context: zmq.Context[Any], stages: Pipeline, service: Service) -> Taking:
        """Return the way to the coordinator, for stages that are prepared and restored."""
        return Taking(*self._ends(context, stages), service.keep)

    def _ends(self, context: zmq.Context[Any], stages: Pipeline) -> tuple[Rounds, Member]:
        (rounds,) = (stage.rounds for stage in stages.stages if isinstance(stage, LearnerStage) and stage.rounds)
        member = Member(
            context,
            self.address,
            self.name,
            keys=self.keys,
            server=self.server,
            guest=self.guest,
            fleet=rounds.fleet,
        )
        return rounds, member


class Taking:
    """Hands in what was learnt at the end of a round, and takes what all go on from; meanwhile no frame is processed.

    Parameters
    ----------
    rounds
        Where the learner stands.
    member
        The way to the coordinator.
    keep
        Checkpoints on disk, to each of which the service may be set back.
    """

    def __init__(self, rounds: Rounds, member: Member, keep: int) -> None:
        self.rounds = rounds
        self.member = member
        # The rounds of the checkpoints on disk, and of the one that is being written.
        self._saved: deque[int] = deque(maxlen=keep)
        self._saving = -1

    @property
    def sockets(self) -> Sequence[Any]:
        """What becomes readable when there may be an answer."""
        return self.member.sockets if self.blocking else ()

    def due(self) -> float:
        """Return the seconds until the coordinator is to be asked again."""
        return self.member.due() if self.blocking else float("inf")

    @property
    def blocking(self) -> bool:
        """Whether no frame may be processed before an answer has come."""
        return bool(self.rounds.waiting)

    @property
    def hands_in(self) -> bool:
        """Whether it is about to hand in what was learnt."""
        return bool(self.rounds.waiting) and self.rounds.hands_in and not self.member.waits

    def blocks(self, offset: int) -> bool:
        """Return whether the frame at `offset` may not be processed yet; takes what has come.

        Raises
        ------
        RefusedError, StreamError
            As `Member.poll`.
        MergeError
            Where the learner cannot go on from what came.
        """
        if not self.rounds.waiting:
            return False
        if not self.member.waits:
            self._ask()
        got = self.member.poll()
        if got is None:
            return True
        from stream_infomax.learning.infomax.exchange import Shared

        self.rounds.take(Shared.from_bytes(got.payload, f"what came from {self.member.address}"))
        self.rounds.fleet = self.member.fleet
        log.info("shard %s: round %d", self.rounds.name, self.rounds.number)
        return False

    def _ask(self) -> None:
        rounds = self.rounds
        if not rounds.hands_in:
            self.member.ask(0)
            return
        what, number = ("share", 0) if rounds.number < 0 else ("delta", rounds.number)
        self.member.hand_in(what, number, rounds.hand_in().to_bytes(), last=rounds.last)

    def note(self, offset: int) -> None:
        """Take note that a frame is processed."""

    def begin(self) -> None:
        """Take note that a checkpoint is being written."""
        self._saving = max(0, self.rounds.number)

    def saved(self) -> None:
        """Take note that it is on disk: what was shared before the oldest one may be forgotten."""
        self._saved.append(self._saving)
        if len(self._saved) == self._saved.maxlen:
            self.member.since = self._saved[0]

    def close(self) -> None:
        """Close the socket."""
        self.member.close()
