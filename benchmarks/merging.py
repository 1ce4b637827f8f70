"""How much of what one learner gains do several gain that learn one basis together, each from its share of the rows?

Photographs as in natural_images.py: patches of 12×12 from 14 of them, Q on patches of four others; 0 % of the gain is
the random start, 100 % the optimum of a batch. The rows are shared out among 2, 4 and 16 learners, which are merged
after every 256, 1,024 or 4,096 rows of each (`OnlineInfomax.merge`), or when 5 % more rows have come. The first 1,792
rows are the common start. Beside it stands the plain average: filters, their running means and the moments of all are
averaged, nothing is matched, and each learner steps as if it were alone. The constants were chosen on patches of the
first 11 photographs, judged by three more of the training's.

    python benchmarks/merging.py                     100,000 rows in all
    python benchmarks/merging.py --rows 1000000      as many more: 16 learners, no average
    python benchmarks/merging.py --cost              what a round costs
    python benchmarks/merging.py --validate          on the pictures that the constants were chosen with; no table
"""

import common  # isort: skip  (pins threads)
import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import numpy as np
from natural_images import gain_share, optimum
from photographs import HELD_OUT_ROWS, SIDE, Whitening, judge, pictures, random_patches

from stream_infomax.learning.infomax import alignment, merging
from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.exchange import Delta, Shared
from stream_infomax.learning.infomax.moments import Moments
from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.learning.kernels import compile_kernels

START = 1792
LEARNERS = (2, 4, 16)
ROUNDS = (256, 1024, 4096, 0)  # rows of each learner; 0: when 5 % more rows have come
LONG_ROWS, LONG_LEARNERS, LONG_ROUNDS = 300_000, (16,), (1024, 4096, 0)
JUDGES = 3  # pictures of the training's that judge constants
FRAME, BLOCK = 4096, 64
FEATURES, REPEATS = (64, 144, 512), 10

Merge = Callable[[Shared, Sequence[Delta]], Shared]


def learn_together(
    first: np.ndarray, shares: Sequence[np.ndarray], of_each: int, seed: int, plain: bool = False
) -> tuple[np.ndarray, int, float]:
    """Begin with the first rows, then merge after every round of shares; returns filters, rounds, last agreement."""
    merge: Merge = averaged if plain else OnlineInfomax.merge
    learners = len(shares)
    base = OnlineInfomax(random_state=seed).partial_fit(first).share(1 if plain else learners)
    shards = [OnlineInfomax(random_state=1000 * seed + i).take(base) for i in range(learners)]
    at, rounds = 0, 0
    while at < max(map(len, shares)):
        until = at + (of_each or base.rows_of_round(learners))
        for shard, share in zip(shards, shares, strict=True):
            for first in range(at, min(until, len(share)), FRAME):
                shard.partial_fit(share[first : min(first + FRAME, until)])
        base = merge(base, [shard.delta(f"{i:02}") for i, shard in enumerate(shards)])
        at, rounds = until, rounds + 1
        for shard in shards:
            shard.take(base)
    return shards[0].components_, rounds, base.agreement


def averaged(base: Shared, deltas: Sequence[Delta]) -> Shared:
    """Return the plain average, from which each learner goes on as if it were alone."""
    n = base.origin.shape[0]
    as_they_are = mock.patch.object(alignment, "assigned", lambda first, other: (np.arange(n), np.ones(n)))
    with as_they_are, mock.patch.object(merging, "manner", lambda *_, **__: (1.0, 0.0)):
        merged = OnlineInfomax.merge(base, deltas, learners=1)
    return replace(merged, rows=base.rows + (merged.rows - base.rows) / len(deltas))


class Task:
    """Patches to learn from, and what a basis of them is worth."""

    def __init__(self, n_rows: int, validate: bool) -> None:
        training, held_out = pictures()
        if validate:
            training, held_out = training[:-JUDGES], training[-JUDGES:]
        self.rows = random_patches(training, n_rows, SIDE, seed=0)
        first = self.rows[:100_000]
        self.whitening = Whitening.of(first)
        self.held_out = self.whitening.apply(random_patches(held_out, HELD_OUT_ROWS, SIDE, seed=1))
        rng = np.random.default_rng(0)
        self.random = float(np.mean([self.q(rng.standard_normal((SIDE**2, SIDE**2))) for _ in range(5)]))
        self.best = self._ten_passes() if validate else optimum(first, self.whitening, self.held_out)["Q"]

    def q(self, rotation: np.ndarray) -> float:
        return judge(rotation, self.held_out)["Q"]

    def share(self, filters: np.ndarray) -> float:
        """Return the share of the gain of filters (K1, K), in percent."""
        return gain_share(self.q(self.whitening.rotation(filters.T.astype(np.float64))), self.random, self.best)

    def _ten_passes(self) -> float:
        learner = OnlineInfomax()
        for _ in range(10):
            learner.partial_fit(self.rows)
        return self.q(self.whitening.rotation(learner.components_.T.astype(np.float64)))


