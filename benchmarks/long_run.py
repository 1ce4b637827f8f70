"""Does anything creep in a learner that runs for long, whatever its sensor does?

One process runs the loop of a service over a stream that never rests: its mixing turns slowly and is another one every
million rows, channels saturate, rows are NaN in bursts, an hour is silent, the clock jumps forth and back, and offsets
pass 2^32 and 2^53. At marks along the run: how far the filters are from orthonormal and the covariance from symmetric,
the objective, the share of foreign sources in an output, resident memory, file descriptors, threads, the size of the
state, and the time that a frame takes.

    python benchmarks/long_run.py [--rows 100000000] [--adapt follow]
"""

import common  # isort: skip
import argparse
import math
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, machine, write_table

from stream_infomax.frames.contracts import Output, Pipeline
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.kernels import compile_kernels
from stream_infomax.service.process import FromSource, opened
from stream_infomax.service.service import Service
from stream_infomax.service.signals import Signals
from stream_infomax.service.status import quantile
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.transport.observer import Observer

K, ROWS, RATE = 16, 256, 50.0
CYCLE = 1_000_000  # rows
HOUR = int(3600 * RATE)  # rows
MARKS = 50
# Of the cycle: from where to where what happens.
SATURATED, BURSTS, SILENT = (0.35, 0.37), (0.45, 0.46), (0.5, 0.5 + HOUR / CYCLE)
# Where the clock jumps, and by how many seconds.
JUMPS = ((0.72, 3.2e7), (0.78, -9.6e7), (0.84, 6.4e7))
# Shares of the run behind which offsets go on from elsewhere.
FROM = ((1 / 3, 2**32 - 500), (2 / 3, 2**53 - 500))
TURN = 0.3  # radians a cycle


