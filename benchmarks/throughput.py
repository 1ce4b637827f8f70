"""How close to the matrix products that cannot be avoided does the learner run?

Rows per second of `partial_fit` (learn) and `transform` (encode), float32, in frames of one block, for K = K1 from 16
to 1024 and blocks of 1, 32 and 256 rows with memory = 0, the default settings beside them; overcomplete K0 = 82,
K1 = 1024. The roofline counts 2·K·K1 + 2·K0·K1 + 2·K² flop a row to learn and 2·K·K1 to encode, at the rate of a 1024³
float32 product that is measured in the same process all along, for the machine does not stand still. The roofline of
its own, for the defaults, has the products of the rows that are drawn from the memory, too. Learning is
timed in groups of whole updates after the first ones; the median group leaves out the refreshes of the whitening and
the publications, the mean has them all: they wait for 5 % more rows, so that it nears the median as the stream grows
(and a refresh costs what some updates do). Beside it: the longest call, and one row at K = 64 learnt and encoded, and
only encoded. What a call takes at most after the warm-up is measured by pauses.py.

    python benchmarks/throughput.py
    python benchmarks/throughput.py --threads     two BLAS threads against one
"""

import json
import math
import os
import subprocess
import sys
import time
from functools import partial

import common
import matplotlib.pyplot as plt
import numpy as np

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.settings import REPLAYS, InfomaxSettings
from stream_infomax.learning.kernels import compile_kernels
from stream_infomax.settings.record import make

SIZES = (16, 32, 64, 144, 256, 512, 1024)
BLOCKS = (1, 32, 256)
THREADS, WORKER = "--threads", "--worker"
SQUARE = np.ones((1024, 1024), np.float32)
OUT = np.empty_like(SQUARE)


def clock() -> float:
    """Seconds: of this process's CPU with one thread, so that a busy machine does not count, else of the wall."""
    return time.process_time() if os.environ["OMP_NUM_THREADS"] == "1" else time.perf_counter()


def timed(call) -> float:
    """Seconds of one call."""
    since = clock()
    call()
    return clock() - since


def product() -> float:
    """Seconds of a 1024³ float32 matrix product."""
    return timed(lambda: np.matmul(SQUARE, SQUARE, out=OUT))


def measure(K: int, K1: int | None, K0: int | None, frame: int, seconds: float, **settings) -> dict:
    """Seconds a row to learn (median and mean) and to encode, those of a flop, and the longest call after warm-up."""
    rng = np.random.default_rng(0)
    rows = rng.laplace(size=(max(4 * frame, 2048), K)).astype(np.float32)
    rows = rows @ rng.standard_normal((K, K)).astype(np.float32)
    learner = OnlineInfomax(K1, overcomplete=K1 is not None, n_rank=K0, warmup=max(2 * K, 512), **settings)
    early = 300 if K <= 256 else 160 if K <= 512 else 130
    while learner.n_updates_ < early:
        learner.partial_fit(rows)
    frames = [np.ascontiguousarray(rows[i : i + frame]) for i in range(0, len(rows) - frame + 1, frame)]
    # Groups of whole updates, however the frames lie in them.
    given = make(InfomaxSettings, {"block": learner.block, "n_components": K1, "memory": learner.memory})
    block = given.rows_a_block(K)
    group = block // math.gcd(block, frame)
    learn, products, longest, i = [], [product() for _ in range(3)], 0.0, 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(learn) < 7:
        calls = np.empty(group)
        for j in range(group):
            calls[j] = timed(partial(learner.partial_fit, frames[(i + j) % len(frames)]))
        i += group
        learn.append(calls.sum())
        longest = max(longest, calls.max())
        if sum(products) < 0.1 * sum(learn):
            products.append(product())
    encode = [timed(lambda: learner.transform(frames[0])) for _ in range(max(5, min(2000, int(seconds / 4 / 1e-4))))]
    return {
        "learn": np.median(learn) / (frame * group),
        "mean": np.mean(learn) / (frame * group),
        "encode": np.median(encode) / frame,
        "flop": np.median(products) / (2 * len(SQUARE) ** 3),
        "pause": longest,
        "updates": learner.n_updates_,
    }


def flop(K: int, K0: int, K1: int, drawn: int = 0) -> tuple[float, float]:
    """Flop a row that cannot be avoided, to learn and to encode; to learn from so many drawn rows with each new one."""
    return (1 + drawn) * (2 * K * K1 + 2 * K0 * K1) + 2 * K * K, 2 * K * K1


def one_row() -> dict[str, float]:
    """Microseconds for a row at K = 64: learnt and encoded (mean and median), and encoded."""
    rng = np.random.default_rng(0)
    rows = rng.laplace(size=(20_000, 64)).astype(np.float32)
    learner = OnlineInfomax().partial_fit(rows)
    singles = [rows[i : i + 1] for i in range(len(rows))]
    both = [timed(lambda row=row: learner.partial_fit_transform(row)) for row in singles]
    encode = [timed(lambda row=row: learner.transform(row)) for row in singles]
    return {"both": 1e6 * np.median(both), "both mean": 1e6 * np.mean(both), "encode": 1e6 * np.median(encode)}


