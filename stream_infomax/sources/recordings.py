"""Recordings: which files of a folder can be read, how long they are, and their samples block by block."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from stream_infomax.sources.endings import goes_on, is_cut
from stream_infomax.sources.files import BROKEN_OFF
from stream_infomax.sources.inventory import Entry, entry
from stream_infomax.sources.murmur import caught, tell
from stream_infomax.sources.playlist import FileSettings
from stream_infomax.sources.survey import Place, Surveyed
from stream_infomax.sources.survey import survey as survey_files

SUFFIXES = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".snd", ".caf", ".w64")
ACCEPTED = f"recordings that libsndfile reads: {', '.join(SUFFIXES)}"

# Samples read at once; part of what a truncated FLAC file yields (a failed read loses its block), so not an option.
BLOCK = 16384
# A block becomes so many times as long at most when it is resampled.
MOST = 16
# libsndfile's mark for a FLAC file without a length, which it cannot read in blocks.
UNKNOWN_LENGTH = 1 << 62
# Uncompressed samples can be sought exactly; every other format is decoded from its start.
EXACT_FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF")
EXACT_SUBTYPES = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
# The largest magnitude that each subtype holds, as float32; a sample there is counted as clipped.
FULL_SCALE = {"PCM_S8": 1 - 2.0**-7, "PCM_U8": 1 - 2.0**-7, "PCM_16": 1 - 2.0**-15, "PCM_24": 1 - 2.0**-23}

LATER_PARTS = "later parts of files that were put together"

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
    # Whether it announces more than it holds.
    cut: bool
    labels: Mapping[str, str]
    # For the inventory.
    key: bytes
    entry: Entry

    @property
    def rows(self) -> int:
        """Rows of the segment."""
        return self.samples


class Sound(NamedTuple):
    """What a file holds.

    Samples a second, channels, the largest magnitude, whether it can be sought, samples, and whether it is cut.
    """

    rate: int
    channels: int
    full_scale: float
    exact: bool
    stored: int
    cut: bool


def survey(root: Path, given: FileSettings, rate: int) -> Surveyed[Recording]:
    """Look at the recordings at `root`, which are resampled to a rate; raises as `survey.survey`."""
    found = survey_files(
        root,
        given,
        lambda place: _probe(place, rate),
        suffixes=SUFFIXES,
        accepted=ACCEPTED,
        what="recording",
        usable="readable recording",
        unusable=(soundfile.LibsndfileError, OSError, ValueError),
        reason=reason_of,
    )
    if cut := sum(recording.cut for recording in found.files):
        found.left_out[BROKEN_OFF] += cut
    for recording in found.files:
        if goes_on(recording.path):
            found.left_out[LATER_PARTS] += 1
            log.warning("%s: what was put behind its end is left out", recording.path)
    return found


def slower(recordings: Sequence[Recording], rate: int) -> str:
    """Say which recordings have fewer samples a second than a rate, and what they lack; empty where none has."""
    own = sorted(recording.rate for recording in recordings if recording.rate < rate)
    if not own:
        return ""
    rates, halves = (" to ".join(dict.fromkeys(f"{end / by:,.0f}" for end in (own[0], own[-1]))) for by in (1, 2))
    return (
        f"{len(own):,} of {len(recordings):,} recordings have {rates} samples a second, fewer than rate = {rate:,}: "
        f"above half of that, {halves} Hz, there is nothing in them"
    )


def _probe(place: Place, rate: int) -> Recording:
    """Return what a file holds. Raises ValueError or LibsndfileError where it holds no sample."""
    sound = measured(place.path)
    own_rate, stored = sound.rate, sound.stored
    # soxr rounds the length half up.
    samples = stored if rate in (0, own_rate) else (2 * stored * rate + own_rate) // (2 * own_rate)
    if samples < 1:
        raise ValueError(f"its {stored} samples are less than one at {rate} samples a second")
    found = place.labels.of(place.segment)
    return Recording(
        place.path,
        place.segment,
        own_rate,
        sound.channels,
        sound.full_scale,
        sound.exact,
        stored,
        samples,
        sound.cut,
        found,
        place.key,
        entry(place.path, found),
    )


def measured(path: Path) -> Sound:
    """Return what a file holds. Raises ValueError or LibsndfileError where it holds no sample."""
    said: list[str] = []
    with _opened(path, said) as file:
        own_rate, channels, announced = file.samplerate, file.channels, file.frames
        exact = file.format in EXACT_FORMATS and file.subtype in EXACT_SUBTYPES
        full_scale = FULL_SCALE.get(file.subtype, 1.0)
        if announced >= UNKNOWN_LENGTH:
            raise ValueError("its header doesn't say how long it is (written to a pipe?); accepted is one that does")
        if announced < 1:
            size = path.stat().st_size
            raise ValueError(f"its header announces no sample; the file has {size:,} bytes (was it never finished?)")
        with caught(said):
            whole = exact or _holds_sample(file, announced - 1)
    stored = announced
    if not whole:
        # What it holds is counted once, here; formats in which nothing can be sought come here too.
        stored = sum(len(block) for block in decode(path, said=said))
    tell(path, said)
    if stored < 1:
        raise ValueError(f"its header announces {announced:,} samples, and it holds none")
    cut = stored != announced
    if cut:
        log.warning("%s announces %d samples and holds %d", path, announced, stored)
    elif cut := is_cut(path):
        log.warning("%s announces more than the %d samples that it holds", path, stored)
    return Sound(own_rate, channels, full_scale, exact, stored, cut)


def reason_of(error: Exception) -> str:
    """Return why a file cannot be read. libsndfile takes for a missing file what no decoder of it knows."""
    reason = str(getattr(error, "error_string", error))
    return "libsndfile finds no recording in it" if "is not a regular file" in reason else reason


def _holds_sample(file: soundfile.SoundFile, index: int) -> bool:
    if index < 0:
        return True
    try:
        file.seek(index)
        return len(file.read(1, dtype="float32")) == 1
    except soundfile.LibsndfileError:
        return False


def decode(path: Path, seek: int = 0, said: list[str] | None = None) -> Iterator[Samples]:
    """Yield what can be decoded, in blocks of (n, channels); a file that breaks off simply ends.

    Parameters
    ----------
    said
        Takes what the decoder complains of; else it is logged.
    """
    said = [] if (is_alone := said is None) else said
    try:
        with _opened(path, said) as file:
            is_mpeg = "MPEG" in (file.format, file.subtype[:4])  # only its decoder talks
            if seek:
                file.seek(seek)
            while True:
                with caught(said) if is_mpeg else nullcontext():
                    block = file.read(BLOCK, dtype="float32", always_2d=True)
                if not len(block):
                    break
                yield block
    except (soundfile.LibsndfileError, OSError) as error:
        log.warning("%s: %s", path, error)
    if is_alone:
        tell(path, said)


def _opened(path: Path, said: list[str]) -> soundfile.SoundFile:
    """Return an open file. Raises LibsndfileError."""
    with caught(said):
        return soundfile.SoundFile(path)


def resample(blocks: Iterator[Samples], rate: int, new_rate: int, n_channels: int) -> Iterator[Samples]:
    """Yield blocks at another rate."""
    stream = soxr.ResampleStream(rate, new_rate, n_channels, dtype="float32", quality="HQ")
    # A rate of 1 Hz in a header must not cost gigabytes, nor must a thousand channels.
    size = max(1, BLOCK * MOST * rate // (new_rate * n_channels))
    for block in blocks:
        for start in range(0, len(block), size):
            yield stream.resample_chunk(block[start : start + size])
    yield stream.resample_chunk(np.empty((0, n_channels), np.float32), last=True)
