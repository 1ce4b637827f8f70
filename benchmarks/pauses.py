"""How much longer than the usual call does the longest one take, after the warm-up?

Each call of `partial_fit` brings one block, whose step is a call's usual work; refreshes of the whitening and
publications come on top of it. The same rows are learnt from several times over, in the same order. Of every call the
least of its times counts: what a busy machine adds is not repeated, what the learner does is. Complete (K1 = K0 = K)
with the defaults and with memory = 0, overcomplete (K0 = K/2, K1 = 2 K) with the defaults. Python's garbage collector
is told to leave alone what is there when the warm-up is over (`gc.freeze`), as a service does.

    python benchmarks/pauses.py [K ...]
"""

import gc
import sys
import time

import common
import numpy as np

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.settings import InfomaxSettings
from stream_infomax.learning.kernels import compile_kernels
from stream_infomax.settings.record import make

# Calls that are timed, and how often.
# Blocks after the warm-up until its result is taken over, and until calls are timed.
BLOCKS = 5
CALLS = {64: (1500, 6), 144: (1000, 6), 256: (400, 4), 512: (120, 3), 1024: (60, 2)}


def times(K: int, calls: int, **settings) -> tuple[np.ndarray, float]:
    """Seconds of every call after the warm-up, and of the longest call until then."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((K, K)).astype(np.float32)
    given = {name: value for name, value in settings.items() if name in InfomaxSettings.__struct_fields__}
    block = make(InfomaxSettings, given).rows_a_block(K)
    learner, found = OnlineInfomax(**settings), []
    warm = -(-10 * K // block) + BLOCKS
    for i in range(warm + BLOCKS + calls):
        rows = rng.laplace(size=(block, K)).astype(np.float32) @ mixing
        if i == warm:
            assert hasattr(learner, "components_")
            gc.collect()
            gc.freeze()
        since = time.thread_time()
        learner.partial_fit(rows)
        found.append(time.thread_time() - since)
    gc.unfreeze()
    return np.array(found[warm + BLOCKS :]), max(found[:warm])


def main() -> None:
    """Measure and write the table."""
    compile_kernels()
    sizes = [int(word) for word in sys.argv[1:]] or list(CALLS)
    table = []
    for K in sizes:
        calls, runs = CALLS[K]
        for name, settings in (
            ("defaults", {}),
            ("memory = 0", {"memory": 0}),
            (f"K0 = {K // 2}, K1 = {2 * K}", {"n_rank": K // 2, "n_components": 2 * K, "overcomplete": True}),
        ):
            every, before = zip(*(times(K, calls, **settings) for _ in range(runs)), strict=True)
            least = np.min(every, axis=0)
            table.append(
                {
                    "K": K,
                    "settings": name,
                    "median call, ms": f"{1e3 * np.median(least):.2f}",
                    "longest, ms": f"{1e3 * least.max():.2f}",
                    "longest / median": f"{least.max() / np.median(least):.2f}",
                    "longest of one run / median": f"{np.median([one.max() / np.median(one) for one in every]):.2f}",
                    "end of the warm-up, once, ms": f"{1e3 * min(before):.1f}",
                }
            )
            print(table[-1], flush=True)
    note = (
        f"{common.machine()}. Seconds of this thread's CPU. Target: the longest at most 2 times the median. The end of "
        "the warm-up: the longest call until then, without what a thread beside it does (K ≥ 64)."
    )
    common.write_table("pauses", "The longest call after the warm-up", table, note)


if __name__ == "__main__":
    main()
