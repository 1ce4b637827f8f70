"""The contracts that everything meets: what a source, a stage and a sink are. Pipeline: stages in a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from stream_infomax.frames import wire
from stream_infomax.frames.basis import Basis, HasBasis
from stream_infomax.frames.command import Command, Steered
from stream_infomax.frames.event import Event
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.ledger import Account, Accounting, rows_read
from stream_infomax.frames.measure import Measure

# A tree of JSON values and numpy arrays; what state_file.py stores.
State: TypeAlias = dict[str, Any]
# How a count begins that people have to hear of: data that were there and were not used.
LEFT_OUT = "left out: "
# How one begins of frames that were there, and are gone.
LOST = "lost: "
# Counters and gauges by what they count: rows set aside, files that could not be read, updates, bytes.
Counts: TypeAlias = Mapping[str, float]


class Source(Protocol):
    """What seekable and live sources have in common."""

    name: str

    def state(self) -> State:
        """Return what tells whether the same offsets still mean the same data."""
        ...

    def restore(self, state: State) -> None:
        """Give the frames that the source of this state gave. Raises ValueError where they are not there any more."""
        ...

    def counts(self) -> Counts:
        """Return how many of what it has read, passed over and mended so far.

        What begins with `LEFT_OUT` or `LOST` is in the summary of a run where it is above 0.
        """
        ...


@runtime_checkable
class Seekable(Source, Protocol):
    """A source that gives frames from any offset on, the same ones each time.

    It may have a Counter `lost`: frames that lack rows, by reason, because a file is no longer what it was. It counts
    each time that it gives such a frame.
    """

    def __len__(self) -> int:
        """Return the number of frames."""
        ...

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames `start`, `start` + 1, …; the last of each stream has `end`."""
        ...


@runtime_checkable
class Recorded(Seekable, Protocol):
    """A seekable source that knows when each frame came: by that its frames are paced, and not by their own times."""

    def arrivals(self, start: int = 0) -> Iterator[tuple[float, Frame]]:
        """Yield the frames `start`, `start` + 1, … as `frames` does, each with its time of arrival in seconds."""
        ...


@runtime_checkable
class Live(Source, Protocol):
    """A source that gives each frame once, when it comes. It never waits: the loop does, on its `sockets`.

    Making one only checks its settings; `open` takes the device. Its frames have no offset; they get one on arrival.
    After a restart the offsets go on behind those that were given before, and what came meanwhile is lost.

    Attributes
    ----------
    lost
        Frames that never came, by reason; it goes on from a checkpoint by itself. What comes after them begins another
        segment: so every stage learns of the gap.
    """

    lost: Counter[str]

    def open(self) -> None:
        """Take the device; called once, after `restore` where there is a checkpoint. Raises OSError or ValueError."""
        ...

    @property
    def sockets(self) -> Sequence[Any]:
        """ZeroMQ sockets and file descriptors that become readable when there may be a frame."""
        ...

    @property
    def finished(self) -> bool:
        """Whether no frame will come any more."""
        ...

    def receive(self) -> Frame | None:
        """Return the next frame, None where none is there yet."""
        ...

    def due(self) -> float:
        """Return the seconds until `receive` is to be called although no socket says so; infinite for never."""
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


@runtime_checkable
class Noting(Live, Protocol):
    """A live source that says with each frame what of its state has changed.

    After a death the frames since the checkpoint are in a journal, and nothing of the source's state is. With their
    notes it is brought to where it was: what devices count themselves goes on without a gap.
    """

    def note(self) -> bytes:
        """Return what is to be remembered with the frame that was given last; a journal keeps it beside the frame."""
        ...

    def recall(self, frame: Frame, note: bytes) -> None:
        """Take in a frame that was given before, and its note; after `restore`, before `open`."""
        ...


@runtime_checkable
class Refusing(Protocol):
    """A source that strangers can reach."""

    def refusals(self) -> Mapping[str, int]:
        """Return what was refused to them, connections and messages, by reason."""
        ...


class Stage(Protocol):
    """A plain object that turns frame n into frame n. It knows nothing of sockets, files or processes.

    Same frames, same state, same machine: the same bits come out.
    """

    name: str

    def process(self, frame: Frame) -> Frame:
        """Return the output frame of `frame`, with the same offset."""
        ...

    def state(self) -> State:
        """Return everything that the next frames depend on."""
        ...

    def restore(self, state: State) -> None:
        """Take over what `state()` returned. Raises ValueError, naming the key, where it does not fit."""
        ...

    def measures(self) -> Sequence[Measure]:
        """Return the figures that are followed over a run, those that have a finite value by now."""
        ...

    def counts(self) -> Counts:
        """Return how many of what it has processed, learnt from and set aside so far."""
        ...


