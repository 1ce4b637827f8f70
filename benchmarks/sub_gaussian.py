"""What becomes of sub-Gaussian sources, with as many filters as sources, with more, and behind heavy tails?

Sixteen Laplace and sixteen uniform sources, mixed (sets.py), 30,000 rows, one pass. First table: the largest |cosine|
between a source and a filter's response to the sources, 1 where a filter hears one source alone. Second: the rows
times |Student t, 3|, which makes even uniform sources super-Gaussian; the share of the gain that is left, on clean
rows (the measure of robustness.py), beside batch programs that turn signs (Picard-O, extended) or need none (FastICA).

    STREAM_INFOMAX_DATA=FOLDER python benchmarks/sub_gaussian.py
"""

import common  # isort: skip - pins the threads before numpy is loaded

import numpy as np
from picard import picard
from robustness import disturbed, learn, measure, random_starts, whitening
from sets import known_mixing, split
from sklearn.decomposition import FastICA

SEEDS = range(5)
K = 32


def cosines(filters: np.ndarray) -> np.ndarray:
    """The largest |cosine| of any filter (K1, K) for every source, of unit variance: first Laplace, then uniform."""
    deviations = np.repeat([2**0.5, 4 / 12**0.5], K // 2)
    responses = np.abs(filters @ known_mixing()) * deviations
    return (responses / np.linalg.norm(responses, axis=1, keepdims=True)).max(axis=0)


def batch(rows: np.ndarray, program: str) -> np.ndarray:
    """Filters (K, K) that a batch program learns."""
    if program == "FastICA":
        return FastICA(whiten="unit-variance", max_iter=500, random_state=0).fit(rows).components_
    forward, _ = whitening(rows, K)
    whitened = ((rows - rows.mean(axis=0)) @ forward).T
    options = {"whiten": False, "centering": False, "max_iter": 500, "tol": 1e-6, "random_state": 0}
    return (forward @ picard(whitened, ortho=True, extended=True, **options)[1].T).T


def main() -> None:
    """Measure, and write both tables."""
    rows, held_out = split("known, half sub-Gaussian")
    table = []
    for K1 in (32, 64, 128, 384):
        found = np.array(
            [cosines(learn(rows, n_components=K1, overcomplete=True, random_state=s).components_) for s in SEEDS]
        )
        laplace, uniform = np.median(found[:, :16]), np.median(found[:, 16:])
        chance = np.median(cosines(random_starts(rows, K, K1)[0]))
        table.append(
            {"filters": K1, "Laplace": f"{laplace:.3f}", "uniform": f"{uniform:.3f}", "random filters": f"{chance:.3f}"}
        )
    note = f"{common.machine('python-picard', 'scikit-learn')}. Median over sources and {len(SEEDS)} seeds."
    common.write_table("sub_gaussian", "Largest |cosine| between a source and a filter", table, note)

    random = np.mean([measure(start, K, held_out) for start in random_starts(rows, K, K)])
    heavy = disturbed(rows)["heavy tails (rows × |Student t, 3|)"]
    shares = []
    for program in ("one pass", "Picard-O, extended", "FastICA"):
        makers = {"one pass": lambda X: learn(X).components_}
        make = makers.get(program, lambda X, program=program: batch(X, program))
        gains = [measure(make(X), K, held_out) - random for X in (rows.astype(np.float64), heavy)]
        shares.append(
            {
                "program": program,
                "clean rows, nats": f"{gains[0]:.3f}",
                "heavy tails, nats": f"{gains[1]:.3f}",
                "share": f"{100 * gains[1] / gains[0]:.1f} %",
            }
        )
    common.write_table("sub_gaussian_heavy", "Half sub-Gaussian sources behind heavy tails", shares, note)


if __name__ == "__main__":
    main()
