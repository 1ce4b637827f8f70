"""What do patch-wise contrastive modules add on handwritten digits?

MNIST images as 7×7 grids of overlapping patches (10×10, stride 3) → infomax, rectified halves → two modules of two 1×1
convolutions, learnt in one online pass over the first 50,000 images in their order, one update for every 10 of them.
Beside them: the same modules untrained, and CPC, all four convolutions as one module with one loss at the top. Modules
are residual (they pass on what came in beside what they add), with all negatives from the own image, bounded scores and
a falling learning rate; CPC has its own (chosen on images 40,000 to 50,000, streaming and probing on those before).
Linear probes on the same images, tested on the last 10,000; features are averaged over 3×3 regions of the grid.

    python benchmarks/digits_contrast.py [modules] [untrained] [CPC] [SEED ...]
"""

import common  # isort: skip  (pins threads)
import sys
from collections.abc import Iterator
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
FALLING = {"learning_rate": 3e-3, "decay_rows": 1_500_000}  # at the end a good fifth of it
RATES: dict[str, dict[str, Any]] = {"modules": FALLING, "untrained": {}, "CPC": {"learning_rate": 1e-3}}
WIDTH = 256
VARIANTS = ("modules", "untrained", "CPC")
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


def run(variant: str, seed: int, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Learn everything in one pass, then probe every level of a variant."""
    learner = OnlineInfomax(energy=0.98, output="halves", random_state=seed)
    memory, moments, stack = ExcerptMemory(16 << 20, 0.5, seed), None, []
    for start in range(0, TRAIN, EVERY):
        patches = patches_of(images[start : start + EVERY])
        features = learner.partial_fit_transform(patches.reshape(-1, PATCH * PATCH))
        if not np.isfinite(features).all():
            continue
        if moments is None:
            width = features.shape[1]
            stack, moments = build(variant, width, seed), RobustMoments(width)
        moments.update(features)
        if variant == "untrained":
            continue
        for excerpt in features.reshape(EVERY, GRID * GRID, -1):
            memory.add(excerpt)
        rows = columns(moments.standardised(np.stack(memory.draw(ROWS, stack[0].updates))))
        batch = Batch(rows, np.full(len(rows), GRID))
        for module in stack:
            batch = module.learn(batch)
    train = np.arange(len(images)) < TRAIN
    accuracies = {}
    for level, vectors in levels_of(variant, images, learner, moments, stack):
        probe = LinearProbe(iterations=100).fit(vectors[train], labels[train])
        accuracies[level] = 100 * probe.score(vectors[~train], labels[~train])
    return {"updates": stack[0].updates, "width": moments.mean.size, "accuracy": accuracies}


def levels_of(
    variant: str, images: np.ndarray, learner: OnlineInfomax, moments: RobustMoments, stack: list[OnlineModule]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the pooled vectors of all images at every level of a variant, one level at a time."""
    levels: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(images), 1000):
        patches = patches_of(images[start : start + 1000]).reshape(-1, PATCH * PATCH)
        features = learner.transform(patches).reshape(-1, GRID * GRID, moments.mean.size)
        if variant == "modules":
            levels.setdefault("features", []).append(pooled(features))
        rows = moments.standardised(features)
        for number, module in enumerate(stack, 1):
            rows = module.transform(rows, None)[0]  # patches never mix, so their order is no matter
            name = {"modules": f"module {number}", "untrained": f"module {number}, random", "CPC": "CPC"}[variant]
            levels.setdefault(name, []).append(pooled(rows))
    for name in list(levels):
        yield name, np.concatenate(levels.pop(name))


def build(variant: str, channels: int, seed: int) -> list[OnlineModule]:
    """Return the two modules, untrained, or all their layers as one."""
    stack = layout("patches", WIDTH)
    if variant == "CPC":
        stack = (tuple(layer for layers in stack for layer in layers),)
    modules = []
    for index, layers in enumerate(stack):
        options = {"seed": seed, "index": index, "skip": SKIP, "columns": GRID, **LEVERS, **RATES[variant]}
        modules.append(OnlineModule(channels, layers, GRID - 1 - SKIP, **options))
        channels = modules[-1].module.output
    return modules


def main() -> None:
    """Run what is missing, then write the table."""
    torch.set_num_threads(1)
    data = np.load(common.data_folder() / "mnist" / "mnist_train.npz")
    images, labels = data["images"], data["labels"].astype(str)
    results = Results("digits_contrast")
    variants = [name for name in VARIANTS if name in sys.argv] or VARIANTS
    for seed in [int(text) for text in sys.argv[1:] if text.isdigit()] or SEEDS:
        for variant in variants:
            results.run(f"{variant}, {seed}", lambda variant=variant, seed=seed: run(variant, seed, images, labels))
    write(results)


def write(results: Results) -> None:
    """Write the table and the picture."""
    levels: dict[str, dict[str, float]] = {level: {} for level in LEVELS}  # by seed
    for key, one in results.runs.items():
        for level, accuracy in one["accuracy"].items():
            levels[level][key.split(", ")[1]] = accuracy
    levels = {level: values for level, values in levels.items() if values}
    rows = [
        {"level": level, "seeds": len(values), "3x3": spread(list(values.values()), digits=2)}
        for level, values in levels.items()
    ]
    notes = []
    for level in ("module 1", "module 2"):
        for other in ("features", f"{level}, random", "CPC"):
            seeds = sorted(levels.get(level, {}).keys() & levels.get(other, {}).keys())
            if len(seeds) > 1:
                ours, theirs = ([levels[name][seed] for seed in seeds] for name in (level, other))
                notes.append(f"{level.capitalize()} minus {other}: {paired(ours, theirs, digits=2)}.\n")
    notes.append(f"CPU of a run: {np.mean([run['cpu_s'] for run in results.runs.values()]):.0f} s. ")
    notes.append(common.machine("torch"))
    title = "MNIST: linear probes in %, mean ± deviation over seeds"
    common.write_table("digits_contrast", title, rows, "\n".join(notes), results.codes())
    drawn = {level: list(values.values()) for level, values in levels.items()}
    draw("digits_contrast", "MNIST, averages over 3×3 regions", drawn, "accuracy, %")


if __name__ == "__main__":
    main()
