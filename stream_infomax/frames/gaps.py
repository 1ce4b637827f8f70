"""What every stage does at a late label, a lost frame, the border of a segment and a changed encoder.

A stage keeps what it remembers of a stream (unused samples, the state of a recurrent layer, pooled rows) in
``Streams``, which forgets it where the next rows do not continue those before:

==================================  ================================================================================
What comes                          What happens to what is remembered
==================================  ================================================================================
an offset that does not follow      Frames were lost. Their streams are not known: all open segments are interrupted.
another segment, no ``last`` before  The open segment is interrupted, and begins again as the new one.
another encoder                     The rows are of another kind. The open segment is interrupted.
a frame marked ``last``             After the frame the segment is forgotten.
a frame marked ``end``              After the frame the stream is forgotten.
a late label (no arrays)            Nothing; `incoming` gives None, and the stage passes it on unchanged.
rows without columns                Nothing; a learner below has not settled its width (`is_unsettled`).
==================================  ================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.state.kept import counted


class Memory(Protocol):
    """What a stage remembers of one stream."""

    def interrupt(self) -> None:
        """Rows of the open segment are missing: what comes next does not continue what came before."""
        ...

    def reset(self) -> None:
        """The segment is over; the next one begins from nothing."""
        ...

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        ...


M = TypeVar("M", bound=Memory)


@dataclass(slots=True)
class _Stream(Generic[M]):
    memory: M
    encoder: str
    segment: str | None  # None between two segments


class Streams(Generic[M]):
    """What a stage remembers of each of its streams.

    For every frame a stage calls `follow`, then `enter` for the memory of the frame's stream, and at its end `leave`.

    Attributes
    ----------
    offset : int
        Of the newest frame; -1 before the first.
    counts : dict of str to int
        ``gaps`` in the offsets, segments left ``unfinished`` by the next one, and changes to a ``new_encoder``.
    """

    def __init__(self) -> None:
        self.offset = -1
        self.counts = {"gaps": 0, "unfinished": 0, "new_encoder": 0}
        self._streams: dict[str, _Stream[M]] = {}

    def follow(self, frame: Frame) -> None:
        """Notice frames lost before this one; frames without an offset are taken to follow."""
        if frame.offset >= 0 and self.offset >= 0 and frame.offset != self.offset + 1:
            self.counts["gaps"] += 1
            for stream in self._streams.values():
                if stream.segment is not None:
                    stream.memory.interrupt()
        self.offset = frame.offset

    def enter(self, frame: Frame, make: Callable[[], M]) -> M:
        """Return what is remembered of the frame's stream; `make` makes it for a stream that is new."""
        stream = self._streams.get(frame.stream)
        if stream is None:
            stream = self._streams[frame.stream] = _Stream(make(), frame.encoder, None)
        is_other_segment = stream.segment not in (None, frame.segment)
        is_other_encoder = stream.encoder != frame.encoder
        self.counts["unfinished"] += is_other_segment
        self.counts["new_encoder"] += is_other_encoder
        if stream.segment is not None and (is_other_segment or is_other_encoder):
            stream.memory.interrupt()
        if is_other_segment:
            stream.memory.reset()
        stream.segment, stream.encoder = frame.segment, frame.encoder
        return stream.memory

    def leave(self, frame: Frame) -> None:
        """Forget what the frame ends: its segment, or its stream."""
        stream = self._streams.get(frame.stream)
        if stream is None:
            return
        if frame.last or frame.end:
            stream.memory.reset()
            stream.segment = None
        if frame.end:
            del self._streams[frame.stream]

    def memories(self) -> Iterator[tuple[str, M]]:
        """Yield the name of each stream, and what is remembered of it."""
        return ((name, stream.memory) for name, stream in self._streams.items())

    def clear(self) -> None:
        """Forget all streams; the position stays."""
        self._streams.clear()

    def state(self) -> dict[str, Any]:
        """Return position, counts and what is remembered of each stream."""
        return {
            "offset": self.offset,
            "counts": dict(self.counts),
            "streams": {
                name: {"segment": stream.segment, "encoder": stream.encoder, "memory": stream.memory.state()}
                for name, stream in self._streams.items()
            },
        }

    def restore(self, state: Mapping[str, Any], make: Callable[[], M]) -> None:
        """Take over what `state` returned; `make` makes the memory of a stream.

        Raises
        ------
        ValueError
            Where a memory refuses its state; names the stream.
        """
        streams: dict[str, _Stream[M]] = {}
        for name, saved in state["streams"].items():
            memory = make()
            try:
                memory.restore(saved["memory"])
            except ValueError as error:
                raise ValueError(f"streams.{name}.{error}") from error
            streams[name] = _Stream(memory, saved["encoder"], saved["segment"])
        self.counts = counted(state["counts"], known=self.counts)
        self.offset, self._streams = int(state["offset"]), streams


def incoming(frame: Frame, name: str, stage: str) -> Array | None:
    """Return the array that a stage reads, None for a late label.

    Raises
    ------
    ValueError
        Where the frame has arrays, but not this one; names the stage, the array and those that are there.
    """
    if not frame.arrays:
        return None
    if name not in frame.arrays:
        raise ValueError(
            f"stage {stage!r} reads {name!r}, but the frame at offset {frame.offset} has {list(frame.arrays)}; "
            f"list it in the `carry` of every stage between"
        )
    return frame.arrays[name]


def is_unsettled(array: Array) -> bool:
    """Whether rows have no columns, because a learner below has not settled how many outputs it has."""
    return 0 in array.row_shape
