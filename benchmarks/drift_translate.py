"""Does yesterday's classifier work on today's features, once they are translated?

8×8 patches from the middle of handwritten digits. The basis of version a is learnt from digits alone. Then 1,000,000
rows come in which digits give way to patches of photographs, from none to nine in ten, and the learner follows: version
b. A classifier trained on features of version a is used on features of other digits: of version b as they are, and of
version b translated to a. Beside it one trained on b. Median (least … most) of five seeds, accuracy in percent.

Complete (K0 = 64): the map is exact. K0 = 32 of 64: it is a least squares estimate.

    python benchmarks/drift_translate.py
"""

import common  # isort: skip - pins the threads before numpy is loaded
import copy
import warnings

import drift_common as drift
import numpy as np
from common import data_folder
from photographs import pictures, random_patches
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from stream_infomax import OnlineInfomax, translate
from stream_infomax.learning.infomax.translate import Translation
from stream_infomax.learning.kernels import compile_kernels

ROWS, CHUNK, FIRST = 1_000_000, 10_000, 50_000
TRAINED, TESTED = 10_000, 10_000
MOST = 0.9  # share of photographs at the end
CASES = {"K0 = 64 of 64": {}, "K0 = 32 of 64": {"n_rank": 32, "n_components": 32}}
HOW = "b, trained on b", "b translated, trained on a", "b as it is, trained on a", "a, trained on a"


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Patches (n, 64) in 0 … 1 with a little noise, so that every pixel varies, and their digits."""
    with np.load(data_folder() / "mnist" / "mnist_train.npz") as file:
        images = file["images"][:, 10:18, 10:18].reshape(-1, 64) / np.float32(255)
        labels = file["labels"]
    noise = np.random.default_rng(0).standard_normal(images.shape, np.float32)
    return images + np.float32(0.02) * noise, labels


def drifted(learner: OnlineInfomax, rows: np.ndarray, seed: int) -> OnlineInfomax:
    """The learner after rows in which photographs take over."""
    learner, rng = copy.deepcopy(learner), np.random.default_rng(seed)
    for part in range(ROWS // CHUNK):
        chunk = rows[rng.integers(len(rows), size=CHUNK)]
        others = rng.random(CHUNK) < MOST * (part + 1) * CHUNK / ROWS
        chunk[others] = random_patches(pictures()[0], int(others.sum()), 8, 1000 * seed + part)
        drift.feed(learner, chunk, frame=256)
    return learner


def accuracy(kind: str, train: tuple, *tests: tuple, seed: int) -> list[float]:
    """Percent of tests (features, digits) that a classifier trained on `train` gets right."""
    if kind == "linear":
        classifier = LogisticRegression(max_iter=60)
    else:
        classifier = MLPClassifier((64,), max_iter=15, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it could be trained for longer
        classifier.fit(*train)
    return [100 * classifier.score(*test) for test in tests]


def main() -> None:
    """Measure, and write the table."""
    compile_kernels()
    clock, table = drift.Clock(), []
    rows, labels = digits()
    learnt, test, y = rows[:FIRST], rows[FIRST : FIRST + TESTED], labels[FIRST : FIRST + TESTED]
    shown, known = rows[:TRAINED], labels[:TRAINED]
    for case, settings in CASES.items():
        found: dict[tuple[str, str], list[float]] = {}
        explained, changed = [], []
        for seed in drift.SEEDS:
            a = drift.feed(OnlineInfomax(adapt="follow", random_state=seed, **settings), learnt, frame=256)
            b = drifted(a, learnt, seed)
            ours, theirs = a.transform(test), b.transform(test)
            explained.append(100 * float(np.mean(Translation(b, a).explained)))
            changed.append(
                float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in zip(ours.T, theirs.T, strict=True)]))
            )
            for kind in ("linear", "two layers"):
                tests = (translate(theirs, b, a), y), (theirs, y), (ours, y)
                results = accuracy(kind, (b.transform(shown), known), (theirs, y), seed=seed)
                results += accuracy(kind, (a.transform(shown), known), *tests, seed=seed)
                for how, result in zip(HOW, results, strict=True):
                    found.setdefault((kind, how), []).append(result)
            print(case, seed, b.events_[-2:], {key: values[-1] for key, values in found.items()}, flush=True)
        for kind in ("linear", "two layers"):
            row: dict[str, object] = {"basis": case, "classifier": kind}
            row |= {how: drift.middle(found[kind, how], "{:.1f}") for how in HOW}
            row["correlation of components a, b"] = f"{np.median(changed):.2f}"
            row["explained"] = f"{np.median(explained):.1f} %"
            table.append(row)
    note = f"{common.machine('scikit-learn')}; {clock}. Target: translated within 1 point of one trained on b."
    common.write_table(
        "drift_translate", "Yesterday's classifier on today's features, 1,000,000 rows later", table, note
    )


if __name__ == "__main__":
    main()
