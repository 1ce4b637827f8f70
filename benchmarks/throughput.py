"""How close to the matrix products that cannot be avoided does the learner run, and how long does it ever pause?

Rows per second of `partial_fit` (learn) and `transform` (encode), float32, in frames of one block, for K = K1 from 16
to 1024 and blocks of 1, 32 and 256 rows with memory = 0, the default settings beside them; overcomplete K0 = 82,
K1 = 1024. The roofline counts 2·K·K1 + 2·K0·K1 + 2·K² flop a row to learn and 2·K·K1 to encode, at the rate of a 1024³
float32 product measured in this process. Medians: a refresh of the whitening falls outside, and comes ever more
rarely, for it waits for 5 % more rows. Beside it: the longest call at K = 144, in which a refresh or a publication
falls; one row at K = 64 learnt and encoded, and only encoded.

    python benchmarks/throughput.py
    python benchmarks/throughput.py --threads     two BLAS threads against one
"""

import json
import os
import subprocess
import sys
import time

import common
import matplotlib.pyplot as plt
import numpy as np

from stream_infomax.learning import kernels
from stream_infomax.learning.infomax import OnlineInfomax

SIZES = (16, 32, 64, 144, 256, 512, 1024)
BLOCKS = (1, 32, 256)
THREADS, WORKER = "--threads", "--worker"


def product_rate() -> float:
    """Flop per second of a 1024³ float32 matrix product, the median of ten."""
    a = np.ones((1024, 1024), np.float32)
    out = np.empty_like(a)
    best = float(np.median([timed(lambda: np.matmul(a, a, out=out)) for _ in range(10)]))
    return 2 * 1024**3 / best


def clock() -> float:
    """Seconds: of this process's CPU with one thread, so that a busy machine does not count, else of the wall."""
    return time.process_time() if os.environ["OMP_NUM_THREADS"] == "1" else time.perf_counter()


def timed(call) -> float:
    """Seconds of one call."""
    since = clock()
    call()
    return clock() - since


