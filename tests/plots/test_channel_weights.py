"""Weights of channels: places by the 10-10 system, smooth maps, bars elsewhere, and what is learnt of a folder."""

from pathlib import Path

import numpy as np
import pytest
from helpers.extras import extra

extra("matplotlib")
from matplotlib.collections import PolyCollection  # noqa: E402

from stream_infomax import plots  # noqa: E402
from stream_infomax.plots.channel_weights import MOST  # noqa: E402

EEG = [
    *("Fp1", "Fpz", "Fp2", "AF3", "AFz", "AF4", "F7", "F3", "Fz", "F4", "F8", "T7"),
    *("C3", "Cz", "C4", "T8", "P7", "P3", "Pz", "P4", "P8", "O1", "Oz", "O2"),
]


def spectra(n: int) -> np.ndarray:
    return np.exp(np.random.default_rng(1).standard_normal((65, n)))


@pytest.mark.parametrize("n", [1, 9, 80])
@pytest.mark.parametrize("names", [(), tuple(EEG), tuple(f"${i}" for i in range(24))], ids=["none", "EEG", "other"])
def test_every_component_is_a_cell_by_its_share(n: int, names: tuple[str, ...], tmp_path: Path) -> None:
    basis = np.random.default_rng(0).standard_normal((24, n)) * np.linspace(1, 2, n)
    figure = plots.components(basis.T, basis, ("channel",), (24,), 160.0, names, spectra(n))
    plots.save(figure, tmp_path / "filters.png")
    axes = figure.axes[0]
    shown = [text.get_text() for text in axes.texts if text.get_text().endswith("%")]
    shares = [float(text[:-2]) for text in shown]
    assert len(shares) == min(n, MOST)
    assert shares == sorted(shares, reverse=True)
    assert len(axes.images) == (len(shown) if names == tuple(EEG) else 0)


def test_the_alpha_band_is_marked_on_heads_only() -> None:
    basis = np.eye(24)
    heads, bars = (
        plots.components(basis, basis, ("channel",), (24,), 160.0, names, spectra(24)) for names in (tuple(EEG), ())
    )
    bands = [sum(isinstance(one, PolyCollection) for one in figure.axes[0].collections) for figure in (heads, bars)]
    texts = [" ".join(text.get_text() for text in figure.texts) for figure in (heads, bars)]
    assert "alpha" in texts[0]
    assert "alpha" not in texts[1]
    assert min(bands) >= 2


def test_silent_components_and_channels_in_a_line_are_drawn(tmp_path: Path) -> None:
    names = ["Fpz", "AFz", "Fz", "FCz", "Cz", "CPz", "Pz", "POz", "Oz"]
    basis = np.zeros((9, 9))
    basis[2, 0] = 1
    figure = plots.components(basis.T, basis, ("channel",), (9,), 160.0, names, np.zeros((65, 9)))
    plots.save(figure, tmp_path / "filters.png")


def test_a_folder_of_tables_ends_in_a_picture_with_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stream_infomax.cli.run import run

    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", data=rng.laplace(size=(6000, 24)), sampling_rate_hz=100.0, channel_names=EEG)
    drawn = []
    components = plots.components
    monkeypatch.setattr(plots, "components", lambda *given: drawn.append(given) or components(*given))
    folder = tmp_path / "run"
    overrides = [f"source.path={tmp_path / 'a.npz'}", f"run.folder={folder}", "source.repeat=1"]
    assert run("sensor", set=overrides) == 0
    (given,) = drawn
    assert given[4] == 100.0
    assert given[5] == tuple(EEG)
    assert given[6].shape[1] == len(given[0])
    assert (folder / "filters.png").is_file()


@pytest.mark.parametrize("names", [(), tuple(EEG)], ids=["bars", "heads"])
def test_one_component_is_the_whole_signal_and_words_stay_on_the_picture(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    from PIL import Image

    basis = np.random.default_rng(0).standard_normal((24, 1))
    figure = plots.components(basis.T, basis, ("channel",), (24,), 160.0, names, spectra(1))
    assert "100 %" in [text.get_text() for text in figure.axes[0].texts]
    with Image.open(plots.save(figure, tmp_path / "filters.png")) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert (pixels[:, -8:] == 255).all()
