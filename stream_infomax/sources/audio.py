"""AudioSource: a file or folder of recordings as one seekable stream of frames."""

from __future__ import annotations

import csv
import logging
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from stream_infomax.streaming.frames import Array, Frame

SUFFIXES = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".snd", ".caf", ".w64")
ACCEPTED = f"recordings that libsndfile reads: {', '.join(SUFFIXES)}"

# Samples read at once; part of what a truncated FLAC file yields (a failed read loses its block), so not an option.
BLOCK = 16384
# libsndfile's mark for a FLAC file without a length, which it cannot read in blocks.
UNKNOWN_LENGTH = 1 << 62
# Uncompressed samples can be sought exactly; every other format is decoded from its start.
EXACT_FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF")
EXACT_SUBTYPES = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
# The largest magnitude that each subtype holds, as float32; a sample there is counted as clipped.
FULL_SCALE = {"PCM_S8": 1 - 2.0**-7, "PCM_U8": 1 - 2.0**-7, "PCM_16": 1 - 2.0**-15, "PCM_24": 1 - 2.0**-23}

log = logging.getLogger(__name__)
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recording:
    """One readable file: where it is, what is in it, and how many frames it becomes."""

    path: Path
    segment: str
    rate: int
    channels: int
    full_scale: float
    exact: bool
    # Samples as stored, and after resampling.
    stored: int
    samples: int
    labels: Mapping[str, str]


