"""CameraSource: what a camera sees, as a live stream of pictures or patches."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

from stream_infomax.frames.contracts import State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.outline import Outline
from stream_infomax.settings.record import make
from stream_infomax.settings.types import Doc, NotNegativeFloat, Seed
from stream_infomax.sources import views
from stream_infomax.sources.live import Cutter, LiveSettings
from stream_infomax.sources.plugged import PluggedSource
from stream_infomax.sources.sample_clock import SampleClock
from stream_infomax.sources.views import View, upright

if TYPE_CHECKING:  # PyAV is an extra
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Pictures between the camera's thread and the loop: about a second.
QUEUE = 30
# Seconds that the camera's thread is waited for.
FAREWELL = 2.0
# What FFmpeg calls the cameras of a system.
FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
# What is counted.
PICTURES, CORRECTIONS = "pictures", "clock corrections"


class CameraSettings(LiveSettings, frozen=True, kw_only=True):
    """A camera of this machine; `stream-infomax devices` lists them."""

    device: Annotated[str, Doc("The camera, as `stream-infomax devices` shows it.")] = "/dev/video0"
    format: Annotated[
        str,
        Doc(
            "What FFmpeg calls the kind of device; empty: the cameras of this system. With another one `device` is any "
            "input that FFmpeg has, for example `testsrc=size=320x240:rate=30,realtime` of the format `lavfi`."
        ),
    ] = ""
    rate: Annotated[NotNegativeFloat, Doc("Pictures a second that are asked for; 0: as many as the camera likes.")] = 0
    mode: views.Mode = "pictures"
    crop: views.Crop = (12, 12)
    items: views.Items = 256
    size: views.Size = (0, 0)
    colour: views.Colour = False
    seed: Seed = 0

    def needs(self) -> tuple[str, ...]:
        """Return the package that the source needs."""
        return ("av",)


class Shot(NamedTuple):
    """A picture: its number, its rows, or why it has none; the camera's time, and when it came."""

    number: int
    rows: Array | str
    stamp: float
    arrived: float


