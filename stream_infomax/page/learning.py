"""Learning: the section of how the learning went over the whole run, and what happened meanwhile."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, NumeralTickFormatter
from markupsafe import Markup

from stream_infomax.frames.event import GRAVE
from stream_infomax.frames.measure import Kind
from stream_infomax.page.figures import COLOURS, GREY, plain
from stream_infomax.page.section import Section
from stream_infomax.page.watched import Happened, Watched
from stream_infomax.settings.printable import printable
from stream_infomax.watch.curve import BoundedCurve, typical_range
from stream_infomax.watch.kinds import KINDS, Display

Name = tuple[str, str, Kind]

# Curves of a panel, and events in the list and as lines.
MOST_CURVES = 12
MOST_EVENTS = 40
MOST_LINES = 24
# Letters of a name and of a sentence that are shown.
NAME, SENTENCE = 60, 400
DASHES = ("dashed", "dotted", "dotdash", "dashdot")
# Of the height of what is drawn, free above and below.
ROOM = 0.08


class LearningSection(Section):
    """A panel for each kind of measure, and the events."""

    name: ClassVar[str] = "learning"
    title: ClassVar[str] = "Learning"

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self._panels = {kind: _Panel(kind) for kind in KINDS if KINDS[kind].beside is None}
        self.roots = {f"learning-{kind}": panel.figure for kind, panel in self._panels.items()}

    def html(self) -> str:
        """Return the places of panels and events."""
        panels = Markup("").join(
            Markup(
                '<article id="learning-{0}-panel" hidden><h3>{1}</h3><div id="learning-{0}-legend"></div>'
                '<div data-root="learning-{0}" role="img" aria-label="{1} over the run"></div>'
                '<p class="quiet">{2}</p></article>'
            ).format(kind, KINDS[kind].heading, _below(KINDS[kind]))
            for kind in self._panels
        )
        return Markup(
            '<p id="learning-none" class="quiet"></p><div class="curves">{}</div>'
            '<div id="learning-events" class="events" tabindex="0" role="region" aria-label="Events"></div>'
        ).format(panels)

    def refresh(self) -> dict[str, str]:
        """Push curves and lines that have changed; return legends and events."""
        texts: dict[str, str] = {}
        events = list(self.watched.events)
        for kind, panel in self._panels.items():
            shown = {name: curve for name, curve in self.watched.curves.items() if _panel_of(name) == kind}
            panel.update(dict(list(shown.items())[:MOST_CURVES]), events)
            texts[f"learning-{kind}-legend"] = panel.legend()
            # An attribute, not a text: the panel is there as soon as there is a curve.
            texts[f"learning-{kind}-panel@hidden"] = "" if shown else "hidden"
        none = "" if self.watched.curves else "No measures yet: a learner gives its first one after its warm-up."
        return {**texts, "learning-none": none, "learning-events": _events(events, self.watched)}


class _Panel:
    """The curves of one kind, and of the kind that it is compared with."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        display = KINDS[kind]
        self.figure = plain(220)
        self.figure.xaxis.axis_label = display.over
        self.figure.xaxis.formatter = NumeralTickFormatter(format="0,0")
        self.figure.xaxis.ticker = BasicTicker(desired_num_ticks=5)
        self.figure.yaxis.ticker = BasicTicker(desired_num_ticks=5)
        if display.is_share:
            self.figure.yaxis.formatter = NumeralTickFormatter(format="0 %")
        self._lines: dict[Name, tuple[ColumnDataSource, str, str]] = {}
        self._curves: dict[Name, BoundedCurve] = {}
        self._drawn: dict[Name, int] = {}
        self._marks = {grave: ColumnDataSource({"x": []}) for grave in (True, False)}
        for grave, dash in ((True, "dashed"), (False, "dotted")):
            self.figure.vspan(x="x", source=self._marks[grave], line_color=GREY, line_dash=dash, line_width=1)

    def update(self, curves: dict[Name, BoundedCurve], events: list[Happened]) -> None:
        """Push what has changed."""
        self._curves = curves
        changed = False
        for name, curve in curves.items():
            if name not in self._lines:
                self._lines[name] = self._line(name)
            if curve.position != self._drawn.get(name):
                self._drawn[name], changed = curve.position, True
                self._lines[name][0].data = _columns(curve)
        if KINDS[self.kind].over == "rows":
            self._mark(events)
        if changed:
            self._range(list(curves.values()))

    def legend(self) -> Markup:
        """Return what each line is and where it stands."""
        items = Markup("")
        for name, curve in self._curves.items():
            _, colour, dash = self._lines[name]
            number = COLOURS.index(colour) if colour in COLOURS else len(COLOURS)
            items += Markup('<li><span class="swatch c{} {}"></span>{} <strong class="number">{}</strong></li>').format(
                number, "" if dash == "solid" else "dashed", _label(name), KINDS[name[2]].text(curve.last)
            )
        return Markup('<ul class="legend">{}</ul>').format(items)

    def _line(self, name: Name) -> tuple[ColumnDataSource, str, str]:
        source = ColumnDataSource({"x": [], "y": []})
        number = sum(one[2] == name[2] for one in self._lines)
        beside = KINDS[name[2]].beside is not None
        colour = GREY if beside else COLOURS[number % len(COLOURS)]
        dash = DASHES[number % len(DASHES)] if beside or number >= len(COLOURS) else "solid"
        self.figure.line(x="x", y="y", source=source, line_color=colour, line_dash=dash, line_width=2)
        return source, colour, dash

    def _mark(self, events: list[Happened]) -> None:
        stages = {name[0] for name in self._curves}
        own = [one for one in events if one.stage in stages or not one.stage][-MOST_LINES:]
        for grave, source in self._marks.items():
            places = sorted({float(one.position) for one in own if _is_grave(one) == grave})
            if places != source.data["x"]:
                source.data = {"x": places}

    def _range(self, curves: list[BoundedCurve]) -> None:
        drawn = [curve for curve in curves if curve.values]
        if not drawn:
            return
        last = max(curve.position for curve in drawn)
        # It grows by steps: an axis that moves with every row cannot be read.
        step = 10 ** np.floor(np.log10(max(1, last))) / 5
        _set(self.figure.x_range, 0.0, float(step * np.ceil((last + 1) / step)))
        ranges = [typical_range(curve.values) for curve in drawn]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        if KINDS[self.kind].is_share:
            low, high = 0.0, max(high, 0.1)
        room = ROOM * (high - low) or ROOM * abs(high) or 1.0
        top = min(1.0, high + room) if KINDS[self.kind].is_share else high + room
        _set(self.figure.y_range, low if KINDS[self.kind].is_share else low - room, top)


