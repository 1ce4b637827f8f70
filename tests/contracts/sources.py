"""What every source promises: small checks, each for any source; and an example of every kind to run them over."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from contracts import streams
from contracts.kinds import SOURCES as KINDS
from contracts.settings import described
from contracts.stages import counted
from helpers import journals, videos, xdf
from helpers.extras import extra

from stream_infomax.settings.record import make
from stream_infomax.state import file as state_file


def recordings(folder):
    """Write three recordings, one of another rate, and something that is none."""
    for number, rate in enumerate((8000, 8000, 16000)):
        samples = np.random.default_rng(number).uniform(-0.5, 0.5, (700 + 99 * number, 2))
        soundfile.write(folder / f"{number}_word.wav", samples, rate)
    (folder / "notes.txt").write_text("no sound")
    return {"path": str(folder), "rate": 8000, "frame": 160, "labels": r"(?P<digit>\d)_"}


def pictures(folder):
    """Write two pictures."""
    extra("PIL")
    from PIL import Image

    for number, size in enumerate(((40, 50), (30, 33))):
        pixels = np.random.default_rng(number).integers(0, 255, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return {"path": str(folder), "crop": (8, 9), "items": 5, "labels": r"(?P<which>\d)\.png"}


def arrays(folder):
    """Write two arrays, one of them an archive that says more, and something that is none."""
    rows = np.random.default_rng(0).laplace(size=(900, 3))
    np.save(folder / "0_a.npy", rows[:400])
    np.savez_compressed(folder / "1_b.npz", x=rows[400:].astype(np.float32), event=np.arange(500) // 150, rate=100.0)
    (folder / "notes.md").write_text("no table")
    return {"path": str(folder), "rate": 100.0, "frame": 64, "labels": r"(?P<digit>\d)_"}


def table(folder):
    """Write a table with a head, times with a gap, texts, and columns that are no channels."""
    rows = np.random.default_rng(0).laplace(size=(700, 2))
    lines = [f"{i / 100 + (i > 300)};{a:.4f};{b:.4f};{'one' if i < 500 else 'two'}" for i, (a, b) in enumerate(rows)]
    (folder / "a.csv").write_text("\n".join(["time;a [V];b [V];word", *lines]).replace(".", ","))
    return {"path": str(folder / "a.csv"), "time": "time", "label": "word", "frame": 64}


def sensors(folder):
    """Write recordings of a sensor of four channels, in a format that can be sought and in one that cannot."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (900, 4))
    soundfile.write(folder / "0.wav", samples, 500, subtype="FLOAT")
    soundfile.write(folder / "1.flac", samples[:300], 500)
    return {"path": str(folder), "frame": 100, "channels": [0, 2, 3]}


def recorded(folder):
    """Write a recording in EDF: channels of two rates, annotations of some rows."""
    extra("edfio")
    from edfio import Edf, EdfAnnotation, EdfSignal

    generator = np.random.default_rng(0)
    signals = [EdfSignal(generator.normal(size=10 * rate), rate, label=f"at {rate}") for rate in (100, 1)]
    Edf(signals, annotations=[EdfAnnotation(3.0, 2.5, "eyes closed")]).write(folder / "a.edf")
    return {"path": str(folder / "a.edf"), "rate": 100.0, "label": "annotation", "frame": 64}


def columns(folder):
    """Write a Parquet file of several row groups."""
    extra("pyarrow")
    import pyarrow as pa
    from pyarrow import parquet

    rows = np.random.default_rng(0).laplace(size=(700, 2))
    parquet.write_table(pa.table({"a": rows[:, 0], "b": rows[:, 1]}), folder / "a.parquet", row_group_size=300)
    return {"path": str(folder), "frame": 64}


def several(folder):
    """Name inputs of several kinds and lengths."""
    return {
        "inputs": [
            {"name": "words", "kind": "audio", **recordings(folder)},
            {"name": "one", "kind": "synthetic", "n_sources": 4, "rows": 20, "frames": 9, "drift": 0.1},
            {"name": "other", "kind": "synthetic", "n_sources": 4, "rows": 20, "frames": 4},
        ]
    }


def journal(folder):
    """Write a journal of two streams, which misses frames in the middle."""
    extra("mcap")
    from stream_infomax.journal.journal import Journal

    made = Journal(folder, "log", journals.settings(part="8 KiB"))
    for offset in (*range(40), *range(50, 75)):
        stream = "one" if offset % 3 else "other"
        journals.write(made, [journals.frame(offset, stream, segment=f"{offset // 20}", last=offset % 20 > 16)])
    made.close()
    (folder / "notes.txt").write_text("no journal")
    return {"path": str(folder)}


@dataclass(frozen=True)
class Example:
    """A source of a kind.

    Attributes
    ----------
    settings
        Makes its files in a folder and returns its settings.
    is_random
        Whether the seed changes its frames.
    """

    kind: str
    settings: Callable[[Path], dict[str, Any]]
    form: str = ""
    is_random: bool = True

    def __str__(self):
        return f"{self.kind} {self.form}".strip()


def lab_recordings(folder):
    """Write two XDF files with markers, and something that is none."""
    for number in range(2):
        at = np.arange(250 + 90 * number) / 100
        rows = np.random.default_rng(number).standard_normal((len(at), 2))
        words = xdf.Stream("words", ["left", "right"], [0.5, 1.2], "Markers", "string", 0.0)
        xdf.write(folder / f"{number}.xdf", xdf.Stream("amplifier", rows, at), words)
    (folder / "notes.txt").write_text("no recording")
    return {"path": str(folder), "markers": "words", "frame": 40}


