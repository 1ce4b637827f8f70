"""OwnLearners: a learner for each stream, behind the interface of one stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from stream_infomax.frames.basis import Basis
from stream_infomax.frames.command import Action, Command
from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Frame
from stream_infomax.frames.ledger import Account, Accounting
from stream_infomax.frames.measure import Measure
from stream_infomax.stages.steering import LEARNERS_ACTIONS, Steering
from stream_infomax.stages.thinning import Thinning
from stream_infomax.state.kept import within

if TYPE_CHECKING:
    from stream_infomax.stages.learner import LearnerStage

# What has been learnt of so many streams that have ended is kept, and so many are followed by measures and pictures.
ENDED, SHOWN = 16, 8
# Counts that say how it is now: two that are not added up, and two that end with their learner.
NOW, DRIFT, HELD, EXAMINING = "frame information", "drift", "on hold", "examining"


class Shared(NamedTuple):
    """What the learners of a stage share: which frames are learnt from, and whether learning is paused."""

    thinning: Thinning
    steering: Steering


class OwnLearners(Accounting):
    """The stage of kind ``learner`` with ``share = "stream"``: each stream has a learner of its own.

    A stream's rows give the same features as if it were alone. When a stream ends, what was learnt of it is kept until
    16 others have ended; then it is forgotten, and counted. A stream that comes again under its name begins anew, where
    it is learnt from.

    Parameters
    ----------
    name
        The name of the stage and of the array it adds.
    input
        The array to learn from.
    make
        Makes the learner of a stream.
    shared
        What they share.

    Attributes
    ----------
    learners
        By stream, those that are open in the order in which they came, behind those that have ended.
    """

    actions: ClassVar[frozenset[Action]] = LEARNERS_ACTIONS

    def __init__(self, name: str, input: str, make: Callable[[str], LearnerStage], shared: Shared) -> None:
        self.name = name
        self.thinning, self.steering = shared
        self.account, self.reads = Account(name, "stage"), (input,)
        self.learners: dict[str, LearnerStage] = {}
        self._make = make
        self._ended: list[str] = []
        self._newest = ""  # the stream of the newest frame; empty before the first in this life
        self._forgotten: Counter[str] = Counter()
        self._encoding: tuple[tuple[str, ...], bool] | None = None

    def process(self, frame: Frame) -> Frame:
        """Return the frame with the features of its rows; raises as the learner of its stream does."""
        if frame.stream in self._ended and frame.arrays:
            self._ended.remove(frame.stream)
            if self.learners[frame.stream].learn:
                self._forget(frame.stream)
        if frame.stream not in self.learners:
            if not frame.arrays:  # a late label
                return frame
            self.learners[frame.stream] = self._new(frame.stream)
        self._newest = frame.stream
        output = self.learners[frame.stream].process(frame)
        if frame.end and frame.stream not in self._ended:
            self._ended.append(frame.stream)
            if len(self._ended) > ENDED:
                self._forget(self._ended.pop(0))
        return output

    def _new(self, stream: str) -> LearnerStage:
        learner = self._make(stream)
        learner.account = self.account
        if self._encoding is not None:
            carry, untrained = self._encoding
            learner.start_encoding(carry, untrained=untrained)
        return learner

    def in_flight(self) -> Mapping[str, int]:
        """Return the rows of each stream in the block that is not full yet."""
        held: Counter[str] = Counter()
        for learner in self.learners.values():
            held.update(learner.in_flight())
        return held

    def take_up(self, in_flight: Mapping[str, int]) -> None:
        """Learn of which streams the rows in the blocks are."""
        for stream, n in in_flight.items():
            if stream in self.learners:
                self.learners[stream].take_up({stream: n})

    def _forget(self, stream: str) -> None:
        learner = self.learners.pop(stream)
        for of, rows in learner.in_flight().items():
            self.account.drop(of, "stream forgotten", rows)
        counts = learner.counts()
        self._forgotten.update(
            {key: int(count) for key, count in counts.items() if key not in (NOW, DRIFT, HELD, EXAMINING)}
        )
        self._forgotten["streams forgotten"] += 1

    def start_encoding(self, carry: tuple[str, ...] = (), *, untrained: bool = False) -> None:
        """From now on only encode, each stream with the basis that it has."""
        self._encoding = carry, untrained
        for learner in self.learners.values():
            learner.start_encoding(carry, untrained=untrained)

    @property
    def shown(self) -> list[LearnerStage]:
        """The learners of which a person sees more than their sum: the first 8."""
        return list(self.learners.values())[:SHOWN]

    def command(self, command: Command, basis: Basis | None) -> None:
        """Do what a person wants with every learner whose stream is open, before the next frame; see `Steered`.

        A pause is of streams that come later, too. An `undo` is of the stream whose basis it is.
        """
        position = sum(learner.position for learner in self.learners.values())
        open_ = [learner for stream, learner in self.learners.items() if stream not in self._ended]
        if command.action == "pause":
            self.steering.pause(position, self._encoding is None)
        elif command.action == "resume":
            if not self.steering.resume(position) + sum([learner.end_hold() for learner in open_]):
                self.steering.refuse("resume", position, "no learner is paused or on hold")
        elif command.action == "hold":
            refused = [why for learner in open_ if (why := learner.hold())]
            if refused or not open_:
                why = f"of {len(refused)} of {len(open_)} learners {refused[0]}" if refused else "no stream is open"
                self.steering.refuse("hold", position, why)
        elif why := self._undo(basis):
            self.steering.refuse("undo", position, why)

    def _undo(self, basis: Basis | None) -> str:
        """Have a stream's learner go back to a basis; return why it cannot, in words."""
        if basis is None:
            return "the basis is not there any more"
        if basis.stage != self.name:
            return ""
        if basis.stream not in self.learners:
            return f"there is no learner of the stream {basis.stream!r}"
        return self.learners[basis.stream].undo(basis)

    def state(self) -> State:
        """Return the state of each stream's learner, which streams have ended, and the counts of those forgotten."""
        streams = {stream: learner.state() for stream, learner in self.learners.items()}
        return {
            "streams": streams,
            "ended": list(self._ended),
            "forgotten": dict(self._forgotten),
            "thinning": self.thinning.state(),
            "steering": self.steering.state(),
        }

    def restore(self, state: State) -> None:
        """Take over what `state()` returned."""
        if "streams" not in state:
            raise ValueError("share: the state is of one learner for all streams; here each has its own")
        learners = {}
        for stream, saved in state["streams"].items():
            learners[stream] = self._new(stream)
            try:
                learners[stream].restore(saved)
            except ValueError as error:
                raise ValueError(f"streams.{stream}.{error}") from error
        for name, shared in (("thinning", self.thinning), ("steering", self.steering)):
            with within(name):
                shared.restore(state[name])
        self.learners, self._newest = learners, ""
        self._ended, self._forgotten = list(state["ended"]), Counter(state["forgotten"])

    def rest(self, seconds: float) -> None:
        """Take note that for so long no frame was waiting: there is time to learn."""
        self.thinning.rest(seconds)

    def retrace(self, state: State) -> None:
        """From now on learn from the frames that were learnt from on the way to a state. Raises as `Thinning`."""
        with within("thinning"):
            self.thinning.retrace(state["thinning"])

    def bases(self) -> list[Basis]:
        """Return the basis of the stream that the newest frame was of; all of them before the first frame."""
        touched = [self.learners[self._newest]] if self._newest in self.learners else self.learners.values()
        return [basis for learner in touched for basis in learner.bases()]

    def measures(self) -> list[Measure]:
        """Return the measures of the first 8 streams."""
        return [measure for learner in self.shown for measure in learner.measures()]

    def events(self) -> list[Event]:
        """Return the newest events of each stream's learner, of what they learn from, and of commands to all."""
        of_learners = [event for learner in self.learners.values() for event in learner.events()]
        return [*of_learners, *self.thinning.events(), *self.steering.events()]

    def counts(self) -> Counts:
        """Return what the learners count, added up, the largest drift, and how many streams there are."""
        total = Counter(self._forgotten)
        own = {stream: learner.counts() for stream, learner in self.learners.items()}
        for each in own.values():
            total.update({key: int(count) for key, count in each.items() if key not in (NOW, DRIFT)})
        counts: dict[str, float] = {"streams": len(self.learners) - len(self._ended), "streams ended": len(self._ended)}
        counts |= {DRIFT: max(drifts)} if (drifts := [each[DRIFT] for each in own.values() if DRIFT in each]) else {}
        if NOW in (newest := own.get(self._newest, {})):
            counts[NOW] = newest[NOW]
        return {**total, **counts, **self.steering.counts()}
