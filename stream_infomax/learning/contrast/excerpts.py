"""Excerpts: consecutive rows of one segment, from which contrastive modules learn.

On a sorted stream the newest rows alone are a poor batch, because they are all of one kind. `ExcerptMemory` keeps the
newest excerpts and a uniform sample of all older ones, in a bounded number of bytes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.state.kept import Kept

Rows = NDArray[np.float32]


class Batch(NamedTuple):
    """Excerpts of different lengths, padded with zeros to the longest.

    Attributes
    ----------
    rows : (B, T, C) array
    lengths : (B,) array
        Rows of each excerpt.
    past : (B, T, C) array or None
        Other rows for the same excerpts, such as an augmented copy: contexts are computed from these.
    streams : (B,) array or None
        A number for the stream of each excerpt; None: all are of one.
    """

    rows: Rows
    lengths: NDArray[np.int64]
    past: Rows | None = None
    streams: NDArray[np.int64] | None = None


def pad(excerpts: list[Rows], streams: NDArray[np.int64] | None = None) -> Batch:
    """Return excerpts (T_i, C), and the numbers of their streams, as one batch."""
    lengths = np.array([len(excerpt) for excerpt in excerpts], np.int64)
    rows = np.zeros((len(excerpts), lengths.max(), excerpts[0].shape[1]), np.float32)
    for row, excerpt in zip(rows, excerpts, strict=True):
        row[: len(excerpt)] = excerpt
    return Batch(rows, lengths, streams=streams)


class Cutter(Kept):
    """Cut a stream's rows into excerpts: consecutive, of one segment, without a gap.

    Parameters
    ----------
    width
        Columns of a row.
    longest
        Rows of an excerpt; a longer run is cut into several.
    shortest
        Shorter runs are dropped and counted.
    dropped
        Where they are counted, under ``short``.

    Raises
    ------
    ValueError
        Where `shortest` is not between 1 and `longest`.
    """

    kept = ("open",)
    free: ClassVar = {"open": (0,)}

    def __init__(self, width: int, longest: int, shortest: int, dropped: Counter[str] | None = None) -> None:
        if not 1 <= shortest <= longest:
            raise ValueError(f"shortest must be between 1 and longest = {longest}; received {shortest}")
        self.longest, self.shortest = longest, shortest
        self.dropped: Counter[str] = Counter() if dropped is None else dropped
        self.open: Rows = np.zeros((0, width), np.float32)

    def add(self, rows: Rows, last: bool) -> list[Rows]:
        """Return the excerpts (T, width) that the next rows (n, width) complete.

        A row with NaN is a gap; `last` ends the segment.
        """
        done = []
        finite = np.isfinite(rows).all(1)
        borders = np.flatnonzero(np.diff(finite.astype(np.int8))) + 1
        for piece, good in zip(np.split(rows, borders), np.split(finite, borders), strict=True):
            if len(good) and not good[0]:
                done += self.close()
            elif len(good):
                self.open = np.concatenate([self.open, piece])
                while len(self.open) >= self.longest:
                    done.append(self.open[: self.longest])
                    self.open = self.open[self.longest :]
        return done + self.close() if last else done

    def close(self) -> list[Rows]:
        """End the run, as a gap or the end of a segment does; return its excerpt if it is long enough."""
        run, self.open = self.open, self.open[:0]
        if len(run) >= self.shortest:
            return [run]
        if len(run):
            self.dropped["short"] += 1
        return []


class GridCutter:
    """Make each grid of patches an excerpt; a grid with NaN is dropped.

    Parameters
    ----------
    height, width
        Of a grid, in patches.
    dropped
        Where grids with NaN are counted, under ``not_finite``.
    """

    def __init__(self, height: int, width: int, dropped: Counter[str]) -> None:
        self.height, self.width, self.dropped = height, width, dropped

    def add(self, rows: Rows, last: bool) -> list[Rows]:
        """Return the patches (height·width, channels) of a grid, given line by line, column by column."""
        if np.isfinite(rows).all():
            return [columns(rows, self.height, self.width).reshape(len(rows), -1)]
        self.dropped["not_finite"] += 1
        return []

    def close(self) -> list[Rows]:
        """Nothing is ever open."""
        return []

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing is remembered."""


def columns(patches: Rows, height: int, width: int) -> Rows:
    """Return the patches (height·width, channels) of a grid as its columns (width, height, channels)."""
    return np.ascontiguousarray(patches.reshape(height, width, -1).swapaxes(0, 1))


