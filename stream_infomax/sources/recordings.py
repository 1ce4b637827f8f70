"""Recordings: which files of a folder can be read, how long they are, and their samples block by block."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from stream_infomax.settings.error import SettingError
from stream_infomax.sources.inventory import Entry, entry
from stream_infomax.sources.labels import Labels

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
    # For the inventory.
    key: bytes
    entry: Entry


def survey(root: Path, rate: int, include: re.Pattern[str], labels: Labels) -> tuple[list[Recording], list[str]]:
    """Return the readable recordings at `root` that `include` is found in, and a sentence for each unreadable one."""
    if not root.exists():
        raise SettingError("path", str(root), f"{ACCEPTED}, or a folder of them", "no such file or folder")
    if root.is_dir():
        folder = root
        files = [
            file
            for file in root.rglob("*")
            if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
        ]
        files.sort(key=lambda file: file.relative_to(root).parts)
    else:
        folder = root.parent
        files = [root]
    recordings, unreadable = [], []
    wanted = [(file, name) for file in files if include.search(name := _name(file, folder))]
    for file, name in wanted:
        try:
            recordings.append(_probe(file, name, rate, labels, os.fsencode(file.relative_to(folder))))
        except (soundfile.LibsndfileError, OSError, ValueError) as error:
            unreadable.append(f"{file}: {getattr(error, 'error_string', error)}")
    if not recordings:
        reasons = "; ".join(unreadable[:3])
        if not reasons:
            reasons = f"include = {include.pattern!r} fits none" if files else "nothing there has their suffix"
        raise SettingError("path", str(root), ACCEPTED, f"no readable recording there ({reasons})")
    for sentence in unreadable:
        log.warning("passed over %s", sentence)
    labels.check(root, recordings[0].segment)
    return recordings, unreadable


def _name(file: Path, folder: Path) -> str:
    """Return the path below the folder, as text that can be sent."""
    return os.fsencode(file.relative_to(folder).as_posix()).decode("utf-8", "replace")


def _probe(path: Path, segment: str, rate: int, labels: Labels, key: bytes) -> Recording:
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
        announced, stored = stored, sum(len(block) for block in decode(path))
        log.warning("%s announces %d samples and holds %d", path, announced, stored)
    if stored < 1:
        raise ValueError("it holds no sample")
    # soxr rounds the length half up.
    samples = stored if rate in (0, own_rate) else (2 * stored * rate + own_rate) // (2 * own_rate)
    if samples < 1:
        raise ValueError(f"its {stored} samples are less than one at {rate} samples a second")
    found = labels.of(segment)
    return Recording(
        path, segment, own_rate, channels, full_scale, exact, stored, samples, found, key, entry(path, found)
    )


def _holds_sample(file: soundfile.SoundFile, index: int) -> bool:
    if index < 0:
        return True
    try:
        file.seek(index)
        return len(file.read(1, dtype="float32")) == 1
    except soundfile.LibsndfileError:
        return False


def decode(path: Path, seek: int = 0) -> Iterator[Samples]:
    """Yield what can be decoded, in blocks of (n, channels); a file that breaks off simply ends."""
    try:
        with soundfile.SoundFile(path) as file:
            if seek:
                file.seek(seek)
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                yield block
    except (soundfile.LibsndfileError, OSError) as error:
        log.warning("%s: %s", path, error)


def resample(blocks: Iterator[Samples], rate: int, new_rate: int, n_channels: int) -> Iterator[Samples]:
    stream = soxr.ResampleStream(rate, new_rate, n_channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty((0, n_channels), np.float32), last=True)
