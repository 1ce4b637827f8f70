"""Mel: the steps from samples to log-mel, as LogMel's extractor has them, for formats that have to do them again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_infomax.configuration.load import ConfigError
from stream_infomax.export.subject import Front
from stream_infomax.stages.logmel import LogMel

Doubles = NDArray[np.float64]

# Of Kaldi's filter bank.
PREEMPHASIS = 0.97
LOWEST = 20.0  # Hz
POVEY = 0.85
FLOOR = 2.0**-23  # of a band's energy


@dataclass(frozen=True)
class Mel:
    """Log-mel of one stretch of samples.

    The mean is taken away; from each sample the share PREEMPHASIS of the one before (from the first of itself); times
    `taper`; zeros up to `n_fft`; squared magnitudes of its Fourier transform below half the rate; `bands` of them; the
    logarithm of that, but at least of FLOOR.

    Attributes
    ----------
    shift
        Samples between two stretches.
    taper
        Povey's window, as long as a stretch.
    n_fft
        The next power of two.
    places
        Of the frequencies on the mel scale, (n_fft / 2,): in band widths from the corner before the first centre on.
    n_mels
        Bands; each goes from the centre before it to the one behind.
    """

    shift: int
    taper: Doubles
    n_fft: int
    places: Doubles
    n_mels: int

    @classmethod
    def of(cls, front: Front) -> Self:
        """Return the steps of a stage's log-mel; raises ConfigError where its rate does not do for its bands."""
        given, rate = front.windows, front.rate
        try:
            extractor = LogMel(rate, given.n_mels, given.window_ms, given.shift_ms)
        except ValueError as error:
            raise ConfigError(f"log-mel: {error}") from error
        n_fft = 1 << (extractor.window - 1).bit_length()
        phase = 2 * np.pi * np.arange(extractor.window) / (extractor.window - 1)
        taper = (0.5 - 0.5 * np.cos(phase)) ** POVEY
        return cls(extractor.shift, taper, n_fft, _places(given.n_mels, rate, n_fft), given.n_mels)

    @property
    def window(self) -> int:
        """Samples of a stretch."""
        return len(self.taper)

    @property
    def bands(self) -> Doubles:
        """Weights, (n_mels, n_fft / 2): triangles."""
        return np.asarray(np.maximum(0, 1 - np.abs(self.places - np.arange(1, self.n_mels + 1)[:, None])))

    def transforms(self) -> tuple[Doubles, Doubles]:
        """Return all up to the squares as two matrices, (n_fft / 2, window): real and imaginary parts."""
        steps = np.eye(self.window) - 1 / self.window
        steps = steps - PREEMPHASIS * np.concatenate([steps[:1], steps[:-1]])
        spectrum = np.fft.rfft(self.taper[:, None] * steps, self.n_fft, axis=0)[:-1]
        return spectrum.real, spectrum.imag

    def __call__(self, samples: NDArray[Any]) -> Doubles:
        """Return the log-mel of every stretch of samples (n,), in float64: (frames, n_mels)."""
        stretches = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), self.window)[:: self.shift]
        real, imaginary = self.transforms()
        power = (stretches @ real.T) ** 2 + (stretches @ imaginary.T) ** 2
        return np.asarray(np.log(np.maximum(power @ self.bands.T, FLOOR)))


def _places(n_mels: int, rate: float, n_fft: int) -> Doubles:
    """Return where frequencies are among the bands: 1 is the centre of the first, n_mels that of the last one."""
    lowest, highest = _mel(np.array([LOWEST, rate / 2]))
    at = (_mel(rate / n_fft * np.arange(n_fft // 2)) - lowest) / (highest - lowest) * (n_mels + 1)
    return np.asarray(np.clip(at, 0, n_mels + 1))


def _mel(frequency: NDArray[Any]) -> Doubles:
    return np.asarray(1127 * np.log1p(frequency / 700))
