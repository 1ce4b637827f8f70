"""Figures of bokeh as this page has them: no toolbar, as wide as their place, in colours for light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from bokeh.models import BasicTicker, ColumnDataSource, HoverTool, LinearColorMapper, Range1d
from bokeh.palettes import Cividis256, Greys256
from bokeh.plotting import figure

from stream_infomax.page.tiles import EMPTY, LEVELS, Colours, Kind, Look, Mosaic, Pixels

# Those of page.css; at least 3 to 1 on both grounds.
BLUE, ORANGE, GREY = "#2f76c8", "#c9670e", "#7b8794"
COLOURS = (BLUE, ORANGE, "#8a57c4", "#23895a", "#cf4560")
CLEAR = "#00000000"
# Numbers at an axis.
MOST_TICKS = 5
# Bytes of words around the numbers of a source.
AROUND = 500
# Of a tile, what the frame around it takes: of a line that leaves the figure, something would stay.
INSIDE = 0.92

NO_COLOURS: Colours = np.zeros((1, 1), np.uint32)

# Of the bytes that `tiles` makes. Dark is -, light is +: it is seen in black and white as well.
GREYS = [CLEAR, *Greys256[1:]]
SIGNED = [CLEAR, *Cividis256[1:]]
MIXTURES = [CLEAR] + [
    "#" + "".join(f"{round(255 * level / (n - 1)):02x}" for level, n in zip((r, g, b), LEVELS, strict=True))
    for r in range(LEVELS[0])
    for g in range(LEVELS[1])
    for b in range(LEVELS[2])
]
MIXTURES += [CLEAR] * (256 - len(MIXTURES))


def palette(kind: Kind) -> list[str]:
    """Return the colours of the bytes of a kind of component."""
    return {"picture": GREYS, "colour": MIXTURES}.get(kind, SIGNED)


class Pace:
    """Keeps what is sent to a viewer below so many bytes a second: a large piece makes the next one wait longer.

    Parameters
    ----------
    bytes_a_second
        On average.
    """

    def __init__(self, bytes_a_second: float) -> None:
        self._bytes_a_second = bytes_a_second
        self._due = -np.inf

    def ready(self, now: float) -> bool:
        """Return whether something may be sent at `now` seconds."""
        return now >= self._due

    def sent(self, n_bytes: int, now: float) -> None:
        """Take note that so many bytes were sent."""
        self._due = max(now, self._due) + n_bytes / self._bytes_a_second


def plain(height: int | None = None, *, axes: bool = True, **given: Any) -> Any:
    """Return an empty figure `height` pixels high; without one its `aspect_ratio` decides."""
    if height is None:
        sized: dict[str, Any] = {"sizing_mode": "scale_width", "aspect_ratio": 1.0, "min_border": 2}
    else:
        sized = {"sizing_mode": "stretch_width", "height": height, "min_border": 2}
    made = figure(
        x_range=Range1d(start=0, end=1),
        y_range=Range1d(start=0, end=1),
        toolbar_location=None,
        tools="",
        **(sized | given),
    )
    made.toolbar.active_drag = None
    made.xgrid.visible = False
    guides(made, axes)
    for axis in made.axis:
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
        axis.minor_tick_line_color = None
        axis.ticker = BasicTicker(desired_num_ticks=MOST_TICKS)
    return made


def guides(made: Any, visible: bool) -> None:
    """Show axes and lines where they have something to say."""
    for guide in (*made.axis, *made.ygrid):
        guide.visible = visible


def ranges(made: Any, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Set what a figure shows; nothing is sent where it shows that already."""
    for axis, (start, end) in ((made.x_range, x), (made.y_range, y)):
        axis.update(start=float(start), end=float(end))


def replaced(source: ColumnDataSource, columns: Mapping[str, npt.ArrayLike]) -> int:
    """Give a source other numbers, of which only what is different goes; return how many bytes that is."""
    given = {name: np.asarray(values, np.float32) for name, values in columns.items()}
    new = {name: one for name, one in given.items() if not np.array_equal(one, source.data[name], equal_nan=True)}
    lengths = {len(source.data[name]) for name in given} | {len(one) for one in given.values()}
    if len(lengths) > 1:
        source.data = given
    else:
        for name, column in new.items():
            source.data[name] = column
    sent = new if len(lengths) == 1 else given
    return sum(column.nbytes for column in sent.values()) + AROUND * bool(sent)


