"""History: the measures of a run in a CSV file that survives restarts and damage and stays small."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

from stream_infomax.frames.measure import Kind, Measure
from stream_infomax.state.regular import open_regular
from stream_infomax.watch.kinds import KINDS

COLUMNS = ("seconds", "stage", "level", "kind", "position", "value")
HEAD = ",".join(COLUMNS)
# A curve is written at steps of at least 1 / POINTS of its length so far: n even steps give
# POINTS * (1 + ln(n / POINTS)) lines.
POINTS = 500
# No line that was written is longer.
LONGEST_LINE = 4096
# Bytes in which every curve begins, and in which each has come as far as it is: what is between need not be read.
BEGIN, END = 4 << 20, 8 << 20

Curve: TypeAlias = tuple[str, str, Kind]
# For each curve (stage, level, kind) its columns "seconds", "position" and "value".
Curves: TypeAlias = dict[Curve, dict[str, list[float]]]


class Point(NamedTuple):
    """One line of the file."""

    curve: Curve
    seconds: float
    position: float
    value: float


class Extents:
    """Where each curve begins and how far it has come: all that must be known to write it on."""

    def __init__(self) -> None:
        self._extents: dict[Curve, tuple[float, float]] = {}

    def extend(self, curve: Curve, position: float, every: bool = False) -> bool:
        """Note that a curve has come to `position`; False where that is no step worth writing.

        Parameters
        ----------
        curve
            Stage, level, kind.
        position
            In rows or frames.
        every
            Whether the smallest step counts.
        """
        first, last = self._extents.get(curve, (position, 0.0))
        if position <= last or (not every and position - last < (last - first) / POINTS):
            return False
        self._extents[curve] = first, position
        return True


class History:
    """Appends a line whenever a measure has moved on by a step that shows.

    Nothing is ever written over: a kill at any time leaves at most one line cut off. Lines that are damaged are passed
    over and counted.

    Parameters
    ----------
    path
        The CSV file; what is in it stays.

    Attributes
    ----------
    seconds
        When the last line was written, in seconds since the start of the run.
    damaged
        Lines that could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds = 0.0
        self.damaged = 0
        self._extents = Extents()
        log = open_regular(path, "ab", follow=False)
        self._file = io.TextIOWrapper(log, newline="", encoding="utf-8", line_buffering=True)
        for point in _points(path, ends=True):
            if point is None or not self._extents.extend(point.curve, point.position, every=True):
                self.damaged += 1
            else:
                self.seconds = max(self.seconds, point.seconds)
        ends_well = _ends_with_a_line(path)
        self._writer = csv.writer(self._file)
        if not ends_well:  # a full disk or a crash cut a line off
            self._file.write("\r\n")
        if path.stat().st_size == 0:
            self._writer.writerow(COLUMNS)

    def append(self, seconds: float, measures: Iterable[Measure], final: bool = False) -> None:
        """Write measures.

        Parameters
        ----------
        seconds
            Since the start of the run.
        measures
            What a restart computes again, and steps too small to show, are passed over.
        final
            Whether these are the last ones, which are written however small the step.
        """
        for one in measures:
            if self._extents.extend(one.curve, one.position, every=final):
                value = f"{one.value:.9g}"
                self._writer.writerow([f"{seconds:.2f}", one.stage, one.level, one.kind, one.position, value])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def keep_until(source: Path, target: Path, positions: Mapping[tuple[str, str], float]) -> None:
    """Write the history of a run into a new file: the curves of each stage and level up to its position."""
    with target.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for point in _points(source) if source.exists() else ():
            if point is not None and point.position <= positions.get(point.curve[:2], -1):
                value = f"{point.value:.9g}"
                writer.writerow([f"{point.seconds:.2f}", *point.curve, int(point.position), value])


def read(path: Path) -> Curves:
    """Return the curves in a history; damaged lines are left out, and steps too small to show."""
    curves: Curves = {}
    extents = Extents()
    last: dict[Curve, Point] = {}
    for point in _points(path):
        if point is None:
            continue
        last[point.curve] = max(last.get(point.curve, point), point, key=lambda one: one.position)
        if extents.extend(point.curve, point.position):
            _add(curves, point)
    for point in last.values():
        if extents.extend(point.curve, point.position, every=True):
            _add(curves, point)
    return curves


def _add(curves: Curves, point: Point) -> None:
    columns = curves.setdefault(point.curve, {"seconds": [], "position": [], "value": []})
    for name, values in columns.items():
        values.append(getattr(point, name))


def _points(path: Path, *, ends: bool = False) -> Iterator[Point | None]:
    """Yield what each line says, None for a damaged one; never more than a line is in memory.

    Parameters
    ----------
    path
        The file.
    ends
        Whether the middle of a long one is passed over.
    """
    with open_regular(path) as file:
        end = path.stat().st_size - END
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b"")):
            if ends and BEGIN < file.tell() < end:
                file.seek(end)
                file.readline(LONGEST_LINE)  # the rest of a line
            text = line.decode("utf-8", "replace").strip()
            if text and not (number == 0 and text == HEAD):
                yield _point(text)


def _point(text: str) -> Point | None:
    try:
        (fields,) = csv.reader([text])
        seconds, stage, level, kind, position, value = fields
        numbers = [float(number) for number in (seconds, position, value)]
    except (ValueError, csv.Error):
        return None
    if "\ufffd" in text or kind not in KINDS or not all(map(math.isfinite, numbers)):
        return None
    return Point((stage, level, kind), *numbers)


def _ends_with_a_line(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return True
    with open_regular(path) as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
