"""What distorts log-mel patches that are played again."""

import math

import numpy as np
import pytest

from stream_infomax.stages.distortion import Strength, drawn, drawn_wave

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


def test_samples_that_nothing_distorts_are_the_windows_themselves() -> None:
    samples = np.random.default_rng(0).normal(size=700).astype(np.float32)
    found = drawn_wave(Strength(0, 0, 0), RATE, 1).windows(samples, 64, 40)
    expected = [samples[start : start + 64] for start in range(0, 637, 40)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_tone_is_heard_higher_by_the_factor_and_a_click_in_the_window_where_it_was() -> None:
    tone = np.sin(2 * np.pi * 600 * np.arange(8000) / RATE).astype(np.float32)
    click = np.zeros(8000, np.float32)
    click[4005:4015] = 1
    factors = []
    for name in range(8):
        distortion = drawn_wave(Strength(0.2, 0, 0), RATE, name)
        factors.append(distortion.factor)
        (window,) = distortion.windows(tone, 4000, 4001)
        spectrum = np.abs(np.fft.rfft(window * np.hanning(4000)))
        assert spectrum.argmax() * RATE / 4000 == pytest.approx(600 * distortion.factor, abs=3)
        loud = np.abs(distortion.windows(click, 64, 40)).max(1)
        assert loud.argmax() in (99, 100)
        assert loud[:97].max() < 0.01
        assert loud[103:].max() < 0.01
    assert 0.2 > np.std(np.log(factors)) > 0.05


def test_gain_and_tilt_of_samples_have_the_deviations_asked_for() -> None:
    kernels = [drawn_wave(Strength(0, 2.0, 0), RATE, i).kernel for i in range(1000)]
    energies = np.log([kernel.sum() ** 2 for kernel in kernels])
    assert energies.std() == pytest.approx(2.0, rel=0.1)
    noise = np.random.default_rng(0).normal(size=(1, 8000)).astype(np.float32)[0]
    heard = [drawn_wave(Strength(0, 0, 0.5), RATE, i).windows(noise, 8000, 1)[0] for i in range(60)]
    bands = np.log([(np.abs(np.fft.rfft(one)) ** 2).reshape(-1)[1:4001].reshape(20, -1).mean(1) for one in heard])
    assert bands.std(0).mean() == pytest.approx(0.5 * math.sqrt(4 / 2), rel=0.25)
