"""What modules hear, on paper."""

import numpy as np
import pytest
from helpers.extras import extra

extra("matplotlib")

from stream_infomax import plots  # noqa: E402

ABOUT = "The units whose outputs deviate most"


def panels(figure):
    return figure.axes


def test_sound_is_drawn_as_spectrograms_that_end_at_the_right_edge():
    time = np.arange(4000) / 8000
    tone = np.sin(2 * np.pi * 1000 * time)[:, None].astype(np.float32)
    figure = plots.hearing("module1", {4: [("a/b/one.wav", tone), ("two $x$", tone[:2000])]}, 8000.0, ABOUT)
    long, short = panels(figure)
    assert (long.get_xlabel(), short.get_xlabel()) == ("one.wav", r"two \$x\$")
    decibels = short.images[0].get_array()
    assert decibels.shape == long.images[0].get_array().shape
    n_bands, n_steps = decibels.shape
    assert decibels[:, -1].argmax() == pytest.approx(n_bands / 4, abs=1)
    assert (decibels[:, : n_steps // 3] == decibels.min()).all()
    assert "unit 5" in [text.get_text() for text in figure.texts]


def test_slow_signals_are_drawn_as_lines_a_channel():
    figure = plots.hearing("m", {0: [("", np.zeros((50, 3), np.float32))]}, 100.0)
    assert len(panels(figure)[0].lines) == 3


@pytest.mark.parametrize("shape", [(12, 12), (12, 12, 1), (12, 12, 3)])
def test_patches_are_drawn_from_dark_to_bright(shape):
    pixels = np.random.default_rng(0).random(shape).astype(np.float32) * 7 + 3
    figure = plots.hearing("m", {0: [("", pixels)] * 2, 1: [("", np.ones(shape, np.float32))]})
    shown = panels(figure)[0].images[0].get_array()
    assert (shown.min(), shown.max()) == (pytest.approx(0, abs=1e-6), pytest.approx(1))
    assert len(panels(figure)) == 3
    assert (panels(figure)[2].images[0].get_array() == 0.5).all()  # nothing is made of what is flat


def test_a_module_without_units_is_refused():
    with pytest.raises(ValueError, match="no unit of 'm'"):
        plots.hearing("m", {})
