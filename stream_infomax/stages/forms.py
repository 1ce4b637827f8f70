"""Forms: what signals and pictures are cut into, and what that takes to remember of one stream.

Windows of a signal never reach across segments or gaps. Samples at the end of a segment that fill no window are
dropped. A window that touches a sample that cannot be used comes out as NaN. How the samples were cut into frames
does not change a bit of the windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.ledger import Account
from stream_infomax.stages.logmel import LARGEST_SAMPLE, LogMel
from stream_infomax.state.kept import Kept

Rows = npt.NDArray[np.float32]

SIGNAL_AXES = (("time", "channel"), ("time", "component"), ("time",))
# Pictures that have no time of their own, and those of a video.
PICTURE_AXES = tuple((row, "y", "x", *colour) for colour in ((), ("colour",)) for row in ("item", "time"))


class Form(Kept):
    """One stream in one form.

    Attributes
    ----------
    accepted : tuple
        The axes that an array can have.
    rate : float
        Of the stream's frames; it stays.
    row_shape : tuple of int
        Of a sample or a picture; it stays. None before the first.
    stream : str
        Its name; empty before the first frame.
    unused : int
        Samples that are in no window yet.
    account : Account
        Where it counts what becomes of them.
    """

    accepted: ClassVar[tuple[tuple[str, ...], ...]]
    kept: ClassVar[tuple[str, ...]] = ("rate", "row_shape", "stream", "unused")

    def __init__(self) -> None:
        self.account = Account("", "stage")
        self.stream = ""
        self.unused = 0
        self.rate = 0.0
        self.row_shape: tuple[int, ...] | None = None

    def cut(self, frame: Frame, array: Array) -> tuple[Array, float, float]:
        """Return the rows that the array of a frame completes, the time (s) of the first, and their rate (1/s)."""
        raise NotImplementedError

    def expect(self, frame: Frame, row_shape: tuple[int, ...]) -> None:
        """Take rate and shape from the first frame of the stream, and refuse others."""
        if self.row_shape is None:
            self.rate, self.row_shape, self.stream = frame.rate, row_shape, frame.stream
        if self.rate != frame.rate:
            raise ValueError(f"stream {frame.stream!r}: the rate changed from {self.rate:g} to {frame.rate:g}")
        if self.row_shape != row_shape:
            raise ValueError(f"stream {frame.stream!r}: the shape changed from {self.row_shape} to {row_shape}")

    def interrupt(self) -> None:
        """What comes next does not continue what came before."""
        self.reset()

    def reset(self) -> None:
        """A segment is over: what is in no window never will be."""
        self.account.drop(self.stream, "too few for a window", self.unused)
        self.unused = 0

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned. Raises ValueError, naming the key, where it does not fit."""
        super().restore(state)
        self.row_shape = None if self.row_shape is None else tuple(self.row_shape)


