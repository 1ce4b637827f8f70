"""Components: mosaics of filters and basis that change as they are learnt, and one of them opened."""

from __future__ import annotations

import math
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from markupsafe import escape

from stream_infomax.frames.basis import Basis
from stream_infomax.page import portrait
from stream_infomax.page.figures import Pace, Tiles
from stream_infomax.page.growth import HOUR, Moved
from stream_infomax.page.opened import ActivityFigure, Large, SpectrumFigure
from stream_infomax.page.origin import Origin, origin
from stream_infomax.page.ring import Recent
from stream_infomax.page.section import Section, nothing_yet
from stream_infomax.page.sound import is_sound
from stream_infomax.page.tiles import Look, Side, look
from stream_infomax.page.watched import Watched
from stream_infomax.settings.printable import printable

# Bytes a second, on average, of a basis that changes, and of what an open component does.
BASIS_PACE, ACTIVITY_PACE = 6000.0, 4000.0
# Seconds after which it is said again how far components have moved, and what the largest look like.
MOVED_EVERY = 10.0
# Rows of the table of the largest components.
LARGEST = 10
SIDES: tuple[Side, Side] = ("filters", "basis")
ABOUT = {
    "picture": "patches of pictures, from low to high frequency; light is +, dark is −",
    "colour": "patches of pictures in colour, from low to high frequency",
    "wave": "windows of a signal, from low to high frequency",
    "plane": "time to the right, {upwards}s upwards, from low to high; light is +, dark is −",
    "head": "heads seen from above, the nose up, by share of the signal; light is +, dark is −",
    "bars": "one stem for each value of a row, by share of the signal",
}