@configured_by(CameraSettings)
class CameraSource(PluggedSource[Shot]):
    """What a camera sees: a frame a picture, float32, values from 0 to 1.

    Each frame has the time of its picture in seconds of the wall clock: the camera's own times, which are even, brought
    to the wall clock as those of `SampleClock`. Pictures that nobody took in time, and those of another size than the
    first, are in `lost`; then the next segment begins.

    A camera that goes away while it is looked at is an OSError: the process ends, and the supervisor starts another,
    which waits for the camera to come back.

    Parameters
    ----------
    name
        Name of the stream and of its array.
    """

    what = "camera"

    def __init__(self, *, name: str = "source", **settings: Any) -> None:
        self.given = make(CameraSettings, settings)
        if not self.given.device:
            raise SettingError("device", "", "a camera as `stream-infomax devices` shows it", "empty")
        require(*self.given.needs())
        self.view = View(
            *(self.given.mode, self.given.crop, self.given.items),
            *(self.given.size, self.given.colour, self.given.seed),
        )
        super().__init__(name, self.given, self.given.device, QUEUE)
        self._count.update({PICTURES: 0, CORRECTIONS: 0})
        self._row: tuple[int, ...] = self.view.row((0, 0))
        self._thread: threading.Thread | None = None
        self._enough = threading.Event()

    def outline(self) -> Outline:
        """Return what the settings say."""
        known = self.view.patches or all(self.given.size)
        return Outline(
            frames=0,
            segments={},
            row=self._row if known else None,
            live=True,
            about=f"the camera {self.given.device!r}",
        )

    def state(self) -> State:
        """Return what has come, and the size of pictures."""
        return {**super().state(), "row": list(self._row)}

    def restore(self, state: State) -> None:
        """Go on counting where the life before this one ended."""
        super().restore(state)
        self._row = tuple(map(int, state["row"]))

    def note(self) -> bytes:
        """Return how much has come and until when: pictures have no rate, a frame does not say how long it lasts."""
        return msgspec.msgpack.encode([self.cutter.given, self._until])

    def recall(self, frame: Frame, note: bytes) -> None:
        """Count what had come with a frame."""
        super().recall(frame, note)
        if note:
            self._seconds, self._until = msgspec.msgpack.decode(note, type=tuple[float, float])

    # ------------------------------------------------------------------ the device

    def begin(self) -> Cutter:
        """Look. Raises SettingError where there is no such camera, or it cannot be opened."""
        import av

        options = {"framerate": f"{self.given.rate:g}"} if self.given.rate else {}
        form = self.given.format or FORMATS.get(sys.platform, "v4l2")
        try:
            container = av.open(self.given.device, format=form, options=options)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", "") or str(error)
            raise SettingError("device", self.given.device, "a camera that can be opened", reason) from error
        try:
            self._check(container)
        except SettingError:
            container.close()
            raise
        self._clock = SampleClock(1.0, self._until)
        self._period = 1 / float(self.given.rate or container.streams.video[0].guessed_rate or 30)
        self._expected = 0
        self._thread = threading.Thread(target=self._watch, args=(container,), name="camera", daemon=True)
        self._thread.start()
        return Cutter(self.name, self.view.axes, 0.0, self.given)

    def _check(self, container: InputContainer) -> None:
        """Raise SettingError where there are no pictures, or they are too small."""
        if not container.streams.video:
            raise SettingError("device", self.given.device, "a camera", "it has no pictures")
        context = container.streams.video[0].codec_context
        size = (context.height, context.width)
        if self.view.patches and not self.view.fits(size, self._row):
            shown = " × ".join(map(str, size))
            raise SettingError(
                "crop", list(self.given.crop), "at most the size of a picture", f"the camera has {shown}"
            )

    def release(self) -> None:
        """Look no more. A camera that does not answer is left to its thread."""
        self._enough.set()
        if self._thread is not None:
            self._thread.join(FAREWELL)

    def _watch(self, container: InputContainer) -> None:
        """Take pictures until the camera has gone; in a thread of its own."""
        import av

        numbers = count()
        how = "its stream ended"
        try:
            with container:
                for packet in container.demux(video=0):
                    if self._enough.is_set():
                        return
                    for shot in self._shots(packet, numbers):
                        self.arrivals.put(shot)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            how = getattr(error, "strerror", "") or str(error)
        self.fail(how)

    def _shots(self, packet: Packet[VideoStream], numbers: Iterator[int]) -> Iterator[Shot]:
        """Yield the pictures that a packet completes; a damaged one, as webcams like to begin with, ends nothing."""
        import av

        try:
            for frame in packet.decode():
                yield self._shot(frame, next(numbers))
        except av.error.FFmpegError:
            arrived = time.monotonic()
            stamp = arrived if packet.pts is None else float(packet.pts * packet.time_base)
            yield Shot(next(numbers), "damaged pictures", stamp, arrived)

    def _shot(self, frame: VideoFrame, number: int) -> Shot:
        arrived = time.monotonic()
        stamp = arrived if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
        if not all(self._row):  # the first picture ever
            self._row = self.view.row(upright(frame))
        fits = self.view.fits(upright(frame), self._row)
        return Shot(number, self.view.take(frame, number) if fits else "pictures of another size", stamp, arrived)

    # ------------------------------------------------------------------ what it says

    def take(self, item: Shot) -> None:
        """Give the rows of a picture to the cutter."""
        if item.number != self._expected:
            self.lose((item.number - self._expected) * self._period, "waited too long to be read")
        self._expected = item.number + 1
        before = self._clock.corrections
        at = self._clock.time_of(item.stamp, 0, item.arrived)
        self._count[CORRECTIONS] += self._clock.corrections - before
        self.came(at, at + self._period)
        self._count[PICTURES] += 1
        if isinstance(item.rows, str):
            self.lose(self._period, item.rows)
        else:
            self.cutter.add(item.rows.data, at)

    def frames_in(self, seconds: float) -> float:
        """Return how many frames come in so many seconds."""
        return seconds / self._period
