"""Replay: what came in is kept, as mel frames or samples, and played again in batches, distorted afresh each time.

A contrastive module that predicts one version of an excerpt from another learns what the two have in common (E.
Kharitonov et al. 2020, arXiv 2007.00991). Versions that were drawn once are learnt by heart; these are drawn for each
batch. As the memory is in front of the learner, what modules learn from is always encoded with the present filters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.contracts import State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.gaps import Streams
from stream_infomax.learning.contrast.excerpts import Cutter, ExcerptMemory
from stream_infomax.stages.batches import packed
from stream_infomax.stages.teachers import numbered
from stream_infomax.stages.versions import Versions
from stream_infomax.state.kept import Kept

Rows = npt.NDArray[np.float32]

SHORTEST = 4  # rows of an excerpt
RESERVOIR = 0.5  # the share of the memory that holds a uniform sample of all that came before


class FrameCutter(Kept):
    """Excerpts of what the rows of one stream are cut from: mel frames or samples.

    Parameters
    ----------
    versions
        Knows how rows are cut.
    longest
        Rows of an excerpt at most.
    replay
        Keeps the excerpt that an interruption leaves.
    """

    kept = ("group", "continues", "frames")

    def __init__(self, versions: Versions, longest: int, replay: Replay) -> None:
        self.versions, self.replay = versions, replay
        most, fewest = (versions.length + (rows - 1) * versions.hop for rows in (max(longest, SHORTEST), SHORTEST))
        self.frames = Cutter(versions.width, most, fewest, replay.dropped)
        self.continues = False  # the frames of the next row follow those in the cutter
        self.group = ""  # of the newest frame

    def add(self, rows: Rows, last: bool) -> list[Rows]:
        """Return the excerpts (frames, width) that the next rows (n, length) or (n, length, width) complete.

        A row with NaN is a gap; `last` ends the segment.
        """
        done = []
        hop, width = self.versions.hop, self.versions.width
        rows = rows.reshape(len(rows), self.versions.length, width)
        finite = np.isfinite(rows).all((1, 2))
        borders = np.flatnonzero(np.diff(finite.astype(np.int8))) + 1
        for piece, good in zip(np.split(rows, borders), np.split(finite, borders), strict=True):
            if len(good) and not good[0]:
                done += self.close()
            elif len(good):
                new = piece[:, -hop:].reshape(-1, width)
                done += self.frames.add(new if self.continues else np.concatenate([piece[0, :-hop], new]), False)
                self.continues = True
        return done + self.close() if last else done

    def close(self) -> list[Rows]:
        """End the run, as a gap or the end of a segment does; return its excerpt if it is long enough."""
        self.continues = False
        return self.frames.close()

    def interrupt(self) -> None:
        """What comes next does not continue what came before."""
        self.replay.keep(self.close(), self.group)

    def reset(self) -> None:
        """The segment is over."""
        self.interrupt()


class Replay:
    """Keeps excerpts of all streams, and draws batches for each new one.

    Of each excerpt in a batch there are two versions: what is predicted, and what it is predicted from. Which
    excerpts, and how they are distorted, depends on the seed, the number of the draw and what is kept only.

    Parameters
    ----------
    versions
        Makes the rows of a version.
    memory
        Bytes of excerpts.
    rows, updates, excerpt
        Rows of a batch, about; batches for each new excerpt; rows of an excerpt at most.
    group
        The label by which excerpts belong together, as those of one speaker; empty: by their stream.
    seed
        Of all draws.
    """

    def __init__(
        self,
        versions: Versions,
        *,
        memory: int,
        rows: int,
        updates: int,
        excerpt: int,
        group: str,
        seed: int,
    ) -> None:
        self.versions, self.rows, self.updates, self.excerpt = versions, rows, updates, excerpt
        self.group, self.seed = group, seed
        self.memory = ExcerptMemory(memory, RESERVOIR, seed)
        self.streams: Streams[FrameCutter] = Streams()
        self.draws = 0
        self.dropped = Counter(short=0)  # runs of rows that made no excerpt

    def process(self, frame: Frame, array: Array, name: str) -> dict[str, Array]:
        """Return the batches for which the rows of a frame give reason, as arrays of stage `name`."""
        stream = self.streams.enter(frame, self._new_stream)
        stream.group = frame.labels.get(self.group, frame.stream)
        rows: list[Rows] = []
        past: list[Rows] = []
        streams: list[npt.NDArray[np.int64]] = []
        for excerpt in stream.add(array.data, frame.last or frame.end):
            self.keep([excerpt], stream.group)
            for _ in range(self.updates):
                excerpts, of = self.memory.draw_streams(self.rows, self.draws, self._rows_of)
                rows += (self._version(part, frame.rate, place, 0) for place, part in enumerate(excerpts))
                past += (self._version(part, frame.rate, place, 1) for place, part in enumerate(excerpts))
                streams.append(np.zeros(len(excerpts), np.int64) if of is None else of)
                self.draws += 1
        self.streams.leave(frame)
        lengths, sizes = [len(part) for part in rows], [len(of) for of in streams]
        of_all = np.concatenate(streams) if streams else None
        return packed(name, rows, lengths, sizes, array.axes, past, of_all)

    def follow(self, frame: Frame) -> None:
        """Notice frames lost before this one."""
        self.streams.follow(frame)

    def keep(self, excerpts: list[Rows], group: str) -> None:
        """Remember excerpts of a group."""
        for excerpt in excerpts:
            self.memory.add(excerpt, numbered(group))

    def _rows_of(self, excerpt: Rows) -> int:
        return (len(excerpt) - self.versions.length) // self.versions.hop + 1

    def _version(self, excerpt: Rows, rate: float, place: int, side: int) -> Rows:
        """Return the rows of an excerpt in this draw, distorted."""
        return self.versions.cut(excerpt, rate, self.seed, self.draws, place, side)

    def _new_stream(self) -> FrameCutter:
        return FrameCutter(self.versions, self.excerpt, self)

    def counts(self) -> dict[str, float]:
        """Return how much is remembered, how many batches were drawn, and what was too short to be remembered."""
        kept = {"excerpts": len(self.memory), "memory bytes": self.memory.nbytes}
        return {**kept, "batches": self.draws, "too short to play again": self.dropped["short"]}

    def state(self) -> State:
        """Return everything that `restore` needs."""
        counts = {"draws": self.draws, "short": self.dropped["short"]}
        return {**counts, "memory": self.memory.state(), **self.streams.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned. Raises ValueError, naming the key, where it does not fit."""
        self.draws, self.dropped["short"] = int(state["draws"]), int(state["short"])
        self.memory.restore(state["memory"])
        self.streams.restore(state, self._new_stream)
