"""What does following cost where nothing changes, and how often does it alarm in error?

Cost: what adapt = "follow" loses against "fixed" in percent of the gain of five passes, on held-out rows; the measure
is that of robustness.py (the rotation, in the rows' own whitening). Median (least … most) of five seeds. False alarms:
events in a long stream of rows that are drawn independently; and in passes over recordings and EEG in their own order,
where what is an alarm in error is a matter of taste: speakers, sounds and runs do change.

    python benchmarks/drift_calm.py
"""

import common  # isort: skip - pins the threads before numpy is loaded
from collections.abc import Callable, Iterator

import drift_common as drift
import numpy as np
from photographs import pictures, random_patches
from robustness import measure, random_starts
from sets import ENERGY, split

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.settings import Adapt
from stream_infomax.learning.kernels import compile_kernels

FRAME = 256
LONG, CHUNK = 10_000_000, 1 << 16
SEEDS_OF_LONG = range(3)
PASSES, PASSES_OF_COST = 10, 5
COSTS = "known, half sub-Gaussian", "photographs", "FSDD, waveform", "FSDD, log-mel", "LibriSpeech", "EEG"


def learn(rows: np.ndarray, adapt: Adapt, seed: int, passes: int = PASSES_OF_COST, **settings) -> OnlineInfomax:
    """So many passes."""
    learner = OnlineInfomax(adapt=adapt, random_state=seed, **settings)
    for _ in range(passes):
        drift.feed(learner, rows, frame=FRAME)
    return learner


def costs(name: str) -> dict[str, object]:
    """What following costs on a set."""
    rows, held_out = split(name)
    settings = {"energy": ENERGY.get(name, 1.0)}
    K0 = learn(rows[: 24 * rows.shape[1] + 64], "fixed", 0, 1, **settings).n_rank_
    settings = {"n_rank": K0, "n_components": K0}
    random = float(np.mean([measure(start, K0, held_out) for start in random_starts(rows, K0, K0)]))
    lost, events, bounds = [], [], []
    for seed in drift.SEEDS:
        fixed, follow = (learn(rows, adapt, seed, **settings) for adapt in ("fixed", "follow"))
        usual, found = (measure(one.components_, K0, held_out) - random for one in (fixed, follow))
        lost.append(100 * (usual - found) / usual)
        events.append(len(follow.events_))
        bounds.append(follow._learner.horizon.limit)
    return {
        "rows": f"{name}, {PASSES_OF_COST} × {len(rows):,}",
        "K0": K0,
        "cost, % of the gain": drift.middle(lost, "{:.2f}"),
        "events": drift.middle(events),
        "rows that count": drift.middle(bounds, never="all"),
    }


def known(seed: int) -> Iterator[np.ndarray]:
    """Laplace sources, K = 8."""
    mixing = drift.room(8, seed)
    for part in range(LONG // CHUNK):
        yield drift.laplace(CHUNK, mixing, seed, part)


def small_patches(seed: int) -> Iterator[np.ndarray]:
    """4×4 patches of photographs, always newly drawn."""
    training, _ = pictures()
    for part in range(LONG // CHUNK):
        yield random_patches(training, CHUNK, 4, 1000 * seed + part)


def again_and_again(name: str) -> Callable[[int], Iterator[np.ndarray]]:
    """Passes over a set in its own order."""

    def passes(_: int) -> Iterator[np.ndarray]:
        for _pass in range(PASSES):
            yield split(name)[0]

    return passes


STREAMS: dict[str, tuple[Callable[[int], Iterator[np.ndarray]], range]] = {
    "Laplace sources, K = 8": (known, SEEDS_OF_LONG),
    "photographs, 4×4, drawn at random": (small_patches, SEEDS_OF_LONG),
    "FSDD, waveform, in order": (again_and_again("FSDD, waveform"), range(1)),
    "FSDD, log-mel, in order": (again_and_again("FSDD, log-mel"), range(1)),
    "LibriSpeech, in order": (again_and_again("LibriSpeech"), range(1)),
    "EEG, in order": (again_and_again("EEG"), range(1)),
}


def alarms(name: str) -> dict[str, object]:
    """Events of a stream with the default rows between false alarms."""
    stream, seeds = STREAMS[name]
    counts, n = [], 0
    for seed in seeds:
        energy = ENERGY.get(name.rpartition(",")[0], 1.0)
        learner, n = OnlineInfomax(adapt="follow", random_state=seed, energy=energy), 0
        for rows in stream(seed):
            drift.feed(learner, rows, frame=FRAME)
            n += len(rows)
        counts.append(learner._learner.events.count)
        if learner.events_:
            print(name, learner.events_[-1], flush=True)
    return {"stream": name, "rows": f"{n:,}", "events": drift.middle(counts), "seeds": len(counts)}


def main() -> None:
    """Measure, and write tables."""
    compile_kernels()
    clock, found = drift.Clock(), []
    for name in COSTS:
        found.append(costs(name))
        print(found[-1], flush=True)
    note = f"{common.machine()}; {clock}. Target: ≤ 0.3 %. Less than 0: following was better."
    common.write_table("drift_calm", "What following costs where nothing changes", found, note)
    clock, found = drift.Clock(), []
    for name in STREAMS:
        found.append(alarms(name))
        print(found[-1], flush=True)
    note = f"{common.machine()}; {clock}. Target: ≤ 1 in 10,000,000 rows."
    common.write_table("drift_alarms", "Alarms where nothing changes", found, note)


if __name__ == "__main__":
    main()
