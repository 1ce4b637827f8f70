"""Playlist: the files of a source in their order, and the frames that they are cut into; settings that go with it.

A piece is a stretch of rows that is one segment: a recording, a table, or a part of a table.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from stream_infomax.settings.error import SettingError
from stream_infomax.settings.record import Settings
from stream_infomax.settings.shards import ShardText, shard_of
from stream_infomax.settings.types import Doc, Positive, Seed
from stream_infomax.sources.files import counted_files
from stream_infomax.sources.labels import compile_pattern


class FileSettings(Settings, frozen=True, kw_only=True):
    """What sources of files have in common.

    Attributes
    ----------
    suffixes
        Of the files.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    labels: Annotated[
        str,
        Doc(
            "A regular expression, searched for in the file's path below `path`; its named groups become labels, for "
            "example `(?P<digit>[0-9])_(?P<speaker>[a-z]+)_`."
        ),
    ] = ""
    labels_csv: Annotated[
        str,
        Doc(
            "A CSV file with a head line: the first column names the file (its path below `path`, or as seen from the "
            "CSV file, or its name), the others become labels under their column's name; an empty cell is none."
        ),
    ] = ""
    include: Annotated[
        str, Doc("A regular expression: only files in whose path below `path` it is found are used.")
    ] = ""
    order: Annotated[
        Literal["sorted", "shuffled"],
        Doc("Segments `sorted` by path and place, or `shuffled`, differently in each repetition."),
    ] = "sorted"
    repeat: Annotated[Positive, Doc("How often the files are gone through.")] = 1
    start_time: Annotated[float, Doc("Seconds of the first row.")] = 0.0
    shard: ShardText = ""
    seed: Seed = 0

    def __post_init__(self) -> None:
        shard_of(self.shard)
        compile_pattern("include", self.include)
        if self.labels and not compile_pattern("labels", self.labels).groupindex:
            raise SettingError(
                "labels", self.labels, "a pattern like '(?P<digit>[0-9])_(?P<speaker>[a-z]+)_'", "names no group"
            )

    def holds(self) -> int:
        """Return how many files the shard has, readable or not. Raises SettingError where nothing is at the path."""
        return counted_files(getattr(self, "path", ""), self.suffixes, self.include, self.labels_csv, self.shard)


class Piece(Protocol):
    """Rows of one segment."""

    @property
    def rows(self) -> int:
        """How many."""
        ...


P = TypeVar("P", bound=Piece)


class Place(NamedTuple, Generic[P]):
    """A piece, its first frame that is asked for, that frame's offset, and what was played before the piece."""

    piece: P
    first: int
    offset: int
    played: float


class Playlist(Generic[P]):
    """Pieces in their order, as often as they are repeated, and where an offset stands in them.

    Parameters
    ----------
    pieces
        In their sorted order.
    frame
        Rows of a frame; the last one of a piece has fewer.
    given
        Has `order`, `repeat` and `seed`.
    length
        How long a piece is played, for `Place.played`; None: its rows.
    """

    def __init__(
        self, pieces: Sequence[P], frame: int, given: FileSettings, length: Callable[[P], float] | None = None
    ) -> None:
        self.pieces = pieces
        self._length: Callable[[P], float] = length or (lambda piece: piece.rows)
        self.frame = frame
        self.given = given

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.given.repeat * sum(map(self.frames_of, self.pieces))

    @property
    def rows(self) -> int:
        """Rows of all repetitions."""
        return self.given.repeat * sum(piece.rows for piece in self.pieces)

    def frames_of(self, piece: P) -> int:
        """Return the number of frames of a piece."""
        return -(-piece.rows // self.frame)

    def places(self, start: int) -> Iterator[Place[P]]:
        """Yield the pieces from offset `start` on; the first may begin within."""
        total = len(self)
        per_round = total // self.given.repeat
        length_of_round = sum(map(self._length, self.pieces))
        offset = max(0, start)
        while offset < total:
            round_, within = divmod(offset, per_round)
            order = self._order(round_)
            starts = [0, *accumulate(map(self.frames_of, order))]
            index = bisect_right(starts, within) - 1
            played = round_ * length_of_round + sum(map(self._length, order[:index]))
            for piece, begin in zip(order[index:], starts[index:], strict=False):
                first = max(0, within - begin)
                yield Place(piece, first, offset, played)
                offset += self.frames_of(piece) - first
                played += self._length(piece)

    def _order(self, round_: int) -> Sequence[P]:
        if self.given.order == "sorted":
            return self.pieces
        order = np.random.default_rng([self.given.seed, round_]).permutation(len(self.pieces))
        return [self.pieces[i] for i in order]


def cut(blocks: Iterable[npt.NDArray[Any]], sizes: Iterable[int]) -> Iterator[npt.NDArray[Any] | None]:
    """Yield arrays of these sizes from blocks of any length: shorter ones, then None, where the blocks end early."""
    blocks = iter(blocks)
    held: list[npt.NDArray[Any]] = []
    n_held = 0
    for size in sizes:
        while n_held < size and (block := next(blocks, None)) is not None:
            held.append(block)
            n_held += len(block)
        if not held:
            yield None
            continue
        joined = held[0] if len(held) == 1 else np.concatenate(held)
        yield joined[:size] if len(joined) else None
        held = [joined[size:]]
        n_held = len(held[0])
