"""Weights of channels: places by the 10-10 system, smooth maps, bars elsewhere, and what is learnt of a folder."""

from pathlib import Path

import numpy as np
import pytest
from helpers.extras import extra

extra("matplotlib")
from matplotlib.collections import PolyCollection  # noqa: E402

from stream_infomax import plots  # noqa: E402
from stream_infomax.plots import head  # noqa: E402
from stream_infomax.plots.channel_weights import MOST  # noqa: E402

EEG = [
    *("Fp1", "Fpz", "Fp2", "AF3", "AFz", "AF4", "F7", "F3", "Fz", "F4", "F8", "T7"),
    *("C3", "Cz", "C4", "T8", "P7", "P3", "Pz", "P4", "P8", "O1", "Oz", "O2"),
]


def place(name: str) -> tuple[float, float]:
    (found,) = head.positions([name])
    assert found is not None, name
    return found


def test_places_follow_the_definition() -> None:
    for name, expected in {
        "Cz": (0, 0), "Fpz": (0, 0.8), "Oz": (0, -0.8), "T7": (-0.8, 0), "T8": (0.8, 0), "Fz": (0, 0.4), "Nz": (0, 1),
        "Iz": (0, -1), "C3": (-0.4, 0), "C6": (0.6, 0), "T10": (1, 0), "T3": (-0.8, 0),
    }.items():  # fmt: skip
        np.testing.assert_allclose(place(name), expected, atol=1e-9, err_msg=name)


def test_left_and_right_are_alike_and_lines_in_order() -> None:
    for line in ("AF", "F", "FC", "C", "CP", "P", "PO"):
        across = [place(f"{line}{number}") for number in (5, 3, 1, "z", 2, 4, 6)]
        np.testing.assert_allclose(across, np.array(across[::-1]) * (-1, 1), atol=1e-9)
        assert (np.diff([x for x, _ in across]) > 0).all()
    front = [place(f"{line}3")[1] for line in ("AF", "F", "FC", "C", "CP", "P", "PO")]
    assert (np.diff(front) < 0).all()
    np.testing.assert_allclose(place("F3"), np.array(place("P3")) * (1, -1), atol=1e-9)


@pytest.mark.parametrize(("name", "same"), [("FC5", "Fc5."), ("Cz", "EEG CZ-REF"), ("P8", "T6"), ("TP7", "tp7")])
def test_names_as_files_have_them(name: str, same: str) -> None:
    assert place(name) == place(same)


def test_other_names_have_no_place() -> None:
    names = ["A1", "ECG", "x", "", "F0", "F11", "Fp3", "T1", "Qz", "C99", "12", "FT1"]
    assert head.positions(names) == [None] * len(names)


def test_a_map_goes_through_what_was_measured() -> None:
    places = np.array([place(name) for name in EEG])
    values = places @ [2.0, -1.0] + 0.5  # a plane is kept
    np.testing.assert_allclose(head.surface(places, places * 0.7) @ values, places * 0.7 @ [2.0, -1.0] + 0.5, atol=1e-6)
    peak = np.eye(len(EEG))[3]
    np.testing.assert_allclose(head.surface(places, places) @ peak, peak, atol=0.1)


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
