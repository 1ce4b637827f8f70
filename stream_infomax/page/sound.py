"""What a component of sound sounds like: three seconds of it, as a WAV file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream_infomax.drawing.scaling import heavier_side_up
from stream_infomax.frames.basis import Basis
from stream_infomax.page.origin import Origin, origin
from stream_infomax.page.watched import Watched
from stream_infomax.watch.wav import as_wav

Floats = npt.NDArray[np.float64]

SECONDS, FADE = 3.0, 0.05
# Root mean square, full scale being 1; no sample is larger than PEAK.
LEVEL, PEAK = 10 ** (-20 / 20), 0.98
# What browsers play.
SLOWEST, FASTEST = 3000.0, 192_000.0
# Of a window, so many are heard at the same time: a steady sound.
OVERLAP = 8
# Of a log-mel patch: what stands out most is so much louder or softer than the rest; seconds of silence behind each.
DECIBELS, PAUSE = 15.0, 0.15
# Of Kaldi's filter bank.
PREEMPHASIS, LOWEST = 0.97, 20.0


def sound_of(watched: Watched, key: str, component: int) -> bytes | None:
    """Return a component of the learner `key` as a WAV file; None where there is none, or it is not of sound."""
    basis = watched.bases.get(key)
    if basis is None or not 0 <= component < len(basis.components):
        return None
    found = origin(watched, basis)
    return wav(basis, component, found) if is_sound(basis, found) else None


def is_sound(basis: Basis, found: Origin) -> bool:
    """Return whether the components of a basis can be heard."""
    mel = basis.axes == ("sample", "mel") and found.step > 0
    return SLOWEST <= found.rate <= FASTEST and (mel or basis.axes == ("sample",))


def wav(basis: Basis, component: int, found: Origin) -> bytes:
    """Return a component as a WAV file: 3 s of one channel, 16 bits, at -20 dBFS, faded in and out.

    A window is heard as many of itself, at random times and with random signs: noise that has its spectrum. A log-mel
    patch is heard as noise with its course over time and bands, again and again. The same component sounds the same.
    """
    column = np.asarray(basis.mixing[:, component], np.float64)
    rng = np.random.default_rng(component)
    n = round(SECONDS * found.rate)
    if basis.axes == ("sample", "mel"):
        patch = column.reshape(basis.shape) * heavier_side_up(column[None])[0]
        samples = _patches(patch, n, found, rng)
    else:
        samples = _windows(column, n, rng)
    return as_wav(_levelled(samples, found.rate), found.rate)


def _windows(window: Floats, n: int, rng: np.random.Generator) -> Floats:
    """Return n samples of windows at random times."""
    starts = np.zeros(n + len(window))
    times = rng.integers(len(starts), size=round(OVERLAP * len(starts) / len(window)))
    np.add.at(starts, times, rng.choice([-1.0, 1.0], size=len(times)))
    n_fft = len(starts) + len(window)
    return np.fft.irfft(np.fft.rfft(starts, n_fft) * np.fft.rfft(window - window.mean(), n_fft), n_fft)[
        len(window) : len(window) + n
    ]


def _patches(patch: Floats, n: int, found: Origin, rng: np.random.Generator) -> Floats:
    """Return n samples of a log-mel patch (time, band), again and again with a pause behind each."""
    shift = max(1, round(found.step * found.rate))
    pause = max(1, round(PAUSE / found.step))
    once = np.concatenate([_gains(patch, found.rate, 4 * shift), np.zeros((pause, 2 * shift + 1))])
    steps = n // shift + 4
    gains = np.resize(once, (steps, once.shape[1]))
    # Noise in overlapping pieces, each with the spectrum of its step.
    taper = np.hanning(4 * shift + 1)[:-1]
    noise = rng.standard_normal((steps + 3) * shift)
    pieces = np.lib.stride_tricks.sliding_window_view(noise, 4 * shift)[::shift] * taper
    pieces = np.fft.irfft(np.fft.rfft(pieces, axis=1) * gains, axis=1) * taper
    samples = np.zeros(len(noise))
    for i, piece in enumerate(pieces):
        samples[i * shift : i * shift + len(piece)] += piece
    return samples[3 * shift :][:n]


def _gains(patch: Floats, rate: float, n_fft: int) -> Floats:
    """Return the amplitude of each frequency of each step (time, n_fft / 2 + 1)."""
    largest = np.abs(patch).max() or 1.0
    decibels = DECIBELS * patch / largest
    hertz = np.fft.rfftfreq(n_fft, 1 / rate).astype(np.float64)
    low, high = _mel(np.array([LOWEST, rate / 2]))
    centres = np.linspace(low, high, patch.shape[1] + 2)[1:-1]
    mels = _mel(hertz)
    power = np.stack([np.interp(mels, centres, row) for row in decibels])
    # A band is the wider the higher it is, and log-mel is of a sound whose high frequencies have been raised.
    raised = np.abs(1 - PREEMPHASIS * np.exp(-2j * np.pi * hertz / rate))
    amplitudes = 10 ** (power / 20) / (np.sqrt(700 + hertz) * raised)
    return np.where((mels < low) | (mels > high), 0.0, amplitudes)


def _mel(hertz: Floats) -> Floats:
    mels: Floats = 1127 * np.log1p(hertz / 700)
    return mels


def _levelled(samples: Floats, rate: float) -> Floats:
    level = np.sqrt(np.mean(samples**2))
    if not np.isfinite(level) or level == 0:
        return np.zeros(len(samples))
    scaled: Floats = samples * (LEVEL / level)
    n_fade = round(FADE * rate)
    fade = np.sin(np.linspace(0, np.pi / 2, n_fade)) ** 2
    scaled[:n_fade] *= fade
    scaled[-n_fade:] *= fade[::-1]
    scaled *= min(1.0, PEAK / np.abs(scaled).max())
    return scaled
