"""Pictures: every geometry is drawn, in the right order and at the right place, the same bytes each time."""

from pathlib import Path

import numpy as np
import pytest
from helpers.extras import extra

extra("matplotlib")
extra("PIL")
from PIL import Image  # noqa: E402

from stream_infomax import plots  # noqa: E402
from stream_infomax.frames.event import Event  # noqa: E402
from stream_infomax.plots.components import components  # noqa: E402
from stream_infomax.plots.panels import MOST_SIGNALS  # noqa: E402


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (("y", "x"), (6, 8)),
        (("y", "x", "colour"), (5, 5, 3)),
        (("sample",), (32,)),
        (("sample", "mel"), (5, 12)),
        (("sample", "channel"), (20, 1)),
        (("sample", "channel"), (20, 3)),
        (("sample", "channel"), (16, 24)),
        (("channel",), (7,)),
        (("component",), (9,)),
    ],
)
@pytest.mark.parametrize("n", [1, 7, 150])
def test_every_geometry_has_its_picture(axes: tuple[str, ...], shape: tuple[int, ...], n: int, tmp_path: Path) -> None:
    filters = np.random.default_rng(0).standard_normal((n, int(np.prod(shape))))
    path = plots.save(components(filters, filters.T, axes, shape), tmp_path / "a" / "filters.png")
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert pixels.shape[1] > 1000
    assert pixels.std() > 5
    border = np.concatenate([pixels[:8].ravel(), pixels[-8:].ravel(), pixels[:, :8].ravel(), pixels[:, -8:].ravel()])
    assert (border == 255).all(), "something reaches over the edge"


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    filters = np.random.default_rng(0).standard_normal((9, 36))
    first, second = (
        plots.save(components(filters, filters.T, ("y", "x"), (6, 6)), tmp_path / f"{name}.png").read_bytes()
        for name in "ab"
    )
    assert first == second


def test_dead_filters_are_drawn_as_nothing() -> None:
    components(np.zeros((4, 32)), np.zeros((32, 4)), ("sample",), (32,))


@pytest.mark.parametrize(
    ("filters", "basis", "axes", "shape"),
    [
        ((4, 35), (35, 4), ("y", "x"), (6, 6)),
        ((4, 36), (4, 36), ("y", "x"), (6, 6)),
        ((4, 36), (36, 4), ("sample",), (6, 6)),
        ((36,), (36, 1), ("y", "x"), (6, 6)),
    ],
)
def test_shapes_that_do_not_fit_are_named(
    filters: tuple[int, ...], basis: tuple[int, ...], axes: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"do not fit rows of axes .*: accepted are"):
        components(np.ones(filters), np.ones(basis), axes, shape)


def test_of_too_many_an_even_choice_is_drawn_and_said() -> None:
    signals = np.random.default_rng(0).standard_normal((3 * MOST_SIGNALS, 16))
    figure = components(signals, signals.T, ("sample",), (16,))
    assert f"{MOST_SIGNALS} of {3 * MOST_SIGNALS} components" in figure.texts[1].get_text()


def test_recovery_lines_the_filters_up_with_their_sources(tmp_path: Path) -> None:
    product = np.array([[0.1, -4.0], [2.0, 0.2]])
    figure = plots.recovery(product, 0.07)
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), [[1, 0.1], [0.025, 1]])
    assert "Amari distance, of squared weights: 0.07 (0: every source found, 1: none)" in figure.texts[1].get_text()


class TestLearningCurves:
    def test_a_panel_for_each_kind_of_measure(self) -> None:
        columns = {"position": [64.0, 128.0], "value": [3.0, 2.0]}
        names = (
            ("learner", "", "objective"),
            ("learner", "", "entropy"),
            ("probe", "a", "accuracy"),
            ("probe", "b", "accuracy"),
        )
        figure = plots.learning_curves(dict.fromkeys(names, columns))
        titles = [axes.get_title("left") for axes in figure.axes]
        assert titles == [
            "objective (nats, lower is better ↓)",
            "coefficient entropy (bits, lower is better ↓)",
            "accuracy (last 200, higher is better ↑)",
        ]
        assert [line.get_label() for line in figure.axes[2].lines[::2]] == ["a", "b"]
        assert [text.get_text() for text in figure.axes[0].texts] == ["2.00 nats"]
        np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), [[64, 3], [128, 2]])

    def test_what_one_gets_without_looking_stands_beside_each_level(self) -> None:
        ends = {
            ("a", "accuracy"): 0.5,
            ("b+b.context", "accuracy"): 0.8,
            ("no change", "baseline"): 0.2,
            ("chance", "baseline"): 0.1,
        }
        curves = {
            ("named", level, kind): {"position": range(10, 310, 10), "value": [1.0] + 29 * [end]}
            for (level, kind), end in ends.items()
        }
        (axes,) = plots.learning_curves(curves).axes
        legend = axes.get_legend()
        assert legend is not None
        texts = [text.get_text() for text in legend.get_texts()]
        assert texts == ["a  50.0%  κ 0.37", "b+b.context  80.0%  κ 0.75", "no change  20.0%", "chance  10.0%"]
        assert axes.get_ylim() == pytest.approx((0, 1.12 * 0.8)), "the first results say little"

    def test_levels_of_two_classifiers_are_told_apart(self) -> None:
        columns = {"position": [1.0, 2.0], "value": [0.5, 0.5]}
        levels = (("mel", "accuracy"), ("no change", "baseline"))
        names = [(stage, level, kind) for stage in ("what", "who") for level, kind in levels]
        (axes,) = plots.learning_curves(dict.fromkeys(names, columns)).axes
        texts = [text.get_text().partition("  ")[0] for text in axes.get_legend().get_texts()]
        assert texts == ["what: mel", "who: mel", "what: no change", "who: no change"]

    def test_a_single_point_is_enough(self, tmp_path: Path) -> None:
        plots.save(
            plots.learning_curves({("learner", "", "objective"): {"position": [64.0], "value": [3.0]}}),
            tmp_path / "curve.png",
        )

    def test_first_values_far_off_are_left_out_and_rows_are_logarithmic(self) -> None:
        first = [100.0, -3000.0, 5000.0]
        columns = {"position": [64.0 * 2**i for i in range(18)], "value": [*first, *(100.0 - i for i in range(15))]}
        figure = plots.learning_curves({("learner", "", "objective"): columns})
        low, high = figure.axes[0].get_ylim()
        assert 60 < low < 86
        assert 100 < high < 3000
        assert figure.axes[0].get_xscale() == "log"
        assert figure.axes[0].lines[0].get_xdata()[0] == 512.0


