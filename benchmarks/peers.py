"""Which learner gets furthest on photographs in how many CPU seconds? (the paper's figure 3)

100,000 patches of 12×12 from 14 photographs; quality on 20,000 patches of four others: Q in nats (2.83), coefficient
entropy in bits, conditional entropy in nats, each of the rotation that is nearest to the learner's filters, whitening
by the training rows' covariance. One BLAS thread, CPU time of this process, the time that judging takes left out. All
begin with the same random rotation; the batch learners' times include one whitening of all rows, ours whitens on its
way.
100 % of the gain is where Picard-O ends that starts from three streaming passes.

    python benchmarks/peers.py            run what results/peers.json lacks, then draw table and plot
    python benchmarks/peers.py NAME ...   run these (again), then draw
    python benchmarks/peers.py --draw     draw only
"""

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import common
import numpy as np
from photographs import HELD_OUT_ROWS, SIDE, TRAIN_ROWS, Whitening, judge, pictures, random_patches
from reference_learners import batch_infomax, batch_infomax_blocks, infomax_ica, mmica, orica

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.matrices import polar
from stream_infomax.learning.infomax.neurons import start_beta
from stream_infomax.learning.kernels import compile_kernels

RESULTS = common.RESULTS / "peers.json"
FRAME = 256
SEEDS = 10


class EnoughError(Exception):
    """The learner has used up its CPU seconds, or is as good as was asked for."""


@dataclass
class Problem:
    """What every learner gets: rows, whitened rows, the start, and the held-out rows that judge it."""

    rows: np.ndarray
    whitening: Whitening
    whitened: np.ndarray
    held_out: np.ndarray
    start: np.ndarray
    whitening_seconds: float

    @classmethod
    def of_photographs(cls) -> "Problem":
        """The patches, always the same ones."""
        training, held_out = pictures()
        rows = random_patches(training, TRAIN_ROWS, SIDE, seed=0)
        since = time.process_time()
        whitening = Whitening.of(rows)
        whitened = whitening.apply(rows)
        seconds = time.process_time() - since
        start = polar(np.random.default_rng(0).standard_normal((SIDE**2, SIDE**2))).astype(np.float32)
        tests = whitening.apply(random_patches(held_out, HELD_OUT_ROWS, SIDE, seed=1))
        return cls(rows, whitening, whitened, tests, start, seconds)


@dataclass
class Watch:
    """Counts a learner's CPU seconds, and stops the clock to judge it at growing intervals.

    Once `cap` seconds are used up or the coefficient entropy is down to `goal`, it raises EnoughError.
    """

    problem: Problem
    cap: float
    spent: float = 0.0
    points: list[dict[str, float]] = field(default_factory=list)
    since: float = field(default_factory=time.process_time)
    next_look: float = 0.03
    goal: float = -math.inf
    judge: Callable[[np.ndarray, np.ndarray], dict[str, float]] = judge

    def look(self, rotation: Callable[[], np.ndarray], finished: bool = False) -> None:
        """Judge if it is time."""
        self.spent += time.process_time() - self.since
        over = self.spent >= self.cap
        if self.spent >= self.next_look or over or finished:
            self.points.append({"cpu": self.spent, **self.judge(rotation(), self.problem.held_out)})
            self.next_look = self.spent * 1.2
            over |= self.points[-1]["entropy"] <= self.goal
        if over:
            raise EnoughError
        self.since = time.process_time()


def follow(watch: Watch, learner: Iterator[np.ndarray]) -> None:
    """Run a reference learner that yields rotations."""
    C = watch.problem.start
    for C in learner:
        watch.look(lambda C=C: C)
    watch.look(lambda: C, finished=True)


