"""MicrophoneSource: what a microphone hears, as a live stream."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.frame import Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import make
from stream_infomax.settings.types import Doc, NotNegative, NotNegativeFloat, Positive
from stream_infomax.sources import portaudio
from stream_infomax.sources.arrivals import Arrivals
from stream_infomax.sources.live import Cutter, LiveSettings
from stream_infomax.sources.resampler import Resampler
from stream_infomax.sources.sample_clock import SampleClock

log = logging.getLogger(__name__)

# Blocks between the library's thread and the loop: 10 s or more, of 5 ms or more each.
QUEUE = 2048
# Seconds without a block after which a microphone has gone: before the first, and later.
SLOW_START = 5.0
SILENCE = 2.0
# Seconds between two looks for a microphone that has gone.
RETRY = 1.0
# Inputs with more channels than this are a sound server's, which offers as many as one may want.
MOST_OWN = 8


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
class MicrophoneSource:
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

    def __init__(self, *, name: str = "source", **settings: Any) -> None:
        self.given = make(MicrophoneSettings, settings)
        require(*self.given.needs())
        self.name = name
        self.lost: Counter[str] = Counter()
        self._counts = {"samples": 0, "overflows": 0, "clock corrections": 0}
        self._before: State | None = None  # of the life before this one
        self._seconds = 0.0
        self._gone = False
        # The time after the last sample that was heard.
        self._until = 0.0
        self._arrivals: Arrivals[Block] | None = None
        self._library: Any = None
        self._stream: Any = None
        self._retry = 0.0
        self._arrived = 0.0
        self._patience = SLOW_START

    # ------------------------------------------------------------------ the contract

    def open(self) -> None:
        """Begin to listen; where it has been listened to before, and is not there, wait for it.

        Raises
        ------
        ValueError
            Where there is no such microphone, or it cannot be opened; lists those that there are.
        """
        self._arrivals = Arrivals(QUEUE)
        if self.finished:
            return
        try:
            self._library = portaudio.library()
            self._listen()
        except SettingError as error:
            if self._before is None:
                raise
            log.warning("%s; waiting for it", error)
            self._retry = time.monotonic() + RETRY

    @property
    def sockets(self) -> Sequence[Any]:
        """What becomes readable when something was heard."""
        return () if self._arrivals is None else (self._arrivals.socket,)

    @property
    def finished(self) -> bool:
        """Whether the configured duration is over."""
        if self._stream is None:
            return bool(self.given.duration) and self._seconds >= self.given.duration
        return self._cutter.ended

    def receive(self) -> Frame | None:
        """Return the next frame, None where none is there yet.

        Raises
        ------
        OSError
            Where the microphone has gone.
        """
        if self._stream is None and not self._look():
            return None
        while (frame := self._cutter.take()) is None:
            block = None if self._cutter.ended else self._next()
            if block is None:
                return None
            self._take(block)
        return frame

    def due(self) -> float:
        """Return the seconds until a microphone that is silent has gone, or is looked for again."""
        if self.finished:
            return math.inf
        at = self._retry if self._stream is None else self._arrived + self._patience
        return max(0.0, at - time.monotonic())

    def close(self) -> None:
        """Let go of the microphone."""
        if self._stream is not None:
            self._stream.close()
        if self._arrivals is not None:
            self._arrivals.close()

    def state(self) -> State:
        """Return how much was heard, until when, and whether the microphone went away then."""
        seconds = self._seconds if self._stream is None else self._cutter.given
        return {"seconds": seconds, "until": self._until, "gone": self._gone, "counts": dict(self._counts)}

    def restore(self, state: State) -> None:
        """Go on counting where the life before this one ended."""
        self._before = state
        self._seconds, self._until = float(state["seconds"]), float(state["until"])
        self._gone = bool(state["gone"])
        self._counts.update(state["counts"])

    def counts(self) -> Counts:
        """Return the samples that were heard, the overflows, and how often the count of time was set right."""
        return self._counts

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

    def _look(self) -> bool:
        """Look for a microphone that has gone, now and then; return whether it is back."""
        if self.finished or time.monotonic() < self._retry:
            return False
        try:
            self._library = portaudio.look_again()
            self._listen()
        except SettingError:
            self._retry = time.monotonic() + RETRY
            return False
        log.warning("the microphone is back")
        return True

    def _listen(self) -> None:
        """Open the microphone. Raises SettingError where that cannot be done."""
        device = portaudio.find(self._library, self.given.device)
        heard_rate, width = self._form(device)
        self.rate = float(self.given.rate or heard_rate)
        self._heard_rate, self._width, self._heard, self._overflows = heard_rate, width, 0, 0
        self._clock = SampleClock(heard_rate, self._until)
        self._resampler: Resampler | None = None
        self._expected = self._seen_overflows = 0
        self._cutter = Cutter(self.name, ("time", "channel"), self.rate, self.given)
        self._cutter.given = self._seconds
        try:
            stream = self._library.RawInputStream(
                device=device.number,
                samplerate=heard_rate,
                channels=width,
                dtype="float32",
                latency=self.given.latency or "high",
                callback=self._hear,
                finished_callback=self._stopped,
            )
            stream.start()
        except self._library.PortAudioError as error:
            raise SettingError(
                "device", self.given.device, "an input that can be opened", f"{device}: {error}"
            ) from error
        self._stream, self._arrived = stream, time.monotonic()

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
        raise SettingError("device", self.given.device, "an input that can be opened", f"{device}: {refusals[0]}")

    def _widths(self, device: portaudio.Input) -> Iterator[int]:
        """Yield how many channels may be opened, the best first."""
        if self.given.channels > 1:
            yield self.given.channels
        elif device.channels > MOST_OWN:
            yield from (2, 1)
        yield device.channels

    def _hear(self, data: Any, size: int, _: Any, status: Any) -> None:
        """Take what PortAudio's thread brings."""
        assert self._arrivals is not None
        self._overflows += bool(status.input_overflow)
        self._arrivals.put(Block(bytes(data), self._heard, size, time.monotonic(), self._overflows))
        self._heard += size

    def _stopped(self) -> None:
        """PortAudio's thread has ended."""
        assert self._arrivals is not None
        self._arrivals.fail(self._has_gone("its stream ended"))

    def _has_gone(self, how: str) -> OSError:
        return OSError(f"the microphone{' ' if self.given.device else ''}{self.given.device} has gone: {how}")

    # ------------------------------------------------------------------ what it says

    def _next(self) -> Block | None:
        """Return the next block, None where none is there yet. Raises OSError where the microphone has gone."""
        assert self._arrivals is not None
        try:
            block = self._arrivals.get()
            if block is None and time.monotonic() > self._arrived + self._patience:
                raise self._has_gone(f"nothing came for {self._patience:g} s")
        except OSError:
            self._gone = True
            raise
        return block

    def _take(self, block: Block) -> None:
        """Give the rows of a block to the cutter."""
        self._arrived, self._patience = block.arrived, SILENCE
        if block.first != self._expected:
            self._lose((block.first - self._expected) / self._heard_rate, "waited too long to be read")
        if block.overflows != self._seen_overflows:
            self._counts["overflows"] += block.overflows - self._seen_overflows
            seconds = self._clock.jump(block.first, block.size, block.arrived)
            if block.first:  # nothing was heard before the first block
                self._lose(seconds, "overflow of the microphone")
        before = self._clock.corrections
        at = self._clock.time_of(block.first, block.size, block.arrived)
        self._counts["clock corrections"] += self._clock.corrections - before
        if self._gone:
            self._gone = False
            self._lose(at - self._until, "the microphone was away")
        self._add(self._rows(block), at)
        self._expected, self._seen_overflows = block.first + block.size, block.overflows
        self._until = at + block.size / self._heard_rate
        self._counts["samples"] += block.size

    def _rows(self, block: Block) -> npt.NDArray[np.float32]:
        rows = np.frombuffer(block.data, np.float32).reshape(block.size, self._width)
        if self.given.channels == 1 and self._width > 1:
            rows = rows.mean(axis=1, keepdims=True, dtype=np.float32)
        return rows[:, : self.given.channels]

    def _add(self, rows: npt.NDArray[np.float32], at: float) -> None:
        """Cut rows, of which the first was heard at a time."""
        if self.rate == self._heard_rate:
            self._cutter.add(rows, at)
            return
        if self._resampler is None:
            self._resampler = Resampler(self._heard_rate, self.rate, self.given.channels)
        at -= self._resampler.behind
        self._cutter.add(self._resampler.add(rows), at)

    def _lose(self, seconds: float, reason: str) -> None:
        """Count the frames that would have held the samples that are missing, and begin another segment."""
        if self._resampler is not None:
            at = self._until - self._resampler.behind
            self._cutter.add(self._resampler.end(), at)
            self._resampler = None
        self._cutter.gap()
        self.lost[reason] += max(1, math.ceil(seconds * self.rate / self._cutter.size - 1e-3))
