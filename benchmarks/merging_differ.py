"""What do learners lose together whose streams differ, each of one speaker or of other photographs?

Beside one learner that has the rows of all, shuffled, stand learners of one basis that share them out (`alike`: each
has shuffled rows of all; `differing`: each has those of its own speaker, or of its own photographs). The first has
1,792 rows of its own as the common start. The gain is that of merging.py: 0 % is the random start, 100 % what one
learner reaches in ten passes; Q on rows that nobody learns from, whitened by all that are learnt from.

    Photographs: patches of 12×12 of 14 photographs; four others judge.
    Speakers: patches of 3 frames × 40 mel bands of the six speakers of the Free Spoken Digit Dataset; recordings with
    indices 5-44 to learn from, 45-49 judge.

    STREAM_INFOMAX_DATA=FOLDER python benchmarks/merging_differ.py [--seeds 3]
"""

import common  # isort: skip  (pins threads)
import argparse
from collections.abc import Mapping, Sequence

import numpy as np
from fsdd_features import names, patches, recordings
from merging import START, learn_together, spread
from natural_images import gain_share
from photographs import SIDE, Whitening, judge, pictures, random_patches

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.kernels import compile_kernels

ROWS, JUDGING, PASSES = 100_000, 20_000, 10
ROUNDS = (64, 1024, 0)  # rows of each learner; 0: when 5 % more rows have come
SHARDS = (2, 4, 14)


class Streams:
    """Rows of several origins, and what a basis is worth on others.

    Parameters
    ----------
    origins
        Rows by where they come from.
    judging
        Rows that nobody learns from.
    """

    def __init__(self, origins: Mapping[str, np.ndarray], judging: np.ndarray) -> None:
        rng = np.random.default_rng(0)
        self.origins = {name: rows[rng.permutation(len(rows))] for name, rows in origins.items()}
        whole = np.concatenate(list(self.origins.values()))
        self.whole = whole[rng.permutation(len(whole))]
        self.whitening = Whitening.of(self.whole)
        self.judging = self.whitening.apply(judging)
        K = self.whole.shape[1]
        self.random = float(np.mean([self.q(rng.standard_normal((K, K))) for _ in range(5)]))
        learner = OnlineInfomax()
        for _ in range(PASSES):
            learner.partial_fit(self.whole)
        self.best = self.q(self.whitening.rotation(learner.components_.T.astype(np.float64)))

    def q(self, rotation: np.ndarray) -> float:
        return judge(rotation, self.judging)["Q"]

    def gain(self, filters: np.ndarray) -> float:
        """Return the share of the gain of filters (K1, K), in percent."""
        return gain_share(self.q(self.whitening.rotation(filters.T.astype(np.float64))), self.random, self.best)

    def shares(self, n: int, differing: bool) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the rows of the common start and those of n learners: of origins of their own, or of all."""
        if not differing:
            return self.whole[:START], np.array_split(self.whole[START:], n)
        rng = np.random.default_rng(1)
        origins = list(self.origins.values())
        own = [np.concatenate(origins[i::n]) for i in range(n)]
        own = [rows[rng.permutation(len(rows))] for rows in own]
        return own[0][:START], [own[0][START:], *own[1:]]


def photographs() -> Streams:
    """Return patches of 14 photographs."""
    training, held_out = pictures()
    of_each = ROWS // len(training)
    origins = {f"{i}": random_patches([image], of_each, SIDE, seed=i) for i, image in enumerate(training)}
    return Streams(origins, random_patches(held_out, JUDGING, SIDE, seed=99))


def speakers() -> Streams:
    """Return log-mel patches of six speakers."""
    rows = patches(1, length=3)
    of: dict[str, list[np.ndarray]] = {}
    for name in names(5, 44):
        of.setdefault(recordings()[name].labels["speaker"], []).append(rows[name])
    judging = np.concatenate([rows[name] for name in names(45, 49)])
    whole = {name: np.concatenate(parts) for name, parts in sorted(of.items())}
    least = min(map(len, whole.values()))
    rng = np.random.default_rng(0)
    return Streams({name: rng.permutation(parts)[:least] for name, parts in whole.items()}, judging)


def compare(what: str, streams: Streams, shards: Sequence[int], seeds: Sequence[int]) -> list[dict[str, str]]:
    """Return the rows of the table."""
    n_rows = f"{len(streams.whole):,}"
    alone = [streams.gain(OnlineInfomax(random_state=seed).partial_fit(streams.whole).components_) for seed in seeds]
    table = [{"streams": what, "learners": "1, all rows shuffled", "rows in all": n_rows, "alike": spread(alone)}]
    for n in shards:
        for of_each in ROUNDS:
            row = {"streams": what, "learners": f"{n}", "rows in all": n_rows}
            row["rows of a round"] = f"{of_each:,}" if of_each else "5 % more"
            for kind in ("alike", "differing"):
                first, shares = streams.shares(n, kind == "differing")
                found = [learn_together(first, shares, of_each, seed) for seed in seeds]
                row[kind] = spread([streams.gain(filters) for filters, _, _ in found])
            gains = [streams.gain(filters) for filters, _, _ in found]
            row["differing, less one learner"] = f"{np.median(gains) - np.median(alone):+.2f}"
            row["agreement at the end"] = f"{np.median([agreement for _, _, agreement in found]):.3f}"
            table.append(row)
            print(row, flush=True)
    return table


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--beside", default="", help="what else ran on this machine, for the note")
    given = parser.parse_args()
    compile_kernels()
    seeds = range(given.seeds)
    table = compare("photographs", photographs(), SHARDS, seeds)
    voices = speakers()
    table += compare("speakers", voices, (2, len(voices.origins)), seeds)
    note = (
        f"{common.machine()}. Share of the gain, median (range) of {given.seeds} seeds; 100 % is one learner after "
        f"{PASSES} passes. {given.beside}"
    ).rstrip()
    common.write_table("merging_differ", "Learners of one basis whose streams differ", table, note)


if __name__ == "__main__":
    main()
