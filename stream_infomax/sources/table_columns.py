"""Columns: what every table gives, whatever its format; and the stretches of rows that belong together.

A reader of a format is plain data and opens its file when it reads: it can be copied while frames are being read.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

# What stands for no value, besides an empty cell; in any case of letters.
NO_VALUE = ("", "nan", "na", "n/a", "null", "none", "-", "?")
# A step of time that is so many times the usual one is a gap: rows are missing.
GAP = 10
# Rows from which the usual step is taken.
SAMPLE = 10_000
MAX_RUNS = 1_000_000
# The time of every so many rows is kept.
ANCHOR = 1024
# More numbers in a row than anything here can learn from.
MAX_COLUMNS = 65_536

_UNIT = re.compile(r"[\[(]([^\[\]()]*)[\])]\s*$")

Values: TypeAlias = npt.NDArray[np.float64]


class Reader(Protocol):
    """A table in a file.

    Attributes
    ----------
    rows
        How many it has.
    names
        Of all columns, in their order; numbers where the file has no names.
    numeric
        Which of them hold numbers.
    aside
        Those that are no channels unless they are asked for.
    constants
        Texts that hold for the whole file, by name.
    units
        What the columns are in, empty where the file doesn't say.
    clock
        The column of times that a file has where its rows don't all follow one another; None elsewhere.
    rate
        Rows a second; 0 where the file doesn't say.
    left_out
        What of the file is not read, by what it is.
    """

    rows: int
    path: Path
    names: tuple[str, ...]
    numeric: tuple[bool, ...]
    aside: frozenset[int]
    constants: Mapping[str, str]
    units: tuple[str, ...]
    clock: int | None
    rate: float
    left_out: Mapping[str, int]

    def blocks(self, columns: Sequence[int], start: int, stop: int, counts: Counter[str]) -> Iterator[Values]:
        """Yield the rows `start` to `stop` of some columns, float64 (n, columns), in blocks; NaN where there is none.

        What had to be read as NaN is added to `counts`.
        """
        ...

    def texts(self, column: int) -> Iterator[list[str]]:
        """Yield the texts of a whole column in blocks, empty where there is none."""
        ...

    def times(self, column: int) -> Iterator[Values]:
        """Yield a whole column in blocks as seconds: numbers as they are, dates from 1970 on."""
        ...


def index_of(reader: Reader, name: str | int, key: str) -> int:
    """Return the number of a column, given by its name or number. Raises ValueError where there is none."""
    if isinstance(name, str) and name in reader.names:
        return reader.names.index(name)
    if (isinstance(name, int) or name.isdecimal()) and 0 <= int(name) < len(reader.names):
        return int(name)
    raise ValueError(f"{key} = {name!r}: there is no such column; there are {shown(reader.names)}")


def shown(names: Sequence[str], most: int = 8) -> str:
    """Return a few names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def as_text(value: object) -> str:
    """Return a label's value as text: whole numbers without a point, and nothing for what is no value."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, (float, np.floating)):
        if not math.isfinite(value):
            return ""
        value = int(value) if float(value).is_integer() else float(value)
    text = str(value).strip()
    return "" if text.lower() in NO_VALUE else text


class Run:
    """Rows of a file that belong together: the same label, and no gap in time."""

    __slots__ = ("label", "rows", "start", "time")

    def __init__(self, start: int, rows: int, label: str, time: float) -> None:
        self.start, self.rows, self.label, self.time = start, rows, label, time


class Runs(NamedTuple):
    """The runs of a file, its rate by its column of times, gaps in time, and the time of every so many rows."""

    runs: list[Run]
    rate: float = 0.0
    gaps: int = 0
    anchors: Values = np.zeros(0)

    def time_of(self, run: Run, row: int, rate: float) -> float:
        """Return the time of a row of one of the runs: that of the nearest anchor before, and the rows since."""
        number, since = divmod(row, ANCHOR)
        time = float(self.anchors[number]) if row - since > run.start and number < len(self.anchors) else math.nan
        if math.isnan(time):
            time, since = run.time, row - run.start
        return time + since / rate


def runs_of(reader: Reader, time: int | None, label: int | None, unit: float = 1.0) -> Runs:
    """Return the stretches of rows that belong together, by columns of times (in so many seconds) and of labels."""
    if time is None and label is None:
        return Runs([Run(0, reader.rows, "", 0.0)])
    step, rate = usual_step(unit * stamps for stamps in reader.times(time)) if time is not None else (0.0, 0.0)
    found: list[Run] = []
    anchors: list[Values] = []
    gaps = row = 0
    last = (math.nan, "")
    for stamps, labels in _keys(reader, time, label, unit):
        before = np.concatenate([[last[0]], stamps[:-1]])
        with np.errstate(invalid="ignore"):
            jumps = (stamps <= before) | (stamps - before > GAP * step) if step else np.zeros(len(stamps), bool)
        changes = np.concatenate([[labels[0] != last[1]], labels[1:] != labels[:-1]])
        if row == 0:
            jumps[0], changes[0] = False, True
        gaps += int(np.count_nonzero(jumps))
        begins = np.flatnonzero(jumps | changes).tolist()
        found.extend(Run(row + i, 0, str(labels[i]), float(stamps[i])) for i in begins)
        if len(found) > MAX_RUNS:
            raise ValueError(
                f"its labels or its gaps in time make more than {MAX_RUNS:,} segments; a label stays for many rows"
            )
        anchors.append(stamps[-row % ANCHOR :: ANCHOR])
        last = (float(stamps[-1]), str(labels[-1]))
        row += len(stamps)
    for one, end in zip(found, [*[run.start for run in found[1:]], row], strict=True):
        one.rows = end - one.start
    return Runs(found, rate, gaps, np.concatenate([np.zeros(0), *anchors]))


def usual_step(blocks: Iterator[Values]) -> tuple[float, float]:
    """Return the usual step of times in seconds, and the rate that follows from steps that are no gaps."""
    begin: list[Values] = []
    while sum(map(len, begin)) < SAMPLE and (block := next(blocks, None)) is not None:
        begin.append(block)
    stamps = np.concatenate([np.zeros(0), *begin])[:SAMPLE]
    steps = np.diff(stamps)
    steps = steps[steps > 0]
    if not len(steps):
        raise ValueError(
            "its column of times does not grow; accepted are seconds, or dates as in 2026-11-27 15:00:00.5"
        )
    step = float(np.median(steps))
    mean = float(np.mean(steps[steps <= GAP * step]))
    return step, float(f"{1 / mean:.6g}")


def _keys(
    reader: Reader, time: int | None, label: int | None, unit: float
) -> Iterator[tuple[Values, npt.NDArray[np.object_]]]:
    """Yield times and labels of all rows, in blocks that fit one another."""
    if label is None:
        assert time is not None
        for stamps in reader.times(time):
            yield unit * stamps, np.full(len(stamps), "", object)
    elif time is None:
        for texts in reader.texts(label):
            yield np.zeros(len(texts)), np.array(texts, object)
    else:  # a reader cuts all its columns alike
        for stamps, texts in zip(reader.times(time), reader.texts(label), strict=True):
            yield unit * stamps, np.array(texts, object)


def check_missing(values: Values, missing: Sequence[float]) -> Values:
    """Return the values with NaN for those numbers that stand for no value."""
    if missing:
        values = values.copy()
        values[np.isin(values, missing)] = np.nan
    return values


def unit_of(name: str) -> str:
    """Return the unit that stands in brackets at the end of a column's name; empty where there is none."""
    found = _UNIT.search(name)
    return found[1].strip() if found else ""


def distinct(names: Sequence[str]) -> Iterator[str]:
    """Yield names that all differ; one that is empty is the number of its column."""
    seen: set[str] = set()
    for number, given in enumerate(names):
        name = given or str(number)
        while name in seen:
            name += "_"
        seen.add(name)
        yield name
