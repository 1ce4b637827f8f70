"""Hearing: the stretches of a stream, or the patches of its pictures, that drive each unit of a module most."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.contrast.layouts import Conv, Layer
from stream_infomax.watch.wav import as_wav

Floats = npt.NDArray[np.float64]
Samples = npt.NDArray[np.float32]
Layers = tuple[Layer, ...]

# Seconds of an excerpt, and how many are kept of a unit.
SECONDS, MOST = 0.5, 6
# Samples a second from which on a signal is sound: drawn as spectrogram, and played.
SOUND = 3000.0
# Decibels below the loudest that are still told apart.
RANGE = 60.0
# Streams whose last samples are kept.
MOST_STREAMS = 64


class Excerpt(NamedTuple):
    """What drove a unit.

    Attributes
    ----------
    value
        Of the unit's output.
    stream, segment
        Where it was.
    time
        Seconds of its end; of a picture the seconds of its frame.
    place
        Of its end in samples of the stream; the offset of a picture's frame.
    data
        Samples (n, channels), the last of which the unit heard last; or pixels (y, x) or (y, x, colour).
    """

    value: float
    stream: str
    segment: str
    time: float
    place: int
    data: Samples


class Tail(NamedTuple):
    """The last samples of a stream, the time (s) and the place (samples of the stream) of their end."""

    segment: str
    samples: Samples
    time: float
    place: int


class Hearing:
    """Keeps for every unit of a module the `MOST` excerpts in which its output was largest.

    A module is causal: an excerpt of a sequence is the `SECONDS` that end with what the row saw last, to within a row.
    Excerpts of a unit do not overlap; of a picture a unit has one patch.

    Parameters
    ----------
    grid
        Side of the patches of a grid, and pixels between two of them; None for sequences.
    n_added
        Channels that the module adds, the last of what it makes: its units. None: all are.

    Attributes
    ----------
    rate
        Samples per second of the source; 0 of pictures.
    frames, seconds
        Heard so far.
    version
        Grows whenever an excerpt is kept.
    """

    def __init__(self, grid: tuple[int, int] | None = None, n_added: int | None = None) -> None:
        self.grid, self.n_added = grid, n_added
        self.rate = 0.0
        self.version = self.frames = 0
        self.seconds = 0.0
        self._units: list[list[Excerpt]] = []
        self._least = np.zeros(0)
        self._n, self._sum, self._squares = 0, np.zeros(0), np.zeros(0)
        self._tails: OrderedDict[str, Tail] = OrderedDict()

    def listen(self, source: Frame, name: str, rows: Array, rate: float) -> None:
        """Take in what a module made of a frame.

        Parameters
        ----------
        source
            The frame as it came from the source.
        name
            Of the source's array.
        rows
            What the module made of it.
        rate
            Rows per second of that; of no meaning on grids.
        """
        if name not in source.arrays:  # a late label
            return
        given = source.arrays[name]
        self.frames, self.seconds = self.frames + 1, self.seconds + source.seconds
        values = rows.rows().astype(np.float64)
        if self.n_added is not None:
            values = values[:, -self.n_added :]
        if self.grid is not None and rows.n_row_axes == 2:
            self._weigh(values)
            if len(given.data):
                self._look(source, given.data[0], values, rows.data.shape[1])
        elif self.grid is None and rate > 0 and 0 < source.rate / rate < math.inf:
            self.rate = source.rate
            tail = self._followed(source, given.rows())
            self._weigh(values)
            self._hear(source, tail, values, source.rate / rate)
        if source.last or source.end:
            self._tails.pop(source.stream, None)

    def strongest(self, n: int) -> list[int]:
        """Return the units whose output deviates most, at most `n`; none that is always the same."""
        if self._n < 2:
            return []
        variance = self._squares / self._n - (self._sum / self._n) ** 2
        order = np.argsort(-variance, kind="stable")[:n]
        return [int(unit) for unit in order if variance[unit] > 1e-12 and self._units[unit]]

    def excerpts(self, unit: int) -> list[Excerpt]:
        """Return the excerpts of a unit, the strongest first; none of a unit that is not there."""
        return list(self._units[unit]) if 0 <= unit < len(self._units) else []

    @property
    def n_units(self) -> int:
        """How many units there are; 0 before the first row."""
        return len(self._units)

    def _weigh(self, values: Floats) -> None:
        """Count outputs in, for the deviation of every unit."""
        if len(self._units) != values.shape[1]:  # the first rows, or another module under the same name
            n = values.shape[1]
            self._units, self._least = [[] for _ in range(n)], np.full(n, -np.inf)
            self._n, self._sum, self._squares = 0, np.zeros(n), np.zeros(n)
        finite = values[np.isfinite(values).all(axis=1)]
        self._n += len(finite)
        self._sum += finite.sum(axis=0)
        self._squares += (finite**2).sum(axis=0)

    def _followed(self, source: Frame, samples: Samples) -> Tail:
        """Return the last samples of a stream with those of a frame."""
        tail = self._tails.pop(source.stream, None)
        seconds = len(samples) / source.rate
        # Frames may be missing between the two: an excerpt goes over no hole.
        if tail is None or tail.segment != source.segment or abs(source.time - tail.time) > max(seconds, 0.01) / 2:
            place = round(source.time * source.rate)
            tail = Tail(source.segment, samples[:0], source.time, place)
        kept = len(samples) + round(SECONDS * source.rate)
        both = np.concatenate([tail.samples, samples])[-kept:]
        tail = Tail(source.segment, both, source.time + seconds, tail.place + len(samples))
        self._tails[source.stream] = tail
        while len(self._tails) > MOST_STREAMS:
            self._tails.popitem(last=False)
        return tail

    def _hear(self, source: Frame, tail: Tail, values: Floats, step: float) -> None:
        """Keep stretches of sequences; rows come `step` samples apart, and the last with the frame's last sample."""
        span = round(SECONDS * source.rate)
        for unit, row in self._larger(values):
            before = round((len(values) - 1 - row) * step)
            end = len(tail.samples) - before
            if end < 1:
                continue
            data = np.array(tail.samples[max(0, end - span) : end], np.float32)
            time, place = tail.time - before / source.rate, tail.place - before
            found = Excerpt(float(values[row, unit]), source.stream, source.segment, time, place, data)
            self._keep(unit, found, span)

    def _look(self, source: Frame, picture: npt.NDArray[np.generic], values: Floats, columns: int) -> None:
        """Keep patches of a picture."""
        assert self.grid is not None
        side, stride = self.grid
        for unit, row in self._larger(values):
            y, x = (stride * i for i in divmod(row, columns))
            data = np.array(picture[y : y + side, x : x + side], np.float32)
            if not data.size:  # the grid is none of this picture
                continue
            value = float(values[row, unit])
            self._keep(unit, Excerpt(value, source.stream, source.segment, source.time, source.offset, data), 1)

    def _larger(self, values: Floats) -> list[tuple[int, int]]:
        """Return the units whose largest output is one to keep, each with its row."""
        if not len(values):
            return []
        known = np.where(np.isfinite(values), values, -np.inf)
        rows = known.argmax(axis=0)
        larger = known[rows, np.arange(known.shape[1])] > self._least
        return [(int(unit), int(rows[unit])) for unit in np.flatnonzero(larger)]

    def _keep(self, unit: int, found: Excerpt, span: int) -> None:
        """Keep an excerpt of a unit, unless a stronger one is there that overlaps it."""
        kept = self._units[unit]
        where = found.stream, found.segment
        near = [one for one in kept if (one.stream, one.segment) == where and abs(one.place - found.place) < span]
        if any(one.value >= found.value for one in near):
            return
        kept = [one for one in kept if not any(one is other for other in near)] + [found]
        kept.sort(key=lambda one: -one.value)
        self._units[unit] = kept[:MOST]
        self._least[unit] = kept[MOST - 1].value if len(kept) >= MOST else -np.inf
        self.version += 1


