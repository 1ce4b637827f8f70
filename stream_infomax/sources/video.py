"""VideoSource: a video or a folder of videos as one seekable stream of pictures or patches."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.frame import Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.extras import require
from stream_infomax.settings.outline import Outline, count_values
from stream_infomax.settings.record import make
from stream_infomax.settings.types import Doc
from stream_infomax.sources import inventory, views
from stream_infomax.sources.files import counted
from stream_infomax.sources.labels import beside
from stream_infomax.sources.playlist import FileSettings, Playlist
from stream_infomax.sources.video_files import ACCEPTED, SUFFIXES, Video, pictures, survey
from stream_infomax.sources.views import View, upright

if TYPE_CHECKING:  # PyAV is an extra
    from av import VideoFrame

log = logging.getLogger(__name__)

# Rates that differ by less are the same; the times of pictures say it exactly.
SAME_RATE = 0.01
DAMAGED = "pictures that cannot be decoded"
OTHER_SIZE = "pictures of another size"
MENDED = "pictures that their decoder mended"


class VideoSettings(FileSettings, frozen=True, kw_only=True):
    """A video or a folder of videos."""

    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES

    path: Annotated[
        str,
        Doc(
            "A video, or a folder that is searched with its subfolders. Hidden files and folders, linked folders, and "
            "files whose suffix is not that of a video, are left out and counted."
        ),
    ]
    mode: views.Mode = "pictures"
    crop: views.Crop = (12, 12)
    items: views.Items = 256
    size: views.Size = (0, 0)
    colour: views.Colour = False

    def needs(self) -> tuple[str, ...]:
        """Return the package that the source needs."""
        return ("av",)


@configured_by(VideoSettings)
class VideoSource:
    """The pictures of videos, one a frame, file after file, each file one segment of one stream; values from 0 to 1.

    Each frame has the time of its picture as the file has it, also where these are not even. Pictures stand as the
    camera wants them to be turned. Which pictures there are is settled once: ``frames(start)`` gives the same frames
    from any offset on. A picture that cannot be decoded, or has another size than those before it (unless `size` brings
    all to one), keeps its place: it is NaN, and counted.

    Parameters
    ----------
    name
        Name of the stream and of its array.

    Raises
    ------
    SettingError
        A setting that is not accepted; nothing at `path`, a single file that cannot be read, a folder without one
        readable video; videos of several sizes; labels that fit no file. Single bad files of a folder are logged,
        counted and passed over.
    """

    def __init__(self, path: str | Path, *, name: str = "source", **settings: Any) -> None:
        given = make(VideoSettings, {"path": path, **settings})
        if not given.path:
            raise SettingError("path", "", f"{ACCEPTED}, or a folder of them", "empty")
        require(*given.needs())
        self.name = name
        self.given = given
        self.view = View(given.mode, given.crop, given.items, given.size, given.colour, given.seed)
        self.root = Path(given.path)
        self.videos, self.left_out, self.without_label = survey(self.root, given)
        self._beside = "" if given.labels or given.labels_csv else beside(self.root)
        self.row = self.view.row(self.videos[0].size)
        self._check_sizes()
        self.rate = self._rate()
        self.lost: Counter[str] = Counter()  # pictures of files that are not what they were, by reason
        self._noted: dict[str, set[tuple[str, int]]] = {DAMAGED: set(), OTHER_SIZE: set(), MENDED: set()}

    def _check_sizes(self) -> None:
        first = self.videos[0]
        for video in self.videos:
            if self.view.fits(video.size, self.row):
                continue
            one, other = (" × ".join(map(str, of.size)) for of in (first, video))
            if self.view.patches:
                raise SettingError(
                    "crop", list(self.given.crop), "at most the size of a picture", f"{video.path}: {other}"
                )
            raise SettingError(
                "size",
                list(self.given.size),
                "height and width to which all pictures are brought",
                f"{first.path} has {one} pixels, {video.path} has {other}",
            )

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._playlist())

    def outline(self) -> Outline:
        """Return what the videos come to."""
        pictures = Counter(video.rows * self.view.rows for video in self.videos)
        playlist = self._playlist()
        seconds = self.given.repeat * sum(video.seconds for video in self.videos)
        size = " × ".join(map(str, self.videos[0].size))
        return Outline(
            frames=len(playlist),
            segments={n: self.given.repeat * count for n, count in pictures.items()},
            row=self.row,
            rate=self.rate,
            labels=count_values(video.labels for video in self.videos),
            about=f"{len(self.videos):,} videos, {playlist.rows:,} pictures of {size} pixels, {seconds:,.1f} s",
            left_out=self.left_out,
            warning=self._beside,
        )

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from offset `start` on: float32, axes ("time" or "item", "y", "x") or with "colour" behind.

        A file that has become unreadable gives frames of NaN from there on.
        """
        total = len(self)
        for video, first, offset, played in self._playlist().places(start):
            why = inventory.why_not(video.path, video.entry)
            there = repeat(None, video.rows - first) if why else pictures(video, first)
            for index, picture in enumerate(there, first):
                if why:
                    self.lost[why] += 1
                number = offset + index - first
                wrong = self._wrong(picture)
                if wrong:
                    self._note(video, index, wrong)
                if picture is None or wrong == OTHER_SIZE:
                    rows = self.view.nothing(self.row)
                else:
                    rows = self.view.take(picture, number)
                yield Frame(
                    stream=self.name,
                    offset=number,
                    segment=video.segment,
                    arrays={self.name: rows},
                    last=index == video.rows - 1,
                    end=number == total - 1,
                    time=self.given.start_time + played + video.time(index),
                    rate=self.rate,
                    labels=video.labels,
                )

    def state(self) -> State:
        """Return the inventory of the videos."""
        return inventory.to_state(inventory.of(self.videos))

    def restore(self, state: State) -> None:
        """Leave out the videos that are not in the inventory.

        Raises
        ------
        ValueError
            Where one that is in it is missing or has changed.
        """
        self.videos = inventory.known(state, self.videos, self.root, self.left_out)
        self.row, self.rate = self.view.row(self.videos[0].size), self._rate()

    def counts(self) -> Counts:
        """Return the counts of files, of what is left out of them, and of pictures that are not there."""
        noted = Counter({what: len(where) for what, where in self._noted.items()})
        return {
            "files": len(self.videos),
            "files without label": self.without_label,
            MENDED: noted.pop(MENDED),
            **counted(self.left_out + noted),
        }

    def _wrong(self, picture: VideoFrame | None) -> str:
        """Return what is wrong with a picture, nothing where it is as it should be."""
        if picture is None:
            return DAMAGED
        if not self.view.fits(upright(picture), self.row):
            return OTHER_SIZE
        return MENDED if picture.is_corrupt else ""

    def _note(self, video: Video, index: int, what: str) -> None:
        """Count a picture once, however often it is asked for; the first of a file is logged."""
        if not any(segment == video.segment for segment, _ in self._noted[what]):
            log.warning("%s: %s, the first at %.2f s", video.path, what, video.time(index))
        self._noted[what].add((video.segment, index))

    def _rate(self) -> float:
        """Return the pictures a second; 0 for patches, and where videos differ: the rate of a stream stays."""
        rates = [video.rows / video.seconds for video in self.videos]
        alike = max(rates) - min(rates) < SAME_RATE * rates[0]
        return rates[0] if alike and not self.view.patches else 0.0

    def _playlist(self) -> Playlist[Video]:
        return Playlist(self.videos, 1, self.given, lambda video: video.seconds)
