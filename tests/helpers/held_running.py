"""Stages, sources and logs at moments of their lives."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from helpers import journals, videos, xdf
from helpers.held import HAS_IMAGES, HAS_MCAP, HAS_MEL, HAS_TORCH, HAS_VIDEO, HAS_XDF, Held, rows_of
from helpers.held_learning import settled_early

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Array, Frame

# ---------------------------------------------------------------- stages


def frame(i: int, array: Array, name: str = "x", length: int = 3) -> Frame:
    """Frame number i of two streams that take turns, in segments of `length` frames, every other one labelled."""
    stream, number = "ab"[i % 2], i // 2
    last = number % length == length - 1
    labels = {"word": f"w{number % 5}"} if last and i % 4 else {}
    return Frame(stream, i, f"{stream}{number // length}", {name: array}, last, rate=16000.0, labels=labels)


def feed_rows(one: Any, i: int) -> list[np.ndarray]:
    return out(one, frame(i, Array(rows_of(i, 101), ("time", "component"))))


def feed_signal(one: Any, i: int) -> list[np.ndarray]:
    return out(one, frame(i, Array(rows_of(i, 700, 1), ("time", "channel"))))


def feed_pictures(one: Any, i: int) -> list[np.ndarray]:
    return out(one, frame(i, Array(rows_of(i, 16, 16).reshape(1, 16, 16), ("item", "y", "x"))))


def out(one: Any, given: Frame) -> list[np.ndarray]:
    return [np.frombuffer(part, np.uint8) for part in wire.encode(one.process(given))]


def feed_streams(one: Any, i: int) -> list[np.ndarray]:
    given = frame(i, Array(rows_of(i, 60), ("time", "channel")))
    return out(one, msgspec.structs.replace(given, stream=f"stream {i % 2}"))


def own_learners() -> Any:
    from stream_infomax import LearnerStage

    return LearnerStage("features", "x", share="stream", block=16)


def stage_in_rounds() -> Any:
    from stream_infomax import LearnerStage

    made = LearnerStage("features", "x")
    made.begin_rounds("00", 300, 1, begins=True)
    return made


def feed_rounds(one: Any, i: int) -> list[np.ndarray]:
    """A round after some frames, in which others have learnt nothing."""
    made = feed_rows(one, i)
    if one.rounds.waiting:
        one.rounds.hand_in()
        one.rounds.take(one.learner.share(1))
    return made


def told_stage() -> Any:
    """A learner that is paused, and has events that no frame has taken along."""
    from stream_infomax import LearnerStage
    from stream_infomax.frames.command import Command

    made = LearnerStage("features", "x")
    for i in range(3):
        feed_rows(made, i)
    for action in ("resume", "hold", "pause"):
        made.command(Command(id="1", action=action), None)
    return made


def learner_stage() -> Any:
    from stream_infomax import LearnerStage

    return LearnerStage("features", "x", output="poisson")


def encoder_stage() -> Any:
    from stream_infomax import Encoder
    from stream_infomax.stages.encoder import EncoderStage

    with tempfile.TemporaryDirectory() as folder:
        Encoder.of(settled_early()).save(Path(folder) / "basis")
        return EncoderStage("features", "x", basis=Path(folder) / "basis")


def classifier_stage() -> Any:
    from stream_infomax import ClassifierStage

    return ClassifierStage("names", "x", target="word", levels=("x", "x+x"))


def waveform_stage() -> Any:
    from stream_infomax import WindowsStage

    return WindowsStage("windows", "x", length=64, hop=17)


def mel_stage() -> Any:
    from stream_infomax import WindowsStage

    return WindowsStage("windows", "x", form="log-mel", length=3, hop=2, n_mels=20, replay=5000)


def grid_stage() -> Any:
    from stream_infomax import WindowsStage

    return WindowsStage("windows", "x", form="grid", patch=4, stride=2)


def patches_stage() -> Any:
    from stream_infomax import WindowsStage

    return WindowsStage("windows", "x", form="patches", center=True)


SMALL: dict[str, Any] = {"width": 8, "rows": 200, "excerpt": 60, "anchors": 32, "negatives": 16}


def contrast_stage() -> Any:
    from stream_infomax import ContrastStage

    return ContrastStage("m1", "x", **SMALL)


def feed_batches(one: Any, i: int) -> list[np.ndarray]:
    from stream_infomax.stages.batches import packed

    given = frame(i, Array(rows_of(i, 101), ("time", "component")))
    batch = packed("x", [rows_of(i, 60, seed=1)], [20, 40], [2], past=[rows_of(i, 60, seed=2)])
    return out(one, msgspec.structs.replace(given, arrays={**given.arrays, **batch}))


def pipeline_of_modules() -> Any:
    """Two modules over grids of patches, of which the second learns from the batches of the first."""
    from stream_infomax import ContrastStage, Pipeline

    grid: dict[str, Any] = {**SMALL, "layout": "patches", "skip": 1}
    return Pipeline([ContrastStage("m1", "x", module=1, **grid), ContrastStage("m2", "m1", module=2, **grid)])


def feed_grids(one: Any, i: int) -> list[np.ndarray]:
    given = Frame("a", i, str(i), {"x": Array(rows_of(i, 20, 3).reshape(5, 4, 3), ("grid_y", "grid_x", "component"))})
    return out(one, msgspec.structs.replace(given, last=True))


# ---------------------------------------------------------------- sources and logs


@functools.cache
def folder() -> Path:
    """Two recordings, a picture, a video and a table, there as long as the process."""
    import soundfile

    made = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    (made / "sounds").mkdir()
    (made / "pictures").mkdir()
    (made / "tables").mkdir()
    np.savetxt(made / "tables" / "a.csv", rows_of(0, 300), delimiter=",")
    soundfile.write(made / "sounds" / "a.wav", rows_of(0, 9000, 1) / 100, 8000)
    if HAS_IMAGES:
        from PIL import Image

        pixels = (8 * rows_of(0, 40 * 40, 1).reshape(40, 40) + 100).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(made / "pictures" / "a.png")
    xdf.write(made / "a.xdf", xdf.Stream("amplifier", np.ones((900, 2)), np.arange(900) / 100))
    if HAS_VIDEO:
        (made / "films").mkdir()
        videos.encode(made / "films" / "a.mp4", videos.scenes(12, 16, 24), g=5)
    return made


def synthetic_source() -> Any:
    from stream_infomax import SyntheticSource

    return SyntheticSource(n_sources=4, frames=40)


def audio_source() -> Any:
    from stream_infomax import AudioSource

    return AudioSource(folder() / "sounds", frame=100, repeat=2, order="shuffled")


def image_source() -> Any:
    from stream_infomax import ImageSource

    return ImageSource(folder() / "pictures", frames=40, items=4)


def xdf_source() -> Any:
    from stream_infomax import XdfSource

    return XdfSource(folder() / "a.xdf", frame=40, repeat=2)


def journal_source() -> Any:
    from stream_infomax.journal.journal import Journal
    from stream_infomax.sources.journal import JournalSource

    if not (folder() / "journal").is_dir():
        journal = Journal(folder() / "journal", "log", journals.settings(part="4 KiB"))
        journals.write(journal, map(journals.frame, range(50)))
        journal.close()
    return JournalSource(folder() / "journal")


def video_source() -> Any:
    from stream_infomax import VideoSource

    return VideoSource(folder() / "films", mode="patches", crop=(4, 5), items=3, repeat=2)


def table_source() -> Any:
    from stream_infomax import TableSource

    return TableSource(folder() / "tables", frame=10, repeat=2, order="shuffled")


def several_source() -> Any:
    from stream_infomax import SeveralSource

    inputs = [
        {"name": "sounds", "kind": "audio", "path": str(folder() / "sounds"), "frame": 100},
        {"name": "tones", "kind": "synthetic", "n_sources": 4, "frames": 40},
    ]
    return SeveralSource(inputs=inputs)


def feed_source(one: Any, i: int) -> list[np.ndarray]:
    return [np.frombuffer(part, np.uint8) for part in wire.encode(next(iter(one.frames(i))))]


def devices_source() -> Any:
    """A source of devices that nobody opens: its messages come by hand."""
    from stream_infomax.sources.devices import DevicesSource

    return DevicesSource(segment_seconds=0.5)


def feed_devices(one: Any, i: int) -> list[np.ndarray]:
    """Two devices take turns; one of them skips a message now and then, and has a clock that jumps."""
    stream, number = "ab"[i % 2], i // 2
    count = number + (number // 4 if stream == "b" else 0)
    rows = Array(rows_of(i, 10, 2), ("time", "channel"))
    time = 1e9 + 0.1 * count + (50.0 if stream == "b" and number > 9 else 0.0)
    sent = Frame(stream, arrays={"x": rows}, time=time, rate=100.0)
    made = one._frame_of(wire.encode_pushed(sent, count, "s"), 1.0)
    return [np.frombuffer(part, np.uint8) for part in wire.encode(made)] if made is not None else []


def columns() -> Any:
    from stream_infomax.sinks.columns import Columns

    return Columns()


def feed_columns(one: Any, i: int) -> list[np.ndarray]:
    """Rows without a width at first, and then of two."""
    array = Array(rows_of(i, 3)[:, : (0, 0, 4, 6)[i % 4]], ("time", "component"))
    one.add(Frame("a", i, arrays={"x": array}))
    return [one.fill("x", array)]


def output_log() -> Any:
    from stream_infomax.transport.log import OutputLog

    return OutputLog(("a", "b"), max_frames=5, policy="drop-oldest")


def feed_log(one: Any, i: int) -> list[np.ndarray]:
    one.append(2 * i, [bytes([i, i])])
    one.commit("ab"[i % 2], 2 * i - 4)
    found = one.at_or_after(2 * i - 7)
    return [np.array([one.newest, one.n_bytes, len(one), *one.committed.values()]), np.array(found.offset)]


RUNNING: dict[str, Held] = {
    "learner stage": Held(learner_stage, feed_rows),
    "learner stage that was told": Held(told_stage, feed_rows, 0),
    "learner stage in rounds": Held(stage_in_rounds, feed_rounds, 7),
    "a learner for each stream": Held(own_learners, feed_streams, 9),
    "encoder stage": Held(encoder_stage, feed_rows),
    "classifier stage": Held(classifier_stage, feed_rows, 17),
    "windows of a waveform": Held(waveform_stage, feed_signal),
    "windows of a grid": Held(grid_stage, feed_pictures),
    "patches": Held(patches_stage, feed_pictures),
    "synthetic source": Held(synthetic_source, feed_source),
    "audio source": Held(audio_source, feed_source),
    "table source": Held(table_source, feed_source),
    "several sources": Held(several_source, feed_source),
    "devices source": Held(devices_source, feed_devices, 9),
    "output log": Held(output_log, feed_log, 9),
    "columns of a file": Held(columns, feed_columns, 1),
}
if HAS_IMAGES:
    RUNNING["image source"] = Held(image_source, feed_source)
if HAS_MCAP:
    RUNNING["journal source"] = Held(journal_source, feed_source)
if HAS_XDF:
    RUNNING["xdf source"] = Held(xdf_source, feed_source)
if HAS_VIDEO:
    RUNNING["video source"] = Held(video_source, feed_source)
if HAS_MEL:
    RUNNING["windows of log-mel"] = Held(mel_stage, feed_signal)
if HAS_TORCH:
    RUNNING |= {
        "contrast stage": Held(contrast_stage, feed_rows, 9),
        "contrast stage on batches that come": Held(contrast_stage, feed_batches, 9),
        "pipeline of modules": Held(pipeline_of_modules, feed_grids, 9),
    }