def with_threads() -> None:
    """Rows per second for K ≥ 256 with one and with two BLAS threads, each in a process of its own; and one product."""
    found = {}
    for n in ("1", "2"):
        environment = {**os.environ, **dict.fromkeys(common.THREAD_VARIABLES, n)}
        command = [sys.executable, __file__, WORKER]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found[n] = json.loads(done.stdout.splitlines()[-1])
    table = [
        {
            "K": K,
            "rows/s, one thread": f"{one:,.0f}",
            "two threads": f"{found['2'][K]:,.0f}",
            "times": f"{found['2'][K] / one:.2f}",
        }
        for K, one in found["1"].items()
    ]
    note = (
        f"{common.machine()}; load average {os.getloadavg()[0]:.1f} at the end. Two threads by the clock on the wall, "
        "so that the gain of the product says how much of a second core there was. Target: ≥ 1.5 times for K ≥ 256."
    )
    common.write_table("throughput_threads", "Learning with two threads, block 256, memory 0", table, note)


def main() -> None:
    """Measure, and write table and plot."""
    compile_kernels()
    if THREADS in sys.argv:
        with_threads()
        return
    if WORKER in sys.argv:
        found = {}
        for K in (256, 512, 1024):
            measured = measure(K, None, None, 256, 3.0, block=256, memory=0)
            found[f"{K}"] = 1 / measured["learn"]
            found[f"product of 1024³ beside K = {K}, GFLOP/s"] = 1e-9 / measured["flop"]
        print(json.dumps(found))
        return
    table, learnt, flops = [], {}, []
    for K in SIZES:
        cases = [(f"block {block}, memory 0", block, {"block": block, "memory": 0}) for block in BLOCKS]
        for name, frame, settings in [*cases, ("defaults", 64, {})]:
            found = measure(K, None, None, frame, 1.0 if K < 512 else 4.0, **settings)
            table.append(row_of(name, K, K, K, found))
            learnt[name, K] = found["learn"]
            flops.append(found["flop"])
    for name, settings in (("block 256, memory 0", {"block": 256, "memory": 0}), ("defaults", {})):
        found = measure(144, 1024, 82, settings.get("block", 64), 4.0, **settings)
        table.append(row_of(name, 144, 82, 1024, found))
    single = one_row()
    sentences = (
        f"{common.machine()}; load average {os.getloadavg()[0]:.1f} at the end.",
        f"Matrix product {1e-9 / np.median(flops):.0f} GFLOP/s ({1e-9 / max(flops):.0f} … {1e-9 / min(flops):.0f}).",
        f"One row at K = 64, defaults: learnt and encoded in {single['both']:.1f} µs",
        f"(mean with updates {single['both mean']:.1f}; target ≤ 20),",
        f"encoded in {single['encode']:.1f} µs (target ≤ 4).",
        "Targets, block 256, memory 0: ≥ 75 % complete for K ≥ 144, ≥ 40 % overcomplete;",
        "defaults: ≥ 60 % of their own.",
    )
    common.write_table("throughput", "Throughput of learning and encoding", table, " ".join(sentences))
    draw(learnt, float(np.median(flops)))


def row_of(name: str, K: int, K0: int, K1: int, found: dict) -> dict[str, str]:
    """A row of the table."""
    learn, encode = (number * found["flop"] for number in flop(K, K0, K1))
    own = flop(K, K0, K1, REPLAYS if name == "defaults" else 0)[0] * found["flop"]
    return {
        "settings": name,
        "K": str(K) if K1 == K else f"{K}, K0 = {K0}, K1 = {K1}",
        "rows/s, learn": f"{1 / found['learn']:,.0f}",
        "of the roofline, learn": f"{100 * learn / found['learn']:.0f} %",
        "of its own": f"{100 * own / found['learn']:.0f} %",
        "with refreshes": f"{100 * learn / found['mean']:.0f} % ({found['updates']} updates)",
        "rows/s, encode": f"{1 / found['encode']:,.0f}",
        "of the roofline, encode": f"{100 * encode / found['encode']:.0f} %",
        "longest call, ms": f"{1e3 * found['pause']:.2f}",
    }


def draw(learnt: dict[tuple[str, int], float], seconds: float) -> None:
    """Microseconds a row over K, with the exponent between 256 and 1024."""
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for name in dict.fromkeys(name for name, _ in learnt):
        cost = np.array([1e6 * learnt[name, K] for K in SIZES])
        exponent = np.polyfit(np.log(SIZES[-3:]), np.log(cost[-3:]), 1)[0]
        axes.plot(SIZES, cost, ".-", label=f"{name}: exponent {exponent:.2f} from K = 256 on")
    axes.plot(
        SIZES, [1e6 * flop(K, K, K)[0] * seconds for K in SIZES], "k--", linewidth=0.8, label="roofline: exponent 2"
    )
    axes.set(xscale="log", yscale="log", xlabel="K = K0 = K1", ylabel="µs a row to learn")
    axes.set_xticks(SIZES, [str(K) for K in SIZES])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(common.RESULTS / "throughput.png", dpi=130)


if __name__ == "__main__":
    main()
