"""Copies of log-mel patches: what distorts them, that cutting changes no bit, and that nobody learns from them."""

import math
from itertools import pairwise

import numpy as np
import pytest
from helpers.extras import needs

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.error import SettingError
from stream_infomax.stages.distortion import Strength, drawn
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.stages.windows import WindowsStage

RATE = 8000.0
STRONG = Strength(warp=0.15, gain=1.0, tilt=0.3)
speech = needs("kaldi_native_fbank")


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


def test_nothing_asked_for_changes_nothing_and_names_draw_anew() -> None:
    patches = np.random.default_rng(0).normal(size=(3, 4, 20)).astype(np.float32)
    np.testing.assert_allclose(drawn(Strength(0, 0, 0), 20, RATE, 1).of(patches), patches, atol=1e-5)
    one, again, other = (drawn(STRONG, 20, RATE, 0, "mic", name, 1).of(patches) for name in "aab")
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def frames(cuts: list[int], seconds: float = 0.5) -> list[Frame]:
    samples = np.random.default_rng(3).normal(scale=0.1, size=(int(seconds * RATE), 1)).astype(np.float32)
    borders = [0, *cuts, len(samples)]
    return [
        Frame("mic", i, "a", {"source": Array(samples[start:stop], ("time", "channel"))}, rate=RATE)
        for i, (start, stop) in enumerate(pairwise(borders))
    ]


@speech
def test_cutting_changes_no_bit_of_a_copy() -> None:
    found = []
    for cuts in ([], [801, 803, 2900]):
        stage = WindowsStage("windows", "source", form="log-mel", length=5, hop=2, copies=2, center=True)
        passed = [stage.process(frame) for frame in frames(cuts)]
        found.append(
            [
                np.concatenate([frame.arrays[name].data for frame in passed])
                for name in ("windows", "windows.copy1", "windows.copy2")
            ]
        )
    whole, parts = found
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    original, first, second = whole
    assert original.shape == first.shape == second.shape
    assert (first != original).any()
    assert (first != second).any()


@speech
def test_the_learner_encodes_copies_with_the_filters_of_the_frame_and_learns_the_same_without_them() -> None:
    with_copies, without = (LearnerStage("learner", "windows", n_rank=8, warmup=40) for _ in range(2))
    windows = WindowsStage("windows", "source", form="log-mel", length=3, hop=1, n_mels=20, copies=1)
    encoded = 0
    for frame in frames([800 * n for n in range(1, 20)], 2.0):
        cut = windows.process(frame)
        before = with_copies.learner.transform if with_copies.is_warm else None
        copy = cut.arrays["windows.copy1"].rows()
        expected = None if before is None else before(copy)
        out = with_copies.process(cut)
        bare = without.process(cut.extend({"windows": cut.arrays["windows"]}))
        np.testing.assert_array_equal(out.arrays["learner"].data, bare.arrays["learner"].data)
        assert out.arrays["learner.copy1"].data.shape == out.arrays["learner"].data.shape
        assert "learner.copy1" not in bare.arrays
        if expected is not None:
            np.testing.assert_array_equal(out.arrays["learner.copy1"].data, expected)
            encoded += len(expected)
    assert encoded > 50


@pytest.mark.parametrize("form", ["waveform", "grid", "patches"])
def test_other_forms_have_no_copies(form: str) -> None:
    with pytest.raises(SettingError, match="copies"):
        WindowsStage("windows", "source", form=form, copies=1)


@pytest.mark.parametrize("setting", ["warp", "gain", "tilt"])
def test_a_distortion_that_leaves_no_number_is_refused(setting: str) -> None:
    with pytest.raises(SettingError, match=setting):
        WindowsStage("windows", "source", form="log-mel", copies=1, **{setting: 1e30})


@speech
def test_what_only_encodes_is_given_no_copies() -> None:
    stage = WindowsStage("windows", "source", form="log-mel", length=5, hop=2, copies=2)
    stage.start_encoding()
    (frame,) = frames([])
    assert set(stage.process(frame).arrays) == {"windows"}
