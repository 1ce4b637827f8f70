"""Overcomplete: one streaming pass beside the paper's batch algorithm 2.

Patches as in benchmarks/peers.py, rank 64, 512 filters. On held-out rows: Q̂ = -½ ln det(C D² Cᵀ) with D = ⟨Φ⟩ of those
rows (2.98, nats), mean excess kurtosis of the outputs, conditional entropy of 500 rows (nats) and coefficient entropy
(bits), against CPU seconds; the batch algorithm runs its 100 epochs or until 300 s are used up.

    python benchmarks/overcomplete_peers.py
"""

import contextlib
from collections.abc import Callable

import common
import numpy as np
from peers import FRAME, EnoughError, Problem, Watch, follow
from photographs import HELD_OUT_ROWS, SIDE, TRAIN_ROWS, Whitening, pictures, random_patches
from reference_learners import batch_overcomplete

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.matrices import polar
from stream_infomax.learning.infomax.neurons import density, start_beta
from stream_infomax.learning.kernels import compile_kernels
from stream_infomax.learning.measures.information import coefficient_entropy, conditional_entropy, excess_kurtosis

N_RANK, N_COMPONENTS = 64, 512
CAP = 300.0


def judge(C: np.ndarray, X: np.ndarray) -> dict[str, float]:
    """Quality of the filters C (64, 512) on whitened rows."""
    C = polar(C.astype(np.float64))
    Y = X @ C.astype(np.float32)
    D = density(Y, np.float32(start_beta(N_COMPONENTS, N_RANK))).mean(axis=0, dtype=np.float64)
    scaled = Y * np.float32(np.sqrt(N_COMPONENTS / N_RANK))
    return {
        "Q": -0.5 * float(np.linalg.slogdet((C * D**2) @ C.T)[1]),
        "kurtosis": float(excess_kurtosis(Y).mean()),
        "conditional": conditional_entropy(C, scaled[:500]),
        "entropy": coefficient_entropy(Y[:5000], C),
    }


def problem() -> Problem:
    """The patches of benchmarks/peers.py, whitened to rank 64."""
    training, held_out = pictures()
    rows = random_patches(training, TRAIN_ROWS, SIDE, seed=0)
    full = Whitening.of(rows)
    # Eigenvalues come in ascending order: the last ones are kept.
    whitening = Whitening(full.mean, full.forward[:, -N_RANK:], full.backward[:, -N_RANK:])
    start = polar(np.random.default_rng(0).standard_normal((N_RANK, N_COMPONENTS))).astype(np.float32)
    tests = whitening.apply(random_patches(held_out, HELD_OUT_ROWS, SIDE, seed=1))
    return Problem(rows, whitening, whitening.apply(rows), tests, start, 0.0)


def ours(watch: Watch) -> None:
    """One pass over the raw rows."""
    learner = OnlineInfomax(N_COMPONENTS, overcomplete=True, n_rank=N_RANK)
    rows, backward = watch.problem.rows, watch.problem.whitening.backward

    def filters() -> np.ndarray:
        return backward.T @ learner.components_.T.astype(np.float64)

    for first in range(0, len(rows), FRAME):
        learner.partial_fit(rows[first : first + FRAME])
        if learner.n_updates_ > 0:
            watch.look(filters)
    watch.look(filters, finished=True)


def batch(watch: Watch) -> None:
    """The paper's algorithm 2."""
    follow(watch, batch_overcomplete(watch.problem.whitened, watch.problem.start))


LEARNERS: dict[str, Callable[[Watch], None]] = {"ours, 1 pass": ours, "paper's batch algorithm 2, numpy": batch}


def main() -> None:
    """Measure both and write table and plot."""
    compile_kernels()
    task = problem()
    OnlineInfomax(N_COMPONENTS, overcomplete=True, n_rank=N_RANK).partial_fit(
        task.rows[:3000]
    )  # and what compile_kernels leaves out
    start = judge(task.start, task.held_out)
    rows = [{"learner": "random start", "CPU s": 0, **_rounded(start)}]
    curves: dict[str, list[dict[str, float]]] = {}
    for name, run in LEARNERS.items():
        watch = Watch(task, CAP, judge=judge)
        with contextlib.suppress(EnoughError):
            run(watch)
        curves[name] = watch.points
        end = watch.points[-1]
        first = next(point for point in watch.points if point["Q"] <= curves["ours, 1 pass"][-1]["Q"])
        row = {"learner": name, "CPU s": f"{end['cpu']:.3g}", **_rounded(end)}
        rows.append(row | {"s to the Q̂ of our pass": f"{first['cpu']:.3g}"})
    common.write_table(
        "overcomplete_peers", "Overcomplete on photographs: rank 64, 512 filters", rows, common.machine()
    )
    _plot(curves)


def _rounded(point: dict[str, float]) -> dict[str, str]:
    return {
        "Q̂ (nats)": f"{point['Q']:.3f}",
        "excess kurtosis": f"{point['kurtosis']:.2f}",
        "conditional entropy (nats)": f"{point['conditional']:.2f}",
        "coefficient entropy (bits)": f"{point['entropy']:.3f}",
    }


def _plot(curves: dict[str, list[dict[str, float]]]) -> None:
    from stream_infomax.plots.style import INK, LINES, new_figure, panel, save

    titles = {"Q": "objective Q̂ (nats)", "kurtosis": "mean excess kurtosis", "entropy": "coefficient entropy (bits)"}
    width, height = 4.1, 3.4
    note = f"held-out photographs, rank {N_RANK}, {N_COMPONENTS} filters, one BLAS thread"
    figure = new_figure(3 * width + 2.6, height + 1.75, "Overcomplete: one pass beside the batch algorithm", note)
    for i, (measure, title) in enumerate(titles.items()):
        axes = panel(figure, 0.75 + i * (width + 0.7), 0.65, width, height, title)
        for (name, points), colour in zip(curves.items(), LINES, strict=False):
            axes.plot([p["cpu"] for p in points], [p[measure] for p in points], color=colour, linewidth=2, label=name)
        axes.set_xscale("log")
        axes.set_xlabel("CPU seconds", fontsize=9.5, color=INK)
        axes.grid(color="#eceff2", linewidth=0.8)
        axes.set_axisbelow(True)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncols=2, frameon=False, fontsize=9, labelcolor=INK)
    save(figure, common.RESULTS / "overcomplete_peers.png")


if __name__ == "__main__":
    main()
