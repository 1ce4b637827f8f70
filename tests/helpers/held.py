"""Objects that hold state, brought to a moment of their lives, and what each does with its next piece of data.

Everything here can be sent to another process: a copy goes on there.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from helpers import videos, xdf

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Array, Frame

HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_IMAGES = importlib.util.find_spec("PIL") is not None and importlib.util.find_spec("skimage") is not None
HAS_MEL = importlib.util.find_spec("kaldi_native_fbank") is not None
HAS_XDF = importlib.util.find_spec("pyxdf") is not None
HAS_VIDEO = importlib.util.find_spec("av") is not None
PIECES = 12


class Held(NamedTuple):
    """One object at one moment.

    Attributes
    ----------
    make
        Gives the object at its beginning.
    feed
        Gives the object piece number i of its data, and returns what it makes of that, as arrays.
    before
        Pieces until the moment.
    """

    make: Callable[[], Any]
    feed: Callable[[Any, int], list[np.ndarray]]
    before: int = 5


def go_on(one: Any, feed: Callable[[Any, int], list[np.ndarray]], first: int, n: int = PIECES) -> list[np.ndarray]:
    """Return what an object makes of the pieces from number `first` on."""
    return [made for i in range(first, first + n) for made in feed(one, i)]


# ---------------------------------------------------------------- learner


def rows_of(i: int, n: int, width: int = 6, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng([seed, i])
    mixing = np.random.default_rng(seed).standard_normal((width, width))
    return (generator.laplace(size=(n, width)) @ mixing + 3).astype(np.float32)


def learner(**settings: Any) -> Any:
    from stream_infomax import OnlineInfomax

    return OnlineInfomax(**settings)


def half_life() -> Any:
    return learner(half_life=500.0)


def no_memory() -> Any:
    return learner(memory=0)


def overcomplete() -> Any:
    return learner(n_components=15, overcomplete=True)


def spikes() -> Any:
    return learner(output="poisson")


def in_a_refresh() -> Any:
    """A learner whose whitening has far to go, in the midst of it."""
    made = learner(half_life=300.0, block=16).partial_fit(rows_of(0, 2000))
    gain = np.array([1, 1, 1, 1, 1, 30], np.float32)
    for i in range(400):
        made.partial_fit(gain * rows_of(i, 16, seed=1))
        if made._learner._whitener.refreshing:
            return made
    raise AssertionError("no refresh was caught half way")


def before_a_change() -> Any:
    """A learner that follows and has a reference: the pieces that come are of another mixing."""
    return learner(adapt="follow").partial_fit(rows_of(0, 16_000, seed=1))


def settled_early() -> Any:
    """A learner that was given all there was before its warm-up was over, and is given more."""
    with warnings.catch_warnings(action="ignore"):
        return learner().fit(rows_of(0, 33))


def feed_learner(one: Any, i: int) -> list[np.ndarray]:
    made = one.partial_fit_transform(rows_of(i, 101))
    return [made, one.components_, one.mean_] if hasattr(one, "components_") else [made]


def feed_few(one: Any, i: int) -> list[np.ndarray]:
    """So few rows that a block, and the warm-up, are not over for long."""
    made = one.partial_fit_transform(rows_of(i, 11))
    return [made, one.components_] if hasattr(one, "components_") else [made]


# ---------------------------------------------------------------- classifier and measures


def classifier() -> Any:
    from stream_infomax import OnlineClassifier

    return OnlineClassifier(half_life=100.0)


def feed_classifier(one: Any, i: int) -> list[np.ndarray]:
    rows = rows_of(i, 9)
    one.partial_fit(rows, (rows[:, 0] > i).astype(int))
    return [one.predict_proba(rows), one.predict(rows), one.classes_]


def softmax() -> Any:
    from stream_infomax.learning.classifier.softmax import SoftmaxRegression

    return SoftmaxRegression(6, half_life=100.0)


def feed_softmax(one: Any, i: int) -> list[np.ndarray]:
    features = rows_of(i, 1)[0].astype(np.float64)
    made = one.probabilities(features)
    one.learn(features, f"class {i % 4}")
    return [made, one.weights]


def score() -> Any:
    from stream_infomax.learning.classifier.scores import Score

    return Score(window=4)


def feed_score(one: Any, i: int) -> list[np.ndarray]:
    one.add(f"{i % 2}", f"{i % 3}")
    return [np.array([*one.faded, *one.recent, *one.overall, one.chance, one.n])]


def examiner() -> Any:
    from stream_infomax.learning.classifier.examiner import Examiner

    return Examiner(softmax(), waiting=4)


def feed_examiner(one: Any, i: int) -> list[np.ndarray]:
    made = one.segment(str(i), rows_of(i, 1)[0].astype(np.float64), f"class {i % 4}" if i % 2 else None)
    one.label(str(i - 3), "late")
    return [made, np.array([*one.counts.values()]), np.array([*one.score.overall])]


def entropy() -> Any:
    from stream_infomax.learning.measures.information import RunningEntropy

    return RunningEntropy(window=700)


def feed_entropy(one: Any, i: int) -> list[np.ndarray]:
    return [one.partial_fit(rows_of(i, 101)).values]


def information() -> Any:
    from stream_infomax.learning.measures.information import RunningInformation

    return RunningInformation(window=700)


def feed_information(one: Any, i: int) -> list[np.ndarray]:
    frame = one.partial_fit(rows_of(i, 101), np.eye(6))
    return [np.array([frame, one.objective, one.information])]


def spectra() -> Any:
    from stream_infomax.learning.measures.spectra import RunningSpectra

    return RunningSpectra()


def feed_spectra(one: Any, i: int) -> list[np.ndarray]:
    if one.wants(101, 60.0, "a", ""):
        one.add(rows_of(i, 101))
    return [one.power, one._rows]


def moments() -> Any:
    from stream_infomax.learning.measures.moments import RunningMoments

    return RunningMoments(6, half_life=200.0)


def feed_moments(one: Any, i: int) -> list[np.ndarray]:
    rows = rows_of(i, 101)
    one.update(rows)
    return [one.standardised(rows)]


def robust_moments() -> Any:
    from stream_infomax.learning.measures.moments import RobustMoments

    return RobustMoments(6, half_life=200.0, renew=128)


def panel() -> Any:
    from stream_infomax.learning.measures.panel import Panel

    return Panel(64)


def feed_panel(one: Any, i: int) -> list[np.ndarray]:
    one.add(rows_of(i, 31))
    return [one.rows]


def pooling() -> Any:
    from stream_infomax.learning.classifier.pooling import Pooling

    return Pooling(6)


def feed_pooling(one: Any, i: int) -> list[np.ndarray]:
    one.add(rows_of(i, 31))
    return [one.result()]


# ---------------------------------------------------------------- contrast


def excerpts() -> Any:
    from stream_infomax.learning.contrast.excerpts import ExcerptMemory

    return ExcerptMemory(5000)


def feed_excerpts(one: Any, i: int) -> list[np.ndarray]:
    one.add(rows_of(i, 20 + i))
    return one.draw(100, i)


def online_module() -> Any:
    from stream_infomax.learning.contrast.layouts import Conv
    from stream_infomax.learning.contrast.online import OnlineModule

    return OnlineModule(6, (Conv(4, 2, 8),), 4)


def feed_module(one: Any, i: int) -> list[np.ndarray]:
    from stream_infomax.learning.contrast.excerpts import pad

    rows = rows_of(i, 30)
    batch = one.learn(pad([rows / 10, rows[:22] / 20, rows[:9] / 5]))
    return [batch.rows, one.transform(rows[None, :30], None)[0]]


def greedy() -> Any:
    from stream_infomax import GreedyInfoMax

    return GreedyInfoMax(6, 200.0, width=8)


def feed_greedy(one: Any, i: int) -> list[np.ndarray]:
    import torch

    torch.set_num_threads(1)
    levels = one(torch.from_numpy(rows_of(i, 256).reshape(2, 128, 6) / 10))
    one.zero_grad()
    sum(level.prediction.loss for level in levels).backward()
    with torch.no_grad():
        for parameter in one.parameters():
            parameter -= 0.01 * parameter.grad
    return [level.z.detach().numpy() for level in levels]


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

    return WindowsStage("windows", "x", form="log-mel", length=3, hop=2, n_mels=20)


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
    return [np.frombuffer(part, np.uint8) for part in wire.encode(made)]


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


HELD: dict[str, Held] = {
    "learner before the first row": Held(learner, feed_learner, 0),
    "learner in the first block": Held(learner, feed_few, 3),
    "learner in the warm-up": Held(learner, feed_few, 8),
    "learner in a block": Held(learner, feed_learner, 9),
    "learner with a half-life": Held(half_life, feed_learner, 9),
    "learner after a change": Held(before_a_change, feed_learner, 5),
    "learner without a memory": Held(no_memory, feed_learner, 9),
    "learner, overcomplete": Held(overcomplete, feed_learner, 9),
    "learner with spikes": Held(spikes, feed_learner, 9),
    "learner that settled early": Held(settled_early, feed_few, 3),
    "learner in a refresh": Held(in_a_refresh, feed_few, 0),
    "classifier": Held(classifier, feed_classifier),
    "classifier before its first label": Held(classifier, feed_classifier, 0),
    "softmax regression": Held(softmax, feed_softmax),
    "softmax regression before its first label": Held(softmax, feed_softmax, 0),
    "score": Held(score, feed_score, 7),
    "examiner": Held(examiner, feed_examiner, 9),
    "entropy": Held(entropy, feed_entropy, 9),
    "information": Held(information, feed_information, 9),
    "moments": Held(moments, feed_moments),
    "robust moments": Held(robust_moments, feed_moments),
    "spectra": Held(spectra, feed_spectra),
    "panel before its first row": Held(panel, feed_panel, 0),
    "panel": Held(panel, feed_panel),
    "pooling": Held(pooling, feed_pooling),
    "excerpts": Held(excerpts, feed_excerpts, 12),
    "learner stage": Held(learner_stage, feed_rows),
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
    HELD["image source"] = Held(image_source, feed_source)
if HAS_XDF:
    HELD["xdf source"] = Held(xdf_source, feed_source)
if HAS_VIDEO:
    HELD["video source"] = Held(video_source, feed_source)
if HAS_MEL:
    HELD["windows of log-mel"] = Held(mel_stage, feed_signal)
if HAS_TORCH:
    HELD |= {
        "module": Held(online_module, feed_module),
        "greedy infomax": Held(greedy, feed_greedy, 2),
        "contrast stage": Held(contrast_stage, feed_rows, 9),
        "pipeline of modules": Held(pipeline_of_modules, feed_grids, 9),
    }
