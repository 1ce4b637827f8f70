"""Does one pass separate known sources as well as a batch method that sees all rows at once?

K = 16 sources, 100,000 rows, mixed at random with an offset; Amari distance of filters times mixing matrix, 0 where the
sources are recovered. Super-Gaussian (Laplace, as in the target), sub-Gaussian (uniform), half of each, and skewed
(exponential). Beside it Picard with its defaults (extended) and FastICA on the same rows. Ten seeds.

    python benchmarks/known_sources.py
"""

import time
import warnings

import common
import matplotlib.pyplot as plt
import numpy as np
from picard import picard
from sklearn.decomposition import FastICA

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.kernels import compile_kernels
from stream_infomax.learning.measures.information import amari_distance

K, ROWS, SEEDS = 16, 100_000, range(10)
SUPER, SUB = "super: Laplace", "sub: uniform"
KINDS = (SUPER, SUB, "half of each", "skewed: exponential")


def sources(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Independent sources (ROWS, K)."""
    if kind == SUPER:
        return rng.laplace(size=(ROWS, K))
    if kind == SUB:
        return rng.uniform(-1, 1, size=(ROWS, K))
    if kind == "half of each":
        return np.concatenate([rng.laplace(size=(ROWS, K // 2)), rng.uniform(-2, 2, size=(ROWS, K // 2))], axis=1)
    return rng.exponential(size=(ROWS, K))


def ours(X: np.ndarray, **settings) -> np.ndarray:
    """Filters after one pass in frames of 256 rows."""
    learner = OnlineInfomax(**settings)
    for first in range(0, len(X), 256):
        learner.partial_fit(X[first : first + 256])
    return learner.components_


def batch_picard(X: np.ndarray) -> np.ndarray:
    """Picard with its defaults."""
    whitening, W, _ = picard(X.T.astype(np.float64), random_state=0, max_iter=200)
    return W @ whitening


def batch_fastica(X: np.ndarray) -> np.ndarray:
    """FastICA with scikit-learn's defaults."""
    return FastICA(whiten="unit-variance", random_state=0).fit(X).components_


METHODS = {
    "ours, one pass, defaults": ours,
    "ours, one pass, memory = 0": lambda X: ours(X, memory=0),
    "Picard": batch_picard,
    "FastICA": batch_fastica,
}


def main() -> None:
    """Measure, and write table and plot."""
    compile_kernels()
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for kind in KINDS:
        for seed in SEEDS:
            rng = np.random.default_rng([seed, KINDS.index(kind)])
            mixing = rng.standard_normal((K, K))
            X = (sources(kind, rng) @ mixing.T + 10 * rng.standard_normal(K)).astype(np.float32)
            for name, method in METHODS.items():
                since = time.process_time()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # batch methods say where they have not converged
                    filters = method(X)
                seconds = time.process_time() - since
                found.setdefault((kind, name), []).append((amari_distance(filters @ mixing), seconds))
    table = []
    for (kind, name), runs in found.items():
        distance, seconds = np.array(runs).T
        batch = np.array(found[kind, "Picard"])[:, 0]
        table.append(
            {
                "sources": kind,
                "method": name,
                "Amari distance, median": f"{np.median(distance):.5f}",
                "least … most": f"{distance.min():.5f} … {distance.max():.5f}",
                "times Picard's (ratio of medians)": f"{np.median(distance) / np.median(batch):.2f}",
                "CPU s": f"{np.median(seconds):.2f}",
            }
        )
    machine = common.machine("python-picard", "scikit-learn")
    note = f"{machine}. {len(SEEDS)} seeds. Target for Laplace: ≤ 1.5 times Picard's."
    common.write_table("known_sources", "Known sources, K = 16, 100,000 rows, one pass", table, note)
    draw(found)


def draw(found: dict[tuple[str, str], list[tuple[float, float]]]) -> None:
    """Every seed's distance, by method and kind."""
    figure, axes = plt.subplots(1, len(KINDS), figsize=(11, 3.4), sharey=True, layout="constrained")
    for axis, kind in zip(axes, KINDS, strict=True):
        for i, name in enumerate(METHODS):
            distance = np.array(found[kind, name])[:, 0]
            axis.plot(np.full(len(distance), i) + np.linspace(-0.2, 0.2, len(distance)), distance, ".")
        names = [name.replace(", one pass", "") for name in METHODS]
        axis.set_xticks(range(len(METHODS)), names, rotation=25, fontsize=8)
        axis.set_title(kind, fontsize=10)
        axis.set_yscale("log")
    axes[0].set_ylabel("Amari distance")
    figure.savefig(common.RESULTS / "known_sources.png", dpi=130)


if __name__ == "__main__":
    main()