class Signal(Form):
    """One stream's samples, from the first of the next window on."""

    accepted = SIGNAL_AXES
    kept: ClassVar[tuple[str, ...]] = (*Form.kept, "tail", "position", "time")
    limit: ClassVar[float] = np.inf  # samples from here on cannot be used

    def __init__(self) -> None:
        super().__init__()
        self.tail: Rows | None = None
        self.position = 0  # samples of the segment before the tail
        self.time = 0.0  # seconds of the segment's first sample, or of the first after a gap

    def cut(self, frame: Frame, array: Array) -> tuple[Array, float, float]:
        """Return the windows that the samples of a frame complete, the time (s) of the first, and their rate (1/s)."""
        samples = array.rows().astype(np.float32, copy=False)
        self.expect(frame, samples.shape[1:])
        if self.tail is None:
            self.tail, self.position, self.time = samples[:0], 0, frame.time
        held = np.concatenate([self.tail, samples])
        rows, span, step = self.windows(samples, held)
        usable = np.abs(held) < self.limit
        if len(rows) and not usable.all():
            bad = ~usable.all(axis=1)
            rows[sliding_window_view(bad, span)[::step].any(axis=1)] = np.nan
        time = self.time + (self.position / frame.rate if frame.rate else 0.0)
        self._book(len(samples), len(held), len(rows), span, step)
        self.tail = held[len(rows) * step :].copy()
        self.position += len(rows) * step
        return Array(rows, self.axes(array, rows)), time, frame.rate / step

    def _book(self, n_new: int, n_held: int, n_windows: int, span: int, step: int) -> None:
        """Count the samples that the newest windows are the first to have."""
        self.unused += n_new
        if n_windows:
            left = n_held - ((n_windows - 1) * step + span)
            self.account.process(self.stream, self.unused - left)
            self.unused = left

    def windows(self, samples: Rows, held: Rows) -> tuple[Rows, int, int]:
        """Return new windows, the samples of each, and those between the starts of two.

        Parameters
        ----------
        samples
            The new samples (n, channels).
        held
            The samples since the first of the next window, the new ones included.
        """
        raise NotImplementedError

    def axes(self, array: Array, rows: Rows) -> tuple[str, ...]:
        """Return the axes of the windows."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget the signal."""
        super().reset()
        self.tail = None

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned. Raises ValueError, naming the key, where it does not fit."""
        super().restore(state)
        if self.tail is not None and self.tail.shape[1:] != self.row_shape:
            raise ValueError(f"tail: shape {self.tail.shape} does not fit rows of {self.row_shape}")


class Waveform(Signal):
    """Windows of `length` samples every `hop` samples: (time, sample), and what a sample is made of where it is more.

    Parameters
    ----------
    length, hop
        Samples of a window, and between the starts of two.
    """

    def __init__(self, length: int, hop: int) -> None:
        super().__init__()
        self.length, self.hop = length, hop

    def windows(self, samples: Rows, held: Rows) -> tuple[Rows, int, int]:
        """Return new windows, the samples of each, and those between the starts of two."""
        rows = np.empty((0, self.length, held.shape[1]), np.float32)
        if len(held) >= self.length:
            rows = sliding_window_view(held, self.length, axis=0)[:: self.hop].swapaxes(1, 2)
        if rows.shape[2] == 1:
            rows = rows[:, :, 0]
        return rows.copy(), self.length, self.hop

    def axes(self, array: Array, rows: Rows) -> tuple[str, ...]:
        """Return the axes of the windows."""
        return ("time", "sample", *array.axes[1:])[: rows.ndim]


class MelPatches(Signal):
    """Patches of `length` mel frames every `hop` mel frames, of one channel: (time, sample, mel).

    Parameters
    ----------
    length, hop
        Mel frames of a patch, and between the starts of two.
    n_mels, window_ms, shift_ms
        As for `LogMel`.
    """

    limit = LARGEST_SAMPLE

    def __init__(self, length: int, hop: int, n_mels: int, window_ms: float, shift_ms: float) -> None:
        super().__init__()
        self.length, self.hop = length, hop
        self.n_mels, self.window_ms, self.shift_ms = n_mels, window_ms, shift_ms
        self.mel: LogMel | None = None  # not kept: a new one is fed with the tail

    def expect(self, frame: Frame, row_shape: tuple[int, ...]) -> None:
        """Take rate and shape from the first frame of the stream; refuse others, and those without a spectrum."""
        if frame.rate <= 0:
            raise ValueError(f"log-mel needs samples per second; stream {frame.stream!r} has rate = 0")
        if row_shape != (1,):
            raise ValueError(
                f"log-mel accepts one channel (the audio source's channels = 'mix'); stream {frame.stream!r} has "
                f"{row_shape[0]}"
            )
        super().expect(frame, row_shape)

    def windows(self, samples: Rows, held: Rows) -> tuple[Rows, int, int]:
        """Return new patches, the samples behind each, and those between the starts of two."""
        if self.mel is None:
            self.mel = LogMel(self.rate, self.n_mels, self.window_ms, self.shift_ms)
            samples = held
        mel = self.mel
        mel.accept(samples[:, 0])
        rows = np.empty((0, self.length, self.n_mels), np.float32)
        if len(mel.frames) >= self.length:
            rows = sliding_window_view(mel.frames, self.length, axis=0)[:: self.hop].swapaxes(1, 2).copy()
        mel.drop(len(rows) * self.hop)
        return rows, (self.length - 1) * mel.shift + mel.window, self.hop * mel.shift

    def axes(self, array: Array, rows: Rows) -> tuple[str, ...]:
        """Return the axes of the patches."""
        return ("time", "sample", "mel")

    def reset(self) -> None:
        """Forget the signal."""
        super().reset()
        self.mel = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "mel": None}


class Patches(Form):
    """Patches as they are: (item, y, x), and colour."""

    accepted = PICTURE_AXES

    def cut(self, frame: Frame, array: Array) -> tuple[Array, float, float]:
        """Return the patches of a frame, its time (s) and its rate (1/s)."""
        self.expect(frame, array.row_shape)
        self.account.process(self.stream, array.n_rows)
        return Array(array.data.astype(np.float32, copy=False), array.axes), frame.time, frame.rate


class Grid(Form):
    """One picture a frame to a grid of its patches: (grid_y, grid_x, y, x), and colour.

    Parameters
    ----------
    patch, stride
        Pixels of a patch's side, and between two patches.
    """

    accepted = PICTURE_AXES

    def __init__(self, patch: int, stride: int) -> None:
        super().__init__()
        self.patch, self.stride = patch, stride

    def cut(self, frame: Frame, array: Array) -> tuple[Array, float, float]:
        """Return the patches of the picture, its time (s) and its rate (1/s)."""
        self.expect(frame, array.row_shape)
        if len(array.data) != 1:
            raise ValueError(f"grid accepts frames of one picture (crops or tiles), got one of {len(array.data)}")
        picture = array.data[0].astype(np.float32, copy=False)
        if min(picture.shape[:2]) < self.patch:
            raise ValueError(f"a picture of {picture.shape[:2]} pixels holds no patch of {self.patch} × {self.patch}")
        patches = sliding_window_view(picture, (self.patch, self.patch), axis=(0, 1))[:: self.stride, :: self.stride]
        if picture.ndim == 3:
            patches = np.moveaxis(patches, 2, -1)
        self.account.process(self.stream)
        return Array(patches.copy(), ("grid_y", "grid_x", *array.axes[1:])), frame.time, frame.rate
