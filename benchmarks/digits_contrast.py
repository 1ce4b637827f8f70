"""What do patch-wise contrastive modules add on handwritten digits?

MNIST images as 7×7 grids of overlapping patches (10×10, stride 3) → infomax, rectified halves → two modules of two 1×1
convolutions, learnt in one online pass over the first 50,000 images in their order, one update for every 10 of them.
Beside them: the same modules untrained, and CPC, all four convolutions as one module with one loss at the top. Modules
are residual (they pass on what came in beside what they add), with all negatives from the own image and bounded scores
(chosen on images 40,000 to 50,000, streaming and probing on those before). Linear probes on the same images, tested on
the last 10,000; features are averaged over 3×3 regions of the grid.

    python benchmarks/digits_contrast.py [SEED ...]
"""

import common  # isort: skip  (pins threads)
import sys
from typing import Any

import numpy as np
import torch
from contrast_common import SEEDS, Results, draw, paired, spread
from numpy.lib.stride_tricks import sliding_window_view

from stream_infomax.learning.classifier.probes import LinearProbe
from stream_infomax.learning.contrast.excerpts import Batch, ExcerptMemory
from stream_infomax.learning.contrast.layouts import layout
from stream_infomax.learning.contrast.online import OnlineModule
from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.measures.moments import RobustMoments

PATCH, STRIDE, GRID, SKIP = 10, 3, 7, 3
TRAIN, EVERY, ROWS = 50_000, 10, 1024
LEVERS: dict[str, Any] = {"own": 1.0, "temperature": 0.1, "residual": True}
LEVELS = ("features", "module 1", "module 2", "module 1, random", "module 2, random", "CPC")


def patches_of(images: np.ndarray) -> np.ndarray:
    """Return (n, 49, 100) patches, line by line."""
    windows = sliding_window_view(images.astype(np.float32) / 255, (PATCH, PATCH), axis=(1, 2))
    return np.ascontiguousarray(windows[:, ::STRIDE, ::STRIDE]).reshape(len(images), GRID * GRID, PATCH * PATCH)


def columns(rows: np.ndarray) -> np.ndarray:
    """Return grids (n, 49, C) as their columns (n·7, 7, C)."""
    grids = rows.reshape(-1, GRID, GRID, rows.shape[-1])
    return np.ascontiguousarray(grids.swapaxes(1, 2)).reshape(-1, GRID, rows.shape[-1])


def pooled(rows: np.ndarray) -> np.ndarray:
    """Return grids (n, 49, C) averaged over 3 × 3 parts: (n, 9·C)."""
    grids = rows.reshape(-1, GRID, GRID, rows.shape[-1])
    parts = [part.mean((1, 2)) for band in np.array_split(grids, 3, axis=1) for part in np.array_split(band, 3, axis=2)]
    return np.concatenate(parts, 1)


def run(seed: int, images: np.ndarray, labels: np.ndarray) -> dict[str, object]:
    """Learn everything in one pass, then probe every level."""
    learner = OnlineInfomax(energy=0.98, output="halves", random_state=seed)
    memory, moments, draws = ExcerptMemory(16 << 20, 0.5, seed), None, 0
    learnt: list[list[OnlineModule]] = []
    for start in range(0, TRAIN, EVERY):
        patches = patches_of(images[start : start + EVERY])
        features = learner.partial_fit_transform(patches.reshape(-1, PATCH * PATCH))
        if not np.isfinite(features).all():
            continue
        if moments is None:
            width = features.shape[1]
            learnt, moments = [build(width, seed), build(width, seed, end_to_end=True)], RobustMoments(width)
        moments.update(features)
        for excerpt in features.reshape(EVERY, GRID * GRID, -1):
            memory.add(excerpt)
        rows = columns(moments.standardised(np.stack(memory.draw(ROWS, draws))))
        draws += 1
        for stack in learnt:
            batch = Batch(rows, np.full(len(rows), GRID))
            for module in stack:
                batch = module.learn(batch)
    modules, end_to_end = learnt
    untrained = build(moments.mean.size, seed)
    levels: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(images), 1000):
        patches = patches_of(images[start : start + 1000]).reshape(-1, PATCH * PATCH)
        features = learner.transform(patches).reshape(-1, GRID * GRID, moments.mean.size)
        levels.setdefault("features", []).append(pooled(features))
        for name, stack in (("module {}", modules), ("module {}, random", untrained), ("CPC", end_to_end)):
            rows = moments.standardised(features)
            for number, module in enumerate(stack, 1):
                rows = module.transform(rows, None)[0]  # patches never mix, so their order is no matter
                levels.setdefault(name.format(number), []).append(pooled(rows))
    train = np.arange(len(images)) < TRAIN
    accuracies = {}
    for level in list(levels):
        vectors = np.concatenate(levels.pop(level))
        probe = LinearProbe(iterations=100).fit(vectors[train], labels[train])
        accuracies[level] = 100 * probe.score(vectors[~train], labels[~train])
    return {"updates": draws, "width": moments.mean.size, "accuracy": accuracies}


def build(channels: int, seed: int, end_to_end: bool = False) -> list[OnlineModule]:
    """Return the two modules, untrained, or all their layers as one."""
    stack = layout("patches", 128)
    if end_to_end:
        stack = (tuple(layer for layers in stack for layer in layers),)
    modules = []
    for index, layers in enumerate(stack):
        options = {"seed": seed, "index": index, "skip": SKIP, "columns": GRID, **LEVERS}
        modules.append(OnlineModule(channels, layers, GRID - 1 - SKIP, **options))
        channels = modules[-1].module.output
    return modules


def main() -> None:
    """Run what is missing, then write the table."""
    torch.set_num_threads(1)
    data = np.load(common.data_folder() / "mnist" / "mnist_train.npz")
    images, labels = data["images"], data["labels"].astype(str)
    results = Results("digits_contrast")
    for seed in [int(text) for text in sys.argv[1:]] or SEEDS:
        results.run(str(seed), lambda seed=seed: run(seed, images, labels))
    runs = list(results.runs.values())
    levels = {level: [run["accuracy"][level] for run in runs] for level in LEVELS}
    rows = [{"level": level, "seeds": len(runs), "3x3": spread(levels[level], digits=2)} for level in LEVELS]
    notes = [
        f"{level.capitalize()} minus {other}: {paired(levels[level], levels[other], digits=2)}.\n"
        for level in ("module 1", "module 2")
        for other in ("features", f"{level}, random", "CPC")
        if len(runs) > 1
    ]
    notes.append(f"CPU of a run: {np.mean([run['cpu_s'] for run in runs]):.0f} s. {common.machine('torch')}")
    title = "MNIST: linear probes in %, mean ± deviation over seeds"
    common.write_table("digits_contrast", title, rows, "\n".join(notes), results.codes())
    draw("digits_contrast", "MNIST, averages over 3×3 regions", levels, "rightly named, %")


if __name__ == "__main__":
    main()
