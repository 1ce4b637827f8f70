"""What the benchmarks of the contrastive modules share: data, front ends, one online pass, pooled levels, results.

Results are appended run by run to a JSON file, so that an interrupted benchmark goes on where it was.
"""

from __future__ import annotations

import common  # isort: skip  (pins threads)
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.classifier.pooling import pool
from stream_infomax.learning.classifier.probes import LinearProbe
from stream_infomax.learning.contrast.encoders import RowEncoder
from stream_infomax.learning.contrast.excerpts import Cutter, ExcerptMemory
from stream_infomax.learning.contrast.layouts import Conv, Layer, layout, least_skip, steps_ahead
from stream_infomax.learning.contrast.online import OnlineModule
from stream_infomax.learning.contrast.shapes import Sequences
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.stages.teachers import BatchesOfFeatures, OwnExcerpts
from stream_infomax.stages.windows import WindowsStage

Rows = npt.NDArray[np.float32]

SEEDS = range(5)
WIDTH = 128
COLOURS = {"untrained": "C2", "random": "C2", "CPC": "C1", "module": "C0"}  # the first that a level's name holds


@dataclass(frozen=True)
class Recording:
    """One segment of sound and what is known of it."""

    name: str
    samples: np.ndarray
    rate: int
    labels: dict[str, str]


def fsdd(folder: Path) -> list[Recording]:
    """Return FSDD sorted by speaker, then digit, then index."""
    found = []
    for path in (folder / "fsdd" / "recordings").glob("*.wav"):
        digit, speaker, index = path.stem.split("_")
        found.append((speaker, digit, int(index), path))
    recordings = []
    for speaker, digit, index, path in sorted(found):
        samples, rate = soundfile.read(path, dtype="float32")
        recordings.append(
            Recording(path.stem, samples, rate, {"speaker": speaker, "digit": digit, "index": str(index)})
        )
    return recordings


