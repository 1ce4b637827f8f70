"""How the learning went: each measure over the rows or frames of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from stream_infomax.frames.measure import Kind
from stream_infomax.plots.style import INK, LINES, QUIET, new_figure, panel
from stream_infomax.watch.history import KINDS, Shown

# Of what stands there to be compared with.
DASHES = (":", "-.", "--")
# Inches: a line of panels, what is between two of them, and the room of a legend beside its panel.
FULL, HEIGHT, GAP, LEGEND = 11.15, 3.2, 1.15, 3.3
Columns = Mapping[str, Sequence[float]]
# Curves of one kind, by stage and level.
Group = Mapping[tuple[str, str], Columns]


def learning(curves: Mapping[tuple[str, str, Kind], Columns]) -> Figure:
    """Draw the curves of a run, one panel for each kind of measure.

    Measures that are there to be compared with are dashed in the panel of those that they are compared to, which has
    a line of its own and lists where each curve ends.

    Parameters
    ----------
    curves
        For each curve (stage, level, kind) its columns ``position`` and ``value``, of one length.

    Returns
    -------
    matplotlib.figure.Figure
    """
    groups = {kind: _of_kind(curves, kind) for kind in KINDS if not KINDS[kind].beside}
    groups = {kind: group for kind, group in groups.items() if group}
    rivals = {kind: _of_kind(curves, *(other for other in KINDS if KINDS[other].beside == kind)) for kind in groups}
    narrow = [kind for kind in groups if not rivals[kind]]
    columns = 3 if len(narrow) == 3 else 2
    width = (FULL - 0.75 * (columns - 1)) / columns
    lines = [narrow[i : i + columns] for i in range(0, len(narrow), columns)]
    lines += [[kind] for kind in groups if rivals[kind]]
    figure = new_figure(FULL + 1.15, len(lines) * (HEIGHT + GAP) + 0.25, "How the learning went")
    for i, line in enumerate(lines):
        bottom = 0.55 + (len(lines) - 1 - i) * (HEIGHT + GAP)
        for k, name in enumerate(line):
            shown, left = KINDS[name], 0.75 + k * (width + 0.75)
            title = f"{shown.title} ({shown.unit})"
            axes = panel(figure, left, bottom, FULL - LEGEND if rivals[name] else width, HEIGHT, title)
            _draw(axes, shown, groups[name], rivals[name])
    return figure


def _of_kind(curves: Mapping[tuple[str, str, Kind], Columns], *kinds: Kind) -> Group:
    """Return the curves of some kinds of measure, by stage and level."""
    return {(stage, level): columns for (stage, level, kind), columns in curves.items() if kind in kinds}


def _draw(axes: Axes, kind: Shown, group: Group, rivals: Group) -> None:
    several = len({stage for stage, _ in group}) > 1
    for i, (name, columns) in enumerate(group.items()):
        colour = LINES[i % len(LINES)]
        label = f"{_short(name, several)}{_ending(name, kind, columns, rivals)}"
        axes.plot(columns["position"], columns["value"], color=colour, linewidth=1.6, label=label)
        axes.plot(columns["position"][-1:], columns["value"][-1:], "o", color=colour, markersize=4)
        if len(group) == 1:
            axes.set_title(kind.text(columns["value"][-1]), loc="right", fontsize=11, color=colour, pad=6)
    for i, (name, columns) in enumerate(rivals.items()):
        label = f"{_short(name, several)}  {kind.text(columns['value'][-1])}"
        dashes = DASHES[i % len(DASHES)]
        axes.plot(columns["position"], columns["value"], color=QUIET, linewidth=1.2, linestyle=dashes, label=label)
    axes.set_xlabel(kind.position, fontsize=9.5, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if kind.unit == "share":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color="#eceff2", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.02, y=0.12)
    if rivals:  # the first shares, of a few results each, are all over the place
        later = [value for columns in (*group.values(), *rivals.values()) for value in _after_the_first(columns)]
        axes.set_ylim(0, 1.12 * max(later))
        legend = axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False, fontsize=9, labelcolor=INK)
        legend.set_title("at the end; κ: kappa-temporal")
        legend.get_title().set(color=QUIET, fontsize=9)
        legend.set_alignment("left")
    elif len(group) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=QUIET)


def _short(name: tuple[str, str], several: bool) -> str:
    """Return the level of a stage's measure, with the stage before it where there are several, or has no levels."""
    stage, level = name
    return f"{stage}: {level}" if level and several else level or stage


def _ending(name: tuple[str, str], kind: Shown, columns: Columns, rivals: Group) -> str:
    """Return where a curve ends, and kappa-temporal there: how far it is above no change, 1 being all the way."""
    if not rivals:
        return ""
    value = columns["value"][-1]
    no_change = rivals.get((name[0], "no change"), {"value": [1.0]})["value"][-1]
    kappa = f"  κ {(value - no_change) / (1 - no_change):.2f}" if no_change < 1 else ""
    return f"  {kind.text(value)}{kappa}"


def _after_the_first(columns: Columns) -> Sequence[float]:
    """Return the values after the first tenth of the way, and always the last one."""
    return columns["value"][len(columns["value"]) // 10 :]
