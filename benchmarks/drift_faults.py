"""What is left of what was learnt when a stream has been faulty, or somewhere else for a while?

100,000 good rows, then a fault, then good rows again. The share of the gain before the fault (drift_common.py; judged
on held-out good rows, mean and lengths included) that is there at its end, and 10,000 rows later. A jump of the gain
stays: it is judged in the new unit, 1,000 and 11,000 rows after. Below 0: worse than a random rotation of white rows.
16 Laplace sources, and 8×8 patches of photographs.

A bad hour: 100,000 rows of another room, then back; counted are rows after the return until the gain is at 99 % of what
it was. Five seeds: median (least … most).

    python benchmarks/drift_faults.py
"""

import common  # isort: skip - pins the threads before numpy is loaded
import copy
from collections.abc import Callable

import drift_common as drift
import matplotlib.pyplot as plt
import numpy as np
from photographs import pictures, random_patches

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.kernels import compile_kernels

ROWS, LONG, LATER, SOON = 100_000, 1_000_000, 10_000, 1000
HELD_OUT = 10_000
GAIN, CHANNEL = 1e3, 3
PART, BURST = 0.01, 100  # NaN: share of the rows, rows at once
POLICIES = "follow", "fixed"
SOURCES, PHOTOGRAPHS = "16 Laplace sources", "photographs, K = 64"
LEFT, LEAST = 0.99, -1000.0
Rows = Callable[[int, int, int], np.ndarray]  # n, seed, part → good rows


def known(n: int, seed: int, part: int, K: int = 16) -> np.ndarray:
    """Mixed Laplace sources."""
    return drift.laplace(n, drift.room(K, seed), seed, part)


def patches(n: int, seed: int, part: int) -> np.ndarray:
    """Patches of photographs."""
    return random_patches(pictures()[0], n, 8, 100 * seed + part)


SETS: dict[str, Rows] = {SOURCES: known, PHOTOGRAPHS: patches}


def dead(rows: np.ndarray) -> np.ndarray:
    """One channel is 0."""
    rows[:, CHANNEL] = 0
    return rows


def stuck(rows: np.ndarray) -> np.ndarray:
    """One channel keeps a value."""
    rows[:, CHANNEL] = rows[0, CHANNEL]
    return rows


def clipped(rows: np.ndarray) -> np.ndarray:
    """Every channel is cut off a deviation from its mean."""
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    return np.clip(rows, mean - deviation, mean + deviation)


def holes(rows: np.ndarray) -> np.ndarray:
    """Bursts of NaN."""
    rng = np.random.default_rng(0)
    for first in rng.integers(len(rows) - BURST, size=round(PART * len(rows) / BURST)):
        rows[first : first + BURST, rng.integers(rows.shape[1], size=3)] = np.nan
    return rows


def noise_floor(rows: np.ndarray) -> np.ndarray:
    """Nothing but noise of a ten-thousandth of the deviation."""
    noise = np.random.default_rng(0).standard_normal(rows.shape, np.float32)
    return rows.mean(axis=0) + 1e-4 * rows.std(axis=0) * noise


def one_louder(rows: np.ndarray) -> np.ndarray:
    """One channel has another gain."""
    rows[:, CHANNEL] *= GAIN
    return rows


FAULTS = {
    "one channel dead": dead,
    "one channel keeps a value": stuck,
    "clipped at 1 σ": clipped,
    "1 % of rows in bursts of NaN": holes,
    "noise floor of 10⁻⁴ σ": noise_floor,
}
JUMPS = {f"gain × {GAIN:g}, all channels": lambda rows: GAIN * rows, f"gain × {GAIN:g}, one channel": one_louder}
SILENCE = f"silence, {LONG:,} rows"


def faulty(learner: OnlineInfomax, fault: str, good: np.ndarray) -> None:
    """Let a learner see a fault that passes."""
    if fault == SILENCE:
        zeros = np.zeros((1 << 14, good.shape[1]), np.float32)
        for _ in range(round(LONG / len(zeros))):
            learner.partial_fit(zeros)
    else:
        drift.feed(learner, FAULTS[fault](good.copy()))


def shares(
    settled: OnlineInfomax, fault: str, good: np.ndarray, after: np.ndarray, held_out: np.ndarray
) -> list[float]:
    """Percent of the gain right after a fault, and later."""
    learner, judge = copy.deepcopy(settled), drift.Judge(settled, held_out)
    before = judge.gain(settled)
    if fault in JUMPS:
        after = JUMPS[fault](after.copy())
        judge.random -= float(np.log(JUMPS[fault](np.ones((1, after.shape[1])))).sum())  # the same, in the new unit
        judge.rows = JUMPS[fault](judge.rows.copy())
        drift.feed(learner, after[:SOON])
        after = after[SOON:]
    else:
        faulty(learner, fault, good)
    found = [judge.gain(learner)]
    drift.feed(learner, after[:LATER])
    return [max(100 * value / before, LEAST) for value in (*found, judge.gain(learner))]


