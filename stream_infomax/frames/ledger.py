"""The ledger: what became of all that was accepted, at every place and by stream.

accepted = processed + set aside (by reason) + dropped (by reason) + in flight

Every term is counted where it happens, and none is computed from the others: so the sum can be wrong, and then
something was lost that nobody knows of. What never came was not accepted: sources and inlets count it as lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from stream_infomax.frames.frame import Frame

Part: TypeAlias = Literal["input", "stage", "log", "sink"]
Unit: TypeAlias = Literal["frames", "rows"]
ByStream: TypeAlias = dict[str, int]

# Streams that a place counts one by one, and those that are shown; the others are counted together, under OTHERS.
MOST, SHOWN = 1024, 64
OTHERS = ""
# Why rows are set aside, in words.
NOT_FINITE, NO_WIDTH = "not finite", "without columns yet"
# Why frames are: they were handed on, or kept, before the service died.
BEFORE = "there before a restart"


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all that one place has accepted.

    Attributes
    ----------
    place
        Name of the service, stage or sink.
    part
        What of it: the ``input`` of a service (or its source), a ``stage``, the ``log`` of a service, a ``sink``.
    unit
        What is counted.
    accepted, processed, in_flight
        By stream; what is not told apart by stream stands under an empty name.
    aside, dropped
        By reason and stream. What is set aside is still there, where nothing is made of it; what is dropped is gone.
    """

    place: str
    part: Part
    unit: Unit
    accepted: ByStream
    processed: ByStream
    aside: dict[str, ByStream]
    dropped: dict[str, ByStream]
    in_flight: ByStream

    @property
    def name(self) -> str:
        """The place and its part, as an error names them."""
        return f"{self.part} of {self.place!r}"

    @property
    def off(self) -> ByStream:
        """How many more were accepted than became of them, by stream, where that is not 0."""
        missing: Counter[str] = Counter(self.accepted)
        exits = (self.processed, self.in_flight, *self.aside.values(), *self.dropped.values())
        for term in exits:
            missing.subtract(term)
        return {stream: n for stream, n in missing.items() if n}

    def folded(self, most: int = SHOWN) -> Balance:
        """Return it with the largest streams alone, and the others together."""
        if len(self.accepted) <= most:
            return self
        largest = sorted(self.accepted, key=lambda stream: (-self.accepted[stream], stream))[:most]
        shown = set(largest) - {OTHERS}

        def fold(term: ByStream) -> ByStream:
            folded: Counter[str] = Counter()
            for stream, n in term.items():
                folded[stream if stream in shown else OTHERS] += n
            return dict(folded)

        return msgspec.structs.replace(
            self,
            accepted=fold(self.accepted),
            processed=fold(self.processed),
            aside={reason: fold(term) for reason, term in self.aside.items()},
            dropped={reason: fold(term) for reason, term in self.dropped.items()},
            in_flight=fold(self.in_flight),
        )


class Account:
    """Counts what becomes of what one place accepts; the attributes are those of `Balance`.

    Parameters
    ----------
    place, part, unit
        As for `Balance`.
    """

    def __init__(self, place: str, part: Part, unit: Unit = "rows") -> None:
        self.place = place
        self.part = part
        self.unit = unit
        self._accepted: ByStream = {}
        self._processed: ByStream = {}
        self._aside: dict[str, ByStream] = {}
        self._dropped: dict[str, ByStream] = {}

    def accept(self, stream: str, n: int = 1) -> None:
        """Count what comes in."""
        if stream not in self._accepted and len(self._accepted) >= MOST:
            stream = OTHERS
        self._accepted[stream] = self._accepted.get(stream, 0) + n

    def process(self, stream: str, n: int = 1) -> None:
        """Count that of which was made what is to be made of it."""
        stream = self.key(stream)
        self._processed[stream] = self._processed.get(stream, 0) + n

    def set_aside(self, stream: str, reason: str, n: int = 1) -> None:
        """Count what is still there, where nothing is made of it."""
        _count(self._aside, reason, self.key(stream), n)

    def drop(self, stream: str, reason: str, n: int = 1) -> None:
        """Count what is gone."""
        _count(self._dropped, reason, self.key(stream), n)

    def key(self, stream: str) -> str:
        """Return under which name a stream is counted."""
        return stream if stream in self._accepted else OTHERS

    def balance(self, in_flight: Mapping[str, int]) -> Balance:
        """Return how it stands, with what the place holds now, by stream."""
        held: Counter[str] = Counter()
        for stream, n in in_flight.items():
            if n:
                held[self.key(stream)] += n
        return Balance(
            place=self.place,
            part=self.part,
            unit=self.unit,
            accepted=dict(self._accepted),
            processed=dict(self._processed),
            aside={reason: dict(term) for reason, term in self._aside.items()},
            dropped={reason: dict(term) for reason, term in self._dropped.items()},
            in_flight=dict(held),
        )

    def restore(self, balance: Balance) -> None:
        """Go on from a balance of the same place."""
        self._accepted, self._processed = dict(balance.accepted), dict(balance.processed)
        self._aside = {reason: dict(term) for reason, term in balance.aside.items()}
        self._dropped = {reason: dict(term) for reason, term in balance.dropped.items()}


