"""The figures of the component that is open: large, its spectrum, its recent activity."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from bokeh.models import ColumnDataSource, FixedTicker

from stream_infomax.drawing import channels
from stream_infomax.page.figures import BLUE, GREY, GREYS, ORANGE, Band, Picture, Stroke, guides, palette, plain, ranges
from stream_infomax.page.origin import Origin
from stream_infomax.page.portrait import DECIBELS, Spectrum
from stream_infomax.page.tiles import EMPTY, Look, Side, reduced
from stream_infomax.settings.printable import printable

Floats = npt.NDArray[np.float64]

# Names at an axis, and their characters; stretches of an activity.
MOST_TICKS, LONGEST_NAME, STRETCHES = 24, 12, 200


class Large:
    """One component, as large as there is room."""

    def __init__(self) -> None:
        self.figure = plain()
        self._numbers, self._names = self.figure.xaxis[0].ticker, FixedTicker(ticks=[])
        self._picture = Picture(self.figure)
        self._zero = Stroke(self.figure, line_color=GREY, line_width=1.0)
        self._line = Stroke(self.figure)
        self._sensors = ColumnDataSource({"x": [], "y": []})
        self.figure.scatter("x", "y", source=self._sensors, size=3, color=GREY)

    def show(self, of: Look, side: Side, component: int, found: Origin) -> int:
        """Show a component; return how many bytes went."""
        large = of.large(side, component)
        guides(self.figure, of.kind in ("wave", "plane", "bars"))
        self._line.renderer.glyph.line_color = GREY if of.kind == "head" else BLUE
        self._place_sensors(of)
        if large.values is not None:
            return self._picture.show(EMPTY) + self._show_values(of, large.values)
        assert large.pixels is not None
        if of.kind == "head":
            self.figure.aspect_ratio = 1.0
            ranges(self.figure, (-0.5, 0.5), (-0.46, 0.54))
            return self._picture.show(large.pixels, (-0.4, 0.4), (-0.4, 0.4)) + self._line.show(*_head())
        height, width = large.pixels.shape
        if of.kind == "plane":
            step = found.step or (1 / of.rate if of.rate else 0.0)
            self._label("milliseconds" if step else "step", of.upwards)
            right = 1000 * step * width if step else width
            self.figure.aspect_ratio = 1.3
            x, y = (0.0, float(right)), (0.5, height + 0.5)
        else:
            self.figure.aspect_ratio = width / height
            x, y = (0.0, float(width)), (0.0, float(height))
        ranges(self.figure, x, y)
        return self._picture.show(large.pixels, x, y, palette(of.kind)) + self._line.show([], [])

    def _show_values(self, of: Look, values: Floats) -> int:
        n = len(values)
        self.figure.aspect_ratio = 1.6
        if of.kind == "wave":
            x = np.arange(n) / of.rate * 1000 if of.rate else np.arange(n, dtype=float)
            self._label("milliseconds" if of.rate else "sample", "")
            ranges(self.figure, (x[0], x[-1]), (-1.1, 1.1))
            return self._zero.show(x[[0, -1]], [0, 0]) + self._line.show(x, values)
        self._label("" if of.names else "number in a row", "", of.names)
        ranges(self.figure, (0.4, n + 0.6), (-1.1, 1.1))
        x = np.repeat(np.arange(1.0, n + 1), 3)
        stems = np.c_[np.zeros(n), values, np.full(n, np.nan)].ravel()
        return self._zero.show([0.4, n + 0.6], [0, 0]) + self._line.show(x, stems)

    def _label(self, x: str, y: str, names: tuple[str, ...] = ()) -> None:
        below, beside = self.figure.xaxis[0], self.figure.yaxis[0]
        below.axis_label, beside.axis_label = x or None, y or None
        shown = {i + 1: printable(name, LONGEST_NAME) for i, name in enumerate(names)} if names else {}
        if shown == below.major_label_overrides:
            return
        below.major_label_overrides = shown
        below.major_label_orientation = "vertical" if shown else "horizontal"
        every = -(-len(names) // MOST_TICKS)
        self._names.ticks = list(shown)[::every] if shown else []
        below.ticker = self._names if shown else self._numbers

    def _place_sensors(self, of: Look) -> None:
        points = np.zeros((0, 2))
        if of.kind == "head":
            scalp = channels.Scalp(of.names, 3)
            points = 0.4 / scalp.edge * scalp.points
        if len(points) != len(self._sensors.data["x"]):
            self._sensors.data = {"x": points[:, 0].astype(np.float32), "y": points[:, 1].astype(np.float32)}
        self._zero.show([], [])


@cache
def _head() -> tuple[Floats, Floats]:
    """Return the outline of a head."""
    lines = channels.outlines()
    x = np.concatenate([np.append(line.real, np.nan) for line in lines])
    y = np.concatenate([np.append(line.imag, np.nan) for line in lines])
    return x, y


class SpectrumFigure:
    """The spectrum of a component: of its basis vector, and of its filter with dashes."""

    def __init__(self) -> None:
        self.figure = plain()
        self._picture = Picture(self.figure, GREYS)
        self._basis = Stroke(self.figure)
        self._filter = Stroke(self.figure, line_color=ORANGE, line_dash="dashed")

    def show(self, found: Spectrum) -> int:
        """Show a spectrum; return how many bytes went."""
        self.figure.xaxis[0].axis_label, self.figure.yaxis[0].axis_label = found.x_label, found.y_label
        guides(self.figure, found.pixels is not None or len(found.x) > 0)
        if found.pixels is not None:
            self.figure.aspect_ratio = 1.0
            ranges(self.figure, (-0.5, 0.5), (-0.5, 0.5))
            return self._picture.show(found.pixels, (-0.5, 0.5), (-0.5, 0.5))
        self.figure.aspect_ratio = 1.6
        if len(found.x):
            lines = np.concatenate([found.filters, found.basis])
            low, high = (-DECIBELS, 2.0) if lines.min() < 0 else (0.0, 1.05 * (lines.max() or 1.0))
            ranges(self.figure, (found.x[0], found.x[-1]), (low, high))
        sent = self._picture.show(EMPTY) + self._basis.show(found.x, found.basis)
        return sent + self._filter.show(found.x[: len(found.filters)], found.filters)


class ActivityFigure:
    """What a component did in the last seconds."""

    def __init__(self) -> None:
        self.figure = plain(aspect_ratio=1.6)
        self._band = Band(self.figure)
        self._line = Stroke(self.figure, line_width=1.0)

    def show(self, values: Floats, rate: float) -> int:
        """Show values at so many a second; return how many bytes went."""
        self.figure.xaxis[0].axis_label = "seconds" if rate else "rows"
        known = bool(np.isfinite(values).any())
        guides(self.figure, known)
        if not known:
            return self._band.show([], [], []) + self._line.show([], [])
        places, low, high = reduced(values, STRETCHES)
        x = (places + 1 - len(values)) / (rate or 1.0)
        bottom, top = np.nanmin(low), np.nanmax(high)
        margin = 0.05 * (top - bottom) or 1.0
        ranges(self.figure, (min(x[0], -1 / (rate or 1.0)), 0), (bottom - margin, top + margin))
        sent = self._band.show(x, low, high)
        return sent + self._line.show(x, (low + high) / 2)
