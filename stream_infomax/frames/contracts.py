"""Stage: what every step of a pipeline is. Pipeline: several of them in a row in one process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from stream_infomax.frames.frame import Frame

# A tree of JSON values and numpy arrays; what state_file.py stores.
State: TypeAlias = dict[str, Any]
# Numbers for a person who watches: gauges and counters by name.
Metrics: TypeAlias = Mapping[str, float]


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

    def metrics(self) -> Metrics:
        """Return what is worth watching while it runs."""
        ...


class Pipeline:
    """Stages in a row; itself a stage.

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

    def metrics(self) -> Metrics:
        """Return the stages' metrics, each under ``stage.metric``."""
        return {f"{stage.name}.{name}": value for stage in self.stages for name, value in stage.metrics().items()}