def _count(terms: dict[str, ByStream], reason: str, stream: str, n: int) -> None:
    if n:
        term = terms.setdefault(reason, {})
        term[stream] = term.get(stream, 0) + n


class Accounting:
    """A stage that counts what becomes of the rows that it reads. The pipeline counts what comes in.

    Attributes
    ----------
    account
        Where it counts; no part of its state: a ledger is of a run, and not of what a stage knows.
    reads
        Names of the arrays whose rows it reads.
    shows
        Names of the arrays that viewers are shown, also where no later stage passes them on.
    """

    account: Account
    reads: tuple[str, ...]
    shows: tuple[str, ...] = ()

    def in_flight(self) -> Mapping[str, int]:
        """Return the rows of each stream of which something is still to be made."""
        return {}

    def take_up(self, in_flight: Mapping[str, int]) -> None:
        """Learn of which streams the rows were that were in flight when the account was kept."""


class Holding(Protocol):
    """A sink, as a ledger sees it."""

    account: Account | None

    def in_flight(self) -> Mapping[str, int]:
        """Return the frames of each stream that it holds."""
        ...


class Ledger:
    """The accounts of a service.

    Parameters
    ----------
    name
        Name of the service.
    stages, sinks
        Its stages and sinks, as far as they keep an account.

    Attributes
    ----------
    input
        The account of the frames that come in.
    """

    def __init__(self, name: str, stages: Iterable[object], sinks: Iterable[Holding]) -> None:
        self.input = Account(name, "input", "frames")
        self._stages = [stage for stage in stages if isinstance(stage, Accounting)]
        self._sinks = [(sink.account, sink) for sink in sinks if sink.account is not None]
        self._known: set[tuple[str, str]] = set()

    def balances(self) -> list[Balance]:
        """Return how every place stands: the input, the stages in the order of the data, the sinks."""
        return [
            self.input.balance({}),
            *(stage.account.balance(stage.in_flight()) for stage in self._stages),
            *(account.balance(sink.in_flight()) for account, sink in self._sinks),
        ]

    def restore(self, balances: Iterable[Balance]) -> None:
        """Go on from what `balances` returned, before sinks take over their state."""
        found = {(balance.part, balance.place): balance for balance in balances}
        stages = {(stage.account.part, stage.account.place): stage for stage in self._stages}
        for account in (self.input, *(stage.account for stage in self._stages), *(one for one, _ in self._sinks)):
            key = (account.part, account.place)
            if key in found:
                account.restore(found[key])
                self._known.add(key)
                if key in stages:
                    stages[key].take_up(found[key].in_flight)

    def begin(self) -> None:
        """Accept what there is at places without an account so far: of another run, whose state was taken over."""
        places = [*((stage.account, stage.in_flight()) for stage in self._stages)]
        places += [(account, sink.in_flight()) for account, sink in self._sinks]
        for account, held in places:
            if (account.part, account.place) not in self._known:
                for stream, n in held.items():
                    account.accept(stream, n)


def rows_read(frame: Frame, names: Sequence[str]) -> int:
    """Return the rows of the named arrays of a frame, as far as it has them."""
    n = 0
    for name in names:
        array = frame.arrays.get(name)
        if array is not None:
            n += array.n_rows
    return n


def totals(terms: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return how many of each reason, over all streams."""
    return {reason: sum(term.values()) for reason, term in terms.items() if any(term.values())}
