"""Steering: the section that asks something of the run."""

from __future__ import annotations

from typing import ClassVar

from markupsafe import Markup

from stream_infomax.page.section import Section
from stream_infomax.settings.printable import printable

# Kinds of stages that learn.
LEARN = ("learner", "contrast", "classifier")
NAME = 60
BUTTONS = ("pause", "resume", "hold", "undo", "mark", "save")
# Versions that are offered to go back to.
MOST_VERSIONS = 64


class SteeringSection(Section):
    """Buttons; each asks the services for something, and says at which frame it takes effect."""

    name: ClassVar[str] = "steering"
    title: ClassVar[str] = "Steering"

    def html(self) -> str:
        """Return the buttons."""
        names = [stage.name for stage in self.watched.stages if stage.kind in LEARN]
        stages = Markup("").join(
            Markup('<option value="{0}">{0}</option>').format(printable(name, NAME)) for name in names
        )
        return Markup(
            '<p id="steering-over" class="quiet"></p><div class="controls">'
            '<label>Stage <select id="steering-stage"><option value="">all that learn</option>{}</select></label>'
            "{}{}{}"
            '<label>Version <select id="steering-version"><option value="">none yet</option></select></label>{}'
            '</div><div class="controls">'
            '<label>Label <input id="steering-label" type="text" maxlength="256" autocomplete="off"'
            ' data-enter="steering-mark"></label>{}{}'
            '</div><p id="steering-answer" class="answer" role="status" aria-live="polite"></p>'
            '<p class="downloads">Keep a copy: <a href="download/configuration.toml" download>configuration</a>, '
            '<a href="download/filters.png" download>picture of the components</a>, '
            '<a href="download/bases.npz" download>bases</a>, '
            '<a href="download/features.npz" download>the last 5 s of input and features</a></p>'
            '<p class="quiet">Each takes effect right before the frame that the answer names, is written down in the '
            "run folder, and happens at the same frame when the run is resumed, verified or replayed.</p>"
        ).format(
            stages,
            _button("pause", "Pause learning", stage=True),
            _button("resume", "Resume learning", stage=True),
            _button("hold", "Hold", stage=True),
            _button("undo", "Go back to version", stage=True, value="steering-version"),
            _button("mark", "Mark this moment", value="steering-label"),
            _button("save", "Save a checkpoint now"),
        )

    def refresh(self) -> dict[str, str]:
        """Return the versions that a learner can go back to, and whether there is anybody to be told."""
        options = Markup("")
        for key, basis in self.watched.bases.items():
            older = {version: offset for version, offset in self.watched.versions(key) if version != basis.version}
            for version, offset in list(older.items())[-MOST_VERSIONS:][::-1]:
                text = f"{printable(key, NAME)}: {version[:8]}, from frame {offset:,}"
                options += Markup('<option value="{}">{}</option>').format(version, text)
        first = Markup('<option value="">{}</option>').format("choose one" if options else "none yet")
        is_over = bool(self.watched.over) or self.watched.stopped
        disabled = dict.fromkeys([f"steering-{name}@disabled" for name in BUTTONS], "disabled" if is_over else "")
        over = "This run does not go on: there is nobody to be told." if is_over else ""
        return {"steering-version": first + options, "steering-over": over, **disabled}


def _button(action: str, text: str, *, stage: bool = False, value: str = "") -> Markup:
    of = Markup(' data-stage="steering-stage"') if stage else Markup("")
    given = Markup(' data-value="{}"').format(value) if value else Markup("")
    return Markup(
        '<button type="button" id="steering-{0}" data-ask="{0}" data-answer="steering-answer"{1}{2}>{3}</button>'
    ).format(action, of, given, text)
