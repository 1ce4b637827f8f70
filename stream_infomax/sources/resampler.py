"""Resampler: rows that come in portions, at another rate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]


class Resampler:
    """Resamples one uninterrupted signal (soxr, high quality).

    Parameters
    ----------
    rate, new_rate
        Samples a second that come in, and that go out.
    channels
        Of a row.
    """

    def __init__(self, rate: float, new_rate: float, channels: int) -> None:
        self.rate = rate
        self.new_rate = new_rate
        self._channels = channels
        self._stream = soxr.ResampleStream(rate, new_rate, channels, dtype="float32", quality="HQ")
        self._came = self._gone = 0

    @property
    def behind(self) -> float:
        """Seconds from the next sample that goes out to the next one that comes in."""
        return self._came / self.rate - self._gone / self.new_rate

    def add(self, rows: Samples) -> Samples:
        """Take rows (n, channels); return those that are complete now, which may be none."""
        self._came += len(rows)
        return self._out(rows, last=False)

    def end(self) -> Samples:
        """Return what is left at the end of the signal."""
        return self._out(np.empty((0, self._channels), np.float32), last=True)

    def _out(self, rows: Samples, *, last: bool) -> Samples:
        out: Samples = self._stream.resample_chunk(rows, last=last)
        out = out.reshape(-1, self._channels)
        self._gone += len(out)
        return out
