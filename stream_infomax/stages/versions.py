"""Versions: what comes before windows and log-mel patches, cut again after it has been distorted."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from stream_infomax.stages.distortion import Strength, drawn, drawn_wave

Rows = npt.NDArray[np.float32]


class Versions(Protocol):
    """Makes distorted rows of an excerpt, which is what the rows were cut from: (frames, width)."""

    @property
    def length(self) -> int:
        """Frames of a row."""
        ...

    @property
    def hop(self) -> int:
        """Frames between the starts of two rows."""
        ...

    @property
    def width(self) -> int:
        """Numbers of a frame."""
        ...

    def cut(self, excerpt: Rows, rate: float, *names: object) -> Rows:
        """Return the rows of a version of an excerpt; its samples a second and the names draw the distortion."""
        ...


class MelVersions(NamedTuple):
    """Patches (n, length, width) of mel frames, as another voice, microphone or room would have given them."""

    length: int
    hop: int
    width: int
    strength: Strength

    def cut(self, excerpt: Rows, rate: float, *names: object) -> Rows:
        """Return the patches of a version of mel frames (frames, width)."""
        distorted = drawn(self.strength, self.width, rate, *names).of(excerpt)
        return sliding_window_view(distorted, self.length, axis=0)[:: self.hop].swapaxes(1, 2)


class WaveVersions(NamedTuple):
    """Windows (n, length) of samples, as another voice, microphone or room would have given them."""

    length: int
    hop: int
    strength: Strength
    width: int = 1

    def cut(self, excerpt: Rows, rate: float, *names: object) -> Rows:
        """Return the windows of a version of samples (samples, 1)."""
        return drawn_wave(self.strength, rate, *names).windows(excerpt[:, 0], self.length, self.hop)
