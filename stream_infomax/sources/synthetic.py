"""SyntheticSource: known independent sources, mixed: what is learnt can be compared with the truth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import Settings, make
from stream_infomax.settings.shards import ShardText, shard_of
from stream_infomax.settings.types import Doc, NotNegativeFloat, Positive, Seed

# The ratio of the largest to the smallest singular value of the mixing.
CONDITION = 4.0

Matrix = npt.NDArray[np.float64]


class SyntheticSettings(Settings, frozen=True, kw_only=True):
    """Known independent sources, mixed."""

    n_sources: Annotated[Positive, Doc("Number of sources, and of channels.")] = 16
    density: Annotated[
        Literal["laplace", "uniform", "logistic", "mixed"],
        Doc(
            "Of the sources: `laplace` and `logistic` (super-Gaussian), `uniform` (sub-Gaussian), or `mixed` (the "
            "first half, rounded up, Laplace, the others uniform)."
        ),
    ] = "laplace"
    rows: Annotated[Positive, Doc("Rows of a frame.")] = 256
    frames: Annotated[Positive, Doc("Frames in all; they are one segment.")] = 400
    rate: Annotated[NotNegativeFloat, Doc("Rows a second; 0 for rows without time.")] = 1000.0
    drift: Annotated[
        float, Doc("Radians a second by which the mixing turns, in every plane of a random set of orthogonal planes.")
    ] = 0.0
    shard: ShardText = ""
    seed: Seed = 0

    def __post_init__(self) -> None:
        shard_of(self.shard)
        if self.drift and not self.rate:
            raise SettingError("drift", self.drift, "0 without a rate", "it is per second, and rate = 0")

    def holds(self) -> int:
        """Return how many frames the shard has."""
        return len(shard_of(self.shard).stretch(self.frames))


@configured_by(SyntheticSettings)
class SyntheticSource:
    """Independent sources of unit variance, mixed by a square matrix that may turn with time.

    The rows of a frame are drawn from a generator seeded by (seed, offset): any frame can be made at once.

    Parameters
    ----------
    name
        Name of the stream and of its array.

    Raises
    ------
    SettingError
        A setting that is not accepted, or a drift without a rate.
    """

    def __init__(self, *, name: str = "source", **settings: Any) -> None:
        given = make(SyntheticSettings, settings)
        self.name = name
        self.n_sources = given.n_sources
        self.density = given.density
        self.n_rows = given.rows
        stretch = shard_of(given.shard).stretch(given.frames)
        if not stretch:
            raise SettingError("shard", given.shard, "a shard with data", f"none of {given.frames:,} frames is in it")
        self._first, self.n_frames = stretch.start, len(stretch)
        self.rate = given.rate
        self.drift = given.drift
        self.seed = given.seed
        generator = np.random.default_rng(given.seed)
        left, right, self._planes = (_orthogonal(given.n_sources, generator) for _ in range(3))
        self._mixing = left * np.geomspace(CONDITION, 1.0, given.n_sources) @ right

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.n_frames

    def mixing(self, offset: int) -> Matrix:
        """Return the matrix A of frame `offset`, of shape (n_sources, n_sources): rows = sources @ A.T."""
        if not self.drift:
            return self._mixing
        angle = self.drift * self._time(offset)
        turn = np.eye(self.n_sources)
        for i in range(0, self.n_sources - 1, 2):
            turn[i, i] = turn[i + 1, i + 1] = math.cos(angle)
            turn[i + 1, i] = math.sin(angle)
            turn[i, i + 1] = -turn[i + 1, i]
        return self._planes @ turn @ self._planes.T @ self._mixing

    def sources(self, offset: int) -> Matrix:
        """Return the sources behind frame `offset`, of shape (rows, n_sources)."""
        generator = np.random.default_rng([self.seed, self._first + offset])
        shape = (self.n_rows, self.n_sources)
        if self.density == "laplace":
            return generator.laplace(scale=math.sqrt(0.5), size=shape)
        if self.density == "logistic":
            return generator.logistic(scale=math.sqrt(3) / math.pi, size=shape)
        uniform = generator.uniform(-math.sqrt(3), math.sqrt(3), size=shape)
        if self.density == "mixed":
            n_laplace = (self.n_sources + 1) // 2
            uniform[:, :n_laplace] = generator.laplace(scale=math.sqrt(0.5), size=(self.n_rows, n_laplace))
        return uniform

    def outline(self) -> Outline:
        """Return what the signals come to."""
        rows = self.n_rows * self.n_frames
        seconds = f", {rows / self.rate:,.1f} s" if self.rate else ""
        return Outline(
            frames=len(self),
            segments={rows: 1},
            row=(self.n_sources,),
            rate=self.rate,
            about=f"{self.n_sources} {self.density} sources{seconds}",
        )

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from offset `start` on: float32, axes ("time", "channel")."""
        for offset in range(max(0, start), self.n_frames):
            rows = (self.sources(offset) @ self.mixing(offset).T).astype(np.float32)
            end = offset == self.n_frames - 1
            yield Frame(
                stream=self.name,
                offset=offset,
                arrays={self.name: Array(rows, ("time", "channel"))},
                last=end,
                end=end,
                time=self._time(offset),
                rate=self.rate,
            )

    def state(self) -> State:
        """Return nothing: the settings say it all."""
        return {}

    def restore(self, state: State) -> None:
        """Take nothing over."""

    def counts(self) -> Counts:
        """Nothing can be lost here."""
        return {}

    def _time(self, offset: int) -> float:
        return (self._first + offset) * self.n_rows / self.rate if self.rate else 0.0


def _orthogonal(size: int, generator: np.random.Generator) -> Matrix:
    return np.linalg.qr(generator.standard_normal((size, size)))[0]