def _set(range_: Any, start: float, end: float) -> None:
    """Move an axis, where that shows."""
    width = abs(end - start)
    if abs(range_.start - start) > 0.01 * width or abs(range_.end - end) > 0.01 * width:
        range_.update(start=start, end=end)


def _columns(curve: BoundedCurve) -> dict[str, Any]:
    """Return a curve up to its newest value, in half of the bytes: an eye sees no more."""
    positions, values = [*curve.positions], [*curve.values]
    if positions and positions[-1] != curve.position:
        positions.append(curve.position)
        values.append(curve.last)
    return {"x": np.array(positions, np.float32), "y": np.array(values, np.float32)}


def _panel_of(name: Name) -> Kind:
    return KINDS[name[2]].beside or name[2]


def _label(name: Name) -> str:
    stage, level, _ = name
    return printable(f"{stage}: {level}" if level else stage, NAME)


def _below(display: Display) -> str:
    return f"Over {display.over}" + (f"; on {display.measured}." if display.measured else ".")


def _is_grave(event: Happened) -> bool:
    return event.kind in GRAVE or event.kind == "restart"


def _events(events: list[Happened], watched: Watched) -> Markup:
    """Return what happened, the newest first, and the newest checkpoints."""
    rows = Markup("")
    for event in reversed(events[-MOST_EVENTS:]):
        clock = time.strftime("%H:%M:%S", time.localtime(event.when)) if event.when else "before"
        rows += Markup(
            '<tr><td>{}</td><td>{}</td><td class="right">{}</td><td class="{}">{}</td><td>{}</td></tr>'
        ).format(
            clock,
            printable(event.stage or event.service, NAME),
            f"{event.position:,}",
            "warn" if _is_grave(event) else "",
            event.kind,
            printable(event.text, SENTENCE),
        )
    if not rows:
        return Markup('<p class="quiet">No events: nothing drifted, nothing was restarted.</p>')
    return Markup(
        "<table><thead><tr><th>time</th><th>where</th><th class=right>row</th><th>event</th><th>what</th></tr></thead>"
        "<tbody>{}</tbody></table>"
    ).format(rows)