def ours(watch: Watch, passes: int = 1, seed: int = 0, **settings: Any) -> None:
    """Stream the raw rows; the learner whitens on its way."""
    learner = OnlineInfomax(random_state=seed, **settings)
    rows, whitening = watch.problem.rows, watch.problem.whitening

    def rotation() -> np.ndarray:
        return whitening.rotation(learner.components_.T.astype(np.float64))

    for _ in range(passes):
        for first in range(0, len(rows), FRAME):
            learner.partial_fit(rows[first : first + FRAME])
            if learner.n_updates_ > 0:
                watch.look(rotation)
    watch.look(rotation, finished=True)


def whitened(learner: Callable[..., Iterator[np.ndarray]], **settings: Any) -> Callable[[Watch], None]:
    """A reference learner on whitened rows, with the seconds that whitening took."""

    def run(watch: Watch) -> None:
        watch.spent = watch.problem.whitening_seconds
        follow(watch, learner(watch.problem.whitened, watch.problem.start, **settings))

    return run


def fast_ica(watch: Watch) -> None:
    """scikit-learn's FastICA, parallel, logcosh: 200 times one iteration from where the last ended."""
    from sklearn.decomposition import FastICA

    watch.spent = watch.problem.whitening_seconds
    W = watch.problem.start.T
    for _ in range(200):
        W = FastICA(whiten=False, max_iter=1, tol=1e-12, w_init=W).fit(watch.problem.whitened).components_
        watch.look(lambda W=W: W.T)
    watch.look(lambda: W.T, finished=True)


