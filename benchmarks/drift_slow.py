"""A room that turns slowly: how well are its sources unmixed all the while?

K Laplace sources; the channels turn in K/2 random planes at once, one turn in 1,000,000 rows. Mean Amari distance (0 is
best) from the 100,000th row to the 600,000th; median (least … most) of the seeds. "fixed" ages nothing. The best
half-life is the one that the sweep shows, chosen in hindsight on these very seeds. Two rooms: an even one, whose mixing
has singular values from ½ to 2; and a random one, where they differ by several 100 times and the whitening lags behind
however short its memory.

    python benchmarks/drift_slow.py
"""

import common  # isort: skip - pins the threads before numpy is loaded
from itertools import product

import drift_common as drift
import matplotlib.pyplot as plt
import numpy as np

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.matrices import polar
from stream_infomax.learning.kernels import compile_kernels
from stream_infomax.learning.measures.information import amari_distance

SIZES = 16, 64
ROWS, TURN, SKIPPED, EVERY = 600_000, 1_000_000, 100_000, 8192
HALF_LIVES = 1000, 2000, 4000, 8000, 16_000
ROOMS = "even", "random"
SEEDS = {16: drift.SEEDS, 64: range(3)}


class Turning:
    """A room whose channels turn."""

    def __init__(self, room: str, K: int, seed: int) -> None:
        rng = np.random.default_rng([seed, K, 5])
        self.axes, self.mixing = polar(rng.standard_normal((K, K))), drift.room(K, seed)
        if room == "even":
            left, _, right = np.linalg.svd(self.mixing)
            self.mixing = left * np.linspace(2, 0.5, K) @ right

    def turned(self, rows: np.ndarray, angles: np.ndarray | float) -> np.ndarray:
        """Rows (n, K) after a turn by an angle each."""
        one, other = np.split(rows @ self.axes, 2, axis=1)
        c, s = np.cos(np.atleast_1d(angles))[:, None], np.sin(np.atleast_1d(angles))[:, None]
        return np.concatenate([c * one - s * other, s * one + c * other], axis=1) @ self.axes.T

    def rows(self, first: int, n: int, seed: int) -> np.ndarray:
        """Rows from `first` on, float32."""
        rows = np.random.default_rng([seed, first, 3]).laplace(size=(n, len(self.mixing))) @ self.mixing.T
        return self.turned(rows, 2 * np.pi / TURN * np.arange(first, first + n)).astype(np.float32)

    def mixing_at(self, n: int) -> np.ndarray:
        """The mixing matrix after n rows."""
        return self.turned(self.mixing.T, 2 * np.pi * n / TURN).T


def distances(room: str, K: int, seed: int, **settings) -> list[float]:
    """Amari distance after every so many rows."""
    turning, learner, found = Turning(room, K, seed), OnlineInfomax(random_state=seed, **settings), []
    for first in range(0, ROWS, EVERY):
        drift.feed(learner, turning.rows(first, EVERY, seed), frame=256)
        found.append(amari_distance(learner.components_ @ turning.mixing_at(first + EVERY)))
    return found


def main() -> None:
    """Measure, and write table and plot."""
    compile_kernels()
    clock, table, curves = drift.Clock(), [], {}
    cases = {"follow": {"adapt": "follow"}, "fixed": {"adapt": "fixed"}}
    cases |= {f"half-life {half_life:,}": {"half_life": half_life} for half_life in HALF_LIVES}
    for room, K in product(ROOMS, SIZES):
        means = {}
        for name, settings in cases.items():
            runs = np.array([distances(room, K, seed, **settings) for seed in SEEDS[K]])
            means[name] = runs[:, SKIPPED // EVERY :].mean(axis=1)
            curves[room, K, name] = np.median(runs, axis=0)
            print(room, K, name, means[name], flush=True)
        best = min(float(np.median(means[name])) for name in cases if name.startswith("half-life"))
        for name, values in means.items():
            table.append(
                {
                    "room": room,
                    "K": K,
                    "learner": name,
                    "mean Amari distance": drift.middle(values, "{:.4f}"),
                    "times the best half-life's": f"{np.median(values) / best:.2f}",
                    "seeds": len(values),
                }
            )
    note = f"{common.machine()}; {clock}. Target for follow: ≤ 1 times the best half-life's."
    common.write_table("drift_slow", "A room that turns once in 1,000,000 rows", table, note)
    draw(curves)


def draw(curves: dict[tuple[str, int, str], np.ndarray]) -> None:
    """Amari distance over the rows, medians."""
    figure, all_axes = plt.subplots(2, 2, figsize=(11, 7), sharex=True, sharey="row", layout="constrained")
    for axes, (room, K) in zip(all_axes.flat, product(ROOMS, SIZES), strict=True):
        shown = [name for kind, size, name in curves if (kind, size) == (room, K)]
        constant = [name for name in shown if name.startswith("half-life")]
        for name in shown:
            rows = EVERY * np.arange(1, len(curves[room, K, name]) + 1)
            shade = 0.25 + 0.5 * constant.index(name) / len(constant) if name in constant else 0.0
            style = "--" if name in constant else ":" if name == "fixed" else "-"
            axes.plot(
                rows, curves[room, K, name], style, color=f"{shade:.2f}", linewidth=1 + (name == "follow"), label=name
            )
        axes.set(yscale="log", xlabel="rows", title=f"{room} room, K = {K}")
        axes.legend(frameon=False, fontsize=7, ncols=2)
    for axes in all_axes[:, 0]:
        axes.set_ylabel("Amari distance")
    figure.savefig(common.RESULTS / "drift_slow.png", dpi=130)


if __name__ == "__main__":
    main()