def added(name: str, layers: Layers) -> tuple[str, int]:
    """Return the array that ends with what a module of these layers adds to what comes in, and its channels there.

    It is z; a module that is only a GRU passes on what came in, and adds its context.
    """
    widths = [layer.width for layer in layers if isinstance(layer, Conv)]
    return (name, widths[-1]) if widths else (f"{name}.context", layers[-1].width)


def spectrogram(samples: Samples, longest: int, rate: float) -> Floats:
    """Return the power of sound over time and frequency.

    Parameters
    ----------
    samples
        (n, channels).
    longest
        Samples that it is filled up to with silence in front: stretches end at the same place.
    rate
        Samples per second.

    Returns
    -------
    Decibels below the loudest, (time, frequency): windows of 25 ms every 5 ms; nothing below -`RANGE`.
    """
    length, step = max(16, round(0.025 * rate)), max(1, round(0.005 * rate))
    sound = np.nan_to_num(samples.mean(axis=1, dtype=np.float64))
    sound = np.concatenate([np.zeros(max(longest, length, len(sound)) - len(sound)), sound])
    windows = np.lib.stride_tricks.sliding_window_view(sound, length)[::-1][::step][::-1] * np.hanning(length)
    power = np.abs(np.fft.rfft(windows, 2 * length, axis=1)) ** 2
    decibels: Floats = 10 * np.log10(np.maximum(power / max(power.max(), 1e-20), 10 ** (-RANGE / 10)))
    return decibels


def contrasts(patches: Sequence[Samples]) -> list[Floats]:
    """Return patches from -1 to 1 around their own middles, by the scale of the one of most contrast: flat ones are 0.

    Patches of pixels (y, x) or (y, x, channel) that are not of three colours are given as (y, x).
    """
    ends = [(float(np.min(patch)), float(np.max(patch))) for patch in patches]
    scale = max((high - low for low, high in ends), default=0.0) / 2 or 1.0
    scaled = [
        (patch.astype(np.float64) - (low + high) / 2) / scale for patch, (low, high) in zip(patches, ends, strict=True)
    ]
    return [one.mean(axis=2) if one.ndim == 3 and one.shape[2] != 3 else one for one in scaled]


def joined(excerpts: list[Excerpt], rate: float) -> Samples:
    """Return excerpts of sound one after the other, each as loud as the others, with a pause between: one channel."""
    pause = np.zeros(round(0.15 * rate), np.float32)
    fade = max(1, round(0.005 * rate))
    pieces = [pause[:0]]
    for excerpt in excerpts:
        sound = np.nan_to_num(excerpt.data.mean(axis=1), nan=0.0, posinf=0.0, neginf=0.0)
        sound = sound - sound.mean()
        sound *= 0.5 / max(float(np.abs(sound).max()), 1e-12)
        ramp = np.minimum(1.0, np.arange(1, len(sound) + 1, dtype=np.float32) / fade)
        pieces += [sound * ramp * ramp[::-1], pause]
    return np.concatenate(pieces).astype(np.float32)


def wav(excerpts: list[Excerpt], rate: float) -> bytes:
    """Return excerpts of sound as a WAV file."""
    return as_wav(joined(excerpts, rate), rate)
