"""What all pictures share: colours, type and the way to disk."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from stream_infomax.settings.printable import printable

INK = "#22272e"
QUIET = "#656d78"
PALE = "#dde1e6"
BLUE = "#2c6fbb"
ORANGE = "#d9822b"
GREEN = "#3a9a6a"
PLUM = "#9b4f96"
RED = "#c0392b"
SLATE = "#5d6d7e"
OCHRE = "#b7950b"
LINES = (BLUE, ORANGE, GREEN, PLUM, RED, SLATE, OCHRE)
# From dark for − over grey to light for +: what it says is left in black and white, and to those who see few colours.
DIVERGING = "cividis"


def new_figure(width: float, height: float, title: str, note: str = "") -> Figure:
    """Return an empty white figure of `width` × `height` inches with a title and a quiet note under it."""
    figure = Figure(figsize=(width, height), facecolor="white")
    if title:
        figure.text(0.3 / width, 1 - 0.22 / height, title, va="top", fontsize=14, weight="bold", color=INK)
    if note:
        figure.text(0.3 / width, 1 - 0.54 / height, note, va="top", fontsize=9.5, color=QUIET)
    return figure


def panel(figure: Figure, left: float, bottom: float, width: float, height: float, title: str = "") -> Axes:
    """Add axes whose place is given in inches from the lower left corner."""
    full_width, full_height = figure.get_size_inches()
    axes = figure.add_axes(
        (left / full_width, bottom / full_height, width / full_width, height / full_height), facecolor="white"
    )
    if title:
        axes.set_title(title, loc="left", fontsize=11, color=INK, pad=6)
    axes.tick_params(labelsize=9, colors=QUIET, labelcolor=INK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(QUIET)
    return axes


def bare(axes: Axes) -> Axes:
    """Take ticks and frame away: the picture speaks."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def drawable(text: str, most: int = 60) -> str:
    """Return text from outside as a picture can show it: no mathematics, and escapes for what the font lacks."""
    shown = "".join(c if _has_glyph(c) else c.encode("unicode_escape").decode() for c in printable(text, most))
    return shown.replace("$", r"\$")


@cache
def _has_glyph(character: str) -> bool:
    return bool(get_font(findfont(FontProperties())).get_char_index(ord(character)))


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG and return its path; the same figure gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    return path
