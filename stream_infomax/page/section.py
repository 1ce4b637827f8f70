"""Section: what every part of the page is."""

from __future__ import annotations

import time
from typing import ClassVar

from bokeh.models import Model

from stream_infomax.page.watched import Watched
from stream_infomax.settings.printable import printable


class Section:
    """A part of one viewer's page: figures of bokeh, and HTML that the page's script keeps as it is said here.

    Text from outside (names, labels, events) goes through `markupsafe.escape` before it is HTML.

    Parameters
    ----------
    watched
        What is known of the run; the same for all viewers.

    Attributes
    ----------
    name, title
        The id of its element and the link to it; its heading.
    roots
        Its figures by the name of the element that each is put into: ``<div data-root="NAME"></div>`` in `html`.
        Names begin with the section's name and a hyphen.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.roots: dict[str, Model] = {}

    def html(self) -> str:
        """Return the inside of its element below the heading, once for each viewer."""
        raise NotImplementedError

    def refresh(self) -> dict[str, str]:
        """Push what has changed to the figures; return HTML by the id of the element whose inside it is.

        ``ID@ATTRIBUTE`` instead of an id sets that attribute to the text, and takes it away where that is empty.
        Called twice a second while the viewer looks. What is the same as the last time is not sent, and in what is
        sent only the texts and attributes that have changed are touched: nothing flickers, and focus stays.
        """
        return {}

    def told(self, what: str, value: str) -> dict[str, str]:
        """Take in what the viewer asks for; return HTML as `refresh` does.

        ``<button data-tell="WHAT" data-value="VALUE">`` in `html` tells when it is pressed, a select or an input with
        ``data-tell`` when its value changes. Both words are from outside.
        """
        return {}


def nothing_yet(watched: Watched, *services: str) -> str:
    """Return that nothing has come of some services, and why, as far as that is known."""
    if watched.over:
        return "Nothing comes any more: the run has finished."
    if watched.stopped:
        return "Nothing comes: the run was stopped."
    waits = [name for name in services if name in watched.rows and watched.rows[name].state == "waiting"]
    why = f": {printable(waits[0])} waits for the services behind it" if waits else ""
    return f"Nothing has come since the page was opened{why}."


def clock(when: float) -> str:
    """Return a time of the wall clock, with its day where that is not today."""
    then, today = time.localtime(when), time.localtime()
    return time.strftime("%H:%M:%S" if then[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", then)
