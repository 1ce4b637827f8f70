"""Coordinator: takes what the members of a fleet hand in, and merges it round by round."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from stream_infomax.fleet.archive import Archive, Merged
from stream_infomax.learning.infomax.exchange import Delta, MergeError, Shared, about
from stream_infomax.learning.infomax.late import discount
from stream_infomax.learning.infomax.merging import must_belong
from stream_infomax.learning.infomax.together import Together
from stream_infomax.settings.printable import printable
from stream_infomax.transport.messages import Ask, FromMember, HandIn

# Names of guests that are remembered; each may keep a round on disk.
MOST_GUESTS = 4096

_log = logging.getLogger(__name__)


class UnfitError(Exception):
    """What a member wants cannot be granted.

    Attributes
    ----------
    reason
        A word, for counting.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Handed(NamedTuple):
    """What a member has handed in and is not merged yet."""

    delta: Delta
    last: bool
    guest: bool


class Coordinator:
    """What a fleet has in common, and who has handed in what.

    All that it says follows from what it is handed and from what is on disk; where `patience` is 0, not from when.

    Parameters
    ----------
    archive
        What it has said before, and where it goes on.
    shards
        The names of the members that are waited for, at least one; the first of them begins.
    patience
        Seconds after the first of these has handed in until it is merged without the others; 0: never.
    clock
        Returns seconds.

    Attributes
    ----------
    done
        Members whose stream is over.
    refused
        What was refused, by reason.
    spoilt
        What is wrong with what guests have handed in that could not be merged, by their names.
    """

    def __init__(
        self,
        archive: Archive,
        shards: Sequence[str],
        patience: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.archive = archive
        self.shards, self.patience = tuple(shards), patience
        self._clock = clock
        self._handed: dict[str, Handed] = {}
        self._first: float | None = None
        self._since = dict(archive.lines[-1].since) if archive.lines else {}
        self._guests = archive.guests()
        self._unkept = False
        self.spoilt: dict[str, str] = {}
        self._answers: dict[tuple[str, int], tuple[int, str]] = {}
        for line in archive.lines:
            self._remember(line)
        self.done = set(archive.lines[-1].done) if archive.lines else set()
        self.refused = Counter(archive.lines[-1].refused if archive.lines else {})

    @property
    def newest(self) -> int:
        """The number of the newest round; -1 before the first."""
        return self.archive.newest

    @property
    def over(self) -> bool:
        """Whether the streams of all shards are over."""
        return self.done >= set(self.shards)

    def take(self, request: FromMember, payload: bytes = b"") -> None:
        """Take what a member hands in; the same again changes nothing.

        Raises
        ------
        UnfitError
            Where it does not fit. It is counted and logged; nothing has changed.
        """
        try:
            self._admit(request)
            if isinstance(request, Ask):
                self._look_up(request)
            elif request.what == "share":
                self._begin(request, payload)
            else:
                self._hand_in(request, payload)
        except UnfitError as error:
            self.refused[error.reason] += 1
            _log.warning("%s (%s)", printable(str(error)), error.reason)
            raise
        if request.member in self.shards:
            self._since[request.member] = request.since

    def answer(self, request: FromMember) -> int | None:
        """Return the round that a member goes on with, None where it has to wait."""
        number = self._answer(request) if self.newest >= 0 else None
        if number is not None and request.guest and self._guests.get(request.member) != number:
            # It is needed again when what was learnt from it comes.
            self._guests[request.member] = number
            self._unkept = True
        return number

    def keep_guests(self) -> None:
        """Have on disk with which rounds guests go on, before they hear of it."""
        if self._unkept:
            self.archive.keep_guests(self._guests)
            self._unkept = False

    def _answer(self, request: FromMember) -> int | None:
        if isinstance(request, Ask):
            return self.newest if request.guest else request.number
        if request.what == "share":
            return 0
        known = self._answers.get((request.member, request.number))
        if known is None:
            return None
        return known[0] if not request.guest or self.archive.holds(known[0]) else self.newest

    def due(self) -> float | None:
        """Return the seconds until a round is merged without those that are missing; None where nothing is waited for.

        0 where all have handed in.
        """
        if self.newest < 0 or not self._handed or self.over:
            return None
        if not self._missing():
            return 0.0
        if self._first is None or not self.patience:
            return None
        return max(0.0, self._first + self.patience - self._clock())

    def merge(self) -> Merged | None:
        """Merge a round where it is due, and return its line. Raises MergeError, StateFileError; nothing happened then.

        It is on disk before anybody hears of it: all that members go on from can be had again.
        """
        if self.due() != 0.0:
            return None
        began = time.perf_counter()
        shared = self._sound()
        handed = self._handed
        done = self._over()
        n = {name: one.delta.number for name, one in handed.items()}
        line = Merged(
            number=shared.number,
            digest=shared.digest,
            rows=shared.rows,
            learners=shared.learners,
            agreement=shared.agreement,
            parts={name: handed[name].delta.rows for name in sorted(handed)},
            bases={name: n[name] for name in sorted(handed)},
            digests={name: handed[name].delta.digest for name in sorted(handed)},
            late=sorted(self._missing()),
            discount={name: discount(self.newest - n[name]) for name in sorted(handed) if n[name] < self.newest},
            done=sorted(done),
            since=dict(self._since),
            refused=dict(self.refused),
            seconds=round(time.perf_counter() - began, 6),
        )
        self._keep(shared, line)
        self.done, self._handed, self._first = done, {}, None
        if self.over:
            self.archive.finish()
        return line

    def _over(self) -> set[str]:
        """Return the shards whose stream is over once what they have handed in is merged."""
        return self.done | {name for name, one in self._handed.items() if one.last and not one.guest}

    def _sound(self) -> Shared:
        """Return what all go on from; guests with whom that would not be sound are left out, and refused."""
        try:
            return self._tried(self._handed)
        except MergeError:
            for name in [name for name, one in self._handed.items() if one.guest]:
                try:
                    self._tried({name: self._handed[name]})
                except MergeError as error:
                    self.spoilt[name] = f"delta of {name}: {error}"
                    self.refused["values"] += 1
                    _log.warning("%s (values)", printable(self.spoilt[name]))
                    del self._handed[name]
        return self._merged(self._handed)

    def _tried(self, handed: Mapping[str, Handed]) -> Shared:
        """Return what comes of deltas. Raises MergeError where numbers leave what floats can hold."""
        with about("merging"), np.errstate(over="raise", invalid="raise", divide="raise"):
            return self._merged(handed)

    def _merged(self, handed: Mapping[str, Handed]) -> Shared:
        """Return what all go on from after these deltas, late ones among them."""
        learners = max(1, len(set(self.shards) - self._over()) + sum(one.guest for one in handed.values()))
        deltas = [one.delta for one in handed.values()]
        base = self.archive.shared(self.newest)
        now = [one for one in deltas if one.number == base.number]
        late = [(self.archive.shared(one.number), one) for one in deltas if one.number != base.number]
        shared = Together.merge(base, now, learners, late)
        shared.check(f"round {shared.number}")
        return shared

    def _keep(self, shared: Shared, line: Merged) -> None:
        self.archive.keep(shared, line)
        self._remember(line)
        if line.late:
            _log.warning("round %d did not wait for %s", line.number, ", ".join(line.late))
        if all(name in self._since for name in self.shards):
            self.archive.prune(min(self._since.values(), default=self.newest), set(self._guests.values()))

    def _remember(self, line: Merged) -> None:
        for name, digest in line.digests.items():
            if line.number:
                self._answers[name, line.bases[name]] = line.number, digest

    def _missing(self) -> set[str]:
        """Return the shards that have not handed in yet."""
        return set(self.shards) - self.done - self._handed.keys()

    def _admit(self, request: FromMember) -> None:
        """Raise UnfitError where a member is none of this fleet."""
        name, fleet = request.member, self.archive.fleet
        if request.fleet not in ("", fleet):
            raise UnfitError("fleet", f"member {name!r} learns with fleet {request.fleet}; this is fleet {fleet}")
        if request.guest and name in self.shards:
            raise UnfitError("member", f"guest {name!r} has the name of a shard; choose another one")
        if not request.guest and name not in self.shards:
            text = f"member {name!r} is no shard of this fleet; accepted: {self.shards[0]} to {self.shards[-1]}"
            raise UnfitError("member", text)
        if request.guest and name not in self._guests and len(self._guests) >= MOST_GUESTS:
            raise UnfitError("guests", f"guest {name!r}: there are {MOST_GUESTS} already, and no more are accepted")

    def _look_up(self, request: Ask) -> None:
        """Raise UnfitError where a round cannot be given any more, or never was."""
        if request.guest or self.newest < 0:
            return
        name, number = request.member, request.number
        if number > self.newest:
            raise UnfitError("round", f"member {name!r} asks for round {number}; the newest is {self.newest}")
        if not self.archive.holds(number):
            raise UnfitError("old", f"member {name!r} asks for round {number}, which is not kept any more")

    def _begin(self, request: HandIn, payload: bytes) -> None:
        """Begin with what the first has learnt alone."""
        name = request.member
        if name != self.shards[0]:
            raise UnfitError("member", f"member {name!r} is not the one that begins; that is {self.shards[0]!r}")
        shared = self._share(name, payload)
        if self.newest >= 0:
            if shared.digest != self.archive.lines[0].digest:
                raise UnfitError("otherwise", f"member {name!r} began otherwise than before")
            return
        line = Merged(
            number=0,
            digest=shared.digest,
            rows=shared.rows,
            learners=shared.learners,
            agreement=shared.agreement,
            parts={name: int(shared.rows + shared.first)},
            bases={name: 0},
            digests={name: shared.digest},
            since=dict(self._since),
            refused=dict(self.refused),
        )
        self._keep(shared, line)

    def _share(self, name: str, payload: bytes) -> Shared:
        try:
            shared = Shared.from_bytes(payload, f"share of {name}")
        except MergeError as error:
            raise UnfitError("format", str(error)) from error
        try:
            with about(f"share of {name}"):
                shared.check(f"share of {name}")
        except MergeError as error:
            raise UnfitError("values", str(error)) from error
        learners = len(self.shards)
        if (shared.number, shared.learners) != (0, learners):
            text = f"share of {name}: of round {shared.number} for {shared.learners} learners"
            raise UnfitError("round", f"{text}; accepted is 0 for {learners}")
        return shared

    def _hand_in(self, request: HandIn, payload: bytes) -> None:
        """Keep a delta until it is merged."""
        name, number = request.member, request.number
        known = self._answers.get((name, number))
        if known is not None and request.guest:  # what it has learnt after that is given up
            return
        if known is not None and not self.archive.holds(known[0]):
            text = f"delta of {name}: of round {number}; what followed, round {known[0]}, is not kept any more"
            raise UnfitError("old", text)
        if number > self.newest:
            raise UnfitError("round", f"delta of {name}: of round {number}; the newest is {self.newest}")
        delta = self._delta(request, payload)
        before = None
        if known is not None:
            before = known[1]
        elif not request.guest and name in self._handed:
            before = self._handed[name].delta.digest
        if before not in (None, delta.digest):
            text = f"delta of {name}: it has learnt otherwise in round {number} than before"
            raise UnfitError("otherwise", f"{text}; accepted is the same delta again")
        if known is None:
            self._handed[name] = Handed(delta, request.last, request.guest)
            if self._first is None and not request.guest:
                self._first = self._clock()

    def _delta(self, request: HandIn, payload: bytes) -> Delta:
        """Return a delta that can be merged."""
        name, number = f"delta of {request.member}", request.number
        reason = "format"
        try:
            delta = Delta.from_bytes(payload, name)
            reason = "values"
            with about(name):
                delta.check(name)
            reason = "member"
            if list(delta.parts) != [request.member]:
                raise MergeError(f"{name}: learnt by {delta.name}; accepted is what it has learnt itself")
            reason = "base"
            digest = self.archive.lines[number].digest
            if (delta.number, delta.base) != (number, digest):
                raise MergeError(
                    f"{name}: began with base {printable(str(delta.base))} of round {delta.number!r}; accepted is "
                    f"{digest} of round {number}"
                )
            handed = self._handed.get(request.member)
            if (request.member, number) in self._answers or (handed and handed.delta.digest == delta.digest):
                return delta
            reason = "old"
            if not self.archive.holds(number):
                raise MergeError(f"{name}: of round {number}, which is not kept any more")
            reason = "size"
            with about(name):
                must_belong(delta, self.archive.shared(number))
        except MergeError as error:
            raise UnfitError(reason, str(error)) from error
        return delta
