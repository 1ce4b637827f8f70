"""What components sound like, by their spectra."""

import io

import numpy as np
import pytest
import soundfile
from helpers.extras import needs
from helpers.geometries import basis

from stream_infomax.page.origin import Origin, origin
from stream_infomax.page.sound import is_sound, sound_of, wav
from stream_infomax.page.watched import Stage, Watched

RATE = 8000.0


def heard(data: bytes) -> np.ndarray:
    samples, rate = soundfile.read(io.BytesIO(data))
    assert rate == RATE
    return samples


def gabor(hertz: float, n: int = 64) -> np.ndarray:
    t = np.arange(n)
    return np.hanning(n) * np.cos(2 * np.pi * hertz / RATE * t)


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 3100.0])
def test_a_window_keeps_its_spectrum(hertz: float) -> None:
    window = gabor(hertz)
    samples = heard(wav(basis(("sample",), (64,), mixing=-window[:, None]), 0, Origin(RATE)))
    pieces = samples[2000:22_000].reshape(-1, 250)
    power = (np.abs(np.fft.rfft(pieces * np.hanning(250), axis=1)) ** 2).mean(0)
    wanted = np.abs(np.fft.rfft(window - window.mean(), 250)) ** 2
    assert np.corrcoef(power, wanted)[0, 1] > 0.95
    assert np.fft.rfftfreq(250, 1 / RATE)[power.argmax()] == pytest.approx(hertz, abs=100)


@pytest.mark.parametrize("axes", [("sample",), ("sample", "mel")])
def test_it_lasts_three_seconds_at_its_level_and_is_faded(axes: tuple[str, ...]) -> None:
    shape = (64,) if len(axes) == 1 else (10, 20)
    data = wav(basis(axes, shape), 2, Origin(RATE, 0.01))
    samples = heard(data)
    assert samples.shape == (24_000,)
    assert 20 * np.log10(np.sqrt(np.mean(samples**2))) == pytest.approx(-20, abs=1)
    assert np.abs(samples).max() < 1
    assert np.abs(samples[[0, -1]]).max() < 1e-3
    assert wav(basis(axes, shape), 2, Origin(RATE, 0.01)) == data


@needs("kaldi_native_fbank")
def test_log_mel_of_a_patchs_sound_is_the_patch() -> None:
    from stream_infomax.stages.logmel import LogMel

    time, band = np.mgrid[:20, :24]
    patch = np.exp(-((band - 4 - 0.8 * time) ** 2) / 18)  # a tone that rises
    patch -= patch.mean()
    samples = heard(wav(basis(("sample", "mel"), (20, 24), mixing=patch.reshape(-1, 1)), 0, Origin(RATE, 0.01)))
    mel = LogMel(RATE, 24, 25.0, 10.0)
    mel.accept((samples * 32768).astype(np.float32))
    period = 20 + 15
    frames = mel.frames[: len(mel.frames) // period * period].reshape(-1, period, 24).mean(0)
    agreement = max(np.corrcoef(np.roll(frames, -k, 0)[:20].ravel(), patch.ravel())[0, 1] for k in range(period))
    assert agreement > 0.9


def test_silence_is_silent() -> None:
    for axes, shape in ((("sample",), (64,)), (("sample", "mel"), (4, 10))):
        samples = heard(wav(basis(axes, shape, mixing=np.zeros((int(np.prod(shape)), 1))), 0, Origin(RATE, 0.01)))
        assert len(samples) == 24_000
        assert axes != ("sample",) or not samples.any()


def test_only_sound_is_heard() -> None:
    assert is_sound(basis(("sample",), (64,)), Origin(RATE))
    assert not is_sound(basis(("sample",), (64,)), Origin(160.0))
    assert not is_sound(basis(("sample",), (64,)), Origin())
    assert not is_sound(basis(("y", "x"), (8, 8)), Origin(RATE))
    assert not is_sound(basis(("sample", "mel"), (8, 8)), Origin(RATE))


def watched(front: Stage) -> Watched:
    source = Stage("audio", "audio", "source", rate=RATE, channels=("left",))
    found = Watched("a run", ["source"], [source, front, Stage("learner", "learner", "learner", "windows")])
    found.basis(basis(("sample",), (64,)))
    return found


def test_the_configuration_tells_the_rate() -> None:
    windows = Stage("windows", "windows", "learner", "audio", 250.0, settings={"form": "waveform"})
    one = watched(windows)
    assert origin(one, one.bases["learner"]) == Origin(RATE, 0.0, ("left",), "windows")
    mel = windows._replace(settings={"form": "log-mel", "shift_ms": 8.0})
    assert origin(watched(mel), one.bases["learner"]) == Origin(RATE, 0.008, ("left",), "windows")
    assert origin(Watched("another", []), one.bases["learner"]) == Origin()


def test_what_is_not_there_has_no_sound() -> None:
    one = watched(Stage("windows", "windows", "learner", "audio", 250.0, settings={"form": "waveform"}))
    assert sound_of(one, "learner", 0)
    for key, component in (("learner", 7), ("learner", -1), ("other", 0)):
        assert sound_of(one, key, component) is None
