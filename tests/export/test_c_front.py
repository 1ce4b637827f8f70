"""Windows, log-mel and patches in C give what the stages of a run give."""

import numpy as np
import pytest
from helpers.clients import has
from helpers.extras import needs
from helpers.fronts import encoded, sound, subject
from helpers.headers import PUSH, VALGRIND, build, features

from stream_infomax.configuration.load import ConfigError
from stream_infomax.export.c import header
from stream_infomax.export.mel import Mel
from stream_infomax.stages.logmel import LogMel

GRID = """
#include "NAME.h"
#include <stdio.h>
int main(void)
{
    static float picture[HEIGHT * WIDTH * NAME_COLOURS];
    float y[NAME_OUTPUTS];
    while (fread(picture, sizeof picture, 1, stdin) == 1) {
        for (size_t top = 0; top + NAME_PATCH <= HEIGHT; top += NAME_STRIDE) {
            for (size_t left = 0; left + NAME_PATCH <= WIDTH; left += NAME_STRIDE) {
                if (NAME_encode_at(picture, WIDTH, top, left, y) || fwrite(y, sizeof y, 1, stdout) != 1) {
                    return 8;
                }
            }
        }
    }
    return 0;
}
"""


def pushing(one):
    """Return a program that gives a header the samples of all channels."""
    program = PUSH.replace("SAMPLE", "*x" if one.front.form == "log-mel" else "x")
    return program.replace("x[1]", f"x[{one.front.channels}]")


def check(found, expected, tolerance):
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert np.nanmax(np.abs(found - expected)) <= tolerance * np.nanmax(np.abs(expected))


@has("gcc")
@pytest.mark.parametrize(
    ("length", "hop", "channels", "center"), [(16, 5, 1, False), (7, 7, 3, True), (1, 1, 2, False)]
)
def test_windows_of_a_signal(tmp_path, length, hop, channels, center):
    one = subject("waveform", channels, length=length, hop=hop, center=center)
    samples = sound(1000, channels)
    samples[500, 0], samples[720, -1] = np.nan, np.inf
    binary = build(tmp_path, header(one), program=pushing(one), flags=("-O1", "-g"))
    found = features(binary, samples, one.encoder.width)
    expected = encoded(one, samples)
    assert np.isnan(expected).any()
    check(found, expected, 1e-5)


@needs("kaldi_native_fbank")
@has("gcc")
@pytest.mark.parametrize("output", ["potential", "log"])
@pytest.mark.parametrize("settings", [{"length": 3, "hop": 2, "n_mels": 20}, {"length": 1, "hop": 1, "n_mels": 40}])
def test_log_mel(tmp_path, output, settings):
    one = subject("log-mel", rank=15, output=output, mean=-5.0, **settings)
    samples = sound()
    samples[2000:2500] = 0
    samples[4000], samples[4900] = np.nan, 2e15
    binary = build(tmp_path, header(one), program=pushing(one), flags=("-O2",))
    found = features(binary, samples, one.encoder.width)
    expected = encoded(one, samples)
    assert 0 < np.isnan(expected).all(axis=1).sum() < len(expected) / 2
    check(found, expected, 1e-4)


@needs("kaldi_native_fbank")
@pytest.mark.parametrize(
    ("rate", "bands", "window", "shift"), [(8000, 40, 25, 10), (16000, 80, 25, 10), (22050, 23, 20, 7)]
)
@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_the_steps_of_log_mel(rate, bands, window, shift, mean):
    one = subject("log-mel", rank=4, length=1, hop=1, n_mels=bands, window_ms=window, shift_ms=shift)
    samples = sound(mean=mean)[:, 0]
    extractor = LogMel(rate, bands, window, shift)
    extractor.accept(samples)
    mel = Mel.of(type(one.front)(one.front.windows, 1, rate))
    assert np.abs(mel(samples) - extractor.frames).max() < (1e-4 if mean == 0 else 3e-4)


@needs("kaldi_native_fbank")
@has("gcc", "valgrind")
def test_valgrind_finds_nothing_in_log_mel(tmp_path):
    one = subject("log-mel", rank=15, length=2, hop=1, n_mels=20)
    samples = sound(1500)
    binary = build(tmp_path, header(one), program=pushing(one), flags=("-O1", "-g"))
    check(features(binary, samples, one.encoder.width, *VALGRIND), encoded(one, samples), 1e-4)


@has("gcc")
@pytest.mark.parametrize(("patch", "stride", "colours"), [(4, 3, 1), (3, 3, 3)])
def test_patches_of_a_picture(tmp_path, patch, stride, colours):
    one = subject("grid", colours, patch=patch, stride=stride, center=True, output="halves", mean=0.5)
    pictures = np.random.default_rng(0).uniform(size=(3, 11, 14, colours)).astype(np.float32)
    program = GRID.replace("HEIGHT", "11").replace("WIDTH", "14")
    found = features(build(tmp_path, header(one), program=program), pictures, one.encoder.width)
    check(found, encoded(one, pictures if colours > 1 else pictures[..., 0]), 1e-5)


@has("gcc")
def test_patches_as_they_are(tmp_path):
    one = subject("patches", patch=4, center=True, mean=0.5)
    patches = (
        np.random.default_rng(0).uniform(size=(9, 4, 4)).astype(np.float32) + 5
    )  # the stage rounds means to float32
    found = features(build(tmp_path, header(one), flags=("-O3",)), patches, one.encoder.width)
    check(found, encoded(one, patches), 1e-5)


@needs("kaldi_native_fbank")
def test_what_the_rate_does_not_do_for_is_refused():
    one = subject("log-mel", rank=4, length=1, hop=1, n_mels=200)
    with pytest.raises(ConfigError, match="log-mel: n_mels = 200"):
        header(one)


@needs("kaldi_native_fbank")
def test_what_a_stream_needs_is_said():
    one = subject("log-mel", rank=15, length=2, hop=1, n_mels=20)
    assert f"{4 * (200 + 40 + 256 + 2):,} bytes a stream" in header(one)
