"""Sound as a WAV file."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import soundfile


def as_wav(samples: npt.NDArray[np.floating], rate: float) -> bytes:
    """Return samples (n,), full scale being 1, as a WAV file of one channel, 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, samples, round(rate), "PCM_16", format="WAV")
    return file.getvalue()
