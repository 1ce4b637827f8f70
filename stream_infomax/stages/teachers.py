"""Teachers: where a contrastive module gets its training batches from.

The first module of a stack has `OwnExcerpts`: it keeps excerpts of its own stream and draws batches from them. Every
other module takes the `BatchesBelow`, which come with the frames of the module that it stands on.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.copies import copies_of
from stream_infomax.frames.frame import Frame
from stream_infomax.learning.contrast.excerpts import Batch, Cutter, ExcerptMemory, GridCutter
from stream_infomax.learning.contrast.shapes import Shape
from stream_infomax.learning.measures.moments import RobustMoments
from stream_infomax.stages.batches import from_frame

Rows = npt.NDArray[np.float32]

HALF_LIFE = 600.0  # seconds; a slow standardisation does not chase what is being learnt from it
LATE = 1.0  # seconds behind the stream at which live mode stops training


class OwnExcerpts:
    """Standardises the rows of a stream, keeps excerpts of them, and draws a batch for each new one.

    Where distorted copies of the rows come along, they lie beside the rows in the memory. Of each excerpt that is
    drawn one version, chosen at random, is predicted from another.

    Parameters
    ----------
    input
        The array whose copies it looks for.
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

    def __init__(self, input: str, memory: ExcerptMemory, *, updates: int, every: int, rows: int, live: bool) -> None:
        self.input, self.copies = input, 0
        self.memory, self.updates, self.every, self.rows = memory, updates, every, rows
        self.clock = Clock() if live else None
        self.draws = 0
        self.counts: Counter[str] = Counter(late=0, short=0, not_finite=0)
        self.shape: Shape
        self.moments: RobustMoments

    def start(self, shape: Shape, copies: int) -> None:
        """Get ready for rows of this shape, which have no past, and for so many copies of them."""
        self.shape, self.copies = shape, copies
        self.moments = RobustMoments(shape.channels, HALF_LIFE * shape.rate if shape.rate else None)
        self.memory.clear()

    def watch(self, rows: Rows) -> None:
        """Follow the distribution of the rows (n, channels)."""
        self.moments.update(rows[np.isfinite(rows).all(1)])

    def standardised(self, rows: Rows) -> Rows:
        """Return rows (n, channels) as the module takes them."""
        return self.moments.standardised(rows)

    def keep(self, excerpts: list[Rows], stream: str) -> None:
        """Remember excerpts of a stream that give no reason for a batch."""
        for excerpt in excerpts:
            self.memory.add(excerpt, numbered(stream))

    def batches(self, frame: Frame, rows: Rows, cutter: Cutter | GridCutter) -> list[Batch]:
        """Return the batches that the excerpts give reason for which these rows of the frame complete."""
        excerpts = cutter.add(self._beside(frame, rows), frame.last or frame.end)
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

    def _beside(self, frame: Frame, rows: Rows) -> Rows:
        """Return the rows (n, channels) and, in further columns, their copies."""
        if not self.copies:
            return rows
        return np.concatenate([rows, *(copy.rows() for copy in copies_of(frame, self.input))], axis=1)

    def holds(self) -> dict[str, float]:
        """Return how much is remembered."""
        return {"excerpts": len(self.memory), "memory bytes": self.memory.nbytes}

    def _draw(self) -> Batch:
        excerpts, streams = self.memory.draw_streams(self.rows, self.draws)
        if not self.copies:
            batch = self.shape.batch([self.moments.standardised(excerpt) for excerpt in excerpts], streams)
        else:
            random = np.random.default_rng([self.memory.seed, 2, self.draws])
            pairs = [self._two_versions(excerpt, random) for excerpt in excerpts]
            batch = self.shape.batch([target for target, _ in pairs], streams)
            batch = batch._replace(past=self.shape.batch([past for _, past in pairs]).rows)
        self.draws += 1
        return batch

    def _two_versions(self, excerpt: Rows, random: np.random.Generator) -> tuple[Rows, Rows]:
        """Return two versions of an excerpt, what is predicted and what from."""
        versions = np.split(excerpt, 1 + self.copies, axis=1)
        target, past = random.permutation(len(versions))[:2]
        return self.moments.standardised(versions[target]), self.moments.standardised(versions[past])

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

    def start(self, shape: Shape, copies: int) -> None:
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


Teacher = OwnExcerpts | BatchesBelow


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