class AudioSource:
    """Recordings, file after file, each file one segment of one stream.

    Files are read in blocks, never whole. What is readable and how long it is gets settled here, once, so that
    ``frames(start)`` gives the same frames from any offset on.

    Parameters
    ----------
    path
        A recording, or a folder that is searched with its subfolders. Hidden files, and files whose suffix is
        not that of a recording, are passed over.
    name
        Name of the stream and of its array.
    rate
        Samples a second after resampling (soxr, high quality); 0 keeps the files' own, which then must be one.
    channels
        ``mix``: the mean of the channels; ``keep``: all of them, as many in every file.
    frame
        Samples of one frame; 0 makes it 20 ms. The last frame of a file is shorter.
    labels
        A regular expression, searched for in the file's path below the folder; its named groups become labels.
    labels_csv
        A CSV file with a head line: the first column names the file (its path below the folder, or its name), the
        others become labels under their column's name.
    include
        A regular expression; only recordings in whose path below the folder it is found are used.
    order
        ``sorted`` by path, or ``shuffled`` by `seed`, anew in each repetition.
    repeat
        How often the files are gone through.
    start_time
        Seconds of the first sample.
    seed
        Of the shuffled order.

    Raises
    ------
    FileNotFoundError
        No such file or folder.
    ValueError
        A single file that cannot be read; a folder without one readable recording; rates or channel counts that
        differ; labels that fit no file. Single bad files of a folder are logged, counted and passed over.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str = "source",
        rate: int = 0,
        channels: str = "mix",
        frame: int = 0,
        labels: str = "",
        labels_csv: str | Path = "",
        include: str = "",
        order: str = "sorted",
        repeat: int = 1,
        start_time: float = 0.0,
        seed: int = 0,
    ) -> None:
        if channels not in ("mix", "keep"):
            raise ValueError(f"channels = {channels!r}; accepted are 'mix' and 'keep'")
        if order not in ("sorted", "shuffled"):
            raise ValueError(f"order = {order!r}; accepted are 'sorted' and 'shuffled'")
        if rate < 0 or frame < 0 or repeat < 1:
            raise ValueError(f"rate = {rate}, frame = {frame}, repeat = {repeat}; accepted are >= 0, >= 0 and >= 1")
        self.name = name
        self.mix = channels == "mix"
        self.shuffled = order == "shuffled"
        self.repeat = repeat
        self.start_time = start_time
        self.seed = seed
        root = Path(path)
        self.recordings, self.unreadable = _survey(
            root, rate, _compile("include", include), _Labels(labels, labels_csv)
        )
        self._check_alike(rate)
        self.rate = rate or self.recordings[0].rate
        self.frame = frame or max(1, round(0.02 * self.rate))
        self.n_channels = 1 if self.mix else self.recordings[0].channels
        self._samples_per_round = sum(recording.samples for recording in self.recordings)
        self._clipped = 0
        self._broken: set[str] = set()

    def _check_alike(self, rate: int) -> None:
        first = self.recordings[0]
        for other in self.recordings:
            if rate == 0 and other.rate != first.rate:
                raise ValueError(
                    f"{first.path} has {first.rate} samples a second, {other.path} has {other.rate}; set rate to "
                    f"have all of them resampled"
                )
            if not self.mix and other.channels != first.channels:
                raise ValueError(
                    f"{first.path} has {first.channels} channels, {other.path} has {other.channels}; with "
                    f"channels = 'keep' all files need as many; 'mix' accepts any number"
                )

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.repeat * sum(self._n_frames(recording) for recording in self.recordings)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from offset `start` on: float32, axes ("time", "channel").

        A file that ends before its announced length (corrupt within) gives frames without rows from there on.
        """
        total = len(self)
        per_round = total // self.repeat
        offset = max(0, start)
        while offset < total:
            round_, within = divmod(offset, per_round)
            order = self._order(round_)
            starts = [0, *accumulate(self._n_frames(recording) for recording in order)]
            index = bisect_right(starts, within) - 1
            played = (round_ * self._samples_per_round) + sum(recording.samples for recording in order[:index])
            for recording, start_of_file in zip(order[index:], starts[index:], strict=False):
                for frame in self._frames_of(recording, offset - round_ * per_round - start_of_file, played):
                    yield replace(frame, offset=offset, end=offset == total - 1)
                    offset += 1
                played += recording.samples

    def _frames_of(self, recording: Recording, first: int, played: int) -> Iterator[Frame]:
        """Yield the frames of `recording` from its own frame `first` on; `played` samples came before the file."""
        for index, rows in enumerate(self._rows(recording, first), first):
            yield Frame(
                stream=self.name,
                segment=recording.segment,
                arrays={self.name: Array(rows, ("time", "channel"))},
                last=index == self._n_frames(recording) - 1,
                time=self.start_time + (played + index * self.frame) / self.rate,
                rate=float(self.rate),
                labels=recording.labels,
            )

    def metrics(self) -> Mapping[str, float]:
        """Return the counts of files, of those that could not be read or broke off, and of clipped samples."""
        return {
            "files": len(self.recordings),
            "files_unreadable": len(self.unreadable),
            "files_broken_off": len(self._broken),
            "samples_clipped": self._clipped,
        }

    def _n_frames(self, recording: Recording) -> int:
        return -(-recording.samples // self.frame)

    def _order(self, round_: int) -> Sequence[Recording]:
        if not self.shuffled:
            return self.recordings
        order = np.random.default_rng([self.seed, round_]).permutation(len(self.recordings))
        return [self.recordings[i] for i in order]

    def _rows(self, recording: Recording, first: int) -> Iterator[Samples]:
        """Yield exactly as many arrays as `recording` has frames from its frame `first` on."""
        position = first * self.frame
        held: list[Samples] = []
        n_held = 0
        blocks = self._blocks(recording, position)
        for _ in range(first, self._n_frames(recording)):
            size = min(self.frame, recording.samples - position)
            while n_held < size:
                block = next(blocks, None)
                if block is None:
                    if recording.segment not in self._broken:
                        log.warning("%s breaks off %d samples early", recording.path, recording.samples - position)
                        self._broken.add(recording.segment)
                    break
                held.append(block)
                n_held += len(block)
            joined = held[0] if len(held) == 1 else np.concatenate([np.empty((0, self.n_channels), np.float32), *held])
            yield joined[:size]
            held = [joined[size:]]
            n_held = len(held[0])
            position += size

    def _blocks(self, recording: Recording, position: int) -> Iterator[Samples]:
        """Yield the samples of `recording` from `position` (after resampling) on, in blocks of any length."""
        resampled = recording.rate != self.rate
        seek = position if recording.exact and not resampled else 0
        blocks = self._decoded(recording, seek)
        if resampled:
            blocks = _resample(blocks, recording.rate, self.rate, self.n_channels)
        skip = position - seek
        for block in blocks:
            if len(block) > skip:
                yield block[skip:]
            skip = max(0, skip - len(block))

    def _decoded(self, recording: Recording, seek: int) -> Iterator[Samples]:
        for block in _decode(recording.path, seek):
            self._clipped += int(np.count_nonzero(np.abs(block) >= recording.full_scale))
            if self.mix and block.shape[1] > 1:
                with np.errstate(invalid="ignore", over="ignore"):  # infinities pass; the learner sets them aside
                    block = block.mean(axis=1, dtype=np.float32, keepdims=True)
            yield block


def _decode(path: Path, seek: int = 0) -> Iterator[Samples]:
    """Yield what can be decoded, in blocks of (n, channels); a file that breaks off simply ends."""
    try:
        with soundfile.SoundFile(path) as file:
            if seek:
                file.seek(seek)
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                yield block
    except (soundfile.LibsndfileError, OSError) as error:
        log.warning("%s: %s", path, error)


def _resample(blocks: Iterator[Samples], rate: int, new_rate: int, n_channels: int) -> Iterator[Samples]:
    stream = soxr.ResampleStream(rate, new_rate, n_channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty((0, n_channels), np.float32), last=True)


def _survey(root: Path, rate: int, include: re.Pattern[str], labels: _Labels) -> tuple[list[Recording], list[str]]:
    """Return the readable recordings at `root` that `include` is found in, and a sentence for each unreadable one."""
    if root.is_dir():
        folder = root
        files = [
            file
            for file in root.rglob("*")
            if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
        ]
        files.sort(key=lambda file: file.relative_to(root).parts)
    elif root.exists():
        folder = root.parent
        files = [root]
    else:
        raise FileNotFoundError(f"no file or folder {root}; accepted are {ACCEPTED}, or a folder of them")
    recordings, unreadable = [], []
    wanted = [(file, name) for file in files if include.search(name := _name(file, folder))]
    for file, name in wanted:
        try:
            recordings.append(_probe(file, name, rate, labels))
        except (soundfile.LibsndfileError, OSError, ValueError) as error:
            unreadable.append(f"{file}: {getattr(error, 'error_string', error)}")
    if not recordings:
        reasons = "; ".join(unreadable[:3])
        if not reasons:
            reasons = f"include = {include.pattern!r} fits none" if files else "nothing there has their suffix"
        raise ValueError(f"no readable recording at {root} ({reasons}); accepted are {ACCEPTED}")
    for sentence in unreadable:
        log.warning("passed over %s", sentence)
    labels.check(root)
    return recordings, unreadable


def _name(file: Path, folder: Path) -> str:
    """Return the path below the folder, as text that can be sent."""
    return os.fsencode(file.relative_to(folder).as_posix()).decode("utf-8", "replace")


def _probe(path: Path, segment: str, rate: int, labels: _Labels) -> Recording:
    """Return what `path` holds. Raises ValueError or LibsndfileError where it holds no sample."""
    with soundfile.SoundFile(path) as file:
        own_rate, channels, stored = file.samplerate, file.channels, file.frames
        exact = file.format in EXACT_FORMATS and file.subtype in EXACT_SUBTYPES
        full_scale = FULL_SCALE.get(file.subtype, 1.0)
        if stored >= UNKNOWN_LENGTH:
            raise ValueError("its header doesn't say how long it is (written to a pipe?); accepted is one that does")
        whole = exact or _holds_sample(file, stored - 1)
    if not whole:
        # It announces more than it holds: what it holds is counted once, here.
        announced, stored = stored, sum(len(block) for block in _decode(path))
        log.warning("%s announces %d samples and holds %d", path, announced, stored)
    if stored < 1:
        raise ValueError("it holds no sample")
    # soxr rounds the length half up.
    samples = stored if rate in (0, own_rate) else (2 * stored * rate + own_rate) // (2 * own_rate)
    if samples < 1:
        raise ValueError(f"its {stored} samples are less than one at {rate} samples a second")
    return Recording(path, segment, own_rate, channels, full_scale, exact, stored, samples, labels.of(segment))


def _holds_sample(file: soundfile.SoundFile, index: int) -> bool:
    if index < 0:
        return True
    try:
        file.seek(index)
        return len(file.read(1, dtype="float32")) == 1
    except soundfile.LibsndfileError:
        return False


class _Labels:
    """Labels of a file: the named groups of a pattern over its path, and a line of a CSV file."""

    def __init__(self, pattern: str, csv_path: str | Path) -> None:
        self.pattern = _compile("labels", pattern)
        if pattern and not self.pattern.groupindex:
            raise ValueError(
                f"labels = {pattern!r} names no group; accepted is for example '(?P<digit>[0-9])_(?P<speaker>[a-z]+)_'"
            )
        self.csv_path = csv_path
        self.lines = _read_csv(Path(csv_path)) if csv_path else {}
        self._given = [what for what in (f"labels = {pattern!r}" * bool(pattern), str(csv_path)) if what]
        self._used: set[str] = set()

    def of(self, segment: str) -> dict[str, str]:
        labels = {}
        found = self.pattern.search(segment)
        if found and self.pattern.groupindex:
            labels = {name: text for name, text in found.groupdict().items() if text is not None}
            self._used.add(f"labels = {self.pattern.pattern!r}")
        line = self.lines.get(segment) or self.lines.get(segment.rpartition("/")[2])
        if line:
            labels |= line
            self._used.add(str(self.csv_path))
        return labels

    def check(self, root: Path) -> None:
        """Raise ValueError where the pattern or the CSV file fitted no file at all."""
        for what in self._given:
            if what not in self._used:
                raise ValueError(f"{what} fits no recording at {root}; it is matched against the path below the folder")


def _compile(key: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{key} = {pattern!r} is not a regular expression: {error}") from error


def _read_csv(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        raise FileNotFoundError(f"no CSV file {path}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head, *lines = list(csv.reader(file)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a UTF-8 CSV file: {error}") from error
    if len(head) < 2:
        raise ValueError(f"{path} has the head {head}; accepted is one with a column of file names and one of labels")
    return {line[0]: dict(zip(head[1:], line[1:], strict=False)) for line in lines if line}
