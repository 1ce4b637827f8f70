"""Every format of files that the package reads, each as a target for fuzzing: a file that is right, and its reader."""

from __future__ import annotations

import importlib.util
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from helpers import journals, videos, xdf

from stream_infomax.configuration.load import ConfigError, load
from stream_infomax.frames.contracts import Mark, Output
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.infomax.encoder import Encoder
from stream_infomax.run.folder import RunFolder
from stream_infomax.run.row_files import rows_in
from stream_infomax.service.checkpoints import Checkpoint, read
from stream_infomax.settings.error import SettingError
from stream_infomax.sinks import npz_file
from stream_infomax.sinks.npz import NpzSink
from stream_infomax.sinks.store import FrameStore
from stream_infomax.sources.audio import AudioSource
from stream_infomax.sources.labels import Labels
from stream_infomax.sources.table import TableSource
from stream_infomax.state import file as state_file
from stream_infomax.state.file import StateFileError
from stream_infomax.watch import history

# Frames that are read of a file: it may announce any number.
FRAMES = 40


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes
    ----------
    name
        Of the file.
    write
        Writes one that is right.
    read
        Reads it as the package does, in the folder of the file.
    errors
        What may come of one that is not: it has to name the file.
    """

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...] = (SettingError,)

    @property
    def there(self) -> bool:
        """Whether the packages that it needs are."""
        needed = {"parquet": "pyarrow", "edf": "edfio", "xdf": "pyxdf", "xdfz": "pyxdf", "mp4": "av", "mkv": "av"}
        needed |= dict.fromkeys(("png", "jpg", "tif", "gif", "webp", "bmp", "pgm"), "PIL") | {"mcap": "mcap"}
        suffix = self.name.rpartition(".")[2]
        return suffix not in needed or importlib.util.find_spec(needed[suffix]) is not None


ROWS = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32) / 10
SOUND = (8000 * np.sin(np.arange(1200) / 9)).astype(np.int16)


def frame(offset: int) -> Frame:
    """Return a frame of two arrays."""
    rows = np.full((4, 2), offset, np.float32)
    arrays = {"x": Array(rows, ("time", "component")), "y": Array(rows[:, 0] > 3, ("time",))}
    return Frame("a", offset, "one", arrays, rate=4.0, time=float(offset), labels={"word": "yes"})


def taken(source: Any) -> int:
    """Read the first frames of a source."""
    return sum(1 for _ in itertools.islice(source.frames(), FRAMES))


def sound(path: Path, **settings: Any) -> None:
    soundfile.write(path, SOUND, 8000, **settings)


def pictures(path: Path, **settings: Any) -> None:
    from PIL import Image

    values = (np.add.outer(np.arange(24), np.arange(32)) * 4).astype(np.uint8)
    Image.fromarray(values).convert("RGB").save(path, **settings)


def pages(path: Path, mode: str = "L") -> None:
    from PIL import Image

    images = [Image.new(mode, (24, 24), 60 * i) for i in range(4)]
    images[0].save(path, save_all=True, append_images=images[1:])


def deep(path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.arange(24 * 24, dtype=np.uint16).reshape(24, 24) * 100).save(path)


def seen(path: Path) -> object:
    from stream_infomax.sources.images import ImageSource

    return taken(ImageSource(path, mode="tiles", crop=(8, 8)))


def filmed(path: Path) -> object:
    from stream_infomax.sources.video import VideoSource

    return taken(VideoSource(path))


def parquet(path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet as file

    file.write_table(pa.table({"a": ROWS[:, 0], "t": np.arange(120.0), "w": ["x"] * 120}), path)


def edf(path: Path) -> None:
    from edfio import Edf, EdfAnnotation, EdfSignal

    signals = [EdfSignal(ROWS[:, i].astype(float), 30, label=f"C{i}") for i in range(3)]
    Edf(signals, annotations=[EdfAnnotation(1, 2, "T")]).write(path)


def csv(path: Path) -> None:
    lines = [f"{i / 10};{a:.3f};{b:.3f};x" for i, (a, b, _) in enumerate(ROWS)]
    path.write_text("\n".join(["t;a;b;w", *lines]).replace(".", ","))


def streams(path: Path) -> None:
    rows = ROWS[:, :2].astype(np.float32)
    marks = xdf.Stream("marks", ["go", "stop"], [0.2, 0.9], "Markers", "string", 0.0)
    xdf.write(path, xdf.Stream("eeg", rows, np.arange(120) / 100, names=["a", "b"], offset=0.5), marks)


def recorded(path: Path) -> object:
    from stream_infomax.sources.xdf import XdfSource

    return taken(XdfSource(path, stream="eeg", markers="marks"))


def journal(path: Path) -> None:
    from stream_infomax.journal.journal import Journal

    made = Journal(path.parent / "journal", "log", journals.settings())
    journals.write(made, map(journals.frame, range(12)))
    made.close()
    (part,) = (path.parent / "journal").glob("*.mcap")
    path.write_bytes(part.read_bytes())


def replayed(path: Path) -> object:
    from stream_infomax.sources.journal import JournalSource

    return taken(JournalSource(path))


def table(**settings: Any) -> Callable[[Path], object]:
    return lambda path: taken(TableSource(path, **settings))


def checkpoint(path: Path) -> None:
    tree = {"log": "a", "processed": 3, "finished": False, "lost": {}, "config": {}, "source": {}, "sinks": {}}
    state_file.save(path, {**tree, "counts": {"a": {"b": 1.0}}, "stages": {"x": {"rows": ROWS, "n": 3}}})


def opened(path: Path) -> object:
    return Checkpoint(**{name: getattr(read(path), name) for name in Checkpoint.__struct_fields__})


def encoder(path: Path) -> None:
    arrays = {"mean": np.zeros(3), "components": ROWS[:2], "mixing": ROWS[:2].T.copy()}
    ones = np.ones(2, np.float32)
    Encoder(**arrays, amplitude=1.0, beta=ones, bias=ones, output="rate").save(path)


def encoded(path: Path) -> object:
    return Encoder.load(path).transform(ROWS)


def spooled(path: Path) -> None:
    store = FrameStore(path.parent)
    for offset in range(6):
        store.accept(Output(frame(offset), "a"))
    store.save(Mark("a", 6, True))


def stored(path: Path) -> object:
    store = FrameStore(path.parent)
    store.restore({}, Mark("a", 6, True))
    found = [one.offset for one in store.frames()]
    assert found == list(range(6)) or store.counts(), "frames are missing and none is counted"
    return found


def part(path: Path) -> None:
    with path.open("wb") as file:
        npz_file.write(file, lambda: map(frame, range(6)), part='{"first": 0, "next": 6, "seconds": 6.0}')


def continued(path: Path) -> object:
    (path.parent / ".parts.json").write_text('{"log": "a", "sink": "sink"}')
    sink = NpzSink("sink", path.parent / "sink", path=str(path.parent), keep_seconds=1e9)
    sink.accept(Output(frame(9), "a"))
    sink.save(Mark("a", 10, True))
    return sink.counts()


def owned(path: Path) -> object:
    sink = NpzSink("sink", path.parent / "sink", path=str(path.parent))
    return sink.save(Mark("a", 0, False))


def run(path: Path) -> None:
    config = {"run": {"folder": "x"}, "source": {"kind": "synthetic"}, "stage": [{"name": "a", "kind": "learner"}]}
    record = {"format": 2, "id": "0" * 16, "in_process": False, "config": config, "summary": None, "origin": None}
    path.write_text(json.dumps(record))


def known(path: Path) -> object:
    folder = RunFolder(path.parent)
    return folder.record, folder.summary(), folder._names()


def curves(path: Path) -> None:
    lines = [f"{i / 10:.2f},learner,,objective,{100 * i},{3 + 1 / (i + 1):.9g}" for i in range(60)]
    path.write_text("\r\n".join([history.HEAD, *lines, ""]))


def followed(path: Path) -> object:
    made = history.History(path)
    made.close()
    return history.read(path)


PIPELINE = """
[run]
folder = "x"
[source]
kind = "synthetic"
frames = 100
[[stage]]
name = "learner"
kind = "learner"
block = 16
log = {memory = "1 MiB"}
[[sink]]
kind = "npz"
arrays = ["learner"]
"""


def labelled(path: Path) -> object:
    return Labels("", path, path.parent).of("a.wav")


def formats() -> list[Format]:
    """Return all formats whose packages are there."""
    return [one for one in (*_sounds(), *_pictures(), *_tables(), *_own()) if one.there]


def _sounds() -> Iterator[Format]:
    for suffix in ("wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64"):
        yield Format(f"a.{suffix}", sound, lambda path: taken(AudioSource(path, rate=4000)))
    for subtype in ("FLOAT", "PCM_24", "ULAW", "IMA_ADPCM"):
        name = f"{subtype.lower()}.wav"
        yield Format(name, lambda path, subtype=subtype: sound(path, subtype=subtype), lambda p: taken(AudioSource(p)))


def _pictures() -> Iterator[Format]:
    for suffix in ("png", "jpg", "bmp", "webp", "pgm"):
        yield Format(f"a.{suffix}", pictures, seen)
    yield Format("deep.png", deep, seen)
    yield Format("lzw.tif", lambda path: pictures(path, compression="tiff_lzw"), seen)
    for suffix in ("tif", "gif"):
        yield Format(f"pages.{suffix}", pages, seen)
    yield Format(
        "stack.npz", lambda path: np.savez(path, images=np.zeros((3, 16, 16), np.uint8), labels=[1, 2, 3]), seen
    )
    films = videos.scenes(8)
    yield Format("a.mp4", lambda path: videos.encode(path, films), filmed)
    yield Format("a.mkv", lambda path: videos.encode(path, films, "mpeg4"), filmed)


def _tables() -> Iterator[Format]:
    yield Format("a.npy", lambda path: np.save(path, ROWS), table())
    yield Format("rows.npy", lambda path: np.save(path, ROWS), lambda path: rows_in(path, 3), (ConfigError,))
    more = {"rate": 100.0, "event": np.arange(120) // 50, "names": list("abc")}
    yield Format("a.npz", lambda path: np.savez_compressed(path, x=ROWS, **more), table(label="event"))
    yield Format("rows.npz", lambda path: np.savez_compressed(path, rows=ROWS), lambda p: rows_in(p, 3), (ConfigError,))
    yield Format(
        "rows.csv", lambda path: np.savetxt(path, ROWS, delimiter=","), lambda p: rows_in(p, 3), (ConfigError,)
    )
    yield Format("a.csv", csv, table(time="t", label="w"))
    yield Format("a.parquet", parquet, table(time="t", label="w"))
    yield Format("a.edf", edf, table(label="annotation"))
    yield Format("table.wav", sound, table())
    yield Format("a.xdf", streams, recorded)
    yield Format("a.xdfz", streams, recorded)


def _own() -> Iterator[Format]:
    """What the package itself has written."""
    failed = (StateFileError,)
    yield Format("checkpoint-000001-at-4.safetensors", checkpoint, opened, failed)
    yield Format("encoder.safetensors", encoder, encoded, failed)
    yield Format("part-000000.safetensors", spooled, stored, ())
    yield Format("part-000000000000.npz", part, continued, ())
    yield Format(".parts.json", lambda path: path.write_text('{"log": "a", "sink": "sink"}'), owned, (ValueError,))
    yield Format("run.json", run, known, (ConfigError,))
    yield Format("history.csv", curves, followed, ())
    yield Format("pipeline.toml", lambda path: path.write_text(PIPELINE), load, (ConfigError,))
    yield Format("labels.csv", lambda path: path.write_text("file,word\na.wav,yes\nb.wav,no\n"), labelled)
    yield Format("journal.mcap", journal, replayed, (ValueError,))
