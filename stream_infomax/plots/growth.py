"""A basis as it grows: its components, each in its place, at moments of a run; and the way to disk as GIF or WebP."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stream_infomax.drawing.channels import is_head
from stream_infomax.drawing.scaling import heavier_side_up
from stream_infomax.plots.channel_weights import maps
from stream_infomax.plots.components import draw_scale
from stream_infomax.plots.panels import Panel, panel_of
from stream_infomax.plots.style import new_figure, panel
from stream_infomax.settings.extras import optional

with optional():
    from PIL import Image

Floats = npt.NDArray[np.float64]
ENDINGS = (".gif", ".webp")
MOST_BYTES = 1_500_000
# Inches that a picture has at least, and letters of a line in that.
WIDTH, LETTERS = 6.2, 84
# Pixels an inch, and milliseconds that a picture stays; the last stays longer.
DPI, STEP_MS, LAST_MS = 90, 130, 2500
# Of a GIF, and of a WebP.
COLOURS, QUALITY = 64, 75


def growth(
    filters: npt.ArrayLike,
    moments: Sequence[tuple[str, npt.ArrayLike]],
    axes: Sequence[str],
    shape: Sequence[int],
    rate: float = 0.0,
    names: Sequence[str] = (),
) -> list[Image.Image]:
    """Draw a basis at each of some moments, oldest first: a component keeps its place and its sign.

    Parameters
    ----------
    filters
        Of the last moment, shape (n_components, n_features): with its basis, they decide places and signs.
    moments
        For each a caption, and the basis, shape (n_features, n_components).
    axes, shape, rate, names
        As of `components`.

    Returns
    -------
    list of PIL.Image.Image
        All of one size.
    """
    bases = turned_alike([np.asarray(basis, dtype=np.float64).T for _, basis in moments])
    both = np.stack([np.asarray(filters, dtype=np.float64), bases[-1]]).reshape(2, len(bases[-1]), *shape)
    head = tuple(axes) == ("channel",) and is_head(names)
    shown = maps(bases[-1], names) if head else panel_of(both, axes, rate, names)
    captions = [caption for caption, _ in moments]
    return [_drawn(shown, basis.reshape(both.shape[1:]), text) for basis, text in zip(bases, captions, strict=True)]


def turned_alike(bases: Sequence[Floats]) -> list[Floats]:
    """Return bases (n_components, n_features) with the signs of the last: no component turns over on the way."""
    turned = [bases[-1] * heavier_side_up(bases[-1])[:, None]]
    for basis in reversed(bases[:-1]):
        turned.append(basis * np.where((basis * turned[-1]).sum(1) < 0, -1.0, 1.0)[:, None])
    return turned[::-1]


def _drawn(shown: Panel, basis: Floats, caption: str) -> Image.Image:
    has_ticks = shown.origin == "the stream"
    edge, below = (0.75 if has_ticks else 0.3), (1.05 if has_ticks else 0.6 if shown.has_scale else 0.3)
    note = textwrap.wrap(shown.note, LETTERS)
    width, height = max(edge + shown.width + 0.3, WIDTH), shown.height + below + 0.69 + 0.16 * len(note)
    figure = new_figure(width, height, f"Learnt from {shown.origin}, {caption}", "\n".join(note))
    shown.draw(panel(figure, edge, below, shown.width, shown.height), basis[shown.chosen])
    if shown.has_scale:
        draw_scale(figure, 0.3, 0.35)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return Image.open(file).convert("RGB")


def save_animation(pictures: Sequence[Image.Image], path: Path, most_bytes: int = MOST_BYTES) -> int:
    """Write pictures one after the other, again and again, as GIF or WebP; the same pictures give the same bytes.

    Where they are too large together, every second one is left out, the last never; two are made smaller.

    Parameters
    ----------
    pictures
        All of one size; two or more.
    path
        Its ending says which: ``.gif`` or ``.webp``.
    most_bytes
        That the file may have.

    Returns
    -------
    int
        How many pictures the file has.

    Raises
    ------
    ValueError
        Where the ending is another, or there are fewer than two pictures.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{path.name}: accepted are files that end in {' or '.join(ENDINGS)}")
    if len(pictures) < 2:
        raise ValueError(f"{len(pictures)} picture; accepted are two or more")
    encode = _gif if path.suffix.lower() == ".gif" else _webp
    pictures = list(pictures)
    while len(data := encode(pictures)) > most_bytes and max(pictures[0].size) > 64:
        if len(pictures) > 2:
            pictures = pictures[::-2][::-1] if len(pictures) > 3 else pictures[::2]
        else:
            size = (pictures[0].width * 3 // 4, pictures[0].height * 3 // 4)
            pictures = [picture.resize(size) for picture in pictures]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return len(pictures)


def _gif(pictures: Sequence[Image.Image]) -> bytes:
    # One palette for all: nothing flickers.
    palette = pictures[-1].quantize(COLOURS, dither=Image.Dither.NONE)
    return _written([one.quantize(palette=palette, dither=Image.Dither.NONE) for one in pictures], "GIF")


def _webp(pictures: Sequence[Image.Image]) -> bytes:
    return _written(pictures, "WEBP", quality=QUALITY, method=4)


def _written(pictures: Sequence[Image.Image], kind: str, **options: int) -> bytes:
    duration = [STEP_MS] * (len(pictures) - 1) + [LAST_MS]
    file = io.BytesIO()
    pictures[0].save(file, kind, save_all=True, append_images=list(pictures[1:]), duration=duration, loop=0, **options)
    return file.getvalue()
