"""Viewer: the page of one person: its document, and what is sent to it while they look."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from bokeh.document import Document
from bokeh.document.events import MessageSentEvent
from bokeh.models import Model, Spacer
from bokeh.server.views.static_handler import StaticHandler
from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from stream_infomax.page.section import Section
from stream_infomax.page.watched import Watched
from stream_infomax.settings.printable import printable

STATIC = Path(__file__).parent / "static"
# Milliseconds between two refreshes, and refreshes between two beats, by which a page knows that it is connected.
EVERY_MS = 500
BEAT = 4
# Bytes that a page may say in one go.
LONGEST = 4096
# Where a section cannot be drawn.
FAILED = "Wrong: what has come cannot be drawn here; the log of the page says why. What stands below may be old."

_log = logging.getLogger(__name__)


class Viewer:
    """One page in one browser.

    Parameters
    ----------
    document
        Empty; of this page alone.
    watched
        What is known of the run.
    sections
        Of this page alone, in their order.
    life
        Of the server.

    Attributes
    ----------
    looks
        Whether somebody looks: the page is not hidden, nor its view paused.
    """

    def __init__(self, document: Document, watched: Watched, sections: Sequence[Section], life: str) -> None:
        self._document = document
        self._watched = watched
        self._sections = {section.name: section for section in sections}
        self._sent: dict[str, str] = {}
        self._beat = 0
        self._failed: set[str] = set()
        self.looks = False
        # What the page says comes as the tags of a model that shows nothing.
        self._ear = Spacer(name="ear", visible=False)
        self._ear.on_change("tags", self._hear)
        document.config.reconnect_session = False
        document.config.notify_connection_status = False
        document.config.notifications = None
        document.title = f"{printable(watched.title)} – stream_infomax"
        document.template = template()
        document.add_root(self._ear)
        for root in self._roots():
            document.add_root(root)
        document.template_variables.update(
            title=printable(watched.title),
            script=f"static/{StaticHandler.append_version('js/bokeh.min.js')}",
            life=life,
            sections=[(section.name, section.title, Markup(section.html())) for section in sections],
        )
        document.add_periodic_callback(self.refresh, EVERY_MS)

    def refresh(self) -> None:
        """Send what has changed, where somebody looks."""
        if not self.looks:
            return
        texts = {"state": state_html(self._watched)}
        for section in self._sections.values():
            texts.update(self._of(section, section.refresh))
        self._send(texts)

    def goodbye(self, words: str) -> None:
        """Say why the server ends."""
        self.looks = False
        self._document.add_next_tick_callback(lambda: self._say("goodbye", words))  # bokeh holds its lock then

    def _of(self, section: Section, texts: Callable[[], dict[str, str]]) -> dict[str, str]:
        """Return texts of a section; where what came from outside is too much for it, the others go on."""
        place = f"{section.name}-failed"
        try:
            return {**texts(), place: ""}
        except Exception:  # noqa: BLE001  (whatever it is, the others go on)
            if section.name not in self._failed:  # once a viewer: it may fail twice a second
                self._failed.add(section.name)
                _log.exception("the section %s cannot be drawn", section.name)
            return {place: FAILED}

    def _roots(self) -> list[Model]:
        found = []
        for section in self._sections.values():
            for name, root in section.roots.items():
                root.name = name
                found.append(root)
        return found

    def _send(self, texts: dict[str, str]) -> None:
        changed = {name: html for name, html in texts.items() if self._sent.get(name) != html}
        self._sent.update(changed)
        self._beat += 1
        if changed or self._beat >= BEAT:
            self._beat = 0
            self._say("texts", changed)

    def _say(self, what: str, words: Any) -> None:
        self._document.callbacks.trigger_on_change(MessageSentEvent(self._document, what, words))

    def _hear(self, attr: str, old: Any, new: Any) -> None:
        """Take in what the page says; anybody who has the token may say anything."""
        said = [one for one in new if isinstance(one, str)] if isinstance(new, list) else []
        if len(said) != 4 or sum(map(len, said)) > LONGEST:
            return
        section, what, value = said[:3]  # the fourth makes each one different from the one before
        if section == "page":
            self._page(what)
        elif self.looks and section in self._sections:
            asked = self._sections[section]
            self._send(self._of(asked, partial(asked.told, what, value)))

    def _page(self, what: str) -> None:
        self.looks = what in ("open", "look")
        if what == "open":  # nothing that was sent before has arrived
            self._sent.clear()
        self.refresh()


def state_html(watched: Watched) -> str:
    """Return how the run is in one line."""
    last = next((watched.statuses[name] for name in reversed(watched.services) if name in watched.statuses), None)
    expected = max((status.expected for status in watched.statuses.values()), default=0)
    left = next((watched.left[name] for name in reversed(watched.services) if name in watched.left), None)
    frames = last.newest + 1 if last else left.frames if left else 0
    if watched.over or watched.stopped:
        return f"{'finished' if watched.over else 'stopped'} after {frames:,} frames"
    if last is None:
        return "nothing heard of this run yet"
    of = f" of {expected:,}" if expected else ""
    return f"frame {last.newest + 1:,}{of}"


@cache
def template() -> Template:
    """Return the page's skeleton."""
    loader = FileSystemLoader(STATIC)
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["json"] = json.dumps
    return environment.get_template("template.html")
