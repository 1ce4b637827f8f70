"""What probes have found: lines for a terminal, and tables for other programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from stream_infomax.learning.measures.paired import paired
from stream_infomax.run.probing import ALL, INPUT, LAST, Bools, Probed, Test
from stream_infomax.settings.printable import printable

WIDTH = 32


def heading(test: Test, target: str, by: str) -> str:
    """Return what is tested, and how."""
    line = f"{len(test.segments)} segments, {target} ({len(set(test.classes))} classes), tested by {by}"
    return printable(line + (f"; {test.missing} that only one side gave whole are left out" if test.missing else ""))


def most_frequent(test: Test) -> float:
    """Return the accuracy (%) of always naming the most frequent class."""
    return 100 * Counter(test.classes).most_common(1)[0][1] / len(test.classes)


def legend(*runs: Probed) -> str:
    """Return what the levels are that have names of their own; empty for runs without contrastive modules."""
    inputs = ", ".join(dict.fromkeys(run.input for run in runs if run.input))
    line = f"{INPUT}: {inputs}; {LAST}: beside the last module; {ALL}: beside all modules"
    return printable(line) if inputs else ""


def columns(one: Probed, other: Probed | None) -> list[str]:
    """Return what stands above the columns."""
    if other is None:
        return [f"{'level':{WIDTH}}{'learnt %':>10}{'untrained %':>13}"]
    runs = [printable(f"{letter}: {run.place}") for letter, run in (("A", one), ("B", other))]
    return [*runs, f"{'level':{WIDTH}}{'A %':>8}{'B %':>8}{'A - B':>9}   95 % interval"]


def alone(level: str, learnt: Bools | None, untrained: Bools | None) -> str:
    """Return the line of a level of one run; no twin where learning changed nothing in what is read."""
    line = f"{printable(level):{WIDTH}}" + ("" if learnt is None else f"{100 * learnt.mean():10.1f}")
    return line if untrained is learnt or untrained is None else f"{line}{100 * untrained.mean():13.1f}"


def beside(level: str, one: Bools | None, other: Bools | None, test: Test) -> str:
    """Return the line of a level of two runs."""
    shown = ["-" if right is None else f"{100 * right.mean():.1f}" for right in (one, other)]
    line = f"{printable(level):{WIDTH}}{shown[0]:>8}{shown[1]:>8}"
    if one is None or other is None:
        return f"{line}   only {'B' if one is None else 'A'} has it"
    found = paired(100.0 * one, 100.0 * other, test.groups)
    return f"{line}{found.difference:+9.1f}   {found.low:+.1f} to {found.high:+.1f}"


def as_table(level: str, one: Bools | None, other: Bools | None, test: Test, names: tuple[str, str]) -> dict[str, Any]:
    """Return a level for other programs: accuracies (%) in all and by group, the difference, and its interval."""
    pairs = [(name, right) for name, right in zip(names, (one, other), strict=True) if right is not None]
    table: dict[str, Any] = {"level": level}
    for name, right in pairs:
        table[name] = 100 * float(right.mean())
        table[f"{name} by group"] = _by_group(right, test)
    if one is not None and other is not None:
        table |= paired(100.0 * one, 100.0 * other, test.groups)._asdict()
    return table


def _by_group(right: Bools, test: Test) -> Mapping[str, float]:
    sizes = Counter(test.groups)
    named: Counter[str] = Counter()
    named.update(group for group, well in zip(test.groups, right.tolist(), strict=True) if well)
    return {group: 100 * named[group] / sizes[group] for group in sorted(sizes)}
