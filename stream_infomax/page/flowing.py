"""The figures of what goes through the pipeline: rows as they come, and the scores of a classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from bokeh.models import ColumnDataSource, FixedTicker
from markupsafe import escape

from stream_infomax.frames.frame import Frame
from stream_infomax.page import answers, rolling
from stream_infomax.page.figures import GREYS, ORANGE, SIGNED, Band, Pace, Picture, guides, plain, ranges, replaced
from stream_infomax.page.portrait import statistics
from stream_infomax.page.ring import Recent
from stream_infomax.page.tiles import EMPTY
from stream_infomax.page.watched import Stage, Watched
from stream_infomax.settings.printable import printable

Floats = npt.NDArray[np.float64]

# Names at an axis, and their characters; features that are named because they stand out.
MOST_TICKS, LONGEST_NAME, OUTSTANDING = 8, 12, 3
# Width over height of rows over time; the width of a picture in pixels of the screen.
ASPECT, PICTURE_WIDTH = 2.4, 280


class RowsFigure:
    """The last rows of an array: as signals, as a heat map or as a picture, as they are.

    Parameters
    ----------
    pace
        Bytes a second.
    """

    def __init__(self, pace: float) -> None:
        self.figure = plain(axes=False, aspect_ratio=ASPECT)
        self.figure.yaxis[0].ticker = FixedTicker(ticks=[])
        self._picture, self._band = Picture(self.figure), Band(self.figure)
        self._pace = Pace(pace)
        self._drawn: tuple[str, str, int] | None = None
        self._shaped: tuple[float, int | None, str | None] | None = None
        self._about = self._words = ""

    def refresh(self, watched: Watched, service: str, now: float) -> None:
        """Draw what a service has published last, where that is new and there is room for it."""
        newest = watched.newest[service]
        drawn = service, newest.stream, newest.offset
        if drawn == self._drawn or not self._pace.ready(now):
            return
        recent = watched.ring(service)
        if recent is None or not recent.rows.size:
            return
        self._drawn = drawn
        stage = next((stage for stage in watched.stages if stage.name == recent.array), Stage(recent.array, "", ""))
        self._pace.sent(self._draw(recent, stage), now)
        self._about = _about(recent, newest)

    def words(self, place: str) -> dict[str, str]:
        """Return what is drawn, in words."""
        return {f"{place}-about": str(escape(self._about)), f"{place}-words": str(escape(self._words))}

    def _draw(self, recent: Recent, stage: Stage) -> int:
        whole = rolling.newest_picture(recent)
        if whole is not None:
            return self._draw_picture(whole.astype(np.float64))
        names = stage.channels if len(stage.channels) == recent.rows.shape[1] else ()
        self._shape(ASPECT, None, "seconds" if recent.rate else "rows")
        if recent.rows.shape[1] <= rolling.MOST_SIGNALS and recent.axes != ("component",):
            return self._draw_signals(recent, names, stage.units)
        return self._draw_heat(recent, names)

    def _draw_picture(self, values: Floats) -> int:
        shown = rolling.picture(values)
        height, width = shown.pixels.shape
        self._shape(width / height, PICTURE_WIDTH, None)
        ranges(self.figure, (0, width), (0, height))
        size = " × ".join(str(side) for side in values.shape[:2])
        low, high = np.nanmin(values), np.nanmax(values)
        self._words = (
            f"{size} pixels, from {low:.3g} to {high:.3g}; {shown.dark:.3g} is drawn dark, {shown.light:.3g} light."
        )
        sent = self._band.show([], [], [])
        return sent + self._picture.show(shown.pixels, (0, width), (0, height), GREYS)

    def _draw_signals(self, recent: Recent, names: Sequence[str], units: Sequence[str]) -> int:
        rows = recent.rows
        found = rolling.signals(rows, recent.rate)
        width = rows.shape[1]
        shown = [printable(name, LONGEST_NAME) for name in names] or [f"{i + 1}" for i in range(width)]
        if width > 1:
            self._lines({2.0 * (width - 1 - i): name for i, name in enumerate(shown)})
        else:
            self._lines({float(i): f"{found.middles[0] + i * found.scale:.3g}" for i in (-1, 0, 1)})
        ranges(self.figure, (len(rows) / -(recent.rate or 1.0), 0), (-1.1, 2 * width - 0.9))
        unit = f" {printable(units[0], LONGEST_NAME)}" if len(set(units)) == 1 and units[0] else ""
        each = [f"{name}: {statistics(rows[:, i])}" for i, name in enumerate(shown)]
        if width > 1:
            half = f"half a line is {found.scale:g}{unit} high"
            self._words = f"Each around a middle of its own, {half}. {'; '.join(each)}."
        else:
            self._words = f"In {unit.strip() or 'its own units'}: {statistics(rows[:, 0])}."
        return self._picture.show(EMPTY) + self._band.show(found.x, found.low, found.high)

    def _draw_heat(self, recent: Recent, names: Sequence[str]) -> int:
        found = rolling.heat(recent.rows.astype(np.float64))
        n, width = recent.rows.shape
        shown = [printable(names[k], LONGEST_NAME) if names else f"{k + 1}" for k in found.lines]
        lines = len(shown)
        every = -(-lines // MOST_TICKS)
        self._lines({lines - 0.5 - i: shown[i] for i in range(0, lines, every)})
        span = (n / -(recent.rate or 1.0), 0.0)
        ranges(self.figure, span, (0, lines))
        of = f"{lines} of {width}" if lines < width else f"{width}"
        far = np.argsort(-np.abs(np.nan_to_num(found.newest)), kind="stable")[:OUTSTANDING]
        self._words = (
            f"{of} lines, each by its own mean and deviation: dark {-rolling.MOST_DEVIATIONS:g}, light "
            f"{rolling.MOST_DEVIATIONS:+g} deviations. Farthest from their mean now: "
            f"{', '.join(f'{shown[i]} {found.newest[i]:+.1f}' for i in far)}."
        )
        return self._band.show([], [], []) + self._picture.show(found.pixels, span, (0, lines), SIGNED)

    def _shape(self, aspect: float, width: int | None, x_label: str | None) -> None:
        """Give the figure its shape, and axes where they have something to say."""
        if (aspect, width, x_label) == self._shaped:
            return
        self._shaped = aspect, width, x_label
        self.figure.update(aspect_ratio=aspect, max_width=width)
        guides(self.figure, x_label is not None)
        self.figure.xaxis[0].axis_label = x_label

    def _lines(self, names: dict[float, str]) -> None:
        """Name places at the upright axis."""
        beside = self.figure.yaxis[0]
        if beside.major_label_overrides != names:
            beside.major_label_overrides = names
            beside.ticker.ticks = list(names)


class ScoresFigure:
    """The scores of the last segments, and their labels.

    Parameters
    ----------
    pace
        Bytes a second.
    """

    def __init__(self, pace: float) -> None:
        self.figure = plain(aspect_ratio=ASPECT)
        self._picture = Picture(self.figure, GREYS)
        self._labels = ColumnDataSource({"x": np.zeros(0, np.float32), "y": np.zeros(0, np.float32)})
        self.figure.scatter("x", "y", source=self._labels, size=7, fill_alpha=0, line_color=ORANGE, line_width=2)
        self.figure.xaxis[0].axis_label = "segments"
        self.figure.yaxis[0].ticker = FixedTicker(ticks=[])
        self.figure.ygrid.visible = False
        self.figure.xaxis[0].update(major_label_text_font_size="0px", major_tick_line_color=None)
        self._pace = Pace(pace)

    def show(self, given: Sequence[answers.Answer], now: float) -> None:
        """Show the newest answers, where there is room for them."""
        if not self._pace.ready(now):
            return
        found = answers.scores(given)
        lines, columns = found.pixels.shape
        if not found.pixels.size:
            return
        names = {i + 0.5: printable(name, LONGEST_NAME) or "?" for i, name in enumerate(answers.classes(given))}
        beside = self.figure.yaxis[0]
        if beside.major_label_overrides != names:
            beside.major_label_overrides = names
            beside.ticker.ticks = list(names)[:: -(-lines // answers.MOST_CLASSES)]
        ranges(self.figure, (0, max(columns, answers.SHOWN)), (0, lines))
        sent = self._picture.show(found.pixels, (0, columns), (0, lines))
        self._pace.sent(sent + replaced(self._labels, {"x": found.x, "y": found.y}), now)


def _about(recent: Recent, newest: Frame) -> str:
    """Return what is drawn: of which stream, how long, with which labels."""
    n = len(recent.rows)
    rows = f"the last {n:,} rows"
    if recent.axes[:2] == ("y", "x"):
        rows = f"the newest of {n:,}"
    elif recent.rate:
        rows = f"the last {n / recent.rate:.3g} s at {recent.rate:,.5g} rows a second"
    of = f" of {printable(recent.stream)}" if recent.stream not in ("", recent.array) else ""
    parts = [f"{printable(recent.array)}{of}: {rows}"]
    gaps = int(np.count_nonzero(np.isnan(recent.rows).all(axis=1)))
    if gaps:
        parts.append(f"{gaps:,} gap{'s' * (gaps != 1)} (lost, set aside or left out for viewers)")
    if newest.segment:
        parts.append(f"segment {printable(newest.segment, 40)}")
    parts += [f"{printable(name, 20)} = {printable(value, 20)}" for name, value in list(newest.labels.items())[:4]]
    return ", ".join(parts) + "."
