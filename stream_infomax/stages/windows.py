"""WindowsStage: signals to overlapping windows and log-mel patches, pictures to patches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from stream_infomax.frames.contracts import Metrics, State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.record import Settings, make
from stream_infomax.settings.types import Doc, Positive, PositiveFloat
from stream_infomax.stages.logmel import LARGEST_SAMPLE, LogMel

SIGNAL_AXES = (("time", "channel"), ("time", "component"), ("time",))
PICTURE_AXES = (("item", "y", "x"), ("item", "y", "x", "colour"))

Samples = npt.NDArray[np.float32]


@dataclass(slots=True)
class _Stream:
    """What is remembered of one stream: what its arrays look like and, of signals, where the next window begins."""

    rate: float
    row_shape: tuple[int, ...]
    segment: str = ""
    # Samples from the first of the next window on, and how many of the segment lie before them.
    tail: Samples | None = None
    position: int = 0
    # Seconds of the first sample of the segment, or of the first after a gap.
    time: float = 0.0
    mel: LogMel | None = None

    def reset(self) -> None:
        """Forget the signal: what comes next does not continue it."""
        self.tail = self.mel = None


class WindowsSettings(Settings, frozen=True, kw_only=True):
    """Signals to windows and log-mel patches, pictures to patches."""

    form: Annotated[
        Literal["waveform", "log-mel", "patches", "grid"],
        Doc(
            "`waveform`: windows of `length` samples every `hop` samples. `log-mel`: patches of `length` mel frames "
            "every `hop` mel frames, of one channel. `patches`: a frame of patches as it is. `grid`: one picture a "
            "frame to patches of `patch` × `patch` pixels every `stride` pixels."
        ),
    ] = "waveform"
    length: Annotated[Positive, Doc("Samples of a window; with `log-mel`, mel frames.")] = 64
    hop: Annotated[Positive, Doc("Samples, or mel frames, between the starts of two windows; at most `length`.")] = 32
    n_mels: Annotated[Positive, Doc("Log-mel: bands.")] = 40
    window_ms: Annotated[PositiveFloat, Doc("Log-mel: milliseconds of the analysis window.")] = 25.0
    shift_ms: Annotated[PositiveFloat, Doc("Log-mel: milliseconds between two mel frames.")] = 10.0
    patch: Annotated[Positive, Doc("Grid: side of a patch in pixels.")] = 12
    stride: Annotated[Positive, Doc("Grid: pixels between the starts of two patches; at most `patch`.")] = 12
    center: Annotated[bool, Doc("Take each row's own mean away.")] = False

    def __post_init__(self) -> None:
        # What does not stand in this form is not looked at.
        if self.form in ("waveform", "log-mel") and self.hop > self.length:
            raise SettingError("hop", self.hop, f"1 <= hop <= length = {self.length}, which loses no sample")
        if self.form == "grid" and self.stride > self.patch:
            raise SettingError("stride", self.stride, f"1 <= stride <= patch = {self.patch}, which loses no pixel")

    def needs(self) -> tuple[str, ...]:
        """Return the packages that the stage needs."""
        return ("kaldi_native_fbank",) if self.form == "log-mel" else ()


@configured_by(WindowsSettings)
class WindowsStage:
    """Cuts each frame's array into rows of a fixed geometry, without losing or repeating a sample at a border.

    Windows never reach across segments or gaps. Samples at the end of a segment that fill no window are dropped.
    A window that touches a sample that is not finite comes out as a row of NaN. How the samples were cut into
    frames does not change a bit of the windows.

    Parameters
    ----------
    name, input, carry
        Name of the stage and of its array; the array it reads; the arrays that it passes on.

    Raises
    ------
    ValueError
        From the constructor: a setting that loses samples or is not known. From `process`: an array whose axes
        do not fit `form`; a rate, channel count or picture shape that changes within a stream; log-mel without a
        rate or of several channels.
    """

    def __init__(self, name: str, input: str, carry: tuple[str, ...] = (), **settings: Any) -> None:
        given = make(WindowsSettings, settings)
        require(*given.needs())
        self.name = name
        self.input = input
        self.carry = tuple(carry)
        self.form = given.form
        self.length = given.length
        self.hop = given.hop
        self.n_mels = given.n_mels
        self.window_ms = given.window_ms
        self.shift_ms = given.shift_ms
        self.patch = given.patch
        self.stride = given.stride
        self.center = given.center
        self._streams: dict[str, _Stream] = {}
        self._offset = -1
        self._counts = {"rows": 0, "rows_nan": 0, "gaps": 0}

    def process(self, frame: Frame) -> Frame:
        """Return the frame with the rows that its array completes; maybe none."""
        self._watch_for_gap(frame.offset)
        array = frame.arrays.get(self.input)
        if array is None:
            out = frame.extend({}, self.carry)
        elif self.form in ("waveform", "log-mel"):
            out = self._signal(frame, array)
        else:
            out = self._picture(frame, array)
        if frame.end:
            self._streams.pop(frame.stream, None)
        elif frame.last and frame.stream in self._streams:
            self._streams[frame.stream].reset()
        return out

    def state(self) -> State:
        """Return the unused samples of every stream; log-mel frames are computed from them again."""
        streams = {}
        for name, stream in self._streams.items():
            streams[name] = {
                "rate": stream.rate,
                "row_shape": list(stream.row_shape),
                "segment": stream.segment,
                "tail": None if stream.tail is None else stream.tail.copy(),
                "position": stream.position,
                "time": stream.time,
            }
        return {"form": self.form, "offset": self._offset, "streams": streams}

    def restore(self, state: State) -> None:
        """Take over what `state()` returned. Raises ValueError, naming the key, where it does not fit."""
        if state.get("form") != self.form:
            raise ValueError(f"form: the state is of {state.get('form')!r}, this stage is {self.form!r}")
        streams = {}
        for name, saved in state["streams"].items():
            streams[name] = stream = _Stream(
                rate=saved["rate"],
                row_shape=tuple(saved["row_shape"]),
                segment=saved["segment"],
                position=saved["position"],
                time=saved["time"],
            )
            if saved["tail"] is not None:
                if saved["tail"].shape[1:] != stream.row_shape:
                    raise ValueError(
                        f"streams.{name}.tail: shape {saved['tail'].shape} does not fit rows of {stream.row_shape}"
                    )
                stream.tail = saved["tail"].astype(np.float32)
        self._streams = streams
        self._offset = state["offset"]

    def metrics(self) -> Metrics:
        """Return the counts of rows, of those set aside as NaN, and of gaps in the offsets."""
        return dict(self._counts)

    def _watch_for_gap(self, offset: int) -> None:
        # Which stream the lost frames were of is not known, so all of them begin anew.
        if offset >= 0 and self._offset >= 0 and offset != self._offset + 1:
            self._counts["gaps"] += 1
            for stream in self._streams.values():
                stream.reset()
        self._offset = offset

    def _stream_of(self, frame: Frame, row_shape: tuple[int, ...]) -> _Stream:
        stream = self._streams.setdefault(frame.stream, _Stream(frame.rate, row_shape))
        if stream.rate != frame.rate:
            raise ValueError(f"stream {frame.stream!r}: the rate changed from {stream.rate:g} to {frame.rate:g}")
        if stream.row_shape != row_shape:
            raise ValueError(f"stream {frame.stream!r}: the shape changed from {stream.row_shape} to {row_shape}")
        return stream

    def _signal(self, frame: Frame, array: Array) -> Frame:
        if 0 in array.row_shape:  # a learner below has not settled how many outputs it has
            return frame.extend({self.name: array}, self.carry)
        if array.axes not in SIGNAL_AXES:
            raise ValueError(f"array {self.input!r} has axes {array.axes}; {self.form} accepts {SIGNAL_AXES}")
        samples = array.rows().astype(np.float32, copy=False)
        stream = self._stream_of(frame, samples.shape[1:])
        if stream.tail is not None and stream.segment != frame.segment:
            stream.reset()
        if stream.tail is None:
            stream.segment, stream.position, stream.time = frame.segment, 0, frame.time
            stream.tail = samples[:0]
        held = np.concatenate([stream.tail, samples])
        if self.form == "log-mel":
            rows, span, step = self._mel_patches(frame, stream, samples, held)
        else:
            rows, span, step = self._waveforms(held)
        rows = self._set_aside(rows, held, span, step)
        time = stream.time + (stream.position / frame.rate if frame.rate else 0.0)
        stream.tail = held[len(rows) * step :].copy()
        stream.position += len(rows) * step
        axes = ("time", "sample", "mel") if self.form == "log-mel" else ("time", "sample", *array.axes[1:])[: rows.ndim]
        return self._publish(frame, Array(self._centred(rows), axes), time=time, rate=frame.rate / step)

    def _waveforms(self, held: Samples) -> tuple[Samples, int, int]:
        """Return the windows in `held`, the samples of each, and those between their starts."""
        rows = np.empty((0, self.length, held.shape[1]), np.float32)
        if len(held) >= self.length:
            rows = sliding_window_view(held, self.length, axis=0)[:: self.hop].swapaxes(1, 2)
        if rows.shape[2] == 1:
            rows = rows[:, :, 0]
        return rows.copy(), self.length, self.hop

    def _mel_patches(self, frame: Frame, stream: _Stream, samples: Samples, held: Samples) -> tuple[Samples, int, int]:
        """Return the patches that `held` completes, the samples behind each, and those between their starts."""
        if frame.rate <= 0:
            raise ValueError(f"log-mel needs samples per second; stream {frame.stream!r} has rate = 0")
        if samples.shape[1] != 1:
            raise ValueError(
                f"log-mel accepts one channel (the audio source's channels = 'mix'); stream {frame.stream!r} has "
                f"{samples.shape[1]}"
            )
        if stream.mel is None:
            stream.mel = LogMel(frame.rate, self.n_mels, self.window_ms, self.shift_ms)
            samples = held
        mel = stream.mel
        mel.accept(samples[:, 0])
        rows = np.empty((0, self.length, self.n_mels), np.float32)
        if len(mel.frames) >= self.length:
            view = sliding_window_view(mel.frames, self.length, axis=0)[:: self.hop]
            rows = view.swapaxes(1, 2).copy()
        mel.drop(len(rows) * self.hop)
        return rows, (self.length - 1) * mel.shift + mel.window, self.hop * mel.shift

    def _set_aside(self, rows: Samples, held: Samples, span: int, step: int) -> Samples:
        """Return the rows with those made NaN that touch a sample which cannot be used."""
        limit = LARGEST_SAMPLE if self.form == "log-mel" else np.inf
        usable = np.abs(held) < limit
        if len(rows) and not usable.all():
            bad = ~usable.all(axis=1)
            rows[sliding_window_view(bad, span)[::step].any(axis=1)] = np.nan
        return rows

    def _picture(self, frame: Frame, array: Array) -> Frame:
        if array.axes not in PICTURE_AXES:
            raise ValueError(f"array {self.input!r} has axes {array.axes}; {self.form} accepts {PICTURE_AXES}")
        self._stream_of(frame, array.row_shape)
        rows = array.data.astype(np.float32, copy=False)
        axes = array.axes
        if self.form == "grid":
            rows, axes = self._grid(rows), ("grid_y", "grid_x", *axes[1:])
        return self._publish(frame, Array(self._centred(rows, n_row_axes=len(axes) - len(array.row_shape)), axes))

    def _grid(self, pictures: Samples) -> Samples:
        """Return the patches of the one picture in `pictures`: (grid_y, grid_x, y, x[, colour])."""
        if len(pictures) != 1:
            raise ValueError(f"grid accepts frames of one picture (crops or tiles), got one of {len(pictures)}")
        picture = pictures[0]
        if min(picture.shape[:2]) < self.patch:
            raise ValueError(f"a picture of {picture.shape[:2]} pixels holds no patch of {self.patch} × {self.patch}")
        patches = sliding_window_view(picture, (self.patch, self.patch), axis=(0, 1))
        patches = patches[:: self.stride, :: self.stride]
        return np.moveaxis(patches, 2, -1).copy() if picture.ndim == 3 else patches.copy()

    def _centred(self, rows: Samples, n_row_axes: int = 1) -> Samples:
        if not self.center:
            return rows
        flat = rows.reshape(*rows.shape[:n_row_axes], math.prod(rows.shape[n_row_axes:]))
        with np.errstate(invalid="ignore", over="ignore"):
            centred: Samples = flat - flat.mean(axis=-1, keepdims=True)
        return centred.reshape(rows.shape)

    def _publish(self, frame: Frame, array: Array, **changes: Any) -> Frame:
        self._counts["rows"] += array.n_rows
        finite = np.isfinite(array.rows())
        if not finite.all():
            self._counts["rows_nan"] += int(np.count_nonzero(~finite.all(axis=1)))
        return frame.extend({self.name: array}, self.carry, **changes)