class ExcerptMemory:
    """A bounded memory of the newest excerpts and of a uniform sample of older ones.

    Every excerpt gets a random key from (seed, its number); the sample is those with the smallest keys, as many as
    fit. It is uniform for excerpts of any length, and needs no random state.

    Parameters
    ----------
    limit
        Bytes of rows that are kept.
    reservoir
        The share of them that belongs to the sample of old excerpts; 0 keeps the newest only.
    seed
        Of the keys and of `draw`.

    Raises
    ------
    ValueError
        Where `limit` is below 1, or `reservoir` is not at least 0 and below 1.
    """

    def __init__(self, limit: int, reservoir: float = 0.5, seed: int = 0) -> None:
        if limit < 1 or not 0 <= reservoir < 1:
            raise ValueError(f"limit must be positive and reservoir in [0, 1); received {limit}, {reservoir}")
        self.limit, self.reservoir, self.seed = limit, reservoir, seed
        self.count = 0
        self.recent: deque[tuple[int, Rows]] = deque()
        self.sample: list[tuple[float, int, Rows]] = []  # in the order of their keys
        self.streams: dict[int, int] = {}  # of each excerpt that is kept, by its number

    def __len__(self) -> int:
        return len(self.recent) + len(self.sample)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows kept."""
        return sum(rows.nbytes for _, rows in self.recent) + sum(rows.nbytes for *_, rows in self.sample)

    def add(self, excerpt: Rows, stream: int = 0) -> None:
        """Keep an excerpt (T, C) of a stream of that number, and drop what no longer fits, but never the newest."""
        self.recent.append((self.count, np.array(excerpt, np.float32)))
        self.streams[self.count] = stream
        self.count += 1
        newest = sum(rows.nbytes for _, rows in self.recent)
        sampled = sum(rows.nbytes for *_, rows in self.sample)
        room = self.limit * self.reservoir
        while newest > self.limit - room and len(self.recent) > 1:
            number, rows = self.recent.popleft()
            newest -= rows.nbytes
            self.sample.append((np.random.default_rng([self.seed, number]).random(), number, rows))
            sampled += rows.nbytes
        self.sample.sort(key=lambda entry: entry[:2])
        while sampled > room:
            _, number, rows = self.sample.pop()
            sampled -= rows.nbytes
            del self.streams[number]

    def draw(self, rows: int, number: int) -> list[Rows]:
        """Return the excerpts that `draw_streams` draws."""
        return self.draw_streams(rows, number)[0]

    def draw_streams(
        self, rows: int, number: int, size: Callable[[Rows], int] = len
    ) -> tuple[list[Rows], NDArray[np.int64] | None]:
        """Return the newest excerpt and others at random, none twice; and their streams, None where all are of one.

        Parameters
        ----------
        rows
            Excerpts are added while they have at most so many rows together; at least two where there are two.
        number
            Which draw this is; the choice depends on (seed, number) and the content only.
        size
            The rows that an excerpt counts for.

        Raises
        ------
        ValueError
            Where the memory is empty.
        """
        if not self.recent:
            raise ValueError("the memory is empty: there is nothing to draw")
        others = [*self.recent][:-1] + [entry[1:] for entry in self.sample]
        chosen = [self.recent[-1]]
        total = size(chosen[0][1])
        for index in np.random.default_rng([self.seed, 1, number]).permutation(len(others)):
            if total + size(others[index][1]) > rows and len(chosen) > 1:
                break
            chosen.append(others[index])
            total += size(others[index][1])
        streams = np.array([self.streams[which] for which, _ in chosen], np.int64)
        return [kept for _, kept in chosen], None if (streams == streams[0]).all() else streams

    def clear(self) -> None:
        """Forget all excerpts; they go on being numbered."""
        self.recent.clear()
        self.sample.clear()
        self.streams.clear()

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs."""
        entries = [*self.recent, *((number, rows) for _, number, rows in self.sample)]
        width = entries[0][1].shape[1] if entries else 0
        return {
            "count": self.count,
            "recent": len(self.recent),
            "numbers": np.array([number for number, _ in entries], np.int64),
            "streams": np.array([self.streams[number] for number, _ in entries], np.int64),
            "lengths": np.array([len(rows) for _, rows in entries], np.int64),
            "rows": np.concatenate([rows for _, rows in entries]) if entries else np.zeros((0, width), np.float32),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        pieces = np.split(np.array(state["rows"], np.float32), np.cumsum(state["lengths"])[:-1].astype(int))
        entries = [(int(number), rows.copy()) for number, rows in zip(state["numbers"], pieces, strict=False)]
        recent = int(state["recent"])
        self.count = int(state["count"])
        self.streams = dict(zip(map(int, state["numbers"]), map(int, state["streams"]), strict=True))
        self.recent = deque(entries[:recent])
        self.sample = [
            (np.random.default_rng([self.seed, number]).random(), number, rows) for number, rows in entries[recent:]
        ]