class TestNamesFromOutside:
    HOSTILE = ("_a", "$x$", "$\\frac{", "\x1b[2J\n", "文字", "\u202eabc", "x" * 999)

    def test_they_are_drawn_as_text_without_a_warning(self, tmp_path: Path) -> None:
        columns = {"position": [1.0, 200.0], "value": [0.5, 0.5]}
        curves = {("probe", level, kind): columns for level in self.HOSTILE for kind in ("accuracy", "baseline")}
        curves |= {(level, "", "score"): columns for level in self.HOSTILE}
        figure = plots.learning_curves(curves)
        plots.save(figure, tmp_path / "curve.png")
        for axes in figure.axes:
            assert len(axes.get_legend().get_texts()) == len(axes.lines) - len(self.HOSTILE)

    def test_axes_of_rows_too(self, tmp_path: Path) -> None:
        filters = np.eye(3)
        plots.save(components(filters, filters, ("$\\frac{文\x1b",), (3,)), tmp_path / "filters.png")


def test_each_component_of_a_matrix_has_its_own_scale_and_the_largest_share_comes_first() -> None:
    filters = np.array([[1000.0, 0, 0, 500], [0, 0.001, 0.002, 0], [1, 1, -1, 1]])
    basis = np.array([[0.001, 0, 0, 0], [0, 100.0, 0, 0], [0, 0, 1, 0]]).T
    figure = components(filters, basis, ("channel",), (4,))
    shown = np.asarray(figure.axes[0].images[0].get_array())
    assert np.abs(shown).max(1) == pytest.approx([1, 1, 1], rel=0.1)
    assert np.abs(shown[0]).argmax() == 2, "the second component has the largest share of the signal"


def test_names_of_channels_stand_at_a_matrix() -> None:
    figure = components(np.eye(3), np.eye(3), ("channel",), (3,), names=("Fc5", "C3", "$Oz"))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["Fc5", "C3", r"\$Oz"]
    with pytest.raises(ValueError, match="2 names for 3 values of a row"):
        components(np.eye(3), np.eye(3), ("channel",), (3,), names=("Fc5", "C3"))


def test_shares_of_a_handful_of_results_are_not_drawn() -> None:
    columns = {"position": [2.0, 50.0, 140.0, 180.0], "value": [1.0, 0.0, 0.3, 0.4]}
    (axes,) = plots.learning_curves({("probe", "a", "accuracy"): columns}).axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[140, 0.3], [180, 0.4]])


def test_events_are_lines_with_letters_that_do_not_touch() -> None:
    columns = {"position": [1000.0, 100_000.0], "value": [3.0, 2.0]}
    curves = {("learner", "", "objective"): columns, ("contrast", "", "score"): columns}
    positions = {"change": 20_000, "undo": 20_010, "resume": 60_000}
    events = [Event(stage="learner", position=at, kind=kind, text="x") for kind, at in positions.items()]
    figure = plots.learning_curves(curves, events)
    objective, score = figure.axes
    assert len(objective.lines) - len(score.lines) == 3
    assert [text.get_text() for text in objective.texts if len(text.get_text()) < 3] == ["CU", "R"]
    note = next(text.get_text() for text in figure.texts if "Lines across" in text.get_text())
    assert "C change, R resume, U undo" in note
    assert "Lines across" not in "".join(text.get_text() for text in plots.learning_curves(curves).texts)


def test_few_channels_of_a_window_are_lines_above_each_other() -> None:
    window = np.array([[1.0, 0.0], [0.5, 0.0], [0.0, -0.25]])
    figure = components(window.reshape(1, -1), window.reshape(-1, 1), ("sample", "channel"), (3, 2))
    first, second = (path.vertices[:, 1] for path in figure.axes[1].collections[1].get_paths())
    assert first.min() > second.max(), "the first channel is on top"
    assert (first[0] - first[2], second[2] - second[0]) == pytest.approx((0.216, -0.054)), "one scale for both"
