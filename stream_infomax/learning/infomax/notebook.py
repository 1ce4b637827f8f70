"""What a notebook shows of a learner: components and the course of its objective, as HTML without scripts.

Lines and words have the colour of the words around them, so they can be read on light and on dark pages.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stream_infomax.drawing.component_order import columns_for, of_patches
from stream_infomax.drawing.scaling import heavier_side_up, largest, mosaic
from stream_infomax.settings.printable import printable

if TYPE_CHECKING:
    from stream_infomax.learning.infomax.course import Course
    from stream_infomax.learning.infomax.fitted import Fitted

Floats = npt.NDArray[np.float64]
# Most components that are shown, as patches and as lines; bytes of all patches before they are packed, and points of a
# line. All in all that is less than 200 kB.
PATCHES, LINES, BYTES, POINTS = 144, 48, 96_000, 96
# So few values of a row are bars, with names where they have any.
BARS = 24
# Rows of a square number of values are patches where values beside each other and below each other are so much alike
# (in the mean correlation), and so much more than the end of a line and the beginning of the next.
PATCH_LEAST, ALIKE, MORE_ALIKE = 4, 0.3, 0.15
EVENTS = 3
CAPTION = "font-size:smaller;max-width:32em"
FIGURE = "display:inline-block;vertical-align:top;margin:0.4em 1.6em 0.4em 0"


def html(learner: Fitted) -> str:
    """Return a learner as HTML of at most 200 kB, whatever it has learnt by now."""
    head = f"<div><code>{_text(repr(learner), 400)}</code></div>"
    inner = learner._learner
    if inner is None:
        return f"<div>{head}<div>It has seen no row.</div></div>"
    parts = [head, f"<div>{_standing(learner)}</div>"]
    if inner.published is not None and inner.published.basis.size:
        basis = inner.published.basis.T.astype(np.float64)
        parts += [_components(basis, [str(name) for name in getattr(learner, "feature_names_in_", ())])]
        parts += [_curve(inner.course, inner.n_seen, inner.objective)]
    for event in learner.events_[-EVENTS:]:
        parts.append(f"<div>row {event.position:,}: {escape(event.kind)}, {_text(event.text, 300)}</div>")
    return f"<div>{''.join(parts)}</div>"


def _text(text: str, most: int) -> str:
    """Return text from outside, escaped."""
    return escape(printable(text, most))


def _standing(learner: Fitted) -> str:
    """Return what it has learnt from, in a line."""
    inner = learner._learner
    assert inner is not None
    aside = {why: n for why, n in learner.n_set_aside_.items() if n}
    lost = [f"{n:,} {escape(why)}" for why, n in aside.items()]
    lost += [f"{learner.n_shortened_:,} shortened"] if learner.n_shortened_ else []
    rest = f" Rows that count less or not at all: {', '.join(lost)}." if lost else ""
    if inner.published is None:
        missing = f"{inner.n_missing:,} more rows that vary are needed"
        return f"Warm-up: {learner.n_rows_seen_:,} rows of {learner.n_features_in_:,} features; {missing}.{rest}"
    shape = f"{learner.n_components_:,} components of {learner.n_features_in_:,} features, rank {learner.n_rank_:,}"
    return f"{shape}; {learner.n_rows_seen_:,} rows seen; basis {learner.version_}.{rest}"


# ---------------------------------------------------------------- components


def _components(basis: Floats, names: Sequence[str]) -> str:
    """Draw a basis (n_components, n_features), patches where its rows look like such."""
    basis = basis * heavier_side_up(basis)[:, None]
    side = None if names else side_of(basis)
    if side is not None:
        return _patches(basis, side)
    share = (basis**2).sum(1)
    order = np.argsort(-share, kind="stable")[:LINES]
    lines = _lines(basis[order], names, 100 * share[order] / (share.sum() or 1.0))
    kind = "a bar a feature" if basis.shape[1] <= BARS else "over the features"
    if names and basis.shape[1] <= BARS:
        kind += f", from the left {_text(', '.join(printable(name, 16) for name in names), 400)}"
    note = f"Basis: {_count(order, basis)} by their share of the signal, {kind}; each scaled to itself"
    return _figure(note, lines)


def side_of(basis: Floats) -> int | None:
    """Return the side of the square patches that the rows of a basis seem to be; None where they seem to be none."""
    n_features = basis.shape[1]
    side = math.isqrt(n_features)
    if side * side != n_features or side < PATCH_LEAST:
        return None
    length = np.sqrt((basis**2).sum(0))
    unit = basis / np.where(length > 0, length, 1.0)
    beside = (unit[:, :-1] * unit[:, 1:]).sum(0)
    ends = np.arange(n_features - 1) % side == side - 1
    below = (unit[:, :-side] * unit[:, side:]).sum(0)
    least = max(ALIKE, beside[ends].mean() + MORE_ALIKE)
    return side if min(beside[~ends].mean(), below.mean()) > least else None


def _patches(basis: Floats, side: int) -> str:
    step = -(-side // 96)  # of larger ones every so many pixels
    tiles = basis.reshape(-1, side, side)[:, ::step, ::step]
    order = of_patches(tiles)
    most = max(1, min(PATCHES, BYTES // tiles[0].size))
    order = order[np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(np.intp))]
    grey = np.rint(127.5 * (mosaic(tiles[order]) + 1)).astype(np.uint8)
    between = mosaic(np.full(tiles[order].shape, -1.0)) > 0
    data = base64.b64encode(png(grey, np.where(between, 0, 255).astype(np.uint8))).decode()
    zoom = max(1, round(380 / grey.shape[1]))
    style = f"width:{zoom * grey.shape[1]}px;max-width:100%;image-rendering:pixelated"
    note = f"Basis: {_count(order, basis)} as {side} × {side} pixels, from low to high frequency; each scaled to itself"
    return _figure(note, f'<img alt="{note}" src="data:image/png;base64,{data}" style="{style}">')


def png(grey: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> bytes:
    """Return a picture of grey values with their opacity, both (y, x), as PNG (RFC 2083)."""
    height, width = grey.shape
    lines = np.zeros((height, 1 + 2 * width), np.uint8)  # in front of each line its filter: none
    lines[:, 1::2], lines[:, 2::2] = grey, alpha
    header = struct.pack(">IIBBBBB", width, height, 8, 4, 0, 0, 0)  # 8 bits, grey with alpha
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _lines(basis: Floats, names: Sequence[str], share: Floats) -> str:
    """Draw components (n, n_features) as lines or bars, in cells of 48 × 32, each with a tip of what it is."""
    columns = columns_for(len(basis), 1.5)
    lines = -(-len(basis) // columns)
    scaled = basis / largest(basis)
    cells = []
    for i, values in enumerate(scaled):
        x, y = 4 + 48 * (i % columns), 16 + 32 * (i // columns)
        tip = f"component {i + 1}: {share[i]:.2g} % of the signal{_heaviest(values, names)}"
        drawn = _bars(values) if len(values) <= BARS else _line(values)
        cells.append(f'<g transform="translate({x} {y})"><title>{tip}</title>{drawn}</g>')
    zoom = min(2.0, 400 / (48 * columns))
    return _svg(48 * columns, 32 * lines, f"{len(basis)} components as lines", cells, zoom)


def _heaviest(values: Floats, names: Sequence[str]) -> str:
    """Return the names of the largest weights."""
    if not names:
        return ""
    order = np.argsort(-np.abs(values), kind="stable")[:3]
    return _text("; " + ", ".join(f"{printable(names[k], 24)} {values[k]:+.2f}" for k in order), 120)


def _bars(values: Floats) -> str:
    step = 40 / len(values)
    bars = "".join(f"M{step * (k + 0.5):.1f} 0V{-13 * value:.1f}" for k, value in enumerate(values))
    thick = _path(bars, width=0.7 * step)
    return _path("M0 0H40", 0.6, 0.4) + thick


def _line(values: Floats) -> str:
    if len(values) > POINTS:  # the extremes of each stretch: no peak is lost
        parts = np.array_split(values, POINTS // 2)
        values = np.array([extreme for part in parts for extreme in (part.min(), part.max())])
    across = np.linspace(0, 40, len(values))
    points = " ".join(f"{x:.1f},{-13 * value:.1f}" for x, value in zip(across, values, strict=True))
    return _path("M0 0H40", 0.6, 0.4) + f'<polyline points="{points}" fill="none" stroke="currentColor"/>'


# ---------------------------------------------------------------- curve


def _curve(course: Course, row: int, objective: float) -> str:
    """Draw the objective over the rows; values far above the others are cut off."""
    rows, values = course.rows, course.values
    if len(rows) and row > rows[-1] and math.isfinite(objective):
        rows, values = np.append(rows, row), np.append(values, objective)
    if len(rows) < 2:
        return ""
    first, third = np.percentile(values, (25, 75))
    near = values[np.abs(values - (first + third) / 2) <= 3.5 * (third - first)]
    low, high = float(near.min(initial=values[-1])), float(near.max(initial=values[-1]))
    across = 44 + 300 * (np.log(rows / rows[0]) / math.log(rows[-1] / rows[0]))
    up = 120 - 108 * np.clip((values - low) / (high - low or 1.0), -0.05, 1.05)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
    drawn = [
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.4"/>',
        f'<circle cx="{across[-1]:.1f}" cy="{up[-1]:.1f}" r="2.6" fill="currentColor"/>',
        _path("M44 8V126H350", 1.0, 0.4),
        *(_word(40, y + 3, "end", f"{value:.4g}") for y, value in ((12, high), (120, low))),
        *(_word(x, 139, where, f"{n:,}") for x, where, n in ((44, "start", rows[0]), (344, "end", rows[-1]))),
    ]
    note = f"Objective over the rows (logarithmic): {values[-1]:.4g} nats; lower is better"
    return _figure(note, _svg(360, 144, note, drawn))


def _figure(note: str, drawn: str) -> str:
    return f'<figure style="{FIGURE}">{drawn}<figcaption style="{CAPTION}">{note}</figcaption></figure>'


def _svg(width: int, height: int, label: str, drawn: Iterable[str], zoom: float = 1.0) -> str:
    size = f'width="{zoom * width:.0f}" height="{zoom * height:.0f}" viewBox="0 0 {width} {height}"'
    size += ' style="max-width:100%;height:auto"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" {size}>{"".join(drawn)}</svg>'


def _path(points: str, width: float, opacity: float = 1.0) -> str:
    return f'<path d="{points}" fill="none" stroke="currentColor" stroke-width="{width:.1f}" opacity="{opacity:g}"/>'


def _word(x: float, y: float, anchor: str, text: Any) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="10" fill="currentColor">{text}</text>'


def _count(order: npt.NDArray[np.intp], basis: Floats) -> str:
    n, shown = len(basis), len(order)
    return f"{n:,} components" if shown == n else f"{shown:,} of {n:,} components"
