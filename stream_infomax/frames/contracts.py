"""The contracts that everything meets: what a source and a stage are. Pipeline: stages in a row in one process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from stream_infomax.frames.frame import Frame
from stream_infomax.frames.measure import Measure

# A tree of JSON values and numpy arrays; what state_file.py stores.
State: TypeAlias = dict[str, Any]
# Counters and gauges by what they count: rows set aside, files that could not be read, updates, bytes.
Counts: TypeAlias = Mapping[str, float]


class Seekable(Protocol):
    """A source that gives frames from any offset on, the same ones each time."""

    name: str

    def __len__(self) -> int:
        """Return the number of frames."""
        ...

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames `start`, `start` + 1, …; the last of each stream has `end`."""
        ...

    def state(self) -> State:
        """Return what tells whether the same offsets still mean the same data."""
        ...

    def restore(self, state: State) -> None:
        """Give the frames that the source of this state gave. Raises ValueError where they are not there any more."""
        ...

    def counts(self) -> Counts:
        """Return how many of what it has read, passed over and mended so far."""
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


class Pipeline:
    """Stages in a row.

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

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the output of each of `frames`."""
        for frame in frames:
            yield self.process(frame)

    def process(self, frame: Frame) -> Frame:
        """Return what the last stage makes of `frame`."""
        for stage in self.stages:
            frame = stage.process(frame)
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

    def measures(self) -> list[Measure]:
        """Return the measures of all stages, in the order of the data."""
        return [measure for stage in self.stages for measure in stage.measures()]

    def counts(self) -> dict[str, Counts]:
        """Return the counts of each stage under its name."""
        return {stage.name: stage.counts() for stage in self.stages}
