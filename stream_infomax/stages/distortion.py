"""Distortion: log-mel patches as another voice, microphone or room would have given them.

A contrastive module that predicts an undistorted future from a distorted past learns what the two have in common
(E. Kharitonov et al. 2020, arXiv 2007.00991). A segment keeps its distortion from its first patch to its last: what is
drawn depends on the seed, the segment's name and the number of the copy only, so neither the cutting into frames nor
an interruption changes a bit.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]

LOWEST_HZ = 20.0  # where the bands of `LogMel` begin
CURVES = 4  # half waves of the curve over the bands, at most


class Strength(NamedTuple):
    """How far copies are from the original.

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
    """What one copy of one segment goes through: band j becomes (1 - share) · band lower + share · the next + offset.

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
        Seed, stream, segment, number of the copy.
    """
    digest = hashlib.blake2b("\0".join(str(name) for name in names).encode(), digest_size=16).digest()
    random = np.random.default_rng(int.from_bytes(digest, "little"))
    factor = math.exp(strength.warp * random.uniform(-1.0, 1.0))
    gain, *amplitudes = random.standard_normal(1 + CURVES)

    lowest, highest = (1127 * math.log1p(hertz / 700) for hertz in (LOWEST_HZ, rate / 2))
    step = (highest - lowest) / (n_mels + 1)
    centres = 700 * np.expm1((lowest + step * np.arange(1, n_mels + 1)) / 1127)
    place = np.clip((1127 * np.log1p(factor * centres / 700) - lowest) / step - 1, 0, n_mels - 1)
    lower = np.minimum(place.astype(np.intp), n_mels - 2)

    angle = np.pi * np.arange(n_mels) / n_mels
    curve = sum(amplitude * np.cos(k * angle) for k, amplitude in enumerate(amplitudes, 1))
    offset = strength.gain * gain + strength.tilt * curve
    return Distortion(lower, (place - lower).astype(np.float32), offset.astype(np.float32))
