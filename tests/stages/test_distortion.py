"""What distorts log-mel patches that are played again."""

import math

import numpy as np
import pytest

from stream_infomax.stages.distortion import Strength, drawn

RATE = 8000.0
STRONG = Strength(warp=0.15, gain=1.0, tilt=0.3)


def mel(hertz: float) -> float:
    return 1127 * math.log(1 + hertz / 700)


def bump(hertz: float, centres: np.ndarray) -> np.ndarray:
    """Return mel frames with a bump at a frequency."""
    return np.exp(-0.5 * ((centres - mel(hertz)) / 120) ** 2).astype(np.float32)[None, None]


def test_a_warp_moves_a_resonance_to_the_frequency_divided_by_the_factor() -> None:
    n_mels = 80
    step = (mel(RATE / 2) - mel(20)) / (n_mels + 1)
    centres = mel(20) + step * np.arange(1, n_mels + 1)
    for name in range(5):
        seed = ("a", name)
        distortion = drawn(Strength(0.2, 0, 0), n_mels, RATE, *seed)
        moved = distortion.of(bump(1000, centres))
        found = 700 * math.expm1(centres[moved[0, 0].argmax()] / 1127)
        # What band j shows is the original at factor · f_j; the factor is read off a band in the middle.
        band = 40
        shown = mel(20) + step * (1 + distortion.lower[band] + distortion.share[band])
        factor = math.expm1(shown / 1127) / math.expm1(centres[band] / 1127)
        assert abs(math.log(factor)) <= 0.2 + 1e-6
        assert found * factor == pytest.approx(1000, rel=0.04)


def test_gain_and_tilt_have_the_deviations_asked_for() -> None:
    offsets = np.array([drawn(Strength(0, 2.0, 0), 20, RATE, i).offset for i in range(2000)])
    assert (offsets == offsets[:, :1]).all()
    assert offsets[:, 0].std() == pytest.approx(2.0, rel=0.1)
    curves = np.array([drawn(Strength(0, 0, 0.5), 20, RATE, i).offset for i in range(400)])
    assert curves.std() == pytest.approx(0.5 * math.sqrt(4 / 2), rel=0.1)  # cos² is half on average


def test_nothing_asked_for_changes_nothing_and_each_name_draws_its_own() -> None:
    patches = np.random.default_rng(0).normal(size=(3, 4, 20)).astype(np.float32)
    np.testing.assert_allclose(drawn(Strength(0, 0, 0), 20, RATE, 1).of(patches), patches, atol=1e-5)
    one, again, other = (drawn(STRONG, 20, RATE, 0, "mic", name, 1).of(patches) for name in "aab")
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
