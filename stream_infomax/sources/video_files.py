"""Videos: which files of a folder can be read, which pictures they hold and when, and the pictures from any one on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stream_infomax.sources.bounds import check_size, limit
from stream_infomax.sources.inventory import Entry, entry
from stream_infomax.sources.playlist import FileSettings
from stream_infomax.sources.survey import Place, Surveyed
from stream_infomax.sources.survey import survey as survey_files
from stream_infomax.sources.views import upright

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".f4v", ".3gp", ".mkv", ".webm", ".avi", ".flv", ".wmv", ".asf", ".ogv", ".nut", ".mxf"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".dv", ".ivf", ".y4m"),
    *(".h264", ".264", ".h265", ".265", ".hevc", ".m2v", ".mjpeg", ".mjpg"),
)
ACCEPTED = f"videos that FFmpeg reads: {', '.join(SUFFIXES)}"

# A pixel as it is decoded, and as a grey or coloured number from 0 to 1.
PIXEL_BYTES = 8 + 3 * 4
# What FFmpeg calls VP8.
VP8 = 139

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Video:
    """One readable file: where it is, and which pictures it holds.

    Attributes
    ----------
    size
        Height and width of its first picture.
    stamps
        The time of each picture, in units of `unit` seconds, ascending.
    stamped
        Whether pictures are known by their time; else they are counted from the first on.
    keys
        Of the pictures that need none before them: their time, and the time at which they are sought.
    """

    path: Path
    segment: str
    size: tuple[int, int]
    stamps: npt.NDArray[np.int64]
    unit: Fraction
    stamped: bool
    keys: npt.NDArray[np.int64]
    labels: Mapping[str, str]
    key: bytes
    entry: Entry

    @property
    def rows(self) -> int:
        """How many pictures there are."""
        return len(self.stamps)

    @property
    def seconds(self) -> float:
        """How long it is; the last picture lasts as long as most."""
        steps = np.diff(self.stamps)
        usual = float(np.median(steps)) if len(steps) else 1.0 / float(self.unit)
        return float((self.stamps[-1] - self.stamps[0] + usual) * float(self.unit))

    def time(self, index: int) -> float:
        """Return the seconds from its first picture to another."""
        return float((self.stamps[index] - self.stamps[0]) * float(self.unit))


def survey(root: Path, given: FileSettings) -> Surveyed[Video]:
    """Look at the videos at `root`; raises as `survey.survey`.

    Files are gone through packet by packet; only the first picture of each is decoded.
    """
    return survey_files(
        root,
        given,
        _probe,
        suffixes=SUFFIXES,
        accepted=ACCEPTED,
        what="video",
        usable="readable video",
        unusable=(OSError, ValueError),
    )


def pictures(video: Video, first: int) -> Iterator[VideoFrame | None]:
    """Yield the pictures of a video from number `first` on, as many as it holds; None for those that are damaged."""
    index = first
    for stamp, frame in _readable(video, first):
        if stamp < video.stamps[index]:  # decoded for the sake of others, or by accident
            continue
        while index < video.rows and video.stamps[index] < stamp:
            yield None
            index += 1
        if index == video.rows:
            return
        if video.stamps[index] == stamp:
            yield frame
            index += 1
        if index == video.rows:
            return
    for _ in range(index, video.rows):
        yield None


def _readable(video: Video, first: int) -> Iterator[tuple[int, VideoFrame]]:
    """Yield pictures with their times, as far as the file can be read now."""
    import av

    try:
        yield from _decoded(video, first)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        log.warning("%s: %s", video.path, getattr(error, "strerror", "") or error)


def _probe(place: Place) -> Video:
    """Return what a file holds. Raises ValueError or OSError where it holds no picture."""
    import av

    path = place.path
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = _stream(container)
            stamps, keys = _stamps(container, stream)
            unit = stream.time_base or Fraction(1, 1000)
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        with av.open(str(path), metadata_errors="replace") as container:
            picture = next(_frames(container.demux(_stream(container))), None)
    except av.error.FFmpegError as error:
        raise ValueError(f"no video ({error.strerror})") from error
    if not stamps or picture is None:
        raise ValueError("not one of its pictures can be decoded" if stamps else "it holds no picture")
    known = sorted({stamp for stamp in stamps if stamp is not None})
    stamped = len(known) == len(stamps)
    if not stamped:  # counted from the first on, at the rate that the file announces
        known, keys, unit = list(range(len(stamps))), [], 1 / Fraction(rate)
    found = place.labels.of(place.segment)
    return Video(
        path=path,
        segment=place.segment,
        size=upright(picture),
        stamps=np.array(known, np.int64),
        unit=unit,
        stamped=stamped,
        keys=np.array(keys, np.int64).reshape(-1, 2),
        labels=found,
        key=place.key,
        entry=entry(path, found),
    )


def _stream(container: InputContainer) -> VideoStream:
    """Return the video; the picture on the cover of a recording is none."""
    import av

    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            path, codec = Path(container.name), stream.codec_context
            if codec is None:  # whatever the annotations of PyAV say
                raise ValueError("no decoder knows its video")
            what = f"a picture of {codec.height} × {codec.width} pixels"
            check_size(path, codec.height * codec.width * PIXEL_BYTES, what)
            # Pictures in it may say that they are larger than the file does.
            codec.options = {"max_pixels": str(limit(path.stat().st_size) // PIXEL_BYTES)}
            stream.codec_context.thread_count = 1  # what becomes of damage would depend on the threads
            return stream
    raise ValueError("it holds no video")


def _stamps(container: InputContainer, stream: VideoStream) -> tuple[list[int | None], list[tuple[int, int]]]:
    """Return the times of the pictures, and time and place in the file (as a time) of those that need none before."""
    stamps: list[int | None] = []
    keys = []
    for packet in _packets(container, stream):
        if packet.is_discard or not packet.size or _is_hidden(packet, stream):
            continue
        stamps.append(packet.pts)
        if packet.is_keyframe and packet.pts is not None:
            keys.append((packet.pts, packet.pts if packet.dts is None else min(packet.pts, packet.dts)))
    return stamps, keys


def _is_hidden(packet: Packet[VideoStream], stream: VideoStream) -> bool:
    """Whether a packet holds a picture that others refer to and nobody sees; VP8 has such."""
    return stream.codec_context.codec.id == VP8 and not bytes(packet)[0] & 0x10


def _decoded(video: Video, first: int) -> Iterator[tuple[int, VideoFrame]]:
    """Yield pictures with their times, from one at or before number `first` on."""
    import av

    with av.open(str(video.path), metadata_errors="replace") as container:
        stream = _stream(container)
        packets = _sought(container, stream, video, first)
        if packets is not None:
            yield from ((frame.pts, frame) for frame in _frames(packets) if frame.pts is not None)
            return
    with av.open(str(video.path), metadata_errors="replace") as container:
        frames = _frames(_packets(container, _stream(container)))
        if video.stamped:
            yield from ((frame.pts, frame) for frame in frames if frame.pts is not None)
        else:
            yield from enumerate(frames)


def _sought(
    container: InputContainer, stream: VideoStream, video: Video, first: int
) -> Iterator[Packet[VideoStream]] | None:
    """Return the packets from a picture on that needs none before it; None where only the whole file will do."""
    import av

    target = video.stamps[first]
    keys = video.keys[video.keys[:, 0] <= target] if video.stamped else video.keys
    if len(keys) < 2:
        return None
    try:
        container.seek(int(keys[keys[:, 0].argmax(), 1]), stream=stream)
    except av.error.FFmpegError:
        return None
    packets = _packets(container, stream)
    for packet in packets:
        if packet.is_keyframe and packet.pts is not None:
            return chain([packet], packets) if packet.pts <= target else None
    return None


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Yield the packets of a video, until the file breaks off."""
    import av

    try:
        yield from container.demux(stream)
    except av.error.FFmpegError as error:
        log.warning("%s: %s", container.name, error.strerror)


def _frames(packets: Iterable[Packet[VideoStream]]) -> Iterator[VideoFrame]:
    """Yield the pictures in packets; those of damaged ones are missing."""
    import av

    for packet in packets:
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue
