"""A difference of two runs as text for people: tables that fit 80 columns."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stream_infomax.run.agreement import Agreement
from stream_infomax.run.diff import Difference
from stream_infomax.settings.printable import printable
from stream_infomax.watch.curve import sparkline, typical_range
from stream_infomax.watch.kinds import KINDS

# Characters of a curve, and the most of a value or a name.
SPARK = 12
SPARKS = ("A so far", "B so far")
LONGEST = 28
NOTE = (
    "correlation: the least and the median; of features column by column, from the\n"
    "frame on that differs. Components: same from 0.9 on, changed from 0.5 on."
)


def shown(found: Difference) -> RenderableType:
    """Return a difference as tables."""
    parts: list[RenderableType] = [
        Text(f"A  {printable(str(found.one.place))}{_state(found.one.record.summary)}"),
        Text(f"B  {printable(str(found.other.place))}{_state(found.other.record.summary)}"),
    ]
    if found.origin:
        parts.append(Text(printable(found.origin)))
    for part in (_settings(found), _measures(found), _components(found), _features(found)):
        parts += [Text(), part]
    return Group(*parts, Text(), Text(NOTE, "dim"))


def _state(summary: dict[str, Any] | None) -> str:
    return "  (not finished)" if summary is None else ""


def _settings(found: Difference) -> RenderableType:
    if not found.settings:
        return Text("settings: none differ")
    table = _table("settings that differ", "A", "B", left=("A", "B"))
    for key, values in found.settings.items():
        table.add_row(*(Text(printable(text, LONGEST)) for text in (key, *map(_value, values))))
    return table


def _value(value: Any) -> str:
    return "–" if value is None or value == "" else str(value)


def _measures(found: Difference) -> RenderableType:
    """Return where each curve that both have ends, in both, with the curves on one axis."""
    one, other = found.one.curves, found.other.curves
    common = [curve for curve in one if curve in other]
    if not common:
        return Text("measures: none that both have")
    table = _table("measures", "A", "B", "B - A", *SPARKS, left=SPARKS)
    before = ""
    for stage, level, kind in common:
        display = KINDS[kind]
        values = [run[stage, level, kind]["value"] for run in (one, other)]
        ranges = [typical_range(each) for each in values]
        limits = min(low for low, _ in ranges), max(high for _, high in ranges)
        title = f"{display.title} {display.arrow}".rstrip() + (f": {level}" if level else "")
        if stage != before:
            table.add_row(Text(printable(stage, LONGEST), "bold"))
        change = values[1][-1] - values[0][-1]
        table.add_row(
            Text(f"  {printable(title, LONGEST)}"),
            *(Text(display.text(each[-1]).removesuffix(f" {display.unit}")) for each in values),
            Text(f"{change:+{display.form}}"),
            *(Text(sparkline(each, SPARK, limits), "blue") for each in values),
        )
        before = stage
    return table


def _components(found: Difference) -> RenderableType:
    if not found.matched:
        return Text("components: no learner of which both have a basis of as many features")
    table = _table("components", "A", "B", "same", "changed", "in A only", "in B only", "correlation")
    for name, matches in found.matched.items():
        counts = Counter(match.status for match in matches)
        n_common = counts["same"] + counts["changed"]
        cells = [n_common + counts["died"], n_common + counts["born"]]
        cells += [counts[fate] for fate in ("same", "changed", "died", "born")]
        sizes = np.array([abs(match.correlation) for match in matches if None not in (match.before, match.after)])
        table.add_row(Text(printable(name, LONGEST)), *(Text(f"{cell:,}") for cell in cells), Text(_spread(sizes)))
    return table


def _features(found: Difference) -> RenderableType:
    if not found.features:
        return Text("features: not kept by both (run.record = true or --save-features keeps them)")
    table = _table("features kept by both", "rows", "same bits", "from frame", "correlation")
    for name, agreement in found.features.items():
        share = f"{agreement.same / agreement.rows:.1%}" if agreement.rows else "–"
        first = "–" if agreement.first < 0 else f"{agreement.first:,}"
        cells = (printable(name, LONGEST), f"{agreement.rows:,}", share, first, _correlation(agreement))
        table.add_row(*map(Text, cells))
    return table


def _correlation(agreement: Agreement) -> str:
    values = agreement.correlations[np.isfinite(agreement.correlations)]
    return "other widths" if agreement.unlike and not len(values) else _spread(values)


def _spread(values: NDArray[np.float64]) -> str:
    """Return the least and the median."""
    return f"{values.min():.3f}, {np.median(values):.3f}" if len(values) else "–"


def _table(first: str, *others: str, left: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(first)
    for other in others:
        table.add_column(other, justify="left" if other in left else "right")
    return table
