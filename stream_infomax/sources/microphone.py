"""MicrophoneSource: what a microphone hears, as a live stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import make
from stream_infomax.settings.types import Doc, NotNegative, NotNegativeFloat, Positive
from stream_infomax.sources import portaudio
from stream_infomax.sources.live import Cutter, LiveSettings
from stream_infomax.sources.plugged import PluggedSource
from stream_infomax.sources.resampler import Resampler
from stream_infomax.sources.sample_clock import SampleClock

# Blocks between the library's thread and the loop: 10 s or more, of 5 ms or more each.
QUEUE = 2048
# Inputs with more channels than this are a sound server's, which offers as many as one may want.
MOST_OWN = 8
# What is counted.
SAMPLES, OVERFLOWS, CORRECTIONS = "samples", "overflows", "clock corrections"


class MicrophoneSettings(LiveSettings, frozen=True, kw_only=True):
    """A microphone or another input of this machine; `stream-infomax devices` lists them."""

    device: Annotated[
        str,
        Doc("A part of the input's name, or its number, as `stream-infomax devices` shows them; empty: the default."),
    ] = ""
    rate: Annotated[
        NotNegative,
        Doc("Samples a second; an input that has not this rate is resampled (soxr). 0 takes the input's own."),
    ] = 0
    channels: Annotated[Positive, Doc("1: the mean of the input's channels. More: its first ones, as they are.")] = 1
    latency: Annotated[
        NotNegativeFloat,
        Doc("Seconds that the library may buffer; less loses samples sooner. 0: what the input calls safe."),
    ] = 0.0

    def needs(self) -> tuple[str, ...]:
        """Return the package that the source needs."""
        return ("sounddevice",)


class Block(NamedTuple):
    """Samples as they came: the number of the first, how many, when, and how often some had been lost by then."""

    data: bytes
    first: int
    size: int
    arrived: float
    overflows: int


@configured_by(MicrophoneSettings)
class MicrophoneSource(PluggedSource[Block]):
    """What a microphone hears: float32, axes ("time", "channel"), from -1 to 1.

    Each frame has the time of its first sample, in seconds of the wall clock (see `SampleClock`). Where samples are
    missing the next segment begins, and the frames that would have held them are in `lost`.

    A microphone that goes away while it is listened to is an OSError: the process ends, and the supervisor starts
    another, in which the sound library begins afresh. That one waits for the microphone to come back.

    Parameters
    ----------
    name
        Name of the stream and of its array.
    """

    what = "microphone"

    def __init__(self, *, name: str = "source", **settings: Any) -> None:
        self.given = make(MicrophoneSettings, settings)
        require(*self.given.needs())
        super().__init__(name, self.given, self.given.device, QUEUE)
        self._count.update({SAMPLES: 0, OVERFLOWS: 0, CORRECTIONS: 0})
        self._library: Any = None

    def outline(self) -> Outline:
        """Return what the settings say."""
        rate = f"{self.given.rate:,} samples a second" if self.given.rate else "as many samples a second as it has"
        return Outline(
            frames=0,
            segments={},
            row=(self.given.channels,),
            rate=float(self.given.rate),
            live=True,
            about=f"the microphone {self.given.device!r}, {rate}" if self.given.device else f"the microphone, {rate}",
        )

    # ------------------------------------------------------------------ the device

    def look_again(self) -> None:
        """Have PortAudio look which inputs there are."""
        self._library = portaudio.look_again()

    def begin(self) -> Cutter:
        """Listen. Raises SettingError where there is no such input, or it cannot be opened; lists the inputs."""
        self._library = portaudio.library()
        device = portaudio.find(self._library, self.given.device)
        self._heard_rate, self._width = self._form(device)
        self._clock = SampleClock(self._heard_rate, self._until)
        self._resampler: Resampler | None = None
        # Samples and overflows so far, as the library's thread knows them, and as the loop does.
        self._n_heard = self._n_overflows = self._expected = self._seen_overflows = 0
        try:
            self._stream = self._library.RawInputStream(
                device=device.number,
                samplerate=self._heard_rate,
                channels=self._width,
                dtype="float32",
                latency=self.given.latency or "high",
                callback=self._hear,
                finished_callback=lambda: self.fail("its stream ended"),
            )
            self._stream.start()
        except self._library.PortAudioError as error:
            raise _cannot_be_opened(device, self.given.device, str(error)) from error
        return Cutter(self.name, ("time", "channel"), float(self.given.rate or self._heard_rate), self.given)

    def release(self) -> None:
        """Listen no more."""
        self._stream.close()

    def _form(self, device: portaudio.Input) -> tuple[float, int]:
        """Return the rate and the number of channels with which the input is opened."""
        if device.channels < self.given.channels:
            raise SettingError("channels", self.given.channels, f"1 to {device.channels}", f"{device} has no more")
        refusals = []
        for rate in dict.fromkeys((float(self.given.rate or device.rate), device.rate)):
            for width in self._widths(device):
                try:
                    self._library.check_input_settings(device.number, width, "float32", samplerate=rate)
                except self._library.PortAudioError as error:
                    refusals.append(f"{width} channels at {rate:g} Hz: {error}")
                else:
                    return rate, width
        raise _cannot_be_opened(device, self.given.device, refusals[0])

    def _widths(self, device: portaudio.Input) -> Iterator[int]:
        """Yield how many channels may be opened, the best first."""
        if self.given.channels > 1:
            yield self.given.channels
        elif device.channels > MOST_OWN:
            yield from (2, 1)
        yield device.channels

    def _hear(self, data: Any, size: int, _: Any, status: Any) -> None:
        """Take what PortAudio's thread brings."""
        self._n_overflows += bool(status.input_overflow)
        self.arrivals.put(Block(bytes(data), self._n_heard, size, time.monotonic(), self._n_overflows))
        self._n_heard += size

    # ------------------------------------------------------------------ what it says

    def take(self, item: Block) -> None:
        """Give the rows of a block to the cutter."""
        if item.first != self._expected:
            self.lose((item.first - self._expected) / self._heard_rate, "waited too long to be read")
        if item.overflows != self._seen_overflows:
            self._count[OVERFLOWS] += item.overflows - self._seen_overflows
            seconds = self._clock.jump(item.first, item.size, item.arrived)
            if item.first:  # nothing was heard before the first block
                self.lose(seconds, "overflow of the microphone")
        before = self._clock.corrections
        at = self._clock.time_of(item.first, item.size, item.arrived)
        self._count[CORRECTIONS] += self._clock.corrections - before
        self.came(at, at + item.size / self._heard_rate)
        self._add(self._rows(item), at)
        self._expected, self._seen_overflows = item.first + item.size, item.overflows
        self._count[SAMPLES] += item.size

    def frames_in(self, seconds: float) -> float:
        """Return how many frames come in so many seconds."""
        return seconds * self.cutter.rate / self.cutter.size

    def drain(self) -> None:
        """Give the cutter what is in the resampler."""
        if self._resampler is not None:
            at = self._until - self._resampler.behind
            self.cutter.add(self._resampler.end(), at)
            self._resampler = None

    def _rows(self, block: Block) -> npt.NDArray[np.float32]:
        rows = np.frombuffer(block.data, np.float32).reshape(block.size, self._width)
        if self.given.channels == 1 and self._width > 1:
            rows = rows.mean(axis=1, keepdims=True, dtype=np.float32)
        return rows[:, : self.given.channels]

    def _add(self, rows: npt.NDArray[np.float32], at: float) -> None:
        """Cut rows, of which the first was heard at a time."""
        if self.cutter.rate == self._heard_rate:
            self.cutter.add(rows, at)
            return
        if self._resampler is None:
            self._resampler = Resampler(self._heard_rate, self.cutter.rate, self.given.channels)
        at -= self._resampler.behind
        self.cutter.add(self._resampler.add(rows), at)


def _cannot_be_opened(device: portaudio.Input, wanted: str, reason: str) -> SettingError:
    return SettingError("device", wanted, "an input that can be opened", f"{device}: {reason}")
