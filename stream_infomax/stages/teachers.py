"""Teachers: where a contrastive module gets its training batches from.

The first module of a stack has `OwnExcerpts`: it keeps excerpts of its own stream and draws batches from them. Where
batches come with its input, it takes those (`BatchesOfFeatures`), as every other module takes the `BatchesBelow`.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.frame import Frame
from stream_infomax.learning.contrast.excerpts import Batch, Cutter, ExcerptMemory, GridCutter
from stream_infomax.learning.contrast.shapes import Shape
from stream_infomax.learning.measures.moments import RobustMoments
from stream_infomax.stages.batches import from_frame

Rows = npt.NDArray[np.float32]

HALF_LIFE = 600.0  # seconds; a slow standardisation does not chase what is being learnt from it
LATE = 1.0  # seconds behind the stream at which live mode stops training


class Standardising:
    """What a first module does with the rows of its stream."""

    moments: RobustMoments

    def watch(self, rows: Rows) -> None:
        """Follow the distribution of the rows (n, channels)."""
        self.moments.update(rows[np.isfinite(rows).all(1)])

    def standardised(self, rows: Rows) -> Rows:
        """Return rows (n, channels) as the module takes them."""
        return self.moments.standardised(rows)


class OwnExcerpts(Standardising):
    """Standardises the rows of a stream, keeps excerpts of them, and draws a batch for each new one.

    Parameters
    ----------
    memory
        Keeps the excerpts.
    updates, every
        Batches that are drawn after every so many new excerpts.
    rows
        Rows of a batch, about.
    live
        Draw nothing while more than a second behind the stream.

    Attributes
    ----------
    counts : Counter
        Excerpts that came ``late`` (kept, but no reason for a batch), and runs and grids that were no excerpts.
    """

    def __init__(self, memory: ExcerptMemory, *, updates: int, every: int, rows: int, live: bool) -> None:
        self.memory, self.updates, self.every, self.rows = memory, updates, every, rows
        self.clock = Clock() if live else None
        self.draws = 0
        self.counts: Counter[str] = Counter(late=0, short=0, not_finite=0)
        self.shape: Shape

    def start(self, shape: Shape) -> None:
        """Get ready for rows of this shape, which have no past."""
        self.shape, self.moments = shape, slow_moments(shape)
        self.memory.clear()

    def keep(self, excerpts: list[Rows], stream: str) -> None:
        """Remember excerpts of a stream that give no reason for a batch."""
        for excerpt in excerpts:
            self.memory.add(excerpt, numbered(stream))

    def batches(self, frame: Frame, rows: Rows, cutter: Cutter | GridCutter) -> list[Batch]:
        """Return the batches that the excerpts give reason for which these rows of the frame complete."""
        excerpts = cutter.add(rows, frame.last or frame.end)
        if self.clock is not None and self.clock.behind(frame.time) > LATE:
            self.keep(excerpts, frame.stream)
            self.counts["late"] += len(excerpts)
            return []
        batches = []
        for excerpt in excerpts:
            self.memory.add(excerpt, numbered(frame.stream))
            if self.memory.count % self.every == 0:
                batches += [self._draw() for _ in range(self.updates)]
        return batches

    def holds(self) -> dict[str, float]:
        """Return how much is remembered."""
        return {"excerpts": len(self.memory), "memory bytes": self.memory.nbytes}

    def _draw(self) -> Batch:
        excerpts, streams = self.memory.draw_streams(self.rows, self.draws)
        self.draws += 1
        return self.shape.batch([self.moments.standardised(excerpt) for excerpt in excerpts], streams)

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs."""
        return {
            "draws": self.draws,
            "counts": dict(self.counts),
            "moments": self.moments.state(),
            "memory": self.memory.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned; the shape has to be known."""
        self.draws = int(state["draws"])
        self.counts.clear()  # and stays the object in which the cutters count
        self.counts.update(state["counts"])
        self.moments.restore(state["moments"])
        self.memory.restore(state["memory"])


class BatchesBelow:
    """Takes the batches of the module below as they come, and its rows as they are.

    Parameters
    ----------
    name
        The name of the module below.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()

    def start(self, shape: Shape) -> None:
        """Rows of any shape will do."""

    def watch(self, rows: Rows) -> None:
        """The module below has standardised them."""

    def standardised(self, rows: Rows) -> Rows:
        """Return the rows as they are."""
        return rows

    def keep(self, excerpts: list[Rows], stream: str) -> None:
        """Nothing is kept: it came with the batches."""

    def batches(self, frame: Frame, rows: Rows, cutter: Cutter | GridCutter) -> list[Batch]:
        """Return the batches that travel with the frame."""
        return from_frame(frame, self.name)

    def holds(self) -> dict[str, float]:
        """Return nothing: it remembers nothing."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing is remembered."""


class BatchesOfFeatures(Standardising):
    """Takes the batches of features that come with the rows, and standardises both as it standardises the rows.

    Parameters
    ----------
    name
        The stage that encodes rows and batches.
    live
        Learn nothing while more than a second behind the stream.

    Attributes
    ----------
    counts : Counter
        Batches that came ``late``.
    """

    def __init__(self, name: str, *, live: bool) -> None:
        self.name = name
        self.clock = Clock() if live else None
        self.counts: Counter[str] = Counter(late=0)

    def start(self, shape: Shape) -> None:
        """Get ready for rows of this shape, which have no past."""
        self.moments = slow_moments(shape)

    def keep(self, excerpts: list[Rows], stream: str) -> None:
        """Nothing is kept: what came in is remembered in front of the learner."""

    def batches(self, frame: Frame, rows: Rows, cutter: Cutter | GridCutter) -> list[Batch]:
        """Return the batches that travel with the frame."""
        batches = from_frame(frame, self.name)
        if self.clock is not None and self.clock.behind(frame.time) > LATE:
            self.counts["late"] += len(batches)
            return []
        return [self._standardised(batch) for batch in batches]

    def _standardised(self, batch: Batch) -> Batch:
        """Return a batch whose padding stays zero."""
        is_there = (np.arange(batch.rows.shape[1]) < batch.lengths[:, None])[..., None]
        rows, past = (
            None if part is None else np.where(is_there, self._of_each(part), np.float32(0))
            for part in (batch.rows, batch.past)
        )
        assert rows is not None
        return batch._replace(rows=rows, past=past)

    def _of_each(self, rows: Rows) -> Rows:
        return self.moments.standardised(rows.reshape(-1, rows.shape[-1])).reshape(rows.shape)

    def holds(self) -> dict[str, float]:
        """Return nothing: it remembers nothing."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs."""
        return {"counts": dict(self.counts), "moments": self.moments.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned; the shape has to be known."""
        self.counts.clear()
        self.counts.update(state["counts"])
        self.moments.restore(state["moments"])


Teacher = OwnExcerpts | BatchesBelow | BatchesOfFeatures


def slow_moments(shape: Shape) -> RobustMoments:
    """Return what standardises rows of a shape."""
    return RobustMoments(shape.channels, HALF_LIFE * shape.rate if shape.rate else None)


def numbered(stream: str) -> int:
    """Return the number of a stream in batches: a digest of its name, which no order of streams can change."""
    return int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest(), signed=True)


class Clock:
    """How far this machine is behind a stream, whose first frame is taken to be on time."""

    def __init__(self) -> None:
        self.start: float | None = None

    def behind(self, seconds: float) -> float:
        """Return the seconds since what is at `seconds` of the stream should have been processed."""
        now = time.monotonic()
        if self.start is None:
            self.start = now - seconds
        return now - self.start - seconds
