"""What learners that learn together send each other: what they have in common, and what each has learnt since."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from stream_infomax.settings.printable import printable
from stream_infomax.state import file
from stream_infomax.state.error import readable
from stream_infomax.state.file import Tree

Floats = NDArray[np.floating[Any]]

# Of what `save` writes; raised when keys or their meaning change.
FORMAT = 2
LONGEST_NAME = 64
MOST_ROWS = 1 << 53
# Of a round: the share of rows that have come until it ends, and the fewest rows of each learner.
GROWTH, LEAST_ROWS = 0.05, 64


class MergeError(ValueError):
    """Raised where what is to be merged does not belong together: names what, its value, and what is accepted."""


@dataclass(frozen=True, eq=False)
class Record:
    """Arrays, numbers and texts that are never changed, only replaced."""

    kind: ClassVar[str]

    def tree(self) -> Tree:
        """Return it as arrays and plain values, with the version of the format."""
        return {"kind": self.kind, "format": FORMAT, **{one.name: getattr(self, one.name) for one in fields(self)}}

    @classmethod
    def of(cls, tree: Mapping[str, Any], digest: str | None = None) -> Self:
        """Return the record that `tree` gave.

        Parameters
        ----------
        tree
            Of `tree`.
        digest
            Of the file that it came in, where that was found right: what is hashed once is not hashed again.

        Raises
        ------
        MergeError
            Where it is another kind of record, or of another version, or something is missing.
        """
        if tree.get("kind") != cls.kind:
            raise MergeError(f"kind: {tree.get('kind')!r}; accepted is {cls.kind!r}")
        if tree.get("format") != FORMAT:
            raise MergeError(f"format: {tree.get('format')!r}; this version reads {FORMAT}")
        names = [one.name for one in fields(cls)]
        if missing := [name for name in names if name not in tree]:
            raise MergeError(f"{missing[0]}: missing in the record of a {cls.kind}")
        made = cls(**{name: tree[name] for name in names})
        if digest is not None:
            made._digests[""] = digest
        return made

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as safetensors, whole or not at all. Raises StateFileError where the disk does not take it."""
        file.save(Path(path), self.tree())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the record in a file.

        Raises
        ------
        StateFileError
            Where it is damaged, another kind of record, or of another version; names the file.
        """
        tree, digest = file.load_with_digest(Path(path))
        with readable(Path(path)):
            return cls.of(tree, digest)

    def to_bytes(self) -> bytes:
        """Return what `save` writes."""
        return file.dumped(self.tree())

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> Self:
        """Return the record that `to_bytes` gave.

        Raises
        ------
        MergeError
            Where it is damaged, another kind of record, or of another version; begins with `name`.
        """
        with about(name):
            try:
                return cls.of(*file.loaded_with_digest(content, name))
            except file.StateFileError as error:
                raise MergeError(str(error)) from error
            except MergeError as error:
                raise MergeError(f"{name}: {error}") from error

    def check(self, name: str) -> None:
        """Raise MergeError, which begins with `name`, where a number is not finite."""
        for key, value in _leaves(self.tree(), ""):
            if isinstance(value, np.ndarray):
                if value.dtype.kind != "f":
                    raise MergeError(f"{name}: {key} has numbers of {value.dtype}; accepted are floats")
                finite = np.isfinite(value)
                if not finite.all():
                    bad = int(np.count_nonzero(~finite))
                    raise MergeError(f"{name}: {key} has {bad} numbers that are not finite; accepted are finite ones")
            elif isinstance(value, float) and not math.isfinite(value):
                raise MergeError(f"{name}: {key} = {value}; accepted are finite numbers")

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that stand for all that it holds: the digest of its file."""
        known = self._digests
        if "" not in known:
            known[""] = file.digest_of(self.tree())
        return known[""]

    @property
    def _digests(self) -> dict[str, str]:
        known: dict[str, str] = vars(self).setdefault("_known", {})
        return known

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(value.nbytes for _, value in _leaves(self.tree(), "") if isinstance(value, np.ndarray))


