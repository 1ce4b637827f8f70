"""What pictures say is left in black and white: signs are light and dark, no curve is told apart by colour alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.extras import extra

extra("matplotlib")
extra("PIL")
import matplotlib as mpl  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from PIL import Image  # noqa: E402

from stream_infomax import plots  # noqa: E402
from stream_infomax.plots.style import DIVERGING, INK, LINES, QUIET  # noqa: E402

EEG = [
    "Fp1",
    "Fp2",
    "F7",
    "F3",
    "Fz",
    "F4",
    "F8",
    "T7",
    "C3",
    "Cz",
    "C4",
    "T8",
    "P7",
    "P3",
    "Pz",
    "P4",
    "P8",
    "O1",
    "O2",
]


def grey(figure: Figure, folder: Path) -> np.ndarray:
    """The picture as a printer without colours has it, 0 to 255."""
    with Image.open(plots.save(figure, folder / "one.png")) as picture:
        return np.asarray(picture.convert("L")).astype(float)


def luminance(colour: str) -> float:
    """WCAG's relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("colour", [INK, QUIET])
def test_words_stand_out_from_the_paper(colour: str) -> None:
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5


@pytest.mark.parametrize("colour", LINES)
def test_curves_stand_out_from_the_paper(colour: str) -> None:
    assert 1.05 / (luminance(colour) + 0.05) >= 2.5


def test_a_larger_weight_is_lighter() -> None:
    colours = (255 * mpl.colormaps[DIVERGING](np.linspace(-1, 1, 64) / 2 + 0.5)[:, :3]).astype(np.uint8)
    shades = np.asarray(Image.fromarray(colours[None]).convert("L")).astype(float)[0]
    assert (np.diff(shades) >= 0).all()
    assert shades[-1] - shades[32] > 80
    assert shades[32] - shades[0] > 80


def of_panel(pixels: np.ndarray, figure: Figure, k: int, box: Sequence[float]) -> float:
    """The mean grey of a part of a panel: left, bottom, right and top as shares of it."""
    place = figure.axes[k].get_position()
    left, right = (round(pixels.shape[1] * (place.x0 + place.width * box[i])) for i in (0, 2))
    top, bottom = (round(pixels.shape[0] * (1 - place.y0 - place.height * box[i])) for i in (3, 1))
    return float(pixels[top:bottom, left:right].mean())


@pytest.mark.parametrize(
    ("axes", "shape"), [(("sample", "mel"), (8, 8)), (("sample", "channel"), (8, 8)), (("component",), (8,))]
)
def test_signs_of_tiles_and_matrices(axes: tuple[str, ...], shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.ones(shape)
    values[: shape[0] // 2] = -0.9  # to the left, whether samples or components
    figure = plots.components(values.reshape(1, -1), values.reshape(-1, 1), axes, shape)
    pixels = grey(figure, tmp_path)
    left, right = of_panel(pixels, figure, 1, (0.1, 0.3, 0.4, 0.7)), of_panel(pixels, figure, 1, (0.6, 0.3, 0.9, 0.7))
    assert right - left > 120


def test_signs_on_a_head(tmp_path: Path) -> None:
    """Left of the nose −, right of it +: the map, and the lines on it, which are light where it is dark."""
    side = np.array([0 if name.endswith("z") else -1 if int(name[-1]) % 2 else 1.1 for name in EEG])
    basis = np.tile(side, (4, 1))
    figure = plots.components(basis, basis.T, ("channel",), (len(EEG),), 160.0, EEG, np.ones((65, 4)))
    pixels = grey(figure, tmp_path)
    cells = figure.axes[0].get_xlim()[1]
    middle = 0.5 / 1.22
    left = of_panel(pixels, figure, 0, (0.2 / cells, middle - 0.1, 0.4 / cells, middle + 0.1))
    right = of_panel(pixels, figure, 0, (0.65 / cells, middle - 0.1, 0.85 / cells, middle + 0.1))
    assert right - left > 80


def test_spectra_of_filters_rise_from_dark_to_light() -> None:
    waves = np.sin(np.pi * np.outer(np.arange(1, 9) / 9, np.arange(64)))
    bank = plots.components(waves, waves.T, ("sample",), (64,), 8000.0).axes[2].images[0]
    shades = np.dot(bank.cmap(np.linspace(0, 1, 32))[:, :3], (0.299, 0.587, 0.114))
    assert (np.diff(shades) > 0).all()
    tops = np.asarray(bank.get_array()).argmax(0)
    assert (np.diff(tops) > 0).all(), "filters stand from low to high frequency"


def test_curves_of_one_panel_have_marks_or_dashes_of_their_own() -> None:
    columns = {"position": np.arange(100.0, 900.0, 100), "value": np.linspace(0.1, 0.5, 8)}
    curves = {("probe", f"level {i}", "accuracy"): columns for i in range(len(LINES))}
    curves |= {("probe", name, "baseline"): columns for name in ("chance", "no change")}
    (axes,) = plots.learning_curves(curves).axes
    legend = axes.get_legend()
    assert legend is not None
    looks = [(line.get_linestyle(), line.get_marker()) for line in legend.get_lines()]
    assert len(set(looks)) == len(looks) == len(curves)
    drawn = [line for line in axes.lines if len(line.get_xdata()) > 1 and line.get_linestyle() == "-"]
    assert all(line.get_markevery() for line in drawn)
