"""Distortion: sounds as another voice, microphone or room would have given them, as mel frames and as samples.

A contrastive module that predicts one version of an excerpt from another learns what the two have in common (E.
Kharitonov et al. 2020, arXiv 2007.00991, distort the past only). A version keeps its distortion from its first row to
its last. What is drawn depends on the names that are given only, so an interruption changes no bit.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Rows = npt.NDArray[np.float32]

LOWEST_HZ = 20.0  # where the bands of `LogMel` begin
TAPS = 33  # of the filter of a version of samples
CURVES = 4  # half waves of the curve over the bands, at most


class Strength(NamedTuple):
    """How far versions are from the original.

    Attributes
    ----------
    warp : float
        Frequencies are scaled by e^u, u uniform in [-warp, warp]; voices of adults differ by about 0.15.
    gain : float
        Standard deviation of the loudness, in nats of energy.
    tilt : float
        Standard deviation of each of the four cosines that make the curve over the bands, in nats of energy.
    """

    warp: float
    gain: float
    tilt: float


class Distortion(NamedTuple):
    """What one version of mel frames goes through: band j becomes (1 - share) · band lower + share · the next + offset.

    Attributes
    ----------
    lower : (n_mels,) array
        The band below the frequency that band j now stands for.
    share : (n_mels,) array
        How far that frequency is on the way to the next band.
    offset : (n_mels,) array
        Nats that are added.
    """

    lower: npt.NDArray[np.intp]
    share: Rows
    offset: Rows

    def of(self, patches: Rows) -> Rows:
        """Return distorted patches (n, frames, n_mels); number by number, so that n changes no bit."""
        lower = patches[..., self.lower]
        distorted: Rows = lower + self.share * (patches[..., self.lower + 1] - lower) + self.offset
        return distorted


def drawn(strength: Strength, n_mels: int, rate: float, *names: object) -> Distortion:
    """Return the distortion that the names draw.

    Parameters
    ----------
    strength
        How far it may be from the original.
    n_mels, rate
        Bands, and samples a second: the bands lie evenly on the mel scale from 20 Hz to half of it.
    *names
        Seed, number of the batch, place in it, which of the two versions.
    """
    random = _random(names)
    factor = math.exp(strength.warp * random.uniform(-1.0, 1.0))
    gain, *amplitudes = random.standard_normal(1 + CURVES)

    lowest, highest = _mel(LOWEST_HZ), _mel(rate / 2)
    step = (highest - lowest) / (n_mels + 1)
    centres = 700 * np.expm1((lowest + step * np.arange(1, n_mels + 1)) / 1127)
    place = np.clip((_mel(factor * centres) - lowest) / step - 1, 0, n_mels - 1)
    lower = np.minimum(place.astype(np.intp), n_mels - 2)
    offset = strength.gain * gain + strength.tilt * _curve(amplitudes, np.arange(n_mels) / n_mels)
    return Distortion(lower, (place - lower).astype(np.float32), offset.astype(np.float32))


class WaveDistortion(NamedTuple):
    """What one version of samples goes through: played faster by a factor, then filtered.

    Attributes
    ----------
    factor : float
        What took a second takes 1 / factor; all frequencies are higher by it.
    kernel : (TAPS,) array
        A filter of linear phase, loudness included.
    """

    factor: float
    kernel: Rows

    def windows(self, samples: Rows, length: int, hop: int) -> Rows:
        """Return windows (n, length) of distorted samples (t,), each where the n windows of the samples begin."""
        n = (len(samples) - length) // hop + 1
        last = max(round(len(samples) / self.factor), length)
        faster = np.interp(self.factor * np.arange(last), np.arange(len(samples)), samples).astype(np.float32)
        heard = np.convolve(faster, self.kernel, "same")[:last]
        starts = np.minimum(np.round(hop / self.factor * np.arange(n)).astype(np.intp), last - length)
        windows: Rows = sliding_window_view(heard, length)[starts]
        return windows


def drawn_wave(strength: Strength, rate: float, *names: object) -> WaveDistortion:
    """Return the distortion of samples that the names draw; strength, rate and names as for `drawn`."""
    random = _random(names)
    factor = math.exp(strength.warp * random.uniform(-1.0, 1.0))
    gain, *amplitudes = random.standard_normal(1 + CURVES)
    place = _mel(np.linspace(0, rate / 2, TAPS // 2 + 1)) / _mel(rate / 2)
    response = np.exp((strength.gain * gain + strength.tilt * _curve(amplitudes, place)) / 2)
    kernel = np.roll(np.fft.irfft(response, TAPS - 1), TAPS // 2)
    return WaveDistortion(factor, (np.append(kernel, kernel[:1]) * np.hanning(TAPS + 2)[1:-1]).astype(np.float32))


def _random(names: tuple[object, ...]) -> np.random.Generator:
    digest = hashlib.blake2b("\0".join(str(name) for name in names).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def _mel(hertz: Any) -> Any:
    return 1127 * np.log1p(hertz / 700)


def _curve(amplitudes: list[float], place: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the sum of cosines of one to four half waves at places from 0 to 1."""
    k = np.arange(1, len(amplitudes) + 1)
    curve: npt.NDArray[np.float64] = np.cos(np.pi * np.outer(place, k)) @ np.array(amplitudes)
    return curve
