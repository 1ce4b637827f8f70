"""A basis as it grows: components keep place and sign, files are bounded, and what cannot be drawn is said."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.extras import extra

extra("matplotlib")
extra("PIL")
from PIL import Image  # noqa: E402

from stream_infomax import plots  # noqa: E402
from stream_infomax.cli.show import show  # noqa: E402
from stream_infomax.configuration.load import ConfigError  # noqa: E402
from stream_infomax.learning.infomax.encoder import Encoder, Kept, kept_bases  # noqa: E402
from stream_infomax.plots.growth import MOST_BYTES, turned_alike  # noqa: E402
from stream_infomax.run.growth import MOST_STEPS, chosen  # noqa: E402

LOW, HIGH = np.repeat([[-1.0], [1.0]], 4, axis=0) @ np.ones((1, 8)), np.indices((8, 8)).sum(0) % 2 * 2.0 - 1


def noise(n: int, side: int = 300) -> list[Image.Image]:
    """Pictures that no format makes small."""
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (side, side, 3), np.uint8)) for _ in range(n)]


def test_no_component_turns_over_on_the_way() -> None:
    generator = np.random.default_rng(0)
    last = generator.standard_normal((5, 9))
    walk = [last + 0.5 * k * generator.standard_normal((5, 9)) for k in range(8)][::-1]
    flipped = [basis * generator.choice([-1.0, 1.0], 5)[:, None] for basis in walk]
    turned = turned_alike(flipped)
    assert all(((one * other).sum(1) > 0).all() for one, other in pairwise(turned))
    assert ((turned[-1] ** 3).sum(1) >= 0).all(), "as in the picture of the last one alone"


def test_a_component_keeps_the_place_that_it_has_at_the_end() -> None:
    last = np.stack([np.repeat(LOW[:, :1], 8, 1).ravel(), HIGH.ravel()], axis=1)
    pictures = plots.growth(last.T, [("one", last[:, ::-1]), ("two", last)], ("y", "x"), (8, 8))
    fine = []
    for picture in pictures:
        pixels = np.asarray(picture.convert("L")).astype(float)[-250:-40, 40:-40]
        halves = pixels[:, : pixels.shape[1] // 2 - 20], pixels[:, pixels.shape[1] // 2 + 20 :]
        fine.append([np.abs(np.diff(half, axis=1)).mean() for half in halves])
    assert fine[0][0] > 3 * fine[0][1], "the first component was the finer one at first"
    assert fine[1][1] > 3 * fine[1][0]


@pytest.mark.parametrize(
    ("axes", "shape", "names"),
    [
        (("y", "x", "colour"), (4, 4, 3), ()),
        (("sample",), (32,), ()),
        (("sample", "mel"), (5, 12), ()),
        (("sample", "channel"), (20, 3), ()),
        (("channel",), (7,), tuple("abcdefg")),
        (("channel",), (9,), ("Fp1", "Fp2", "F3", "F4", "C3", "C4", "O1", "O2", "$x")),
    ],
)
def test_every_geometry_grows(axes: tuple[str, ...], shape: tuple[int, ...], names: tuple[str, ...]) -> None:
    bases = np.random.default_rng(0).standard_normal((3, int(np.prod(shape)), 5))
    moments = [(f"frame {k}", basis) for k, basis in enumerate(bases)]
    pictures = plots.growth(bases[-1].T, moments, axes, shape, 8000.0, names)
    assert len({picture.size for picture in pictures}) == 1
    shades = [np.asarray(picture.convert("L")).astype(float) for picture in pictures]
    assert all(np.abs(one - other).mean() > 1 for one, other in pairwise(shades))
    edges = np.concatenate([shades[0][:4].ravel(), shades[0][-4:].ravel(), shades[0][:, -4:].ravel()])
    assert (edges == 255).all(), "something reaches over the edge"


@pytest.mark.parametrize("ending", [".gif", ".webp", ".GIF"])
class TestFiles:
    def test_all_pictures_are_there_and_the_last_stays_longer(self, ending: str, tmp_path: Path) -> None:
        path, again = tmp_path / "new" / f"one{ending}", tmp_path / f"two{ending}"
        assert [plots.save_animation(noise(4, 40), place) for place in (path, again)] == [4, 4]
        assert path.read_bytes() == again.read_bytes()
        with Image.open(path) as animation:
            assert animation.n_frames == 4
            assert animation.info["loop"] == 0
            times = []
            for k in range(4):
                animation.seek(k)
                animation.load()
                times.append(animation.info["duration"])
        assert times[0] == times[2] < times[3]

    def test_what_is_too_large_has_fewer_pictures_and_the_last_among_them(self, ending: str, tmp_path: Path) -> None:
        pictures = noise(7, 200)
        full = tmp_path / f"full{ending}"
        plots.save_animation(pictures, full)
        path = tmp_path / f"one{ending}"
        n = plots.save_animation(pictures, path, full.stat().st_size * 2 // 3)
        assert 2 <= n < 7
        assert path.stat().st_size <= full.stat().st_size * 2 // 3
        ends = []
        for place in (full, path):
            with Image.open(place) as animation:
                animation.seek(animation.n_frames - 1)
                ends.append(np.asarray(animation.convert("L")).astype(float))
        assert np.abs(ends[0] - ends[1]).mean() < 3

    def test_two_pictures_that_are_too_large_are_made_smaller(self, ending: str, tmp_path: Path) -> None:
        path = tmp_path / f"one{ending}"
        assert plots.save_animation(noise(2), path, 30_000) == 2
        assert path.stat().st_size <= 30_000


def test_other_endings_and_a_single_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one\.mp4: accepted are files that end in \.gif or \.webp"):
        plots.save_animation(noise(2, 8), tmp_path / "one.mp4")
    with pytest.raises(ValueError, match="1 picture; accepted are two or more"):
        plots.save_animation(noise(1, 8), tmp_path / "one.gif")
    assert not list(tmp_path.iterdir())


def test_of_many_bases_more_of_the_beginning_are_chosen() -> None:
    kept = [Kept("learner", 10 * i, f"{i:012x}", Path()) for i in range(1000)]
    found = chosen(kept)
    assert found[0] == kept[0]
    assert found[-1] == kept[-1]
    assert len(found) <= MOST_STEPS
    gaps = np.diff([one.offset for one in found])
    assert gaps[: len(gaps) // 2].mean() < gaps[len(gaps) // 2 :].mean() / 4
    assert chosen(kept[:9]) == kept[:9]


# ---------------------------------------------------------------- from a run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stream_infomax.cli.run import run

    folder = tmp_path_factory.mktemp("growth") / "run"
    settings = [f"run.folder={folder}", "source.frames=30", "source.n_sources=6"]
    assert run("known_sources", set=settings, in_process=True) == 0
    return folder


def test_a_run_shows_how_it_grew(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = {path: path.stat().st_mtime_ns for path in run_folder.glob("*.png")}
    capsys.readouterr()
    path = tmp_path / "growing.gif"
    assert show(next(run_folder.glob("*/checkpoint-*.safetensors")), animate=path) == 0
    assert capsys.readouterr().out == f"{path}\n"
    with Image.open(path) as animation:
        assert animation.n_frames == len(chosen(kept_bases(run_folder)))
    assert path.stat().st_size <= MOST_BYTES
    assert {path: path.stat().st_mtime_ns for path in run_folder.glob("*.png")} == drawn


def test_kept_bases_of_a_run_turn_smoothly(run_folder: Path) -> None:
    """What the learner promises, and an animation shows: components keep place and sign."""
    bases = [Encoder.load(one.path).mixing.T.astype(float) for one in kept_bases(run_folder)]
    turned = turned_alike(bases)
    unit = [basis / np.linalg.norm(basis, axis=1, keepdims=True) for basis in turned]
    alike = [(one * other).sum(1) for one, other in pairwise(unit)]
    assert np.median(alike[len(alike) // 2 :]) > 0.99


def test_what_cannot_be_shown_is_said(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"growing\.mp4: accepted are files that end in \.gif or \.webp"):
        show(run_folder, animate=tmp_path / "growing.mp4")
    with pytest.raises(ConfigError, match="there is no folder nowhere"):
        show(run_folder, animate=Path("nowhere/growing.gif"))
    with pytest.raises(ConfigError, match="nowhere: there is no such checkpoint or folder"):
        show(Path("nowhere"))
    with pytest.raises(ConfigError, match="--out"):
        show(run_folder, out=tmp_path, animate=tmp_path / "growing.gif")
    first, *others = kept_bases(run_folder)
    hidden = [(one.path, one.path.with_suffix(".away")) for one in others]
    for path, away in hidden:
        path.rename(away)
    try:
        with pytest.raises(ConfigError, match=f"{first.stage}: 1 basis kept so far; an animation takes two or more"):
            show(run_folder, animate=tmp_path / "growing.gif")
    finally:
        for path, away in hidden:
            away.rename(path)
    assert not list(tmp_path.iterdir())
