"""A difference of two runs as text for people: tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
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
LONGEST = 28


def shown(found: Difference) -> RenderableType:
    """Return a difference as tables."""
    parts: list[RenderableType] = [
        Text(f"A  {printable(str(found.one.place))}{_state(found.one.record.summary)}"),
        Text(f"B  {printable(str(found.other.place))}{_state(found.other.record.summary)}"),
    ]
    if found.origin:
        parts.append(Text(found.origin))
    for part in (_settings(found), _measures(found), _components(found), _features(found)):
        parts += [Text(), part]
    return Group(*parts)


def _state(summary: dict[str, Any] | None) -> str:
    return "  (not finished)" if summary is None else ""


def _settings(found: Difference) -> RenderableType:
    if not found.settings:
        return Text("settings: none differ")
    table = _table("settings that differ", "A", "B")
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
    table = _table("measures", "A", "B", "B - A", "A so far", "B so far")
    before = ""
    for stage, level, kind in common:
        display = KINDS[kind]
        values = [run[stage, level, kind]["value"] for run in (one, other)]
        low, high = (
            pick(limit) for pick, limit in zip((min, max), zip(*map(typical_range, values), strict=True), strict=True)
        )
        title = f"{display.title} {display.arrow}".rstrip() + (f": {level}" if level else "")
        if stage != before:
            table.add_row(Text(printable(stage, LONGEST), "bold"))
        change = values[1][-1] - values[0][-1]
        table.add_row(
            Text(f"  {printable(title, LONGEST)}"),
            *(Text(display.text(each[-1]).removesuffix(f" {display.unit}")) for each in values),
            Text(f"{change:+{display.form}}"),
            *(Text(sparkline(each, SPARK, (low, high)), "blue") for each in values),
        )
        before = stage
    return table


def _components(found: Difference) -> RenderableType:
    if not found.matched:
        return Text("components: no learner of which both have a basis of as many features")
    table = _table("components", "A", "B", "same", "changed", "new", "correlation: least, median")
    for name, matching in found.matched.items():
        size = np.abs(matching.correlations)
        n_same, n_changed = int((size >= SAME).sum()), int(((size >= CHANGED) & (size < SAME)).sum())
        n_new = matching.n_to - n_same - n_changed
        middle = f"{size.min():.3f}, {np.median(size):.3f}" if len(size) else "–"
        cells = (matching.n_from, matching.n_to, n_same, n_changed, n_new, middle)
        table.add_row(Text(printable(name, LONGEST)), *(Text(str(cell)) for cell in cells))
    return table


def _features(found: Difference) -> RenderableType:
    if not found.features:
        return Text("features: not kept by both (run.record = true or --save-features keeps them)")
    table = _table("features kept by both", "rows", "same bits", "from frame", "correlation: least, median")
    for name, agreement in found.features.items():
        share = f"{agreement.same / agreement.rows:.1%}" if agreement.rows else "–"
        first = "–" if agreement.first < 0 else f"{agreement.first:,}"
        cells = (printable(name, LONGEST), f"{agreement.rows:,}", share, first, _correlation(agreement))
        table.add_row(*map(Text, cells))
    return table


def _correlation(agreement: Agreement) -> str:
    values = agreement.correlations
    values = values[np.isfinite(values)]
    if agreement.unlike and not len(values):
        return "other widths"
    return f"{values.min():.3f}, {np.median(values):.3f}" if len(values) else "–"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(first)
    for other in others:
        table.add_column(
            other,
            justify="left" if "so far" in other or other in ("A", "B") and first.startswith("settings") else "right",
        )
    return table
