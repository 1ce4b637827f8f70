"""What does one pass of algorithm 2 make of photographs with eight times more components than dimensions?

100,000 patches of 12×12 (n_rank = 64, K1 = 512) from 14 photographs, one pass, frames of 256 rows. The mean excess
kurtosis of the outputs as a multiple of that of a random start C (same whitening), on the stream itself (each row
encoded before it is learnt, last tenth) and on four photographs held out; Q̂ (2.98) of the published basis on the
latter after each tenth.
The limit beside it is full-batch gradient descent on Q̂ with a line search from where the stream ended, on every
second row; it takes long, is computed with --limit, and kept in results/overcomplete_limit.json.

    python benchmarks/overcomplete.py [--limit ITERATIONS]
"""

import argparse
import json
import time
from dataclasses import dataclass

import common
import matplotlib.pyplot as plt
import numpy as np
from photographs import HELD_OUT_ROWS, SIDE, TRAIN_ROWS, pictures, random_patches

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.matrices import polar
from stream_infomax.learning.infomax.neurons import start_beta
from stream_infomax.learning.kernels import compile_kernels
from stream_infomax.learning.measures.information import excess_kurtosis

K0, K1, FRAME, SEEDS = 64, 512, 256, range(3)
BETA = start_beta(K1, K0)
LIMIT = common.RESULTS / "overcomplete_limit.json"
CASES = {"memory = 0": {"memory": 0}, "defaults": {}}


def random_start(seed: int) -> np.ndarray:
    """C (K0, K1) with C Cᵀ = I."""
    return np.linalg.qr(np.random.default_rng(100 + seed).standard_normal((K1, K0)))[0].T


def kurtosis(Y: np.ndarray) -> float:
    """Mean over units of the excess kurtosis."""
    return float(np.mean(excess_kurtosis(Y)))


def value_and_slope(C: np.ndarray, x: np.ndarray) -> tuple[float, np.ndarray]:
    """Q̂ and dQ̂/dC on whitened rows x."""
    Y = (x @ C).astype(np.float32)
    t = np.tanh(np.float32(BETA / 2) * Y)
    phi = np.float32(BETA / 4) * (1 - t * t)
    D = phi.mean(axis=0, dtype=np.float64)
    M = (C * D**2) @ C.T
    solved = np.linalg.solve(M, C)
    omega = -np.float32(BETA) * t * phi * (D * (C * solved).sum(axis=0)).astype(np.float32)
    return -0.5 * float(np.linalg.slogdet(M)[1]), -(solved * D**2 + x.T @ omega / len(x))


@dataclass
class Judge:
    """Whitening by the leading K0 directions of all training rows, in which every basis is judged."""

    mean: np.ndarray
    forward: np.ndarray
    backward: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> "Judge":
        """From the training rows."""
        values, vectors = np.linalg.eigh(np.cov(rows.T.astype(np.float64)))
        values, vectors = values[-K0:], vectors[:, -K0:]
        return cls(rows.mean(axis=0, dtype=np.float64), vectors / np.sqrt(values), vectors * np.sqrt(values))

    def white(self, rows: np.ndarray) -> np.ndarray:
        """Whitened rows."""
        return ((rows - self.mean) @ self.forward).astype(np.float32)

    def rotation(self, learner: OnlineInfomax) -> np.ndarray:
        """The C nearest to the learner's filters."""
        return polar(self.backward.T @ learner.components_.T.astype(np.float64))