def faults() -> list[dict[str, object]]:
    """Every fault on both sets, with both policies."""
    names = [*FAULTS, SILENCE, *JUMPS]
    found: dict[tuple[str, str, str], list[list[float]]] = {}
    for kind, rows in SETS.items():
        for seed in drift.SEEDS:
            parts = [rows(n, seed, part) for n, part in ((ROWS, 0), (ROWS, 1), (LATER + SOON, 2), (HELD_OUT, 9))]
            for policy in POLICIES:
                settled = drift.feed(OnlineInfomax(adapt=policy, random_state=seed), parts[0])
                for name in names:
                    found.setdefault((kind, name, policy), []).append(shares(settled, name, *parts[1:]))
    table = []
    for kind in SETS:
        for name in names:
            row: dict[str, object] = {"rows": kind, "fault": name}
            for policy in POLICIES:
                for when, values in zip(
                    ("right after", "10,000 rows later"), zip(*found[kind, name, policy], strict=True), strict=True
                ):
                    row[f"{policy}: {when}"] = drift.middle(values, "{:.1f}") + " %"
            table.append(row)
    return table


def bad_hour(K: int, policy: str, seed: int) -> tuple[float, list[tuple[int, float]]]:
    """Rows after the return until the gain is back, and shares of the gain over the rows after it."""
    home = drift.room(K, seed)
    held_out = drift.laplace(HELD_OUT // 2, home, seed, 9)
    learner = drift.feed(OnlineInfomax(adapt=policy, random_state=seed), drift.laplace(ROWS, home, seed))
    judge = drift.Judge(learner, held_out)
    before = judge.gain(learner)
    drift.feed(learner, drift.laplace(ROWS, drift.room(K, seed, 1), seed, 1))
    back, curve = np.inf, []

    def look(n: int) -> None:
        nonlocal back
        if n <= 4 * SOON or n % (8 * drift.FRAME) == 0:
            share = judge.gain(learner) / before
            curve.append((n, 100 * share))
            if share >= LEFT:
                back = min(back, n)

    drift.feed(learner, drift.laplace(ROWS // 2, home, seed, 2), look)
    return back, curve


def bad_hours() -> tuple[list[dict[str, object]], dict[str, list[list[tuple[int, float]]]]]:
    """With undo, without, and without a policy."""
    table, curves = [], {}
    for K in (16, 64):
        row: dict[str, object] = {"rows": f"{K} Laplace sources"}
        with_undo = [bad_hour(K, "follow", seed) for seed in drift.SEEDS]
        with drift.without_undo():
            without = [bad_hour(K, "follow", seed) for seed in drift.SEEDS]
        fixed = [bad_hour(K, "fixed", seed) for seed in drift.SEEDS]
        for name, runs in {"follow": with_undo, "follow, without undo": without, "fixed": fixed}.items():
            row[f"{name}: rows until 99 %"] = drift.middle([back for back, _ in runs])
            curves[f"K = {K}, {name}"] = [curve for _, curve in runs]
        table.append(row)
    return table, curves


def main() -> None:
    """Measure, and write tables and plot."""
    compile_kernels()
    clock = drift.Clock()
    table, curves = bad_hours()
    note = f"{common.machine()}; {clock}. Target with undo: ≤ 1,000 rows."
    common.write_table("drift_bad_hour", "An hour in another room, then back", table, note)
    draw(curves)
    found = faults()
    note = f"{common.machine()}; {clock}. Targets: ≥ 99 %, ≥ 99.5 %. {LEAST:g}: that or less."
    common.write_table("drift_faults", "Share of the gain that faults leave", found, note)


def draw(curves: dict[str, list[list[tuple[int, float]]]]) -> None:
    """Share of the gain over the rows after the return, medians."""
    figure, axes = plt.subplots(figsize=(6.8, 4), layout="constrained")
    for name, runs in curves.items():
        shade, style = ("0.0", "-") if "64" in name else ("0.55", "-")
        style = ":" if "fixed" in name else "--" if "without" in name else style
        medians = np.median([[share for _, share in run] for run in runs], axis=0)
        axes.plot([n for n, _ in runs[0]], np.clip(medians, -20, None), color=shade, linestyle=style, label=name)
    axes.axhline(100 * LEFT, color="0.8", linewidth=0.8)
    axes.set(xscale="log", xlabel="rows after the return", ylabel="share of the earlier gain, % (cut off at -20)")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(common.RESULTS / "drift_bad_hour.png", dpi=130)


if __name__ == "__main__":
    main()