def measure(K: int, K1: int | None, K0: int | None, frame: int, seconds: float, **settings) -> dict:
    """Median seconds a row to learn and to encode, and the longest call after warm-up."""
    rng = np.random.default_rng(0)
    rows = rng.laplace(size=(max(4 * frame, 2048), K)).astype(np.float32)
    rows = rows @ rng.standard_normal((K, K)).astype(np.float32)
    learner = OnlineInfomax(K1, n_rank=K0, warmup=max(2 * K, 512), **settings)
    learner.partial_fit(rows)
    while learner.n_rows_seen_ < 40 * learner.block + 4 * K:
        learner.partial_fit(rows)
    frames = [np.ascontiguousarray(rows[i : i + frame]) for i in range(0, len(rows) - frame + 1, frame)]
    learn, end, i = [], time.perf_counter() + seconds, 0
    # Frames shorter than what an update takes are timed in groups, so that each holds its share of updates.
    group = -(-max(frame, learner.block, K) // frame)
    while time.perf_counter() < end or len(learn) < 5:
        since = clock()
        for _ in range(group):
            learner.partial_fit(frames[i % len(frames)])
            i += 1
        learn.append(clock() - since)
    encode = [timed(lambda: learner.transform(frames[0])) for _ in range(max(5, min(2000, int(seconds / 4 / 1e-4))))]
    return {
        "learn": np.median(learn) / (frame * group),
        "encode": np.median(encode) / frame,
        "pause": max(learn),
    }


def flop(K: int, K0: int, K1: int) -> tuple[float, float]:
    """Flop a row that cannot be avoided, to learn and to encode."""
    return 2 * K * K1 + 2 * K0 * K1 + 2 * K * K, 2 * K * K1


def one_row() -> dict[str, float]:
    """Microseconds for a row at K = 64: learnt and encoded (mean and median), and encoded."""
    rng = np.random.default_rng(0)
    rows = rng.laplace(size=(20_000, 64)).astype(np.float32)
    learner = OnlineInfomax().partial_fit(rows)
    singles = [rows[i : i + 1] for i in range(len(rows))]
    both = [timed(lambda row=row: learner.partial_fit_transform(row)) for row in singles]
    encode = [timed(lambda row=row: learner.transform(row)) for row in singles]
    return {"both": 1e6 * np.median(both), "both mean": 1e6 * np.mean(both), "encode": 1e6 * np.median(encode)}


def pauses() -> tuple[float, float]:
    """Milliseconds of the longest and the median block of 64 rows at K = 144, default settings, 60,000 rows."""
    rng = np.random.default_rng(0)
    rows = rng.laplace(size=(60_032, 144)).astype(np.float32) @ rng.standard_normal((144, 144)).astype(np.float32)
    learner = OnlineInfomax().partial_fit(rows[:1472])
    calls = [timed(lambda i=i: learner.partial_fit(rows[i : i + 64])) for i in range(1472, 60_000, 64)]
    return 1e3 * max(calls), 1e3 * float(np.median(calls))


def with_threads() -> None:
    """Rows per second for K ≥ 256 with one and with two BLAS threads, each in a process of its own."""
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
    common.write_table("throughput_threads", "Learning with two threads, block 256, memory 0", table, common.machine())


def main() -> None:
    """Measure, and write table and plot."""
    kernels.warmup()
    if THREADS in sys.argv:
        with_threads()
        return
    if WORKER in sys.argv:
        found = {K: 1 / measure(K, None, None, 256, 3.0, block=256, memory=0)["learn"] for K in (256, 512, 1024)}
        print(json.dumps(found))
        return
    rate = product_rate()
    table, learnt = [], {}
    for K in SIZES:
        cases = [(f"block {block}, memory 0", block, {"block": block, "memory": 0}) for block in BLOCKS]
        for name, frame, settings in [*cases, ("defaults", 64, {})]:
            table.append(row_of(name, K, K, K, measure(K, None, None, frame, 1.0, **settings), rate))
            learnt[name, K] = float(table[-1]["rows/s, learn"].replace(",", ""))
    for name, settings in (("block 256, memory 0", {"block": 256, "memory": 0}), ("defaults", {})):
        table.append(
            row_of(name, 144, 82, 1024, measure(144, 1024, 82, settings.get("block", 64), 4.0, **settings), rate)
        )
    single = one_row()
    longest, usual = pauses()
    sentences = (
        f"{common.machine()}.",
        f"Matrix product {rate / 1e9:.0f} GFLOP/s (roofline).",
        f"One row at K = 64, defaults: learnt and encoded in {single['both']:.1f} µs",
        f"(mean with updates {single['both mean']:.1f}; target ≤ 20),",
        f"encoded in {single['encode']:.1f} µs (target ≤ 4).",
        f"K = 144, defaults: a block of 64 rows takes {usual:.2f} ms, the longest call {longest:.2f} ms,",
        f"so that the pause is {longest - usual:.2f} ms (target ≤ 2).",
        "Targets, block 256, memory 0: ≥ 75 % complete for K ≥ 144, ≥ 40 % overcomplete.",
    )
    note = " ".join(sentences)
    common.write_table("throughput", "Throughput of learning and encoding", table, note)
    draw(learnt, rate)


def row_of(name: str, K: int, K0: int, K1: int, found: dict, rate: float) -> dict[str, str]:
    """A row of the table."""
    learn, encode = flop(K, K0, K1)
    return {
        "settings": name,
        "K": str(K) if K1 == K else f"{K}, K0 = {K0}, K1 = {K1}",
        "rows/s, learn": f"{1 / found['learn']:,.0f}",
        "of the roofline, learn": f"{100 * learn / rate / found['learn']:.0f} %",
        "rows/s, encode": f"{1 / found['encode']:,.0f}",
        "of the roofline, encode": f"{100 * encode / rate / found['encode']:.0f} %",
        "longest call, ms": f"{1e3 * found['pause']:.2f}",
    }


def draw(learnt: dict[tuple[str, int], float], rate: float) -> None:
    """Microseconds a row over K, with the exponent between 256 and 1024."""
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for name in dict.fromkeys(name for name, _ in learnt):
        cost = np.array([1e6 / learnt[name, K] for K in SIZES])
        exponent = np.polyfit(np.log(SIZES[-3:]), np.log(cost[-3:]), 1)[0]
        axes.plot(SIZES, cost, ".-", label=f"{name}: exponent {exponent:.2f} from K = 256 on")
    axes.plot(SIZES, [1e6 * flop(K, K, K)[0] / rate for K in SIZES], "k--", linewidth=0.8, label="roofline: exponent 2")
    axes.set(xscale="log", yscale="log", xlabel="K = K0 = K1", ylabel="µs a row to learn")
    axes.set_xticks(SIZES, [str(K) for K in SIZES])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(common.RESULTS / "throughput.png", dpi=130)


if __name__ == "__main__":
    main()
