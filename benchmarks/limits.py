"""Where one pass falls short (EEG, log-mel, heavy tails): what more passes and a batch program make of the same rows.

One pass, five passes, and Picard-O (extended, 200 iterations) learn the same rows, K1 = K0, as they are and with heavy
tails (rows × |Student t, 3|). Gains are those of robustness.py, over random starts, on the clean rows learnt from and
on held-out ones: where the batch program gains much on the first and no more than one pass on the others, what is
missing is rows, not a better step.

    python benchmarks/limits.py
"""

import common  # isort: skip - pins the threads before numpy is loaded
import numpy as np
from picard import picard
from robustness import disturbed, learn, measure, noise, random_starts, sizes, whitening
from sets import split

from stream_infomax.learning.kernels import compile_kernels

NAMES = ("EEG", "FSDD, log-mel", "LibriSpeech")
SEEDS, PASSES, ITERATIONS = range(3), 5, 200


def batch(rows: np.ndarray, K0: int, seed: int) -> np.ndarray:
    """Filters (K0, K) of Picard-O."""
    forward, _ = whitening(rows, K0)
    whitened = ((rows - rows.mean(axis=0)) @ forward).T
    options = {"whiten": False, "centering": False, "max_iter": ITERATIONS, "tol": 1e-6, "random_state": seed}
    return (forward @ picard(whitened, ortho=True, extended=True, **options)[1].T).T


def learners(rows: np.ndarray, K0: int) -> dict[str, list[np.ndarray]]:
    """The filters of each learner, by seeds."""
    passes = {"one pass": 1, f"{PASSES} passes": PASSES}
    found = {
        name: [learn(np.tile(rows, (n, 1)), n_rank=K0, random_state=seed).components_ for seed in SEEDS]
        for name, n in passes.items()
    }
    return found | {"Picard-O": [batch(rows, K0, SEEDS[0])]}


def main() -> None:
    """Measure, and write the table."""
    compile_kernels()
    table = []
    for name in NAMES:
        clean, held_out = split(name)
        K0 = sizes(name, 1)["n_rank"]
        starts = random_starts(clean, K0, K0)
        judged = {"gain on the rows learnt from": [clean], "held out": held_out}
        random = {by: np.mean([measure(start, K0, rows) for start in starts]) for by, rows in judged.items()}
        changed = disturbed(clean)
        kinds = {"as it is": changed["as it is"], "heavy tails": changed["heavy tails (rows × |Student t, 3|)"]}
        for kind, rows in kinds.items():
            for learner, bases in learners(rows, K0).items():
                gains = {
                    by: np.median([measure(W, K0, rows) for W in bases]) - random[by] for by, rows in judged.items()
                }
                error = f"{noise(bases, K0, held_out):.3f}" if len(bases) > 1 else ""
                shown = {by: f"{gain:.3f}" for by, gain in gains.items()}
                row = {"set": f"{name}, {K0}", "rows": kind, "learner": learner, **shown, "standard error": error}
                table.append(row)
                print(row, flush=True)
    note = f"{common.machine('python-picard')}. Nats, medians of {len(SEEDS)} seeds; error of two seeds' difference."
    common.write_table("limits", "Where one pass falls short", table, note)


if __name__ == "__main__":
    main()