def films(folder):
    """Write two videos, and something that is none."""
    extra("av")
    videos.encode(folder / "a_1.mp4", videos.scenes(5, 24, 32), g=3)
    videos.encode(folder / "b_2.mkv", videos.scenes(3, 24, 32, seed=1), "mpeg4", stamps=[0, 70, 90])
    (folder / "notes.txt").write_text("no video")
    return {"path": str(folder), "labels": r"_(?P<which>\d)\."}


EXAMPLES = [
    Example("audio", recordings, "sorted", is_random=False),
    Example("audio", lambda folder: {**recordings(folder), "order": "shuffled", "repeat": 2}, "shuffled"),
    Example("images", lambda folder: {**pictures(folder), "frames": 7}, "patches"),
    Example("images", lambda folder: {**pictures(folder), "frames": 7, "mode": "crops"}, "crops"),
    Example("images", lambda folder: {**pictures(folder), "mode": "tiles", "colour": True}, "tiles", is_random=False),
    Example("table", arrays, "arrays", is_random=False),
    Example("table", recorded, "edf", is_random=False),
    Example("table", sensors, "recordings", is_random=False),
    Example("table", columns, "parquet", is_random=False),
    Example("table", lambda folder: {**table(folder), "order": "shuffled", "repeat": 2}, "csv"),
    Example("xdf", lab_recordings, "sorted", is_random=False),
    Example("xdf", lambda folder: {**lab_recordings(folder), "order": "shuffled", "repeat": 2}, "shuffled"),
    Example("video", films, "pictures", is_random=False),
    Example("video", lambda folder: {**films(folder), "mode": "patches", "crop": (8, 9), "items": 5}, "patches"),
    Example("video", lambda folder: {**films(folder), "order": "shuffled", "repeat": 2, "colour": True}, "shuffled"),
    Example("several", several),
    Example("journal", journal, is_random=False),
    Example("synthetic", lambda folder: {"n_sources": 4, "rows": 20, "frames": 9, "drift": 0.1}),
]


class Subject:
    """A source of an example, and its files."""

    def __init__(self, example, folder):
        self.example, self.kind = example, KINDS[example.kind]
        self.settings = example.settings(folder)
        for package in make(self.kind.Settings, self.settings).needs():
            extra(package)
        self.folder = folder

    def make(self, **changes):
        """Return a new source."""
        return self.kind(**{**self.settings, **changes})


def offsets_count_from_zero(subject):
    source = subject.make()
    offsets = [frame.offset for frame in source.frames()]
    assert offsets == list(range(len(source)))
    assert len(offsets) > 5


def frames_can_be_read_from_any_offset(subject):
    source = subject.make()
    whole = streams.as_bytes(source.frames())
    for start in (0, 1, len(whole) // 2, len(whole) - 1, len(whole)):
        assert streams.as_bytes(source.frames(start)) == whole[start:]
        assert streams.as_bytes(subject.make().frames(start)) == whole[start:]


def two_readers_do_not_meet(subject):
    source = subject.make()
    whole = streams.as_bytes(source.frames())
    pairs = list(zip(source.frames(), source.frames(), strict=True))
    assert streams.as_bytes(one for one, _ in pairs) == streams.as_bytes(other for _, other in pairs) == whole


def segments_and_streams_have_an_end(subject):
    frames = list(subject.make().frames())
    for number, frame in enumerate(frames):
        following = [other for other in frames[number + 1 :] if other.stream == frame.stream]
        assert frame.end == (not following)
        assert frame.last or not frame.end
        assert frame.last or following[0].segment == frame.segment


def rows_stand_under_its_name(subject):
    assert {name for frame in subject.make(name="eye").frames() for name in frame.arrays} == {"eye"}
    for frame in subject.make().frames():
        array = frame.arrays["source"]
        assert array.n_rows > 0
        assert array.data.dtype == np.float32
        assert np.isfinite(array.data).all()
        assert not frame.encoder


def it_goes_on_from_its_state(subject):
    source = subject.make()
    whole = streams.as_bytes(source.frames())
    state_file.save(subject.folder / ".state", source.state())
    again = subject.make()
    again.restore(state_file.load(subject.folder / ".state"))
    assert streams.as_bytes(again.frames()) == whole


def a_copy_gives_the_same_frames(subject):
    source = subject.make()
    reader = source.frames()
    first = next(reader)
    whole = streams.as_bytes([first, *reader])
    for again in (deepcopy(source), pickle.loads(pickle.dumps(source))):  # noqa: S301
        assert streams.as_bytes(again.frames()) == whole


def the_seed_decides_what_is_random(subject):
    if "seed" not in subject.kind.Settings.__struct_fields__:
        assert not subject.example.is_random
        return
    one, same, other = (streams.as_bytes(subject.make(seed=seed).frames()) for seed in (3, 3, 4))
    assert one == same
    assert (one != other) == subject.example.is_random


def its_settings_are_documented(subject):
    described(subject.kind, subject.settings)


def it_counts_in_the_type_declared(subject):
    source = subject.make()
    for _ in source.frames():
        pass
    counted(source.counts())


def a_start_beyond_its_end_gives_nothing(subject):
    source = subject.make()
    assert list(source.frames(len(source) + 3)) == []


CHECKS = [
    offsets_count_from_zero,
    frames_can_be_read_from_any_offset,
    two_readers_do_not_meet,
    segments_and_streams_have_an_end,
    rows_stand_under_its_name,
    it_goes_on_from_its_state,
    a_copy_gives_the_same_frames,
    the_seed_decides_what_is_random,
    its_settings_are_documented,
    it_counts_in_the_type_declared,
    a_start_beyond_its_end_gives_nothing,
]
