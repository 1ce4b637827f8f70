"""How the learning goes, as a table: each measure with its newest value and its curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text

from stream_infomax.settings.printable import printable
from stream_infomax.watch.columns import GAP, Column, Row, table
from stream_infomax.watch.curve import BoundedCurve, sparkline
from stream_infomax.watch.history import Curve
from stream_infomax.watch.kinds import KINDS

TITLE, LEGEND = "learning", "↓ lower ↑ higher is better"
# The most and the fewest characters of a curve; a terminal that is too narrow for both shows names and values alone.
LONGEST, SHORTEST = 32, 8
NAMES = 30


def learning(curves: Mapping[Curve, BoundedCurve], width: int) -> Iterator[RenderableType]:
    """Yield the lines of the table, `width` columns wide."""
    values = {curve: KINDS[curve[2]].text(points.last) for curve, points in curves.items()}
    room = width - GAP - max(map(len, values.values()))
    drawn = room - GAP - SHORTEST >= NAMES
    if drawn:
        room -= GAP + SHORTEST
    head, *lines = _lines(curves, room)
    columns = [Column("now")]
    spark = 0
    if drawn:
        columns.append(Column("so far", right=False))
        beside = [cell_len(name) for name, _ in (head, *lines) if cell_len(name) <= room]
        spark = min(LONGEST, SHORTEST + room - max(beside, default=0))
    rows = []
    for name, curve in lines:
        cells = [values[curve], _spark(curves, curve, spark)] if curve else ["", ""]
        rows.append(Row(Text(name), [Text(cells[0]), Text(cells[1], "blue")][: len(columns)]))
    yield from table(head[0], columns, rows, width)


def _lines(curves: Mapping[Curve, BoundedCurve], room: int) -> Iterator[tuple[str, Curve | None]]:
    """Yield the head, and the names with what they name: a stage stands before its first measure, or above it."""
    titles = dict(zip(curves, _titles(curves), strict=True))
    before = max(cell_len(printable(stage)) for stage in (TITLE, *(stage for stage, _, _ in curves))) + GAP
    inline = before + max(map(cell_len, (LEGEND, *titles.values()))) <= room
    yield (TITLE.ljust(before) if inline else TITLE + " " * GAP) + LEGEND, None
    shown = ""
    for curve, title in titles.items():
        stage = "" if curve[0] == shown else printable(curve[0])
        if inline:
            yield stage + " " * (before - cell_len(stage)) + title, curve
        else:
            if stage:
                yield stage, None
            yield f"  {title}", curve
        shown = curve[0]


def _titles(curves: Mapping[Curve, BoundedCurve]) -> Iterator[str]:
    """Yield what is measured: of levels of one stage the first says of what kind they are."""
    shown: tuple[str, str] = ("", "")
    for stage, level, kind in curves:
        if level and (stage, kind) == shown:
            yield f"  {printable(level)}"
        else:
            display = KINDS[kind]
            yield f"{display.title} {display.arrow}".rstrip() + (f": {printable(level)}" if level else "")
        shown = stage, kind


def _spark(curves: Mapping[Curve, BoundedCurve], curve: Curve, width: int) -> str:
    """Return a curve in so many characters; shares of one stage, which are there to be compared, have one axis."""
    limits = None
    if KINDS[curve[2]].is_share:
        of_stage = [points for other, points in curves.items() if other[0] == curve[0] and KINDS[other[2]].is_share]
        limits = 0.0, max((value for points in of_stage for value in points.values), default=1.0)
    return sparkline(curves[curve].values, width, limits) if width else ""
