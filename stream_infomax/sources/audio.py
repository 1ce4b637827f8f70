"""AudioSource: a file or folder of recordings as one seekable stream of frames."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec.structs import replace

from stream_infomax.frames.contracts import Counts, State
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.outline import Outline, count_values
from stream_infomax.settings.record import make
from stream_infomax.settings.types import Doc, NotNegative
from stream_infomax.sources import inventory
from stream_infomax.sources.files import counted
from stream_infomax.sources.labels import beside
from stream_infomax.sources.murmur import tell
from stream_infomax.sources.playlist import FileSettings, Playlist, cut
from stream_infomax.sources.recordings import ACCEPTED, SUFFIXES, Recording, Samples, decode, resample, slower, survey

log = logging.getLogger(__name__)


class AudioSettings(FileSettings, frozen=True, kw_only=True):
    """A file or folder of recordings."""

    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES

    path: Annotated[
        str,
        Doc(
            "A recording, or a folder that is searched with its subfolders. Hidden files and folders, linked folders, "
            "and files whose suffix is not that of a recording, are left out and counted."
        ),
    ]
    rate: Annotated[
        NotNegative,
        Doc("Samples a second after resampling (soxr, high quality); 0 keeps the files' own, which then must be one."),
    ] = 0
    channels: Annotated[
        Literal["mix", "keep"], Doc("`mix`: the mean of the channels. `keep`: all of them, as many in every file.")
    ] = "mix"
    frame: Annotated[
        NotNegative, Doc("Samples of one frame; 0 makes it 20 ms. The last frame of a file is shorter.")
    ] = 0


@configured_by(AudioSettings)
class AudioSource:
    """Recordings, file after file, each file one segment of one stream.

    Files are read in blocks, never whole. Which of them are readable, and how long each is, is settled once:
    ``frames(start)`` gives the same frames from any offset on.

    Parameters
    ----------
    name
        Name of the stream and of its array.

    Raises
    ------
    SettingError
        A setting that is not accepted; nothing at `path`, a single file that cannot be read, a folder without one
        readable recording; rates or channel counts that differ; labels that fit no file. Single bad files of a folder
        are logged, counted and passed over.
    """

    def __init__(self, path: str | Path, *, name: str = "source", **settings: Any) -> None:
        given = make(AudioSettings, {"path": path, **settings})
        if not given.path:
            raise SettingError("path", "", f"{ACCEPTED}, or a folder of them", "empty")
        self.name = name
        self.mix = given.channels == "mix"
        self.given = given
        self.root = Path(given.path)
        self.recordings, self.left_out, self.without_label = survey(self.root, given, given.rate)
        self._beside = "" if given.labels or given.labels_csv else beside(self.root)
        self._check_alike(given.rate)
        self.rate = given.rate or self.recordings[0].rate
        self.frame = given.frame or max(1, round(0.02 * self.rate))
        self.n_channels = 1 if self.mix else self.recordings[0].channels
        self._clipped = 0
        self._broken: set[str] = set()
        self._complained: set[str] = set()
        self._slow = slower(self.recordings, self.rate)
        # Frames that lack rows, by reason, and why files were not read.
        self.lost: Counter[str] = Counter()
        self._unread: dict[str, str] = {}

    def _check_alike(self, rate: int) -> None:
        first = self.recordings[0]
        for other in self.recordings:
            if rate == 0 and other.rate != first.rate:
                raise SettingError(
                    "rate",
                    rate,
                    "the rate to which all files are resampled",
                    f"{first.path} has {first.rate} samples a second, {other.path} has {other.rate}",
                )
            if not self.mix and other.channels != first.channels:
                raise SettingError(
                    "channels",
                    "keep",
                    "'mix', or files with as many channels as one another",
                    f"{first.path} has {first.channels} channels, {other.path} has {other.channels}",
                )

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._playlist())

    def outline(self) -> Outline:
        """Return what the recordings come to."""
        samples = Counter(recording.samples for recording in self.recordings)
        seconds = self._playlist().rows / self.rate
        return Outline(
            frames=len(self),
            segments={n: self.given.repeat * count for n, count in samples.items()},
            row=(self.n_channels,),
            rate=float(self.rate),
            labels=count_values(recording.labels for recording in self.recordings),
            about=f"{len(self.recordings):,} recordings, {seconds:,.1f} s, {self.rate:,} samples a second",
            left_out=self.left_out,
            warning="; ".join(filter(None, (self._slow, self._beside))),
        )

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from offset `start` on: float32, axes ("time", "channel").

        A file that ends before the length that was found (cut since, corrupt within) gives frames without rows from
        there on, which are counted in `lost`.
        """
        total = len(self)
        if self._slow:
            log.warning("%s: %s", self.root, self._slow)
        for recording, first, offset, played in self._playlist().places(start):
            for number, frame in enumerate(self._frames_of(recording, first, played), offset):
                yield replace(frame, offset=number, end=number == total - 1)

    def _frames_of(self, recording: Recording, first: int, played: float) -> Iterator[Frame]:
        """Yield the frames of `recording` from its own frame `first` on; `played` samples came before the file."""
        for index, rows in enumerate(self._rows(recording, first), first):
            yield Frame(
                stream=self.name,
                segment=recording.segment,
                arrays={self.name: Array(rows, ("time", "channel"))},
                last=index == self._playlist().frames_of(recording) - 1,
                time=self.given.start_time + (played + index * self.frame) / self.rate,
                rate=float(self.rate),
                labels=recording.labels,
            )

    def state(self) -> State:
        """Return the inventory of the recordings."""
        return inventory.to_state(inventory.of(self.recordings))

    def restore(self, state: State) -> None:
        """Leave out the recordings that are not in the inventory.

        Raises
        ------
        ValueError
            Where one that is in it is missing or has changed.
        """
        self.recordings = inventory.known(state, self.recordings, self.root, self.left_out)

    def counts(self) -> Counts:
        """Return the counts of files, of what is left out of them, and of clipped samples."""
        return {
            "files": len(self.recordings),
            "files without label": self.without_label,
            "files that their decoder complained of": len(self._complained),
            "samples clipped": self._clipped,
            **counted(self.left_out),
        }

    def _playlist(self) -> Playlist[Recording]:
        return Playlist(self.recordings, self.frame, self.given)

    def _rows(self, recording: Recording, first: int) -> Iterator[Samples]:
        """Yield exactly as many arrays as `recording` has frames from its frame `first` on."""
        starts = range(first * self.frame, recording.samples, self.frame)
        sizes = [min(self.frame, recording.samples - start) for start in starts]
        blocks = self._blocks(recording, starts.start)
        for start, size, rows in zip(starts, sizes, cut(blocks, sizes), strict=True):
            n_rows = 0 if rows is None else len(rows)
            if n_rows < size:
                self.lost[self._unread.get(recording.segment) or inventory.CUT] += 1
            if n_rows < size and recording.segment not in self._broken:
                log.warning("%s breaks off %d samples early", recording.path, recording.samples - start - n_rows)
                self._broken.add(recording.segment)
            yield np.empty((0, self.n_channels), np.float32) if rows is None else rows

    def _blocks(self, recording: Recording, position: int) -> Iterator[Samples]:
        """Yield the samples of `recording` from `position` (after resampling) on, in blocks of any length."""
        resampled = recording.rate != self.rate
        seek = position if recording.exact and not resampled else 0
        blocks = self._decoded(recording, seek)
        if resampled:
            blocks = resample(blocks, recording.rate, self.rate, self.n_channels)
        skip = position - seek
        for block in blocks:
            if len(block) > skip:
                yield block[skip:]
            skip = max(0, skip - len(block))

    def _decoded(self, recording: Recording, seek: int) -> Iterator[Samples]:
        said: list[str] = []
        why = self._unread[recording.segment] = inventory.why_not(recording.path, recording.entry)
        try:
            for block in () if why else decode(recording.path, seek, said):
                self._clipped += int(np.count_nonzero(np.abs(block) >= recording.full_scale))
                if self.mix and block.shape[1] > 1:
                    with np.errstate(invalid="ignore", over="ignore"):  # infinities pass; the learner sets them aside
                        block = block.mean(axis=1, dtype=np.float32, keepdims=True)
                yield block
        finally:  # the last block may never be asked for
            if said and recording.segment not in self._complained:
                self._complained.add(recording.segment)
                tell(recording.path, said)