@runtime_checkable
class Encoder(Stage, Protocol):
    """A stage that gives rows for rows, and can do so without learning."""

    def start_encoding(self, carry: tuple[str, ...] = (), *, untrained: bool = False) -> None:
        """From now on only encode, from another beginning.

        Parameters
        ----------
        carry
            Arrays of the incoming frame that are passed on.
        untrained
            Encode as before any learning, where the stage can.
        """
        ...


@runtime_checkable
class Eventful(Stage, Protocol):
    """A stage to which something may happen that a person should hear of."""

    def events(self) -> Sequence[Event]:
        """Return the newest events, oldest first; they are in its state."""
        ...


@runtime_checkable
class Timed(Stage, Protocol):
    """A stage in which a clock may decide something. What it decided is in its state, with the offset."""

    def rest(self, seconds: float) -> None:
        """Take note that for so long no frame was waiting."""
        ...

    def retrace(self, state: State) -> None:
        """From now on decide as on the way to a state, by offsets. Raises ValueError where that is not known."""
        ...


class Arrival(NamedTuple):
    """A frame that has come, when the step before sent it, and when the source first had it (0: not known)."""

    frame: Frame
    sent: float
    origin: float


class Output:
    """What the stages made of a frame.

    Attributes
    ----------
    frame
        The frame.
    log
        The id of the log whose offset it has.
    origin
        When the source first had it, in seconds of the wall clock; 0 where that is not known.
    beside
        Arrays for viewers that the frame does not hold; see `Pipeline`.
    """

    __slots__ = ("_parts", "beside", "frame", "log", "origin")

    def __init__(
        self, frame: Frame, log: str = "", origin: float = 0.0, beside: Mapping[str, Array] | None = None
    ) -> None:
        self.frame = frame
        self.log = log
        self.origin = origin
        self.beside = {name: array for name, array in (beside or {}).items() if name not in frame.arrays}
        self._parts: list[bytes] | None = None

    @property
    def parts(self) -> list[bytes]:
        """The frame's bytes; they are made once, when they are first asked for."""
        if self._parts is None:
            self._parts = wire.encode(self.frame)
        return self._parts

    def for_viewers(self) -> list[bytes]:
        """Return the bytes of the frame with what is beside it, in front of its own arrays."""
        if not self.beside:
            return self.parts
        return wire.encode(self.frame.extend({**self.beside, **self.frame.arrays}))


class Mark(NamedTuple):
    """Where a checkpoint stands: the log that is read, the offset that comes next, and whether the stream ended."""

    log: str
    next: int
    finished: bool


class Held(NamedTuple):
    """What a sink holds that is not where it belongs yet, for people who watch.

    `fill` goes from 0 to 1. `dropped` are frames that were given up, `committed` is each reader's position, `refused`
    counts requests that were not granted, by reason.
    """

    frames: int = 0
    bytes: int = 0
    fill: float = 0.0
    dropped: int = 0
    committed: Mapping[str, int] = {}
    refused: Mapping[str, int] = {}


class Sink:
    """Where frames end. A sink has to give `accept` and `save`; the rest is for those that wait for somebody else.

    After a death the frames since the last checkpoint come again, the same bits under the same offsets. A sink whose
    `save` was further passes over those that it has: so nothing is lost, and nothing is there twice.

    Attributes
    ----------
    name
        Its name.
    next
        The offset after the last frame that it has on disk, as far as it knows: a live source that is started again in
        the same process goes on behind it.
    address
        Where others reach it; empty where nobody does.
    sockets
        What becomes readable when `attend` has something to do.
    wanted
        The offset that somebody needs again; the loop sets a source back to it and calls `rewind`.
    account
        Counts what becomes of the frames, which the loop counts when it hands them over; None: the sink does not count.
    """

    name: str = "sink"
    next: int = 0
    address: str = ""
    sockets: Sequence[Any] = ()
    wanted: int | None = None
    account: Account | None = None

    @property
    def full(self) -> bool:
        """Whether the next frame has to wait for somebody else; a checkpoint does not help."""
        return False

    @property
    def due(self) -> bool:
        """Whether it wants a checkpoint now, and not only after the configured number of frames."""
        return False

    @property
    def drained(self) -> bool:
        """Whether everything has reached those it is for; asked once the stream has ended."""
        return True

    def accept(self, output: Output) -> None:
        """Take a frame; offsets grow. Raises ValueError where it cannot be taken."""
        raise NotImplementedError

    def save(self, mark: Mark) -> State:
        """Make safe what was accepted, everything before `mark.next`, and return what the checkpoint is to hold of it.

        Raises
        ------
        OSError
            Where that cannot be done; there is no checkpoint then.
        """
        raise NotImplementedError

    def restore(self, state: State, mark: Mark) -> None:
        """Take over what `save` returned in the life before; not called in the first."""

    def committed(self) -> None:
        """The checkpoint is on disk; what it holds will not come again."""

    def attend(self) -> None:
        """Answer whoever asks for something. Called whenever a socket is ready, and every few frames."""

    def rewind(self, offset: int) -> None:
        """The source goes on with `offset`."""

    def held(self) -> Held:
        """Return what it holds."""
        return Held()

    def in_flight(self) -> Mapping[str, int]:
        """Return how many frames of each stream it holds that are not where they belong yet."""
        return {}

    def counts(self) -> Counts:
        """Return how much of what it has written, passed on and removed so far; the summary of a run has it."""
        return {}

    def close(self) -> None:
        """Let go of what is open; what was not saved is lost."""