def picard_o(watch: Watch, start: np.ndarray | None = None, iterations: int = 200) -> None:
    """python-picard's Picard-O with the density that Q has; looked at whenever it asks for the score."""
    from picard import picard
    from picard.densities import Tanh

    C = watch.problem.start if start is None else start
    watch.spent = watch.problem.whitening_seconds
    X = watch.problem.whitened.T.astype(np.float64)
    columns = X[:, : 2 * len(X)]

    class Watched(Tanh):
        def score_and_der(self, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            watch.look(lambda: np.linalg.lstsq(columns.T, Y[:, : columns.shape[1]].T, rcond=None)[0])
            return super().score_and_der(Y)

    density = Watched({"alpha": start_beta(1, 1) / 2})
    watch.since = time.process_time()
    options = {"ortho": True, "extended": False, "whiten": False, "centering": False, "check_fun": False}
    W = picard(X, fun=density, w_init=C.T.astype(np.float64), max_iter=iterations, tol=1e-5, **options)[1]
    watch.look(lambda: W.T, finished=True)


def optimum(watch: Watch) -> None:
    """Picard-O from where three streaming passes ended: 100 % of the gain."""
    learner = OnlineInfomax(random_state=0)
    for _ in range(3):
        learner.partial_fit(watch.problem.rows)
    picard_o(watch, watch.problem.whitening.rotation(learner.components_.T.astype(np.float64)))


def dictionary_learning(watch: Watch) -> None:
    """scikit-learn's minibatch dictionary learning with the paper's settings: 144 atoms, λ = 1.2 / √K, batches of 50.

    The filters are the inverse of the dictionary.
    """
    from sklearn.decomposition import MiniBatchDictionaryLearning

    problem = watch.problem
    rows = problem.rows - problem.whitening.mean.astype(np.float32)
    atoms = (problem.whitening.backward @ problem.start).T
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    learner = MiniBatchDictionaryLearning(
        SIDE**2, alpha=1.2 / SIDE, batch_size=50, fit_algorithm="lars", dict_init=atoms, random_state=0
    )
    watch.since = time.process_time()

    def rotation() -> np.ndarray:
        return problem.whitening.rotation(np.linalg.pinv(learner.components_.astype(np.float64)))

    for first in range(0, len(rows) - 49, 50):
        learner.partial_fit(rows[first : first + 50])
        watch.look(rotation)
    watch.look(rotation, finished=True)


def incremental_pca(watch: Watch) -> None:
    """scikit-learn's IncrementalPCA, one pass: whitening alone, without a search for independent outputs."""
    from sklearn.decomposition import IncrementalPCA

    learner = IncrementalPCA(whiten=True)
    rows = watch.problem.rows

    def rotation() -> np.ndarray:
        return watch.problem.whitening.rotation(learner.components_.T / np.sqrt(learner.explained_variance_))

    for first in range(0, len(rows), 1000):
        learner.partial_fit(rows[first : first + 1000])
        watch.look(rotation)
    watch.look(rotation, finished=True)


# Name, how to run it, cap in CPU seconds.
LEARNERS: dict[str, tuple[Callable[..., None], float]] = {
    "optimum": (optimum, 300),
    "ours, 1 pass, no memory": (partial(ours, memory=0), 60),
    "ours, 1 pass": (ours, 60),
    "ours, 3 passes": (partial(ours, passes=3), 60),
    "paper's batch algorithm 1, in blocks as ours": (whitened(batch_infomax_blocks), 300),
    "paper's batch algorithm 1, numpy": (whitened(batch_infomax), 300),
    "FastICA": (fast_ica, 120),
    "Picard-O": (picard_o, 240),
    "infomax ICA": (whitened(infomax_ica), 150),
    "mmica": (whitened(mmica), 150),
    "ORICA": (whitened(orica), 80),
    "IncrementalPCA": (incremental_pca, 120),
    "dictionary learning": (dictionary_learning, 250),
}


def load() -> dict[str, Any]:
    """What was measured so far."""
    if RESULTS.exists():
        return json.loads(RESULTS.read_text(encoding="utf-8"))
    return {"machine": common.machine("scikit-learn", "python-picard"), "learners": {}}


def measure(name: str, problem: Problem) -> dict[str, Any]:
    """Run one learner to its end or cap, and return its curve."""
    run, cap = LEARNERS[name]
    speed = [gflops()]
    watch = Watch(problem, cap)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peers warn that one iteration has not converged
            run(watch)
        capped = False
    except EnoughError:
        capped = True
    speed.append(gflops())
    curve = {"cap": cap, "capped": capped, "gflops": speed, "points": watch.points}
    if name.startswith("ours"):
        curve["ends"] = [watch.points[-1]["Q"], *(end_of(run, problem, seed) for seed in range(1, SEEDS))]
    return curve


def end_of(run: Callable[..., None], problem: Problem, seed: int) -> float:
    """Held-out Q where our learner ends from another start."""
    watch = Watch(problem, cap=math.inf, next_look=math.inf)
    run(watch, seed=seed)
    return watch.points[-1]["Q"]


def gflops() -> float:
    """Matrix-product rate of this process now, float32: tells how busy the machine was."""
    a = np.ones((1024, 1024), np.float32)
    rates = []
    for _ in range(5):
        since = time.perf_counter()
        a @ a
        rates.append(2 * 1024**3 / (time.perf_counter() - since) / 1e9)
    return float(np.median(rates))


def main() -> None:
    """Measure what is missing or asked for, then draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(LEARNERS))
    parser.add_argument("--draw", action="store_true")
    options = parser.parse_args()
    unknown = set(options.names) - set(LEARNERS)
    if unknown:
        parser.error(f"unknown learner {sorted(unknown)}; known are {sorted(LEARNERS)}")
    results = load()
    missing = [name for name in LEARNERS if name not in results["learners"]]
    names = [] if options.draw else options.names or missing
    if names:
        compile_kernels()
        problem = Problem.of_photographs()
        results["start"] = judge(problem.start, problem.held_out)
        OnlineInfomax(memory=1 << 20).partial_fit(problem.rows[:3000])  # and what compile_kernels leaves out
        for name in names:
            results["learners"][name] = {**measure(name, problem), "code": common.code()}
            # Another process may have added results meanwhile.
            results["learners"] = {**load()["learners"], name: results["learners"][name]}
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(results, indent=1), encoding="utf-8")
            print(f"{name}: {results['learners'][name]['points'][-1]}", flush=True)
    from peers_plot import draw

    draw(load())


if __name__ == "__main__":
    main()
