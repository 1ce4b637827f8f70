"""Learning: the section of how the learning went over the whole run, and what happened meanwhile."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, NumeralTickFormatter
from markupsafe import Markup

from stream_infomax.frames.event import GRAVE
from stream_infomax.frames.measure import Kind
from stream_infomax.page.figures import COLOURS, GREY, Pace, plain, replaced
from stream_infomax.page.section import Section, clock
from stream_infomax.page.watched import Happened, Watched
from stream_infomax.settings.printable import printable
from stream_infomax.watch.curve import BoundedCurve, typical_range
from stream_infomax.watch.kinds import KINDS, Display

Name = tuple[str, str, Kind]

# Curves of a panel, points of a curve; what all curves of a viewer take; events in the list and as lines.
MOST_CURVES = 12
MOST_POINTS = 300
BYTES_A_SECOND = 8000.0
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
        self._pace = Pace(BYTES_A_SECOND)
        self._show()  # a line is added to a document at a hundred times the cost

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
            '<p id="learning-none" class="quiet"></p><div class="curves">{}</div><div id="learning-events"></div>'
        ).format(panels)

    def refresh(self) -> dict[str, str]:
        """Push curves and lines that have changed; return legends and events."""
        texts: dict[str, str] = {}
        events = list(self.watched.events)
        n_bytes, now = 0, self.watched.now()
        ready = self._pace.ready(now)
        shown = self._show()
        for kind, panel in self._panels.items():
            n_bytes += panel.push() if ready else 0
            texts[f"learning-{kind}-legend"] = panel.legend()
            # An attribute, not a text: the panel is there as soon as there is a curve.
            texts[f"learning-{kind}-panel@hidden"] = "" if shown[kind] else "hidden"
        self._pace.sent(n_bytes, now)
        none = "" if self.watched.curves else "No measures yet: a learner gives its first one after its warm-up."
        return {**texts, "learning-none": none, "learning-events": _events(events, self.watched)}

    def _show(self) -> dict[Kind, bool]:
        """Give each panel its curves and events; return which have curves."""
        events, checkpoints = list(self.watched.events), self._checkpoints()
        for kind, panel in self._panels.items():
            own = [(name, curve) for name, curve in self.watched.curves.items() if _panel_of(name) == kind]
            panel.show(dict(own[:MOST_CURVES]), events, checkpoints)
        return {kind: panel.has_curves for kind, panel in self._panels.items()}

    def _checkpoints(self) -> dict[str, int]:
        """Return the row of the newest checkpoint of each stage."""
        rows = self.watched.checkpoints
        return {stage.name: rows[stage.service] for stage in self.watched.stages if rows.get(stage.service)}


class _Panel:
    """The curves of one kind, and of the kind that it is compared with."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        display = KINDS[kind]
        self.figure = plain(220)
        self.figure.xaxis.axis_label = display.over
        self.figure.xaxis.formatter = NumeralTickFormatter(format="0.[0]a")
        self.figure.xaxis.ticker = BasicTicker(desired_num_ticks=4)
        self.figure.yaxis.ticker = BasicTicker(desired_num_ticks=5)
        if display.is_share:
            self.figure.yaxis.formatter = NumeralTickFormatter(format="0 %")
        self._lines: dict[Name, tuple[ColumnDataSource, str, str]] = {}
        self._curves: dict[Name, BoundedCurve] = {}
        self._drawn: dict[Name, int] = {}
        self._marks = {grave: ColumnDataSource({"x": []}) for grave in (True, False)}
        for grave, dash in ((True, "dashed"), (False, "dotted")):
            self.figure.vspan(x="x", source=self._marks[grave], line_color=GREY, line_dash=dash, line_width=1)

    @property
    def has_curves(self) -> bool:
        """Whether there is anything to be seen."""
        return bool(self._curves)

    def show(self, curves: dict[Name, BoundedCurve], events: list[Happened], checkpoints: dict[str, int]) -> None:
        """Take in which curves there are, and mark events and the newest checkpoints."""
        self._curves = curves
        if missing := [name for name in curves if name not in self._lines]:
            document = self.figure.document
            # Or bokeh looks through all models of the page after each line.
            with document.models.freeze() if document else nullcontext():
                for name in missing:
                    self._lines[name] = self._line(name)
        if KINDS[self.kind].over == "rows":
            self._mark(events, checkpoints)

    def push(self) -> int:
        """Push the curves that have changed; return how many bytes that is."""
        moved = [name for name, curve in self._curves.items() if curve.position != self._drawn.get(name)]
        for name in moved:
            self._drawn[name] = self._curves[name].position
        if moved:
            self._range(list(self._curves.values()))
        return sum(replaced(self._lines[name][0], _columns(self._curves[name])) for name in moved)

    def legend(self) -> Markup:
        """Return what each line is and where it stands."""
        items = Markup("")
        several = len({stage for stage, _, _ in self._curves}) > 1
        for name, curve in self._curves.items():
            _, colour, dash = self._lines[name]
            number = COLOURS.index(colour) if colour in COLOURS else len(COLOURS)
            items += Markup('<li><span class="swatch c{} {}"></span>{} <strong class="number">{}</strong></li>').format(
                number, dash, _label(name, several), KINDS[name[2]].text(curve.last)
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

    def _mark(self, events: list[Happened], checkpoints: dict[str, int]) -> None:
        stages = {name[0] for name in self._curves}
        own = [one for one in events if one.stage in stages or not one.stage][-MOST_LINES:]
        for grave, source in self._marks.items():
            places = {float(one.position) for one in own if _is_grave(one) == grave}
            places |= set() if grave else {float(row) for stage, row in checkpoints.items() if stage in stages}
            if sorted(places) != source.data["x"]:
                source.data = {"x": sorted(places)}

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
    """Return a curve up to its newest value, thinned: an eye sees no more."""
    every = max(1, -(-len(curve.values) // MOST_POINTS))
    positions, values = curve.positions[::every], curve.values[::every]
    if positions and positions[-1] != curve.position:
        positions, values = [*positions, curve.position], [*values, curve.last]
    return {"x": positions, "y": values}


def _panel_of(name: Name) -> Kind:
    return KINDS[name[2]].beside or name[2]


def _label(name: Name, several: bool) -> str:
    """Return the level of a stage's measure, with the stage where there are several, or it has no levels."""
    stage, level, _ = name
    return printable(f"{stage}: {level}" if level and several else level or stage, NAME)


def _below(display: Display) -> str:
    return f"Over {display.over}" + (f"; on {display.measured}." if display.measured else ".")


def _is_grave(event: Happened) -> bool:
    return event.kind in GRAVE or event.kind == "restart"


def _events(events: list[Happened], watched: Watched) -> Markup:
    """Return what happened, the newest first, and the newest checkpoints."""
    rows = Markup("")
    for event in reversed(events[-MOST_EVENTS:]):
        unit = "frame" if event.kind == "mark" else "row"
        rows += Markup(
            '<tr><td>{}</td><td>{}</td><td class="right">{}</td><td class="{}">{}</td><td>{}</td></tr>'
        ).format(
            clock(event.when) if event.when else "before",
            printable(event.stage or event.service, NAME),
            f"{unit} {event.position:,}" if event.position or event.stage else "",
            "warn" if _is_grave(event) else "",
            event.kind,
            printable(event.text, SENTENCE),
        )
    behind = {name: status.checkpoint + 1 for name, status in watched.statuses.items()}
    behind |= {name: left.frames for name, left in watched.left.items()}
    saved = ", ".join(f"{printable(name, NAME)} frame {frames:,}" for name, frames in behind.items() if frames)
    said = Markup('<p class="quiet">{}{}</p>').format(
        "Vertical lines in the curves: dashed where a person may have to do something or a service was restarted, "
        "else dotted, as the newest checkpoint. ",
        f"Newest checkpoints: {saved}." if saved else "",
    )
    if not rows:
        return said + Markup('<p class="quiet">No events: nothing drifted, nothing was restarted.</p>')
    return said + Markup(
        '<div class="events" tabindex="0" role="region" aria-label="Events"><table><thead><tr><th>time</th>'
        "<th>where</th><th class=right>at</th><th>event</th><th>what</th></tr></thead><tbody>{}</tbody></table></div>"
    ).format(rows)
