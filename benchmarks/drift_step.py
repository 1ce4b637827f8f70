"""Another room at once: after how many rows are its sources found?

K Laplace sources, 100,000 rows in one room and 100,000 in another. Counted are rows after the change until 90 % of the
separation is back that a learner without a policy had before it; median (least … most) of five seeds. Beside it the
gain (drift_common.py) at the end of the first room, where nothing has changed, as a share of that learner's. The
half-life is the one of a sweep that is back first on three other seeds.

    python benchmarks/drift_step.py
"""

import common  # isort: skip - pins the threads before numpy is loaded
from collections.abc import Callable
from functools import cache

import drift_common as drift
import matplotlib.pyplot as plt
import numpy as np
from reference_learners import OnlineOrica

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.kernels import compile_kernels

SIZES = 16, 64
ROWS, HELD_OUT = 100_000, 10_000
HALF_LIVES = 1000, 2000, 4000, 8000, 16_000
RESTART = 8000  # of which the change is half way
BACK = 0.9
FRESH, FIXED, FOLLOW = "a fresh learner, begun at the change", 'adapt = "fixed"', 'adapt = "follow"'
MARKS = np.unique(np.geomspace(drift.FRAME, ROWS, 60).astype(int) // drift.FRAME * drift.FRAME)
Result = tuple[float, float, float, list[tuple[int, float]]]


def learners(half_life: float) -> dict[str, Callable[[int], object]]:
    """What is compared, by name; each makes a learner from a seed."""
    return {
        FRESH: lambda seed: OnlineInfomax(random_state=seed),
        FOLLOW: lambda seed: OnlineInfomax(adapt="follow", random_state=seed),
        f"best constant half-life, {half_life:,.0f}": lambda seed: OnlineInfomax(
            half_life=half_life, random_state=seed
        ),
        FIXED: lambda seed: OnlineInfomax(adapt="fixed", random_state=seed),
        f"always fires: fresh every {RESTART:,} rows": lambda seed: drift.Restarted(RESTART, random_state=seed),
        "ORICA, adaptive forgetting": lambda _: OnlineOrica(adaptive=True),
        "ORICA, cooling": lambda _: OnlineOrica(),
    }


@cache
def wanted(K: int, seed: int) -> float:
    """The separation that is to come back."""
    learner = drift.feed(OnlineInfomax(random_state=seed), drift.laplace(ROWS, drift.room(K, seed), seed))
    return BACK * drift.separation(learner, drift.room(K, seed))


def run(make: Callable[[int], object], K: int, seed: int, fresh: bool = False) -> Result:
    """Rows until it is back, gain before the change, separation at the end, and the curve after the change."""
    first, second = drift.room(K, seed), drift.room(K, seed, 1)
    learner, aim, before = make(seed), wanted(K, seed), np.nan
    if not fresh:
        drift.feed(learner, drift.laplace(ROWS, first, seed))
        before = gain_before(learner, K, seed)
    found, curve = np.inf, []

    def look(n: int) -> None:
        nonlocal found
        if np.isinf(found) or n in MARKS:
            reached = drift.separation(learner, second)
            if n in MARKS:
                curve.append((n, reached))
            if reached >= aim:
                found = min(found, n)

    drift.feed(learner, drift.laplace(ROWS, second, seed, 1), look)
    return found, before, drift.separation(learner, second), curve


@cache
def judge(K: int, seed: int) -> drift.Judge:
    """Of bases in the first room, made for a learner without a policy."""
    first = drift.room(K, seed)
    settled = drift.feed(OnlineInfomax(random_state=seed), drift.laplace(ROWS, first, seed))
    return drift.Judge(settled, drift.laplace(HELD_OUT, first, seed, 9))


def gain_before(learner, K: int, seed: int) -> float:
    """The gain in the first room; of ORICA none, its mean and its length of filters are others."""
    return np.nan if isinstance(learner, OnlineOrica) else judge(K, seed).gain(learner)


def best_half_life(K: int) -> float:
    """The one that is back first on other seeds."""

    def rows(half_life: float) -> float:
        runs = [run(lambda s: OnlineInfomax(half_life=half_life, random_state=s), K, s) for s in drift.OTHER_SEEDS]
        return float(np.median([found for found, *_ in runs]))

    medians = {half_life: rows(half_life) for half_life in HALF_LIVES}
    print(K, medians, flush=True)
    return min(medians, key=lambda half_life: (medians[half_life], half_life))


def main() -> None:
    """Measure, and write table and plot."""
    compile_kernels()
    clock, table, curves = drift.Clock(), [], {}
    for K in SIZES:
        found = {
            name: [run(make, K, seed, name == FRESH) for seed in drift.SEEDS]
            for name, make in learners(best_half_life(K)).items()
        }
        fresh = float(np.median([rows for rows, *_ in found[FRESH]]))
        for name, runs in found.items():
            rows, before, end, curve = zip(*runs, strict=True)
            curves[K, name] = curve
            shares = 100 * np.array(before) / np.array([calm for _, calm, *_ in found[FIXED]])
            table.append(
                {
                    "K": K,
                    "learner": name,
                    "rows until 90 % is back": drift.middle(rows),
                    "times the fresh learner's": f"{np.median(rows) / fresh:.2f}"
                    if np.isfinite(np.median(rows))
                    else "–",
                    "gain before the change, share": "–"
                    if np.isnan(shares).any()
                    else drift.middle(shares, "{:.2f}") + " %",
                    "separation 100,000 rows later": drift.middle(end, "{:.4f}"),
                }
            )
            print(table[-1], flush=True)
    note = f"{common.machine()}; {clock}. Target: ≤ 1.5 times the fresh learner's."
    common.write_table("drift_step", "Another room at once", table, note)
    draw(curves)


def draw(curves: dict[tuple[int, str], tuple]) -> None:
    """Separation over the rows after the change, medians."""
    figure, all_axes = plt.subplots(1, len(SIZES), figsize=(11, 4), sharey=True, layout="constrained")
    styles = ["-", "-", "--", ":", "-.", (0, (1, 3)), (0, (6, 2, 1, 2, 1, 2))]
    for axes, K in zip(all_axes, SIZES, strict=True):
        names = [name for size, name in curves if size == K]
        for i, (name, style) in enumerate(zip(names, styles, strict=True)):
            rows = [n for n, _ in curves[K, name][0]]
            medians = np.median([[value for _, value in curve] for curve in curves[K, name]], axis=0)
            axes.plot(
                rows,
                medians,
                linestyle=style,
                linewidth=1 + 1.2 * (name == FOLLOW),
                color=f"{0.12 * i:.2f}",
                label=name,
            )
        axes.axhline(BACK, color="0.7", linewidth=0.8)
        axes.set(xscale="log", xlabel="rows after the change", title=f"K = {K}", ylim=(-0.05, 1.02))
        axes.legend(frameon=False, fontsize=7)
    all_axes[0].set_ylabel("separation")
    figure.savefig(common.RESULTS / "drift_step.png", dpi=130)


if __name__ == "__main__":
    main()
