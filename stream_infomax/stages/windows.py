"""WindowsStage: signals to overlapping windows and log-mel patches, pictures to patches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.gaps import Streams, incoming, is_unsettled
from stream_infomax.frames.ledger import NO_WIDTH, Account, Accounting
from stream_infomax.frames.measure import Measure
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.memory import Memory
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import make
from stream_infomax.settings.stage import StageSettings
from stream_infomax.settings.types import Doc, Positive, PositiveFloat, Seed
from stream_infomax.stages.distortion import Strength
from stream_infomax.stages.forms import Form, Grid, MelPatches, Patches, Waveform
from stream_infomax.stages.replay import Replay
from stream_infomax.stages.versions import MelVersions, Versions, WaveVersions
from stream_infomax.state.kept import counted, within

Nats = Annotated[float, Meta(ge=0, le=20)]  # e²⁰ is more than any two microphones differ by


class WindowsSettings(StageSettings, frozen=True, kw_only=True):
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
    replay: Annotated[
        Memory,
        Doc(
            "So much is kept, of mel frames or of the samples of one channel, and played again in batches, each "
            "excerpt distorted in two ways; 0: none. Contrastive modules predict one version from the other and so "
            "learn what voice, loudness and room leave as it is."
        ),
    ] = Memory(0)
    rows: Annotated[int, Meta(ge=2, le=65536), Doc("Replay: rows of a batch, about.")] = 1024
    updates: Annotated[int, Meta(ge=1, le=16), Doc("Replay: batches for each new excerpt.")] = 1
    excerpt: Annotated[
        int,
        Meta(ge=4, le=4096),
        Doc("Replay: rows of an excerpt at most. Short ones bring more of the stream into a batch."),
    ] = 256
    group: Annotated[
        str,
        Doc(
            "Replay: the label by which excerpts belong together, such as `speaker`, for the share `stream` of a "
            "module's negatives; empty, or where a frame does not have it: the stream."
        ),
    ] = ""
    warp: Annotated[
        float,
        Meta(ge=0, le=1),
        Doc("Replay: the frequencies of an excerpt are scaled by e^u, u even in -`warp` to `warp`."),
    ] = 0.15
    gain: Annotated[Nats, Doc("Replay: deviation of an excerpt's loudness, in nats of energy.")] = 1.0
    tilt: Annotated[Nats, Doc("Replay: deviation of each of four cosines over mel, in nats of energy.")] = 0.3
    seed: Seed = 0

    def __post_init__(self) -> None:
        # What does not stand in this form is not looked at.
        if self.form in ("waveform", "log-mel") and self.hop > self.length:
            raise SettingError("hop", self.hop, f"1 <= hop <= length = {self.length}, which loses no sample")
        if self.form == "grid" and self.stride > self.patch:
            raise SettingError("stride", self.stride, f"1 <= stride <= patch = {self.patch}, which loses no pixel")
        if self.replay and (self.form not in ("waveform", "log-mel") or self.n_mels < 2):
            raise SettingError("replay", str(self.replay), "0 but for waveforms, and log-mel of two bands or more")

    def kept(self, name: str) -> tuple[str, ...]:
        """Return nothing: windows are cut from the data, and many times as large."""
        return ()

    def outline(self, incoming: Outline) -> Outline | None:
        """Return the windows or patches that the settings make."""
        row = incoming.row
        if row is None:
            return None
        if self.form == "patches":
            return replace(incoming, about="", warning="")
        if self.form == "grid":
            grid = tuple((side - self.patch) // self.stride + 1 for side in row[:2])
            if min(grid) < 1:
                raise SettingError("patch", self.patch, f"at most {min(row[:2])}, the smaller side of a picture")
            segments = {rows * prod(grid): count for rows, count in incoming.segments.items()}
            patch = (self.patch, self.patch, *row[2:])
            return replace(incoming, segments=segments, row=patch, grid=grid, about="", warning="")
        if self.replay and incoming.width != 1:
            raise SettingError("replay", str(self.replay), f"0 for {incoming.width} channels, anything for one")
        if self.replay and not incoming.rate:
            raise SettingError("replay", str(self.replay), "0 for a stream without a rate")
        if self.form == "waveform":
            span, step, shape = self.length, self.hop, (self.length, *(row if row != (1,) else ()))
        else:
            if incoming.width != 1:
                raise SettingError("form", self.form, f"log-mel of one channel; {incoming.width} come in")
            window, shift = (round(incoming.rate * ms / 1000) for ms in (self.window_ms, self.shift_ms))
            span, step, shape = window + (self.length - 1) * shift, self.hop * shift, (self.length, self.n_mels)
        if not step:
            raise SettingError("form", self.form, "a stream with a rate")
        segments = Counter[int]()
        for rows, count in incoming.segments.items():
            segments[max(0, (rows - span) // step + 1)] += count
        warning = ""
        if self.replay and self.group and incoming.labels and self.group not in incoming.labels:
            warning = f"no label is called {self.group!r}: what is played again belongs together by its stream"
        return replace(incoming, segments=segments, row=shape, rate=incoming.rate / step, about="", warning=warning)

    def extent(self) -> tuple[float, float]:
        """Return how far a row reaches and how far the next one begins behind it, in samples, ms or pixels."""
        if self.form == "grid":
            return self.patch, self.stride
        if self.form == "log-mel":
            return self.window_ms + (self.length - 1) * self.shift_ms, self.hop * self.shift_ms
        return (self.length, self.hop) if self.form == "waveform" else (1, 1)

    def needs(self) -> tuple[str, ...]:
        """Return the packages that the stage needs."""
        return ("kaldi_native_fbank",) if self.form == "log-mel" else ()


@configured_by(WindowsSettings)
class WindowsStage(Accounting):
    """Cuts each frame's array into rows of a fixed geometry, without losing or repeating a sample at a border.

    Windows never reach across segments or gaps. Samples at the end of a segment that fill no window are dropped.
    A window that touches a sample that is not finite comes out as a row of NaN. How the samples were cut into
    frames does not change a bit of the windows.

    Parameters
    ----------
    name, input, carry
        Name of the stage and of its array; the array it reads; the arrays that it passes on. What is played again
        travels as ``<name>.batch``, …, as `packed` says.

    Raises
    ------
    ValueError
        From `process`: an array whose axes do not fit `form`; a rate, channel count or picture shape that changes
        within a stream; log-mel without a rate or of several channels.
    """

    def __init__(self, name: str, input: str, carry: tuple[str, ...] = (), **settings: Any) -> None:
        self.settings = make(WindowsSettings, settings)
        require(*self.settings.needs())
        self.name, self.input, self.carry = name, input, tuple(carry)
        self._streams: Streams[Form] = Streams()
        self._counts = {"rows": 0, "rows_nan": 0}
        self.account, self.reads = Account(name, "stage"), (input,)
        self.replay = self._new_replay() if self.settings.replay else None

    def _new_replay(self) -> Replay:
        given = self.settings
        strength = Strength(given.warp, given.gain, given.tilt)
        versions: Versions = WaveVersions(given.length, given.hop, strength)
        if given.form == "log-mel":
            versions = MelVersions(given.length, given.hop, given.n_mels, strength)
        return Replay(
            versions,
            memory=given.replay,
            rows=given.rows,
            updates=given.updates,
            excerpt=given.excerpt,
            group=given.group,
            seed=given.seed,
        )

    def process(self, frame: Frame) -> Frame:
        """Return the frame with the rows that its array completes; maybe none."""
        self._streams.follow(frame)
        if self.replay is not None:
            self.replay.follow(frame)
        array = incoming(frame, self.input, self.name)
        if array is None:
            return frame
        if is_unsettled(array):
            self._streams.leave(frame)
            self.account.set_aside(frame.stream, NO_WIDTH, array.n_rows)
            return frame.extend({self.name: array}, self.carry)
        form = self._streams.enter(frame, self._new_form)
        if array.axes not in form.accepted:
            raise ValueError(
                f"array {self.input!r} has axes {array.axes}; {self.settings.form} accepts {form.accepted}"
            )
        if self.replay is not None and (math.prod(array.row_shape) != 1 or frame.rate <= 0):
            raise ValueError(
                f"stage {self.name!r} plays again what has one channel and a rate; {self.input!r} has "
                f"{math.prod(array.row_shape)} channels and a rate of {frame.rate:g}"
            )
        cut, time, rate = form.cut(frame, array)
        self._streams.leave(frame)
        self._count(cut)
        arrays = {self.name: self._centred(cut)}
        if self.replay is not None:
            batches = self.replay.process(frame, cut, self.name)
            arrays |= {name: self._centred(array) for name, array in batches.items()}
        return frame.extend(arrays, self.carry, time=time, rate=rate)

    def _new_form(self) -> Form:
        """Return what cuts one stream."""
        form = self._form()
        form.account = self.account
        return form

    def _form(self) -> Form:
        given = self.settings
        if given.form == "waveform":
            return Waveform(given.length, given.hop)
        if given.form == "log-mel":
            return MelPatches(given.length, given.hop, given.n_mels, given.window_ms, given.shift_ms)
        return Grid(given.patch, given.stride) if given.form == "grid" else Patches()

    def in_flight(self) -> Mapping[str, int]:
        """Return the samples of each stream that are in no window yet."""
        return {stream: form.unused for stream, form in self._streams.memories()}

    def _centred(self, array: Array) -> Array:
        """Return the array without each row's mean, where that is wanted."""
        if not self.settings.center or not array.row_shape:
            return array
        rows = array.data.reshape(*array.data.shape[: array.n_row_axes], math.prod(array.row_shape))
        with np.errstate(invalid="ignore", over="ignore"):
            rows = rows - rows.mean(axis=-1, keepdims=True)
        return Array(rows.reshape(array.data.shape), array.axes)

    def _count(self, array: Array) -> None:
        finite = np.isfinite(array.rows())
        self._counts["rows"] += array.n_rows
        if not finite.all():
            self._counts["rows_nan"] += int(np.count_nonzero(~finite.all(axis=1)))

    def start_encoding(self, carry: tuple[str, ...] = (), *, untrained: bool = False) -> None:
        """Begin another stream, of which nothing is played again: nobody learns from it."""
        self.carry, self._streams, self.replay = carry, Streams(), None

    def state(self) -> State:
        """Return the unused samples of every stream, from which log-mel frames are computed again, and the replay."""
        replay = {} if self.replay is None else {"replay": self.replay.state()}
        return {"form": self.settings.form, "rows": dict(self._counts), **replay, **self._streams.state()}

    def restore(self, state: State) -> None:
        """Take over what `state()` returned. Raises ValueError, naming the key, where it does not fit."""
        if state.get("form") != self.settings.form:
            raise ValueError(f"form: the state is of {state.get('form')!r}, this stage is {self.settings.form!r}")
        self._streams.restore(state, self._new_form)
        self._counts = counted(state["rows"], "rows", self._counts)
        if self.replay is not None:
            if "replay" not in state:
                raise ValueError("replay: the state is of windows that played nothing again")
            with within("replay"):
                self.replay.restore(state["replay"])

    def measures(self) -> list[Measure]:
        """Nothing is learnt here."""
        return []

    def counts(self) -> Counts:
        """Return the counts of rows, of those set aside as NaN, of what is played again, and of gaps in the offsets."""
        replay = {} if self.replay is None else self.replay.counts()
        return {**self._counts, **replay, "gaps": self._streams.counts["gaps"]}