class Pipeline:
    """Stages in a row.

    Attributes
    ----------
    beside
        The arrays of the newest frame that stages have for viewers (`shows`), also where no later stage passes them on.

    >>> from stream_infomax.frames.frame import Frame
    >>> list(Pipeline([])([Frame(stream="a", offset=0)]))[0].offset
    0
    """

    def __init__(self, stages: Sequence[Stage], name: str = "pipeline") -> None:
        self.stages = list(stages)
        self.name = name
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stages need different names, got {names}")
        self._timed = [stage for stage in self.stages if isinstance(stage, Timed)]
        self._steps = [
            (stage, stage.account, stage.reads, stage.shows) if isinstance(stage, Accounting) else (stage, None, (), ())
            for stage in self.stages
        ]
        self.beside: dict[str, Array] = {}
        self._with_basis = [stage for stage in self.stages if isinstance(stage, HasBasis)]

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the output of each of `frames`."""
        for frame in frames:
            yield self.process(frame)

    def process(self, frame: Frame) -> Frame:
        """Return what the last stage makes of `frame`."""
        self.beside = {}
        for stage, account, reads, shows in self._steps:
            if account is not None and (n := rows_read(frame, reads)):
                account.accept(frame.stream, n)
            frame = stage.process(frame)
            for name in shows:
                if name in frame.arrays:
                    self.beside[name] = frame.arrays[name]
        return frame

    def state(self) -> State:
        """Return the states of the stages under their names."""
        return {stage.name: stage.state() for stage in self.stages}

    def restore(self, state: State) -> None:
        """Give each stage its state back."""
        names = [stage.name for stage in self.stages]
        if list(state) != names:
            raise ValueError(f"the state is of the stages {list(state)}; this pipeline has {names}")
        for stage in self.stages:
            stage.restore(state[stage.name])

    def rest(self, seconds: float) -> None:
        """Tell the stages that decide by a clock that for so long no frame was waiting."""
        for stage in self._timed:
            stage.rest(seconds)

    def retrace(self, state: State) -> None:
        """Let the stages that decide by a clock decide as on the way to a state: so its bits come out again."""
        for stage in self._timed:
            stage.retrace(state[stage.name])

    def steered(self, action: str, stage: str = "") -> list[str]:
        """Return the stages that can be told this; `stage` names the only one that is meant."""
        steered = [one for one in self.stages if isinstance(one, Steered) and action in one.actions]
        return [one.name for one in steered if stage in ("", one.name)]

    def command(self, command: Command, basis: Basis | None = None) -> None:
        """Have each stage that a command concerns carry it out, before the next frame."""
        concerned = self.steered(command.action, command.stage)
        for stage in self.stages:
            if stage.name in concerned and isinstance(stage, Steered):
                stage.command(command, basis)

    def bases(self) -> list[Basis]:
        """Return what the stages encode the next frame with, as far as they have a basis."""
        return [basis for stage in self._with_basis for basis in stage.bases()]

    def measures(self) -> list[Measure]:
        """Return the measures of all stages, in the order of the data."""
        return [measure for stage in self.stages for measure in stage.measures()]

    def events(self) -> list[Event]:
        """Return what happened to the stages that are `Eventful`, each stage's oldest first."""
        return [event for stage in self.stages if isinstance(stage, Eventful) for event in stage.events()]

    def counts(self) -> dict[str, Counts]:
        """Return the counts of each stage under its name."""
        return {stage.name: stage.counts() for stage in self.stages}