@dataclass(frozen=True, eq=False)
class Shared(Record):
    """What all learners that learn together start a round from.

    Attributes
    ----------
    number
        Rounds so far.
    learners
        How many learn in the next round: a row of each counts for as many.
    agreement
        How alike the learners turned in the last round: the root mean square of the singular values of their mean C,
        1 where all are one.
    rows, first
        Rows that count, since the warm-up and in it.
    counts
        Rows of all learners by what became of them.
    half_life
        Rows after which a row counts half; None where all do.
    names
        Of the columns, where the rows were tables; empty otherwise.
    origin, scale
        How float32 rows are counted, (K,).
    usual
        What is usual for a channel, for the quarantine, (2, K) float32.
    whitening, rule
        The states of whitening and learning rule; Σ as its upper triangle.
    way
        What the mean filters moved by in the last rounds, faded; as `learnt` of a delta.
    rotation
        The C that is published, (K0, K1) float32: the nearest one to the average, found once for all learners.
    """

    kind: ClassVar[str] = "shared"

    number: int
    learners: int
    agreement: float
    rows: float
    first: float
    counts: dict[str, int]
    half_life: float | None
    names: list[str]
    origin: Floats
    scale: Floats
    usual: Floats
    whitening: Tree
    rule: Tree
    way: Floats
    rotation: Floats

    def check(self, name: str) -> None:
        """Raise MergeError, which begins with `name`, where something is not what it can be."""
        super().check(name)
        for key, value, least in (("number", self.number, 0), ("learners", self.learners, 1)):
            if type(value) is not int or not least <= value < MOST_ROWS:
                raise MergeError(f"{name}: {key} = {value!r}; accepted are numbers from {least} on")
        if not (self.rows >= 0 and self.first >= 0 and np.all(np.asarray(self.scale) > 0)):
            raise MergeError(f"{name}: rows and first are not negative, and scale is above 0")

    def rows_of_round(self, learners: int | None = None) -> int:
        """Return the rows of each learner until 5 % more have come in all: when to merge, dense first and rare later.

        Parameters
        ----------
        learners
            How many there are; without it as many as `learners` says.
        """
        return max(LEAST_ROWS, int(GROWTH * (self.rows + self.first) / (learners or self.learners)))


@dataclass(frozen=True, eq=False)
class Delta(Record):
    """What learners have learnt since a round began: sums and means that add up.

    Attributes
    ----------
    parts
        The rows that each learner has learnt from, by its name.
    base, number
        Digest and number of what the round began with.
    weight, sum, scatter
        Moments of the rows (as shortened) about the mean that the round began with; (K,) and the upper triangle
        (K(K+1)/2,), float64.
    behind
        Rows that each component stands on, (K1,) float64.
    means
        Means over the learners, each weighted by its rows: ``learnt`` (the filters V C, or C of algorithm 2), their
        running ``average``, the statistics of the rule, and the neurons' ``log_beta``, ``bias`` and ``log_reach``.
    tuned
        Blocks that the neurons were tuned with.
    counts
        Rows by what became of them.
    """

    kind: ClassVar[str] = "delta"

    parts: dict[str, int]
    base: str
    number: int
    weight: float
    sum: Floats
    scatter: Floats
    behind: Floats
    means: dict[str, Floats]
    tuned: int
    counts: dict[str, int]

    @property
    def name(self) -> str:
        """The names of its learners, for a message."""
        names = [printable(str(name)) for name in self.parts]
        return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

    @property
    def rows(self) -> int:
        """Rows that were learnt from."""
        return sum(self.parts.values())

    def check(self, name: str) -> None:
        """Raise MergeError, which begins with `name`, where something is not what it can be."""
        for part, rows in self.parts.items():
            if not isinstance(part, str) or not 0 < len(part) <= LONGEST_NAME:
                raise MergeError(f"{name}: a name of {len(str(part))} characters; accepted are 1 to {LONGEST_NAME}")
            if type(rows) is not int or not 0 <= rows < MOST_ROWS:
                raise MergeError(f"{name}: {rows!r} rows; accepted are numbers from 0 on")
        if not self.parts or not self.weight >= 0 or not np.all(self.behind >= 0):
            raise MergeError(f"{name}: parts, weight and behind are to be there, and not negative")
        super().check(name)


def must_be(name: str, what: str, value: object, accepted: object) -> None:
    """Raise MergeError where a value is not what is accepted."""
    if value != accepted:
        raise MergeError(f"{name}: {what} {value}; accepted is {accepted}")


def added_counts(counts: list[dict[str, int]]) -> dict[str, int]:
    """Return the sums of counts by name."""
    names = dict.fromkeys(name for one in counts for name in one)
    return {name: sum(int(one.get(name, 0)) for one in counts) for name in names}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield what a tree holds, under the names that lead to it."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


@contextmanager
def about(name: str) -> Iterator[None]:
    """Raise MergeError, which begins with `name`, for whatever does not fit."""
    try:
        yield
    except MergeError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise MergeError(f"{name}: {type(error).__name__}: {error}") from error