class Picture:
    """An image in a figure: of bytes that are colours of a palette, or of colours.

    Parameters
    ----------
    made
        The figure.
    palette
        256 colours.
    """

    def __init__(self, made: Any, palette: Sequence[str] = tuple(SIGNED)) -> None:
        self._mapper = LinearColorMapper(palette=list(palette), low=0, high=255)
        self._bytes, self._colours = (ColumnDataSource(_image(one, (0, 1), (0, 1))) for one in (EMPTY, NO_COLOURS))
        made.image("image", "x", "y", "dw", "dh", source=self._bytes, color_mapper=self._mapper)
        made.image_rgba("image", "x", "y", "dw", "dh", source=self._colours)

    def show(
        self,
        pixels: Pixels | Colours,
        x: tuple[float, float] = (0, 1),
        y: tuple[float, float] = (0, 1),
        palette: Sequence[str] | None = None,
    ) -> int:
        """Show pixels from x[0] to x[1] and y[0] to y[1], the first line at the bottom; return how many bytes went."""
        if palette is not None and list(palette) != self._mapper.palette:
            self._mapper.palette = list(palette)
        is_colour = pixels.dtype == np.uint32
        sent = 0
        for source, data in (
            (self._bytes, _image(EMPTY if is_colour else pixels, x, y)),
            (self._colours, _image(pixels if is_colour else NO_COLOURS, x, y)),
        ):
            if not all(np.array_equal(data[name][0], source.data[name][0]) for name in data):
                source.data = data
                sent += data["image"][0].nbytes
        return sent


def _image(pixels: Pixels | Colours, x: tuple[float, float], y: tuple[float, float]) -> dict[str, Any]:
    return {"image": [pixels], "x": [x[0]], "y": [y[0]], "dw": [x[1] - x[0]], "dh": [y[1] - y[0]]}


class Stroke:
    """A line in a figure, broken where a point is NaN.

    Parameters
    ----------
    made
        The figure.
    line
        Its colour, width and dash.
    """

    def __init__(self, made: Any, **line: Any) -> None:
        self._source = ColumnDataSource({"x": np.zeros(0, np.float32), "y": np.zeros(0, np.float32)})
        self.renderer = made.line("x", "y", source=self._source, **{"line_color": BLUE, "line_width": 1.5} | line)

    def show(self, x: npt.ArrayLike, y: npt.ArrayLike) -> int:
        """Show a line; return how many bytes went."""
        return replaced(self._source, {"x": x, "y": y})


class Band:
    """What lies between the least and the largest values of stretches, as in an oscilloscope.

    Parameters
    ----------
    made
        The figure.
    """

    def __init__(self, made: Any, **line: Any) -> None:
        none = np.zeros(0, np.float32)
        self._source = ColumnDataSource({"x": none, "low": none, "high": none})
        given = {"line_color": BLUE, "line_width": 1.5, "line_cap": "round"} | line
        made.segment("x", "low", "x", "high", source=self._source, **given)

    def show(self, x: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> int:
        """Show stretches; return how many bytes went."""
        return replaced(self._source, {"x": x, "low": low, "high": high})


class Tiles:
    """The mosaic of filters or basis: a press on a tile opens its component.

    Parameters
    ----------
    on_press
        Called with the point that was pressed.
    """

    def __init__(self, on_press: Any) -> None:
        self.figure = plain(axes=False, min_border=0, outline_line_color=None)
        self._picture = Picture(self.figure)
        self._stroke = Stroke(self.figure, line_width=1.0, line_join="round")
        none = np.zeros(0, np.float32)
        self._tiles = ColumnDataSource({"x": none, "y": none, "number": none, "share": none})
        cells = self.figure.rect("x", "y", 1, 1, source=self._tiles, fill_alpha=0, line_alpha=0)
        self._cell = cells.glyph
        self._chosen = ColumnDataSource({"x": none, "y": none})
        frame = self.figure.rect(
            "x", "y", INSIDE, INSIDE, source=self._chosen, fill_alpha=0, line_color=ORANGE, line_width=3
        )
        self._frame = frame.glyph
        for renderer in (cells, frame):  # as it is, pressed or not
            renderer.nonselection_glyph = renderer.selection_glyph = None
        self.figure.add_tools(
            HoverTool(renderers=[cells], tooltips="component @number{0}, @share{0.0} % of the signal")
        )
        self.figure.on_event("tap", on_press)

    def show(self, look: Look, mosaic: Mosaic) -> int:
        """Show a mosaic; return how many bytes went."""
        width, height = float(look.columns), look.lines * look.height
        self.figure.aspect_ratio = width / height
        ranges(self.figure, (0, width), (0, height))
        pixels = EMPTY if mosaic.pixels is None else mosaic.pixels
        sent = self._picture.show(pixels, (0, width), (0, height), palette(look.kind))
        self._stroke.renderer.glyph.line_color = GREY if look.kind == "head" else BLUE
        sent += self._stroke.show(mosaic.x, mosaic.y)
        places = np.array([look.corner(place) for place in range(len(look.chosen))], np.float32)
        self._cell.height, self._frame.height = look.height, INSIDE * look.height
        x, y = places[:, 0] + 0.5, places[:, 1] + look.height / 2
        shares = 100 * look.shares[look.chosen]
        return sent + replaced(self._tiles, {"x": x, "y": y, "number": look.chosen + 1, "share": shares})

    def mark(self, look: Look, component: int) -> None:
        """Put a frame around a component; around none where it is not among those that are shown."""
        places = [look.corner(int(place)) for place in np.flatnonzero(look.chosen == component)]
        xs, ys = [x + 0.5 for x, _ in places], [y + look.height / 2 for _, y in places]
        replaced(self._chosen, {"x": xs, "y": ys})