def run(rows: np.ndarray, held_out: np.ndarray, judge: Judge, seed: int, **settings) -> tuple[OnlineInfomax, dict]:
    """One pass, and what is measured of it."""
    learner = OnlineInfomax(K1, overcomplete=True, n_rank=K0, random_state=seed, **settings)
    x, R = judge.white(held_out), random_start(seed)
    tenths, outputs, seconds = [], [], 0.0
    for first in range(0, len(rows), FRAME):
        frame = rows[first : first + FRAME]
        since = time.process_time()
        encoded = learner.partial_fit_transform(frame)
        seconds += time.process_time() - since
        if first >= 0.9 * len(rows):
            outputs.append(encoded)
        if 10 * (first + FRAME) // len(rows) > 10 * first // len(rows):
            tenths.append(value_and_slope(judge.rotation(learner), x)[0])
    measured = {
        "stream": kurtosis(np.concatenate(outputs)) / kurtosis(judge.white(rows[len(rows) * 9 // 10 :]) @ R),
        "held out": kurtosis(x @ judge.rotation(learner)) / kurtosis(x @ R),
        "tenths": tenths,
        "random Q": value_and_slope(R, x)[0],
        "cpu": seconds,
    }
    return learner, measured


def limit(rows: np.ndarray, held_out: np.ndarray, iterations: int) -> None:
    """Descend on Q̂ over every second row, with a line search, and keep what it reaches."""
    judge = Judge.of(rows)
    learner, _ = run(rows, held_out, judge, 0)
    x, test, C = judge.white(rows[::2]), judge.white(held_out), judge.rotation(learner)
    R = random_start(0)
    q, slope = value_and_slope(C, x)
    step = 1.0
    for i in range(iterations):
        direction = -slope + C @ (slope.T @ C)
        while step > 1e-6:
            left, _, right = np.linalg.svd(C + step * direction, full_matrices=False)
            tried = value_and_slope(left @ right, x)
            if tried[0] < q:
                break
            step /= 2
        else:
            break
        C, (q, slope), step = left @ right, tried, 1.3 * step
        result = {
            "iterations": i + 1,
            "in sample": kurtosis(x @ C) / kurtosis(x @ R),
            "held out": kurtosis(test @ C) / kurtosis(test @ R),
            "Q": value_and_slope(C, test)[0],
        }
        if (i + 1) % 10 == 0:
            LIMIT.write_text(json.dumps(result), encoding="utf-8")
            print(result, flush=True)


def main() -> None:
    """Measure, and write table and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, metavar="ITERATIONS")
    options = parser.parse_args()
    compile_kernels()
    training, held_out_pictures = pictures()
    rows = random_patches(training, TRAIN_ROWS, SIDE, seed=0)
    held_out = random_patches(held_out_pictures, HELD_OUT_ROWS, SIDE, seed=1)
    if options.limit:
        limit(rows, held_out, options.limit)
        return
    table, curves, judge = [], {}, Judge.of(rows)
    for name, settings in CASES.items():
        runs = [run(rows, held_out, judge, seed, **settings)[1] for seed in SEEDS]
        curves[name] = runs
        falls = all(np.all(np.diff([one["random Q"], *one["tenths"]]) < 0) for one in runs)
        table.append(
            {
                "learner": f"one pass, {name}",
                "kurtosis / random start, stream": spread(one["stream"] for one in runs),
                "kurtosis / random start, held out": spread(one["held out"] for one in runs),
                "held-out Q̂ after the pass": spread((one["tenths"][-1] for one in runs), 3),
                "Q̂ falls over all tenths": "yes" if falls else "no",
                "CPU s": f"{np.median([one['cpu'] for one in runs]):.1f}",
            }
        )
    note = f"{common.machine()}. Median (least … most) of {len(SEEDS)} seeds; target: ≥ 2.5, Q̂ monotone."
    if LIMIT.exists():
        found = json.loads(LIMIT.read_text(encoding="utf-8"))
        table.append(
            {
                "learner": f"limit: batch descent on Q̂, {found['iterations']} iterations, 50,000 rows",
                "kurtosis / random start, stream": f"{found['in sample']:.2f} (in sample)",
                "kurtosis / random start, held out": f"{found['held out']:.2f}",
                "held-out Q̂ after the pass": f"{found['Q']:.3f}",
            }
        )
    common.write_table("overcomplete", f"Overcomplete: K0 = {K0}, K1 = {K1}, photographs", table, note)
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for name, runs in curves.items():
        values = np.array([[one["random Q"], *one["tenths"]] for one in runs])
        axes.plot(np.linspace(0, 1, values.shape[1]), values.mean(axis=0), ".-", label=f"one pass, {name}")
    axes.set(xlabel="share of the pass", ylabel="held-out Q̂, nats", title=f"Algorithm 2: K0 = {K0}, K1 = {K1}")
    axes.legend(frameon=False)
    figure.savefig(common.RESULTS / "overcomplete.png", dpi=130)


def spread(values, digits: int = 2) -> str:
    """Median (least … most)."""
    found = np.array(list(values))
    return f"{np.median(found):.{digits}f} ({found.min():.{digits}f} … {found.max():.{digits}f})"


if __name__ == "__main__":
    main()