class ComponentsSection(Section):
    """The components of one learner at a time."""

    name: ClassVar[str] = "components"
    title: ClassVar[str] = "Components"

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self._key = ""
        self._component = -1  # none yet
        self._basis: Basis | None = None
        self._look: Look | None = None
        self._origin = Origin()
        self._moved: Moved | None = None
        self._moved_at = -math.inf
        self._sorted_at = 0
        self._values = portrait.NONE
        self._pace, self._activity_pace = Pace(BASIS_PACE), Pace(ACTIVITY_PACE)
        self._has_spectrum = False
        self._spectrum_words, self._largest, self._said = "", "", ""
        self._mosaics = {side: Tiles(self._pressed) for side in SIDES}
        self._large = {side: Large() for side in SIDES}
        self._spectrum, self._activity = SpectrumFigure(), ActivityFigure()
        self.roots = {
            **{f"components-{side}": self._mosaics[side].figure for side in SIDES},
            **{f"components-large-{side}": self._large[side].figure for side in SIDES},
            "components-spectrum": self._spectrum.figure,
            "components-activity": self._activity.figure,
        }

    def html(self) -> str:
        """Return the controls, and the places of the figures and of the words."""
        return f"""
<p id="components-about" class="quiet">No basis yet: it comes when the warm-up of a learner is over.</p>
<div class="controls">
  <span id="components-learner"></span>
  <button type="button" data-tell="step" data-value="-1">Previous in the picture</button>
  <button type="button" data-tell="step" data-value="1">Next in the picture</button>
  <label>Open number <input id="components-number" type="number" min="1" data-tell="open"></label>
  <span id="components-play"></span>
  <button type="button" data-tell="sort">Sort again</button>
</div>
<p id="components-said" class="bad" role="status"></p>
<div class="curves">
{_place("components-filters", "Filters")}
{_place("components-basis", "Basis")}
</div>
<h3 id="components-title" aria-live="polite"></h3>
<dl id="components-facts" class="facts"></dl>
<div class="curves small">
{_place("components-large-filters", "Its filter")}
{_place("components-large-basis", "Its basis vector")}
{_place("components-spectrum", "Its spectrum", "components-spectrum-words")}
{_place("components-activity", "Its recent activity", "components-activity-words")}
</div>
<details>
<summary>The largest components in numbers</summary>
<div id="components-table" class="scroll" tabindex="0"></div>
</details>
"""

    def refresh(self) -> dict[str, str]:
        """Draw what has changed, and say it in words."""
        if self._key not in self.watched.bases:
            self._key, self._look = next(iter(self.watched.bases), ""), None
        basis = self.watched.bases.get(self._key)
        if basis is None:
            return {}
        now = self.watched.now()
        if self._look is None:
            self._moved_at = -math.inf
        if self._look is None or (basis is not self._basis and self._pace.ready(now)):
            self._pace.sent(self._draw(basis), now)
        if now - self._moved_at >= MOVED_EVERY:
            self._moved, self._moved_at = self.watched.moved(self._key), now
            self._largest = self._table()
        if self._activity_pace.ready(now):
            self._activity_pace.sent(self._draw_activity(), now)
        return self._words()

    def told(self, what: str, value: str) -> dict[str, str]:
        """Open another component, or another learner's; sort again."""
        of = self._look
        if what == "learner" and value in self.watched.bases:
            self._key, self._look, self._component = value, None, -1
        elif of is None:
            return {}
        elif what == "open":
            is_number = value.isdecimal() and len(value) < 10 and 1 <= int(value) <= len(of.order)
            if is_number:
                self._open(int(value) - 1)
            self._said = "" if is_number else f"Accepted is a number from 1 to {len(of.order):,}."
        elif what == "step" and value in ("-1", "1"):
            place = int(np.flatnonzero(of.order == self._component)[0]) + int(value)
            self._open(int(of.order[place % len(of.order)]))
        elif what == "sort":
            self._sorted_at, self._look = 0, None
        return self.refresh()

    def _pressed(self, event: Any) -> None:
        """Open the component whose tile was pressed."""
        of = self._look
        if of is None or not all(
            isinstance(place, int | float) and math.isfinite(place) for place in (event.x, event.y)
        ):
            return
        component = of.at(event.x, event.y)
        if component is not None:
            self._open(component)

    def _open(self, component: int) -> None:
        self._component, self._said = component, ""
        now = self.watched.now()
        self._pace.sent(self._draw_one(), now)
        self._activity_pace.sent(self._draw_activity(), now)

    def _draw(self, basis: Basis) -> int:
        """Draw all of a basis; return how many bytes went."""
        self._origin = origin(self.watched, basis)
        found = look(basis, self._origin.rate, self._origin.channels, self._order(basis))
        self._basis, self._look = basis, found
        if not 0 <= self._component < len(found.order):
            self._component = int(found.shares.argmax())
        return sum(self._mosaics[side].show(found, found.mosaic(side)) for side in SIDES) + self._draw_one()

    def _order(self, basis: Basis) -> npt.NDArray[np.intp] | None:
        """Return the order that the tiles have; None where they are to be sorted.

        They are sorted again when a learner has come twice as far: nobody can follow tiles that keep changing places.
        """
        of = self._look
        if of is None or len(of.order) != len(basis.components) or basis.offset >= 2 * self._sorted_at:
            self._sorted_at = max(1, basis.offset)
            return None
        return of.order

    def _draw_one(self) -> int:
        """Draw the component that is open; return how many bytes went."""
        assert self._look is not None
        for side in SIDES:
            self._mosaics[side].mark(self._look, self._component)
        return sum(self._large[side].show(self._look, side, self._component, self._origin) for side in SIDES)

    def _draw_activity(self) -> int:
        """Draw what the open component did last, and its spectrum; return how many bytes went."""
        assert self._look is not None
        assert self._basis is not None
        recent = self._recent(self._basis)
        rate = recent.rate if recent is not None else 0.0
        self._values = portrait.NONE
        if recent is not None:
            sign = self._look.signs[self._component]
            self._values = portrait.activity(recent, self._basis, self._component, sign)
        found = portrait.spectrum(self._look, self._component, self._values, rate)
        self._spectrum_words = found.words
        self._has_spectrum = found.pixels is not None or len(found.x) > 0
        return self._spectrum.show(found) + self._activity.show(self._values, rate)

    def _recent(self, basis: Basis) -> Recent | None:
        """Return the last rows that the learner has published; None where its service publishes others."""
        for service, frame in self.watched.newest.items():
            if list(frame.arrays)[-1:] != [basis.stage]:  # what the others hold need not be put together
                continue
            recent = self.watched.ring(service)
            if recent is not None and recent.array == basis.stage and basis.stream in ("", recent.stream):
                return recent
        return None

    def _words(self) -> dict[str, str]:
        of, basis = self._look, self._basis
        assert of is not None
        assert basis is not None
        shown, n = len(of.chosen), len(of.order)
        count = f"{n} components" if shown == n else f"{shown} of {n} components, evenly chosen"
        kind = ABOUT[of.kind].format(upwards=of.upwards)
        about = f"{printable(basis.key)}: {count}; {kind}; each scaled to itself. Basis {basis.version[:8]}."
        strokes = "" if of.kind in ("picture", "colour", "head", "bars") else " Solid: basis vector; dashes: filter."
        activity = f"The {portrait.OUTPUTS[basis.output]}: {portrait.statistics(self._values)}."
        if not len(self._values):
            activity = self._no_activity(basis)
        return {
            "components-about": str(escape(about)),
            "components-learner": self._learners(),
            "components-play": self._player(basis),
            "components-number@placeholder": f"{self._component + 1}",
            "components-number@max": f"{n}",
            "components-said": self._said,
            "components-spectrum-root@hidden": "" if self._has_spectrum else "hidden",
            "components-activity-root@hidden": "" if len(self._values) else "hidden",
            "components-title": f"Component {self._component + 1} of {n}",
            "components-facts": self._facts(of, basis),
            "components-spectrum-words": str(escape(f"{self._spectrum_words}.{strokes}")),
            "components-activity-words": str(escape(activity)),
            "components-table": self._largest,
        }

    def _no_activity(self, basis: Basis) -> str:
        """Return why nothing is known of what a component did."""
        homes = [stage.service for stage in self.watched.stages if stage.name == basis.stage]
        if set(homes) & set(self.watched.newest):
            return "Not known here: its service publishes what a stage behind it makes of its rows."
        return nothing_yet(self.watched, *homes)

    def _learners(self) -> str:
        """Return a choice of learners where there are several."""
        if len(self.watched.bases) < 2:
            return ""
        options = "".join(
            f'<option value="{escape(key)}"{" selected" * (key == self._key)}>{escape(printable(key))}</option>'
            for key in sorted(self.watched.bases)
        )
        return f'<label>Learner <select data-tell="learner">{options}</select></label>'

    def _player(self, basis: Basis) -> str:
        if not is_sound(basis, self._origin):
            return ""
        where = f"sound/{quote(self._key, safe='')}/{self._component + 1}.wav"
        return f'<button type="button" data-play="{where}">Play component {self._component + 1}</button>'

    def _facts(self, of: Look, basis: Basis) -> str:
        k = self._component
        facts = {"Share of the signal": f"{100 * of.shares[k]:.2g} %", "Looks": portrait.words_of(of, k, self._origin)}
        if of.kind in ("head", "bars"):
            facts["Largest weights"] = facts.pop("Looks")
        if self._moved is not None and k < len(self._moved.from_first):
            facts |= self._age(self._moved, k, basis)
        return "".join(f"<div><dt>{escape(term)}</dt><dd>{escape(text)}</dd></div>" for term, text in facts.items())

    def _age(self, moved: Moved, k: int, basis: Basis) -> dict[str, str]:
        born = int(moved.born_offset[k])
        version = moved.born_version[k][:8]
        seconds = moved.seconds
        before = "an hour before" if seconds >= HOUR else f"{max(1, round(seconds / 60))} min before"
        return {
            "Age": f"{max(0, basis.offset - born):,} frames, seen first at frame {born:,} (basis {version})",
            "Moved": f"cosine {moved.from_first[k]:.3f} to when it was seen first, "
            + f"{moved.from_hour[k]:.3f} to {before} (1: it has not moved)",
        }

    def _table(self) -> str:
        of, moved = self._look, self._moved
        assert of is not None
        rows = []
        for k in np.argsort(-of.shares, kind="stable")[:LARGEST]:
            cosine = f"{moved.from_first[k]:.3f}" if moved is not None and k < len(moved.from_first) else "–"
            words = escape(portrait.words_of(of, int(k), self._origin))
            spectrum = escape(portrait.spectrum(of, int(k), portrait.NONE, 0.0).words) if of.kind != "head" else ""
            rows.append(
                f'<tr><td class="right">{k + 1}</td><td class="right">{100 * of.shares[k]:.2g} %</td>'
                f'<td class="right">{cosine}</td><td>{spectrum}</td><td>{words}</td></tr>'
            )
        head = "<tr><th>number</th><th>share</th><th>cosine with its first</th><th>spectrum</th><th>what</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _place(name: str, title: str, words: str = "") -> str:
    """Return the place of a figure under its title, and of the words that say the same."""
    said = f'<p id="{words}" class="quiet number"></p>' if words else ""
    return (
        f"<article><h4>{title}</h4>"
        f'<div id="{name}-root" data-root="{name}" role="img" aria-label="{title}"></div>{said}</article>'
    )