class Front:
    """What comes before the modules, as the stages run it: windows, and infomax that learns while it encodes.

    ``waveform`` is 8 ms every 5 ms, its log energies; ``log-mel`` patches of 10 frames × 40 bands every 10 ms,
    rectified halves, because their sign is what they say (energy 0.99 was chosen in fsdd_features.py). `windows` are
    further settings of the windows stage: with `replay`, frames carry batches.
    """

    def __init__(self, kind: str, seed: int, rate: int, **windows: Any) -> None:
        shape: dict[str, Any] = {"form": "waveform", "length": rate * 8 // 1000, "hop": rate * 5 // 1000}
        output: dict[str, Any] = {"output": "log"}
        if kind == "log-mel":
            shape, output = {"form": "log-mel", "length": 10, "hop": 1}, {"energy": 0.99, "output": "halves"}
        self.rate = 100.0 if kind == "log-mel" else 200.0
        self.shape = shape
        self.windows = WindowsStage("windows", "source", **shape, **windows, seed=seed)
        self.learner = LearnerStage("learner", "windows", **output, seed=seed)

    def learn(self, recording: Recording) -> Frame | None:
        """Return the frame of a recording, encoded before it was learnt from; None in the warm-up."""
        frame: Frame = self.learner.process(self.windows.process(_frame(recording)))
        array = frame.arrays["learner"]
        is_warm = array.n_rows > 0 and array.row_shape[0] > 0 and bool(np.isfinite(array.data).all())
        return frame if is_warm else None

    def features(self, recordings: Iterable[Recording]) -> Iterator[Rows]:
        """Yield the features (n, width) of each recording by the basis as it is now."""
        windows = WindowsStage("windows", "source", **self.shape)
        for recording in recordings:
            yield self.learner.learner.transform(windows.process(_frame(recording)).arrays["windows"].rows())


def _frame(recording: Recording) -> Frame:
    """Return a recording as one segment of its speaker's stream."""
    array = Array(np.ascontiguousarray(recording.samples[:, None], np.float32), ("time", "channel"))
    return Frame(
        "source", -1, recording.name, {"source": array}, last=True, rate=float(recording.rate), labels=recording.labels
    )


def mel_of(recordings: Iterable[Recording]) -> Iterator[Rows]:
    """Yield the mel frames (n, 40) of each recording."""
    windows = WindowsStage("windows", "source", form="log-mel", length=1, hop=1)
    for recording in recordings:
        yield windows.process(_frame(recording)).arrays["windows"].rows()


class Stack:
    """Modules in a row as the stages run them, on whole segments: one online pass, then encoding.

    `horizon` is in seconds; `skip` is one number for each module, or `extent` says how far a window reaches and how far
    behind it the next begins, in any unit: then modules skip what shares samples with their context. `memory`,
    `reservoir`, `rows` and `updates` are of excerpts of features, where no batches come with the frames. `levers` are
    the settings of ``OnlineModule`` and of its module.
    """

    def __init__(
        self,
        channels: int,
        rate: float,
        *,
        seed: int,
        replays: bool = False,
        end_to_end: bool = False,
        memory: int = 16 << 20,
        reservoir: float = 0.5,
        rows: int = 2048,
        updates: int = 1,
        stack: str = "fine",
        horizon: float = 0.12,
        skip: Sequence[int] = (),
        extent: tuple[float, float] | None = None,
        **levers: Any,
    ) -> None:
        layers = layout(stack, WIDTH)
        if end_to_end:
            layers, skip = (tuple(layer for module in layers for layer in module),), skip[-1:]
        shape = Sequences(channels, rate)
        self.teacher: OwnExcerpts | BatchesOfFeatures
        if replays:
            self.teacher = BatchesOfFeatures("learner", live=False)
        else:
            excerpts = ExcerptMemory(memory, reservoir, seed)
            self.teacher = OwnExcerpts(excerpts, updates=updates, every=1, rows=rows, live=False)
        self.teacher.start(shape)
        self.residual = bool(levers.get("residual"))
        self.cutter = Cutter(channels, 256, 4)
        self.modules: list[OnlineModule] = []
        below: tuple[Layer, ...] = ()
        for index, module in enumerate(layers):
            below += module
            for layer in module:
                rate /= layer.stride if isinstance(layer, Conv) else 1
            skipped = least_skip(below, *extent) if extent else (skip[index] if skip else 0)
            options = {"seed": seed, "index": index, "skip": skipped, **levers}
            self.modules.append(OnlineModule(channels, module, steps_ahead(horizon, rate), **options))
            channels = self.modules[-1].module.output

    @property
    def updates(self) -> int:
        """Updates of the first module so far."""
        return self.modules[0].updates

    def learn(self, frame: Frame, train: bool = True) -> None:
        """Take in one segment of a stream: standardisation, and the updates that it gives reason for."""
        rows = frame.arrays["learner"].rows()
        self.teacher.watch(rows)
        for batch in self.teacher.batches(frame, rows, self.cutter) if train else ():
            for module in self.modules:
                learnt = module.learn(batch)
                if learnt is None:
                    break
                batch = learnt

    def levels(self, rows: Rows) -> dict[str, np.ndarray]:
        """Return the pooled vector of a segment at every level; what a GRU adds to what it is given is its context."""
        rows = self.teacher.standardised(rows)
        pooled = {"input": pool(rows)}
        for number, module in enumerate(self.modules, 1):
            z, c = RowEncoder(module).encode(rows)
            rows = z
            level = pool(z if module.module.recurrent is None else c)
            if module is self.modules[-1]:
                pooled["z+c"] = np.concatenate([pool(z), pool(c)])
                level = pooled["z+c"] if self.residual else level
            pooled[f"module {number}"] = level
        together = [pooled["input"], *(vector for name, vector in pooled.items() if name.startswith("module"))]
        pooled["all levels"] = np.concatenate(together)
        return {name: np.nan_to_num(vector) for name, vector in pooled.items()}


def probe(features: np.ndarray, labels: Sequence[str], train: np.ndarray, test: np.ndarray) -> float:
    """Return the accuracy (%) of a linear probe fitted on the training part."""
    labels = np.asarray(labels)
    return 100 * LinearProbe(iterations=100).fit(features[train], labels[train]).score(features[test], labels[test])


def leave_one_out(
    features: np.ndarray, labels: Sequence[str], groups: Sequence[str], train: np.ndarray, *tests: np.ndarray
) -> list[float]:
    """Return, for each test part, the mean accuracy (%) of probes on the group that they never saw."""
    labels, groups = np.asarray(labels), np.asarray(groups)
    scores = []
    for group in np.unique(groups):
        part = train & (groups != group)
        fitted = LinearProbe(iterations=100).fit(features[part], labels[part])
        scores.append(
            [fitted.score(features[test & (groups == group)], labels[test & (groups == group)]) for test in tests]
        )
    return [float(100 * score) for score in np.mean(scores, 0)]


class Results:
    """Runs by key in results/<name>.json; what is there already is not run again."""

    def __init__(self, name: str) -> None:
        self.path = common.RESULTS / f"{name}.json"
        self.runs = self._read()

    def _read(self) -> dict[str, Any]:
        runs: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        return runs

    def run(self, key: str, compute: Callable[[], dict[str, Any]]) -> None:
        """Compute and save a run unless it is there."""
        self.runs = self._read()
        if key in self.runs:
            return
        start = time.process_time()
        run = {**compute(), "cpu_s": round(time.process_time() - start, 1), "code": common.code()}
        self.runs = {**self._read(), key: run}  # another process may have added others meanwhile
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.runs, indent=1) + "\n", encoding="utf-8")
        print(key, self.runs[key], flush=True)

    def codes(self) -> dict[str, str]:
        """Return the digest of the code that made each run."""
        return {key: run.get("code", "") for key, run in self.runs.items()}


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return mean ± deviation over seeds."""
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"


def paired(one: Sequence[float], other: Sequence[float], digits: int = 1) -> str:
    """Return the mean difference, paired over seeds, with its 95 % interval (Student's t)."""
    from scipy.stats import t

    difference = np.subtract(one, other)
    half = t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
    low, high = difference.mean() - half, difference.mean() + half
    return f"{difference.mean():+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def draw(name: str, title: str, levels: dict[str, Sequence[float]], label: str) -> None:
    """Draw mean and deviation of every level, and each seed, as results/<name>.png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 1.2 + 0.28 * len(levels)), layout="constrained")
    for place, (level, values) in enumerate(levels.items()):
        colour = next((colour for kind, colour in COLOURS.items() if kind in level), "0.35")
        deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
        axes.plot(values, [place] * len(values), "|", color=colour, alpha=0.5)
        axes.errorbar(np.mean(values), place, xerr=deviation, marker="o", capsize=3, color=colour)
    axes.set_yticks(range(len(levels)), list(levels))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(label)
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(common.RESULTS / f"{name}.png", dpi=150)
    pyplot.close(figure)


torch.set_num_threads(1)
