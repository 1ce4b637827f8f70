"""How the learning went: each measure over the rows or frames of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from stream_infomax.frames.event import GRAVE, Event, Happening
from stream_infomax.frames.measure import Kind
from stream_infomax.plots.style import INK, LINES, QUIET, drawable, new_figure, panel
from stream_infomax.watch.curve import typical_range
from stream_infomax.watch.kinds import KINDS, Display

# Of curves that stand in one panel: a colour is not all that tells them apart.
MARKERS = "os^DvPX"
# Of what stands there to be compared with.
DASHES = (":", "-.", "--")
# Of an event that a person may have to do something about, and of another.
DASHED, DOTTED = (0, (5, 3)), (0, (1, 2))
# Inches: a line of panels, what is between two of them, and the room of a legend beside its panel.
FULL, HEIGHT, GAP, LEGEND = 11.15, 3.2, 1.15, 3.3
# Rows are shown on a logarithmic axis where the last position is so many times the first.
LONG = 20
# Before so many frames shares are of a handful of results each.
SETTLED = 100
# A curve begins behind the last value that is far from all others, within this share of its positions.
EARLY = 0.05
NOTE = (
    "Values depend on the data: compare within a run. First values far from all others are left out.",
    "Where a measure is of sampled or recent rows, changes of about 1 % come from which rows these are.",
)
# The letter of each kind of event, and the least distance of two letters as a share of the axis.
LETTERS: dict[Happening, str] = {
    "change": "C",
    "hold": "H",
    "resume": "R",
    "quarantine": "Q",
    "release": "L",
    "undo": "U",
    "thin": "T",
    "pause": "P",
    "mark": "M",
    "refused": "X",
}
APART = 0.025
# The least height of an axis of values that no share bounds, beside the values: less would show chance only.
LEAST = 0.04
Columns = Mapping[str, Sequence[float]]
# Curves of one kind, by stage and level.
Group = Mapping[tuple[str, str], Columns]


def learning_curves(curves: Mapping[tuple[str, str, Kind], Columns], events: Sequence[Event] = ()) -> Figure:
    """Draw the measures of a run, one panel for each kind.

    Measures that are there to be compared with are dashed in the panel of those that they are compared to, which has
    a line of its own and lists where each curve ends.

    Parameters
    ----------
    curves
        For each curve (stage, level, kind) its columns ``position`` and ``value``, of one length.
    events
        What happened to the stages: a line with a letter where the positions are rows.

    Returns
    -------
    matplotlib.figure.Figure
    """
    curves = {
        curve: _settled(columns) if KINDS[curve[2]].is_share else _without_start(columns)
        for curve, columns in curves.items()
    }
    groups = {kind: _of_kind(curves, kind) for kind in KINDS if not KINDS[kind].beside}
    groups = {kind: group for kind, group in groups.items() if group}
    rivals = {kind: _of_kind(curves, *(other for other in KINDS if KINDS[other].beside == kind)) for kind in groups}
    narrow = [kind for kind in groups if not rivals[kind]]
    width = (FULL - 0.75) / 2
    lines = [narrow[i : i + 2] for i in range(0, len(narrow), 2)]
    lines += [[kind] for kind in groups if rivals[kind]]
    note = "\n".join([*NOTE, *_key(events)])
    head = 0.6 + 0.18 * len(_key(events))
    figure = new_figure(FULL + 1.15, len(lines) * (HEIGHT + GAP) + head, "How the learning went", note)
    for i, line in enumerate(lines):
        bottom = 0.55 + (len(lines) - 1 - i) * (HEIGHT + GAP)
        for k, name in enumerate(line):
            shown, left = KINDS[name], 0.75 + k * (width + 0.75)
            room = FULL - LEGEND if rivals[name] else width
            axes = panel(figure, left, bottom, room, HEIGHT, shown.heading)
            _draw(axes, shown, groups[name], rivals[name])
            if shown.over == "rows":
                mark_events(axes, [event for event in events if event.stage in {stage for stage, _ in groups[name]}])
    return figure


def mark_events(axes: Axes, events: Sequence[Event]) -> None:
    """Draw a line where each event was, with a letter; letters that would touch stand together."""
    words: list[tuple[float, str]] = []
    for event in sorted(events, key=lambda event: event.position):
        axes.axvline(event.position, color=INK, linewidth=0.8, linestyle=DASHED if event.kind in GRAVE else DOTTED)
        left = axes.transAxes.inverted().transform(axes.transData.transform((event.position, 0)))[0]
        letter = LETTERS[event.kind]
        if not words or left - words[-1][0] >= APART * len(words[-1][1]):
            words.append((left, letter))
        elif letter not in words[-1][1]:
            words[-1] = (words[-1][0], words[-1][1] + letter)
    box = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    for left, word in words:
        axes.text(left, 0.985, word, transform=axes.transAxes, ha="center", va="top", fontsize=8.5, bbox=box)


def _key(events: Sequence[Event]) -> list[str]:
    """Return what the letters stand for, as one line; none where nothing happened."""
    kinds = {event.kind for event in events}
    words = [f"{letter} {kind}" for kind, letter in LETTERS.items() if kind in kinds]
    return [f"Lines across are events: {', '.join(words)}. The summary says more."] if words else []


def _of_kind(curves: Mapping[tuple[str, str, Kind], Columns], *kinds: Kind) -> Group:
    """Return the curves of some kinds of measure, by stage and level."""
    return {(stage, level): columns for (stage, level, kind), columns in curves.items() if kind in kinds}


def _settled(columns: Columns) -> Columns:
    """Return a curve of shares without its first ones, of a handful of results each."""
    n_first = sum(position < SETTLED for position in columns["position"][:-1])
    return {name: values[n_first:] for name, values in columns.items()}


def _without_start(columns: Columns) -> Columns:
    """Return a curve without first values that are far from all others: they are of a handful of rows."""
    low, high = typical_range(columns["value"])
    end = EARLY * columns["position"][-1]
    pairs = enumerate(zip(columns["position"], columns["value"], strict=True))
    n_first = max((i + 1 for i, (position, value) in pairs if position <= end and not low <= value <= high), default=0)
    return {name: values[n_first:] for name, values in columns.items()}


def _draw(axes: Axes, kind: Display, group: Group, rivals: Group) -> None:
    several = len({stage for stage, _ in group}) > 1
    for i, (name, columns) in enumerate(group.items()):
        look: dict[str, Any] = {"color": LINES[i % len(LINES)], "marker": MARKERS[i % len(MARKERS)], "markersize": 4.5}
        label = f"{_short(name, several)}{_ending(name, kind, columns, rivals)}"
        marked = (0.05 + 0.1 * i / len(group), 0.1) if len(group) > 1 else []
        axes.plot(columns["position"], columns["value"], linewidth=1.6, label=label, markevery=marked, **look)
        axes.plot(columns["position"][-1:], columns["value"][-1:], **look)
    for i, (name, columns) in enumerate(rivals.items()):
        label = f"{_short(name, several)}  {kind.text(columns['value'][-1])}"
        dashes = DASHES[i % len(DASHES)]
        axes.plot(columns["position"], columns["value"], color=QUIET, linewidth=1.2, linestyle=dashes, label=label)
    axes.grid(axis="y", color="#eceff2", linewidth=0.8)
    axes.set_axisbelow(True)
    position_axis(axes, kind, [*group.values()])
    value_axis(axes, kind, [*group.values(), *rivals.values()])
    if rivals:
        legend = axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False, fontsize=9, labelcolor=INK)
        legend.set_title("at the end; κ: kappa-temporal")
        legend.get_title().set(color=QUIET, fontsize=9)
        legend.set_alignment("left")
    elif len(group) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=QUIET)
    else:
        ((columns),) = group.values()
        axes.text(
            1, 1.02, kind.text(columns["value"][-1]), transform=axes.transAxes, ha="right", fontsize=9.5, color=LINES[0]
        )


def position_axis(axes: Axes, kind: Display, drawn: Sequence[Columns]) -> None:
    """Set the axis of positions."""
    first = min(columns["position"][0] for columns in drawn)
    last = max(columns["position"][-1] for columns in drawn)
    logarithmic = kind.over == "rows" and last >= LONG * first > 0
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    measured = f"; on {kind.measured}" if kind.measured else ""
    axes.set_xlabel(f"{kind.over}{' (logarithmic)' if logarithmic else ''}{measured}", fontsize=9, color=INK)
    axes.margins(x=0.02)


def value_axis(axes: Axes, kind: Display, drawn: Sequence[Columns]) -> None:
    """Set the axis of values: what is typical of the curves, not their first values."""
    if kind.is_share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylim(0, 1.12 * max(max(_after_the_first(columns)) for columns in drawn) or 1.0)
        return
    ranges = [typical_range(columns["value"]) for columns in drawn]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    room = max(0.15 * (high - low), (LEAST * abs(high) - (high - low)) / 2) or 1.0
    axes.set_ylim(low - room, high + room)


def _short(names: tuple[str, str], several: bool) -> str:
    """Return the level of a stage's measure, with the stage before it where there are several, or has no levels."""
    stage, level = map(drawable, names)
    name = f"{stage}: {level}" if level and several else level or stage
    return f" {name}" if name.startswith("_") else name  # a legend leaves out what begins with _


def _ending(name: tuple[str, str], kind: Display, columns: Columns, rivals: Group) -> str:
    """Return where a curve ends, and kappa-temporal there: how far it is above no change, 1 being all the way."""
    if not rivals:
        return ""
    value = columns["value"][-1]
    no_change = rivals.get((name[0], "no change"), {"value": [1.0]})["value"][-1]
    kappa = f"  κ {(value - no_change) / (1 - no_change):.2f}" if no_change < 1 else ""
    return f"  {kind.text(value)}{kappa}"


def _after_the_first(columns: Columns) -> Sequence[float]:
    """Return the values that are no shares of a handful of results, and always the last one."""
    pairs = zip(columns["position"], columns["value"], strict=True)
    return [value for position, value in pairs if position >= SETTLED] or columns["value"][-1:]
