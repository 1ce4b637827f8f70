"""Replay: mel frames that came in are kept and played again in training batches, distorted afresh each time.

A contrastive module that predicts one version of an excerpt from another learns what the two have in common (E.
Kharitonov et al. 2020, arXiv 2007.00991). Versions that were drawn once are learnt by heart; these are drawn for each
batch. As the memory is in front of the learner, what modules learn from is always encoded with the present filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from stream_infomax.frames.contracts import State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.gaps import Streams
from stream_infomax.learning.contrast.excerpts import Cutter, ExcerptMemory
from stream_infomax.stages.batches import packed
from stream_infomax.stages.distortion import Strength, drawn
from stream_infomax.stages.teachers import numbered
from stream_infomax.state.kept import Kept

Rows = npt.NDArray[np.float32]

SHORTEST = 4  # patches of an excerpt
RESERVOIR = 0.5  # the share of the memory that holds a uniform sample of all that came before


class FrameCutter(Kept):
    """Excerpts of mel frames from the patches of one stream.

    Parameters
    ----------
    length, hop
        Mel frames of a patch, and between the starts of two.
    n_mels
        Bands.
    longest
        Patches of an excerpt at most.
    replay
        Keeps the excerpt that an interruption leaves.
    """

    kept = ("group", "continues", "frames")

    def __init__(self, length: int, hop: int, n_mels: int, longest: int, replay: Replay) -> None:
        self.length, self.hop, self.n_mels, self.replay = length, hop, n_mels, replay
        most, fewest = (length + (patches - 1) * hop for patches in (max(longest, SHORTEST), SHORTEST))
        self.frames = Cutter(n_mels, most, fewest)
        self.continues = False  # the frames of the next patch follow those in the cutter
        self.group = ""  # of the newest frame

    def add(self, patches: Rows, last: bool) -> list[Rows]:
        """Return the excerpts (frames, n_mels) that the next patches (n, length, n_mels) complete.

        A patch with NaN is a gap; `last` ends the segment.
        """
        done = []
        finite = np.isfinite(patches).all((1, 2))
        borders = np.flatnonzero(np.diff(finite.astype(np.int8))) + 1
        for piece, good in zip(np.split(patches, borders), np.split(finite, borders), strict=True):
            if len(good) and not good[0]:
                done += self.close()
            elif len(good):
                new = piece[:, -self.hop :].reshape(-1, self.n_mels)
                done += self.frames.add(new if self.continues else np.concatenate([piece[0, : -self.hop], new]), False)
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
    """Keeps excerpts of the mel frames of all streams, and draws batches for each new one.

    Of each excerpt in a batch there are two versions: what is predicted, and what it is predicted from. Which
    excerpts, and how they are distorted, depends on the seed, the number of the draw and what is kept only.

    Parameters
    ----------
    length, hop, n_mels
        Mel frames of a patch, and between the starts of two; bands.
    strength
        How far the versions are from what came in.
    memory
        Bytes of mel frames.
    rows, updates, excerpt
        Patches of a batch, about; batches for each new excerpt; patches of an excerpt at most.
    group
        The label by which excerpts belong together, as those of one speaker; empty: by their stream.
    seed
        Of all draws.
    """

    def __init__(
        self,
        length: int,
        hop: int,
        n_mels: int,
        *,
        strength: Strength,
        memory: int,
        rows: int,
        updates: int,
        excerpt: int,
        group: str,
        seed: int,
    ) -> None:
        self.length, self.hop, self.n_mels = length, hop, n_mels
        self.strength, self.rows, self.updates, self.excerpt = strength, rows, updates, excerpt
        self.group, self.seed = group, seed
        self.memory = ExcerptMemory(memory, RESERVOIR, seed)
        self.streams: Streams[FrameCutter] = Streams()
        self.draws = 0

    def process(self, frame: Frame, patches: Array, name: str) -> dict[str, Array]:
        """Return the batches for which the patches of a frame give reason, as arrays of stage `name`."""
        stream = self.streams.enter(frame, self._new_stream)
        stream.group = frame.labels.get(self.group, frame.stream)
        rows: list[Rows] = []
        past: list[Rows] = []
        streams: list[npt.NDArray[np.int64]] = []
        for excerpt in stream.add(patches.data, frame.last or frame.end):
            self.keep([excerpt], stream.group)
            for _ in range(self.updates):
                excerpts, of = self.memory.draw_streams(self.rows, self.draws, self._patches_of)
                rows += (self._version(part, frame.rate, place, 0) for place, part in enumerate(excerpts))
                past += (self._version(part, frame.rate, place, 1) for place, part in enumerate(excerpts))
                streams.append(np.zeros(len(excerpts), np.int64) if of is None else of)
                self.draws += 1
        self.streams.leave(frame)
        lengths, sizes = [len(part) for part in rows], [len(of) for of in streams]
        of_all = np.concatenate(streams) if streams else None
        return packed(name, rows, lengths, sizes, patches.axes, past, of_all)

    def follow(self, frame: Frame) -> None:
        """Notice frames lost before this one."""
        self.streams.follow(frame)

    def keep(self, excerpts: list[Rows], group: str) -> None:
        """Remember excerpts of a group."""
        for excerpt in excerpts:
            self.memory.add(excerpt, numbered(group))

    def _patches_of(self, frames: Rows) -> int:
        return (len(frames) - self.length) // self.hop + 1

    def _version(self, frames: Rows, rate: float, place: int, side: int) -> Rows:
        """Return the patches (n, length, n_mels) of an excerpt in this draw, distorted."""
        distortion = drawn(self.strength, self.n_mels, rate, self.seed, self.draws, place, side)
        patches = sliding_window_view(distortion.of(frames), self.length, axis=0)[:: self.hop]
        return patches.swapaxes(1, 2)

    def _new_stream(self) -> FrameCutter:
        return FrameCutter(self.length, self.hop, self.n_mels, self.excerpt, self)

    def counts(self) -> dict[str, float]:
        """Return how much is remembered, and how many batches were drawn."""
        return {"excerpts": len(self.memory), "memory bytes": self.memory.nbytes, "batches": self.draws}

    def state(self) -> State:
        """Return everything that `restore` needs."""
        return {"draws": self.draws, "memory": self.memory.state(), **self.streams.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned. Raises ValueError, naming the key, where it does not fit."""
        self.draws = int(state["draws"])
        self.memory.restore(state["memory"])
        self.streams.restore(state, self._new_stream)
