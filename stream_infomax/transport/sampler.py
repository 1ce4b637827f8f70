"""Sampler: which frames a viewer is sent where there are more than it needs."""

from __future__ import annotations

import math


class Sampler:
    """A token bucket: at most so many frames and bytes a second, those of one second at once.

    Parameters
    ----------
    frames, n_bytes
        A second.

    Examples
    --------
    >>> sampler = Sampler(2, 1000)
    >>> [bool(sampler.admits(0.0) and (sampler.take(100) or True)) for _ in range(3)]
    [True, True, False]
    """

    def __init__(self, frames: int, n_bytes: int) -> None:
        self._limits = (float(frames), float(n_bytes))
        self._frames, self._bytes = self._limits
        self._filled = -math.inf

    def admits(self, now: float) -> bool:
        """Return whether there is room for a frame at a time, in seconds of a clock that never goes back."""
        seconds, self._filled = now - self._filled, now
        frames, n_bytes = self._limits
        self._frames = min(frames, self._frames + frames * seconds)
        self._bytes = min(n_bytes, self._bytes + n_bytes * seconds)
        return self._frames >= 1 and self._bytes > 0

    def take(self, n_bytes: int) -> None:
        """Count a frame of so many bytes; a large one is paid for by those that come later."""
        self._frames -= 1
        self._bytes -= n_bytes