class World:
    """A live source of `rows` rows: Laplace sources, mixed by what changes slowly and at once, and all that befalls it.

    Everything is drawn by the number of the frame.
    """

    name = "world"
    sockets: Sequence[Any] = ()

    def __init__(self, rows: int, cycle: int = CYCLE, seed: int = 0) -> None:
        self.lost: Counter[str] = Counter()
        self.n_frames, self.cycle, self.seed = rows // ROWS, cycle, seed
        self.number = 0
        self.made: dict[str, int] = Counter()

    def open(self) -> None:
        """There is no device."""

    def close(self) -> None:
        """There is no device."""

    @property
    def finished(self) -> bool:
        return self.number >= self.n_frames

    def due(self) -> float:
        return 0.0

    def receive(self) -> Frame | None:
        """Return the next frame."""
        if self.finished:
            return None
        rows = self.rows(self.number)
        cycle, place = divmod(self.number * ROWS, self.cycle)
        jumped = sum(by for at, by in JUMPS if place >= at * self.cycle)
        last = (self.number + 1) * ROWS // self.cycle > cycle
        self.number += 1
        return Frame(
            "world",
            segment=str(cycle),
            arrays={"world": Array(rows, ("time", "channel"))},
            last=last or self.finished,
            end=self.finished,
            time=self.number * ROWS / RATE + jumped,
            rate=RATE,
        )

    def mixing(self, row: int) -> np.ndarray:
        """Return the mixing (K, K) at a row."""
        cycle, place = divmod(row, self.cycle)
        generator = np.random.default_rng([self.seed, cycle, 1])
        left, right = (np.linalg.qr(generator.standard_normal((K, K)))[0] for _ in range(2))
        c, s = np.cos(TURN * place / self.cycle), np.sin(TURN * place / self.cycle)
        turned = np.kron(np.eye(K // 2), np.array([[c, -s], [s, c]]))
        return left * np.geomspace(1, 4, K) @ turned @ right

    def rows(self, number: int) -> np.ndarray:
        """Return the rows (ROWS, K) of a frame."""
        first = number * ROWS
        place = first % self.cycle / self.cycle
        generator = np.random.default_rng([self.seed, number])
        if SILENT[0] <= place < SILENT[1]:
            return np.full((ROWS, K), 7, np.float32)
        rows = generator.laplace(size=(ROWS, K)) @ self.mixing(first).T + 7
        if SATURATED[0] <= place < SATURATED[1]:
            rows[:, ::2] = rows[:, ::2].clip(6, 8)
            self.made["saturated"] += ROWS
        if BURSTS[0] <= place < BURSTS[1] and number % 4 == 0:
            rows[100:180, number % K] = np.nan
            self.made["NaN"] += 80
        return rows.astype(np.float32)

    def state(self) -> dict[str, Any]:
        return {"number": self.number}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.number = int(state["number"])

    def counts(self) -> dict[str, float]:
        return {}


class Watcher(Observer):
    """The observer of the loop: measures at marks, and sends the offsets elsewhere."""

    def __init__(self, world: World, stage: LearnerStage, marks: int, told: Callable[[int, int], None]) -> None:
        self.world, self.stage, self.told = world, stage, told
        self.every = max(1, world.n_frames // marks)
        self.jumps = {int(share * world.n_frames): offset for share, offset in FROM}
        self.feed: Any = None
        self.found: list[dict[str, float]] = []
        self.offsets: list[int] = []
        self.previous = -1
        self._seconds: list[float] = []
        self._begin = time.perf_counter()

    def frame(self, output: Output) -> None:
        frame, done = output.frame, self.world.number
        self._seconds.append(time.time() - output.origin)
        if frame.offset != self.previous + 1:
            self.offsets.append(frame.offset)
        self.previous = frame.offset
        if done in self.jumps:
            self.feed.seek(self.jumps.pop(done))
        if done % self.every == 0 and self.stage.is_warm:
            self.found.append(self.measured())
            self.told(done, self.world.n_frames)
            self._seconds.clear()
            self._begin = time.perf_counter()

    def measured(self) -> dict[str, float]:
        """Return everything that may creep."""
        learner = self.stage.learner
        rotation = learner.rotation_.astype(np.float64)
        covariance = learner._learner._whitener.covariance()
        n_frames, seconds = len(self._seconds), time.perf_counter() - self._begin
        taken = sorted(self._seconds)
        return {
            "rows": self.world.number * ROWS,
            "offset": self.previous,
            "orthonormality": float(np.abs(rotation @ rotation.T - np.eye(len(rotation))).max()),
            "asymmetry": float(np.abs(covariance - covariance.T).max() / np.abs(covariance).max()),
            "least variance": float(np.linalg.eigvalsh(covariance)[0] / np.trace(covariance)),
            "objective": learner.objective_,
            "foreign": foreign(learner.components_ @ self.world.mixing(self.world.number * ROWS - 1)),
            "memory": resident(),
            "descriptors": len(list(Path("/proc/self/fd").iterdir())),
            "threads": threading.active_count(),
            "state": size(self.stage.state()) / 2**20,
            "p50": 1000 * (quantile(taken, 0.5) or 0),
            "p99": 1000 * (quantile(taken, 0.99) or 0),
            "most": 1000 * taken[-1],
            "rows a second": n_frames * ROWS / seconds,
        }


def foreign(product: np.ndarray) -> float:
    """Return the mean share of an output's power that is not of its own source."""
    power = product**2
    return float(np.mean(1 - power.max(axis=1) / power.sum(axis=1)))


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def size(state: Any) -> int:
    """Return the bytes of a state: its arrays, and about what its plain values take."""
    if hasattr(state, "dtype"):  # an array, or one in pages
        return math.prod(state.shape) * state.dtype.itemsize
    if isinstance(state, dict):
        return sum(len(key) + size(value) for key, value in state.items())
    if isinstance(state, list):
        return sum(map(size, state))
    return len(str(state))


def go(
    folder: Path,
    rows: int,
    adapt: str = "follow",
    *,
    cycle: int = CYCLE,
    marks: int = MARKS,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Watcher:
    """Run the loop over so many rows, or until a signal comes, and return what was measured."""
    world = World(rows, cycle)
    stage = LearnerStage("learner", "world", adapt=adapt, memory="1 MiB")
    watcher = Watcher(world, stage, marks, told)
    service = Service(
        name="learner", outlet="", tap="", folder=folder, checkpoint_every=4096, log_frames=64, policy="wait"
    )
    with (
        closing(Signals()) as signals,
        opened(service, FromSource(world), Pipeline([stage]), (), signals, beside=[watcher]) as loop,
    ):
        watcher.feed = loop.feed
        loop.run()
    return watcher


SHOWN = {
    "orthonormality": ("max abs(C Cᵀ - I)", ".1e"),
    "asymmetry": ("max abs(Σ - Σᵀ) / max abs(Σ)", ".1e"),
    "objective": ("objective (nats)", ".2f"),
    "foreign": ("foreign share of an output", ".3f"),
    "memory": ("resident (MiB)", ".1f"),
    "state": ("state (MiB)", ".2f"),
    "descriptors": ("file descriptors", ".0f"),
    "threads": ("threads", ".0f"),
    "p50": ("a frame, p50 (ms)", ".2f"),
    "p99": ("a frame, p99 (ms)", ".2f"),
    "most": ("a frame, maximum (ms)", ".1f"),
}


def check(watcher: Watcher) -> None:
    """Raise AssertionError where something creeps, or a row is not accounted for."""
    found = {key: np.array([one[key] for one in watcher.found]) for key in watcher.found[0]}
    begin, end = slice(len(watcher.found) // 10, len(watcher.found) // 5), slice(-len(watcher.found) // 5, None)
    assert watcher.world.finished, "stopped early"
    assert watcher.offsets == [offset for _, offset in FROM], watcher.offsets
    assert found["orthonormality"].max() < 1e-5, found["orthonormality"]
    assert found["asymmetry"].max() < 1e-12, found["asymmetry"]
    assert found["least variance"].min() > 1e-3, found["least variance"]
    assert np.isfinite(found["objective"]).all(), found["objective"]
    assert np.ptp(found["objective"][end]) < 1, found["objective"]
    assert found["foreign"][end].max() < 0.05, found["foreign"]
    for key in ("descriptors", "threads"):  # a checkpoint under way has some
        assert np.median(found[key][end]) <= np.median(found[key][begin]), found[key]
    assert np.ptp(found["state"][begin.start :]) < 0.1, found["state"]
    assert found["memory"][end].mean() - found["memory"][begin].mean() < 16, found["memory"]
    counts, made = watcher.stage.counts(), watcher.world.made
    assert counts["set aside: not finite"] == made["NaN"], counts
    assert counts["rows"] + counts["set aside: not finite"] == watcher.world.n_frames * ROWS, counts
    assert made["saturated"] <= counts["set aside: clipped"], counts


def creeping(found: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return the median of each figure over the second tenth of the marks, and over the last."""
    n = len(found)
    parts = found[n // 10 : max(n // 5, n // 10 + 1)], found[-max(1, n // 10) :]
    return {key: tuple(float(np.median([one[key] for one in part])) for part in parts) for key in SHOWN}  # type: ignore[misc]


def plot(found: Sequence[Mapping[str, float]]) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(4, 2, figsize=(9, 8), layout="constrained", sharex=True)
    millions = [one["rows"] / 1e6 for one in found]
    keys = ("orthonormality", "asymmetry", "objective", "foreign", "memory", "state", "p50", "p99")
    for key, axes in zip(keys, panels.flat, strict=True):
        axes.plot(millions, [one[key] for one in found], linewidth=1)
        axes.set_title(SHOWN[key][0], fontsize=9, loc="left")
        axes.set_ylim(0, None)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("rows (millions)")
    common.save_small(figure, RESULTS / "long_run.png")


def main() -> None:
    """Run, and write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000_000, help="an interrupt ends the run early")
    parser.add_argument("--adapt", default="follow")
    arguments = parser.parse_args()
    compile_kernels()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        watcher = go(Path(folder), arguments.rows, arguments.adapt)
    seconds = time.monotonic() - begin
    n_rows = watcher.world.number * ROWS
    found, counts = watcher.found, watcher.stage.counts()
    table = []
    for one in [*found[:: max(1, len(found) // 10)], found[-1]]:
        shown = {words: format(one[key], form) for key, (words, form) in SHOWN.items()}
        table.append({"rows": f"{one['rows']:,}", "offset": f"{one['offset']:,}", **shown})
    drift = {
        words: " → ".join(format(x, SHOWN[key][1]) for x in pair)
        for (key, pair), (words, _) in zip(creeping(found).items(), SHOWN.values(), strict=True)
    }
    table.append({"rows": "**second tenth → last tenth**", **drift})
    aside = ", ".join(
        f"{count:,.0f} {key.removeprefix('set aside: ')}" for key, count in counts.items() if "aside" in key
    )
    note = (
        f"{machine()}; {n_rows:,} rows of {K} numbers in frames of {ROWS}, adapt = {arguments.adapt}, "
        f"{n_rows / seconds:,.0f} rows a second, {seconds / 60:.0f} minutes. Set aside: {aside}. "
        f"{watcher.stage.learner.n_events_:,} events. Measured at {len(found)} marks. Offsets went on from "
        f"{', '.join(f'{at:,}' for at in watcher.offsets)}."
    )
    write_table("long_run", "A learner over a long run", table, note)
    plot(found)


if __name__ == "__main__":
    main()
