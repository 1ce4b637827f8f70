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
import soundfile
import torch
from numpy.lib.stride_tricks import sliding_window_view

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.classifier.pooling import pool
from stream_infomax.learning.classifier.probes import LinearProbe
from stream_infomax.learning.contrast.encoders import RowEncoder
from stream_infomax.learning.contrast.excerpts import Cutter, ExcerptMemory, pad
from stream_infomax.learning.contrast.layouts import Conv, Layer, layout, least_skip, steps_ahead
from stream_infomax.learning.contrast.online import OnlineModule
from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.measures.moments import RobustMoments
from stream_infomax.stages.windows import WindowsStage

SEEDS = range(5)
WIDTH = 128
SCALE_SECONDS = 600.0
COLOURS = {"random": "C2", "CPC": "C1", "module": "C0", "GIM": "C0"}  # the first that a level's name holds


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


def rows_of(recordings: Iterable[Recording], kind: str) -> Iterator[np.ndarray]:
    """Yield each recording's input rows: ``waveform`` (8 ms every 5 ms) or ``log-mel`` (10 × 40 every 10 ms)."""
    windows = WindowsStage("windows", "source", form="log-mel", length=10, hop=1) if kind == "log-mel" else None
    for recording in recordings:
        if windows is None:
            length, hop = recording.rate * 8 // 1000, recording.rate * 5 // 1000
            yield np.ascontiguousarray(sliding_window_view(recording.samples, length)[::hop])
        else:
            array = Array(recording.samples[:, None], ("time", "channel"))
            frame = Frame("source", -1, recording.name, {"source": array}, last=True, rate=float(recording.rate))
            yield windows.process(frame).arrays["windows"].rows()


@dataclass(frozen=True)
class Front:
    """Features of a front end: as published while it learned (streamed recordings), and by the final basis (all)."""

    published: dict[str, np.ndarray]
    final: dict[str, np.ndarray]
    rate: float


def front(recordings: Sequence[Recording], streamed: Sequence[Recording], kind: str, seed: int) -> Front:
    """Learn infomax in one pass over the streamed recordings, in their order.

    Log energies of waveforms; of log-mel patches rectified halves, because their sign is what they say (energy 0.99 was
    chosen in fsdd_features.py).
    """
    settings: dict[str, Any] = {"energy": 0.99, "output": "halves"} if kind == "log-mel" else {"output": "log"}
    learner = OnlineInfomax(random_state=seed, **settings)
    published = {}
    for recording, rows in zip(streamed, rows_of(streamed, kind), strict=True):
        published[recording.name] = learner.partial_fit_transform(rows)
    final = {
        recording.name: learner.transform(rows)
        for recording, rows in zip(recordings, rows_of(recordings, kind), strict=True)
    }
    width = next(iter(final.values())).shape[1]
    published = {name: rows for name, rows in published.items() if rows.shape[1] == width}
    return Front(published, final, 100.0 if kind == "log-mel" else 200.0)


class Stack:
    """Modules in a row as the stages run them, on whole segments: one online pass, then encoding.

    `extent` is how far a window reaches and how far behind it the next begins, in any unit: with it the modules skip
    what shares samples with their context. `levers` are the settings of ``OnlineModule`` and of its module.
    """

    def __init__(
        self,
        channels: int,
        rate: float,
        *,
        seed: int,
        end_to_end: bool = False,
        memory: int = 16 << 20,
        reservoir: float = 0.5,
        rows: int = 2048,
        updates: int = 1,
        stack: str = "fine",
        extent: tuple[float, float] | None = None,
        **levers: Any,
    ) -> None:
        layers = layout(stack, WIDTH)
        if end_to_end:
            layers = (tuple(layer for module in layers for layer in module),)
        self.moments = RobustMoments(channels, SCALE_SECONDS * rate)
        self.memory = ExcerptMemory(memory, reservoir, seed)
        self.cutter = Cutter(channels, 256, 4)
        self.rows, self.updates = rows, updates
        self.modules: list[OnlineModule] = []
        below: tuple[Layer, ...] = ()
        for index, module in enumerate(layers):
            below += module
            for layer in module:
                rate /= layer.stride if isinstance(layer, Conv) else 1
            steps = steps_ahead(0.12, rate)
            skip = {} if extent is None else {"skip": least_skip(below, *extent)}
            self.modules.append(OnlineModule(channels, module, steps, seed=seed, index=index, **skip, **levers))
            channels = self.modules[-1].module.output
        self.draws = 0

    def learn(self, rows: np.ndarray, train: bool = True, stream: int = 0) -> None:
        """Take in one segment of a stream: standardisation, and one update of every module for each excerpt."""
        self.moments.update(rows[np.isfinite(rows).all(1)])
        if not train:
            return
        for excerpt in self.cutter.add(rows, last=True):
            self.memory.add(excerpt, stream)
            for _ in range(self.updates):
                self._update()

    def _update(self) -> None:
        excerpts, streams = self.memory.draw_streams(self.rows, self.draws)
        batch = pad([self.moments.standardised(excerpt) for excerpt in excerpts], streams)
        self.draws += 1
        for module in self.modules:
            batch = module.learn(batch)
            if batch is None:
                break

    def levels(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the pooled vector of a segment at every level."""
        rows = self.moments.standardised(rows)
        pooled = {"input": pool(rows)}
        for number, module in enumerate(self.modules, 1):
            z, c = RowEncoder(module).encode(rows)
            rows = z
            pooled[f"module {number}"] = pool(z if module.module.recurrent is None else c)
            if module is self.modules[-1]:
                pooled["z+c"] = np.concatenate([pool(z), pool(c)])
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
