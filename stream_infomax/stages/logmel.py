"""LogMel: mel frames from samples as they come, by kaldi-native-fbank's online extractor."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream_infomax.settings.extras import optional

# From here on a power spectrum overflows float32; such samples count as not finite.
LARGEST_SAMPLE = 1e15

Samples = npt.NDArray[np.float32]


class LogMel:
    """Log energies of mel bands, one mel frame for `window` samples every `shift` samples.

    A mel frame depends on its own samples only: there is no dither, and neither how the samples were cut nor the
    frame that the extractor was started with changes a bit. Silence comes out at the extractor's floor, log(2⁻²³).

    Parameters
    ----------
    rate
        Samples a second.
    n_mels
        Bands, from 20 Hz to half the rate.
    window_ms, shift_ms
        Milliseconds of the analysis window (Povey) and of its step, rounded to whole samples.

    Attributes
    ----------
    window, shift : int
        Samples of the analysis window and of its step.
    frames : (n, n_mels) array
        Mel frames from the first that has not been dropped.

    Raises
    ------
    ValueError
        A step of no sample or longer than the window; bands that the rate and window cannot resolve.
    """

    def __init__(self, rate: float, n_mels: int, window_ms: float, shift_ms: float) -> None:
        self.rate = rate
        self.window = round(rate * window_ms / 1000)
        self.shift = round(rate * shift_ms / 1000)
        if not 1 <= self.shift <= self.window:
            raise ValueError(
                f"shift_ms = {shift_ms:g} and window_ms = {window_ms:g} are {self.shift} and {self.window} samples at "
                f"{rate:g} samples a second; accepted is 1 <= shift <= window"
            )
        with optional():
            import kaldi_native_fbank
        options = kaldi_native_fbank.FbankOptions()
        options.frame_opts.samp_freq = rate
        options.frame_opts.dither = 0.0
        # The extractor cuts milliseconds down to samples in float32; half a sample more makes that exact.
        options.frame_opts.frame_length_ms = (self.window + 0.5) * 1000 / rate
        options.frame_opts.frame_shift_ms = (self.shift + 0.5) * 1000 / rate
        options.mel_opts.num_bins = n_mels
        try:
            self._extractor = kaldi_native_fbank.OnlineFbank(options)
        except ValueError as error:
            raise ValueError(
                f"n_mels = {n_mels} with window_ms = {window_ms:g} at {rate:g} samples a second: {error}"
            ) from error
        self._n_read = 0
        self.frames: npt.NDArray[np.float32] = np.empty((0, n_mels), np.float32)

    def accept(self, samples: Samples) -> None:
        """Take the next samples, of shape (n,), and append the mel frames that they complete."""
        usable = np.abs(samples) < LARGEST_SAMPLE
        self._extractor.accept_waveform(self.rate, np.where(usable, samples, np.float32(0)))
        ready = self._extractor.num_frames_ready
        if ready > self._n_read:
            # What get_frame returns is memory of the extractor: it is copied before pop() frees it.
            new = np.stack([self._extractor.get_frame(i) for i in range(self._n_read, ready)])
            self._extractor.pop(ready - self._n_read)
            self._n_read = ready
            self.frames = np.concatenate([self.frames, new])

    def drop(self, n: int) -> None:
        """Forget the first `n` of the mel frames that are held."""
        self.frames = self.frames[n:].copy()