def compare(task: Task, learners: Sequence[int], rounds: Sequence[int], seeds: Sequence[int]) -> list[dict[str, str]]:
    """Return the rows of the table."""
    alone = [task.share(OnlineInfomax(random_state=seed).partial_fit(task.rows).components_) for seed in seeds]
    print(f"one learner: {alone}", flush=True)
    table = [{"learners": "1", "rows of a round": "–", "share of the gain": spread(alone)}]
    for n in learners:
        for of_each in rounds:
            row = {"learners": f"{n}", "rows of a round": f"{of_each:,}" if of_each else "5 % more"}
            shares = np.array_split(task.rows[START:], n)
            found = [learn_together(task.rows[:START], shares, of_each, seed) for seed in seeds]
            row |= {"share of the gain": spread([task.share(filters) for filters, _, _ in found])}
            if len(task.rows) <= LONG_ROWS:
                plain = [learn_together(task.rows[:START], shares, of_each, seed, plain=True) for seed in seeds]
                row |= {"plain average": spread([task.share(filters) for filters, _, _ in plain])}
            row |= {
                "rounds": f"{found[0][1]}",
                "agreement at the end": f"{np.median([one for _, _, one in found]):.3f}",
            }
            table.append(row)
            print(row, flush=True)
    return table


def spread(shares: Sequence[float]) -> str:
    """Return median and range."""
    return f"{np.median(shares):.2f} ({min(shares):.2f} … {max(shares):.2f}) %"


def costs() -> list[dict[str, str]]:
    """Return what a round of 4,096 rows costs, beside learning from them."""
    table = []
    for n_features in FEATURES:
        rng = np.random.default_rng(0)
        mixing = rng.standard_normal((n_features, n_features)).astype(np.float32)
        rows = rng.laplace(size=(20 * n_features, n_features)).astype(np.float32) @ mixing
        base = OnlineInfomax().partial_fit(rows).share(2)
        shards = [OnlineInfomax().take(base) for _ in range(2)]
        spent: dict[str, list[float]] = {"learn": [], "delta": [], "merge": [], "take": [], "travel": []}
        for _ in range(REPEATS):
            parts = [rng.laplace(size=(4096, n_features)).astype(np.float32) @ mixing for _ in shards]
            with clock(spent["learn"]):
                for shard, part in zip(shards, parts, strict=True):
                    shard.partial_fit(part)
            with clock(spent["delta"]):
                deltas = [shard.delta(f"{i}") for i, shard in enumerate(shards)]
            with clock(spent["merge"]):
                base = OnlineInfomax.merge(base, deltas)
            sent = base.to_bytes()
            with clock(spent["travel"]):
                for delta in deltas:
                    delta.to_bytes()
                received = [Shared.from_bytes(sent, "shared") for _ in shards]
            with clock(spent["take"]):
                for shard, shared in zip(shards, received, strict=True):
                    shard.take(shared)
        ms = {name: 1000 * min(times) / (1 if name == "merge" else 2) for name, times in spent.items()}
        own = ms["delta"] + ms["take"]
        table.append(
            {
                "K": f"{n_features}",
                "4,096 rows, ms": f"{ms['learn']:.1f}",
                "delta and take, ms": f"{own:.2f} ({own / ms['learn']:.1%})",
                "to bytes and from them, ms": f"{ms['travel']:.2f} ({ms['travel'] / ms['learn']:.1%})",
                "merge of 2, once for all, ms": f"{ms['merge']:.2f}",
                "delta, kB": f"{deltas[0].nbytes / 1e3:.0f}",
                "shared, kB": f"{base.nbytes / 1e3:.0f}",
                "4,096 rows, kB": f"{4096 * n_features * 4 / 1e3:,.0f}",
                "moments of 3 against one": f"{moments_apart(rows):.0e}",
            }
        )
    return table


def moments_apart(rows: np.ndarray, learners: int = 3) -> float:
    """Return how far the covariance of several learners' sums is from that of one that has all blocks, relatively."""
    point = rows[0].astype(np.float64)
    one, *others = [StreamingWhitener(point) for _ in range(learners + 1)]
    for other in others:
        other.since = Moments(point)
    for number in range(len(rows) // BLOCK):
        block = (rows[number * BLOCK : (number + 1) * BLOCK] - point).astype(np.float32)
        for whitener in (one, others[number % learners]):
            whitener.add(block)
    parts = [other.since for other in others]
    weight, total, products = (sum(getattr(part, key) for part in parts) for key in ("weight", "sum", "scatter"))
    merged = products / weight - np.outer(total, total) / weight**2
    return float(np.abs(merged - one.covariance()).max() / np.abs(one.covariance()).max())


@contextmanager
def clock(times: list[float]) -> Iterator[None]:
    """Add the CPU seconds of what is done within to `times`."""
    since = time.process_time()
    yield
    times.append(time.process_time() - since)


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learners", type=int, nargs="*")
    parser.add_argument("--beside", default="", help="what else ran on this machine, for the note")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--validate", action="store_true")
    given = parser.parse_args()
    compile_kernels()
    if given.cost:
        note = f"{common.machine()}. CPU time of one learner, the least of {REPEATS}."
        common.write_table(
            "merging_cost", "What a round of learning together costs", costs(), f"{note} {given.beside}".rstrip()
        )
        return
    task = Task(given.rows, given.validate)
    long = given.rows > LONG_ROWS
    learners = given.learners or (LONG_LEARNERS if long else LEARNERS)
    table = compare(task, learners, LONG_ROUNDS if long else ROUNDS, range(given.seeds))
    if not given.validate and not given.learners:
        note = (
            f"{common.machine()}. {given.rows:,} rows in all. Random start {task.random:.3f} nats, optimum "
            f"{task.best:.3f} (that of 100,000 rows). Median (range) of {given.seeds} seeds. {given.beside}"
        )
        common.write_table("merging_long" if long else "merging", "Several learners learn one basis", table, note)


if __name__ == "__main__":
    main()
