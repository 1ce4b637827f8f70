"""What happens where a sensor gives more than the learner can take?

A device pushes frames at 1, 2, 5 and 20 times the rate that the learner takes, then at half of it. Three processes, as
`stream-infomax run` starts them, in `wait`, in `drop-oldest`, and in `drop-oldest` with a budget. Measured are the age
of the newest feature (from the clock of the device to the learner's tap), what was lost, and how much of that the
counts explain, the largest resident memory, and the seconds until a feature is as young again as without a load.

    python benchmarks/overload.py [--seconds 60] [--calm 20]
"""

import common  # isort: skip  (pins threads)
import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import zmq
from common import RESULTS, machine, write_table
from many_streams import memory, pids

from stream_infomax import Push
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.learning.kernels import compile_kernels
from stream_infomax.stages.learner import LearnerStage

ROWS, K, K1 = 32, 32, 256
TIMES = (1, 2, 5, 20)
FRAMES, CREDIT = 256, 64  # of the source's log, and on their way to the learner
YOUNG = 0.1  # seconds
SETTLED = 50  # features, of which nine in ten are young
LEARNER = {"n_components": K1, "overcomplete": True, "memory": "4 MiB"}
CONFIG = """
[run]
folder = "{folder}"
policy = "{policy}"

[source]
kind = "devices"
axes = ["time", "channel"]
row = [{K}]
rate = 1000.0
queue = 100
ends = true
log = {{ frames = {frames} }}

[[stage]]
name = "learner"
kind = "learner"
n_components = {K1}
overcomplete = true
memory = "4 MiB"
budget_ms = {budget}

[[sink]]
kind = "nothing"
"""


class Case(NamedTuple):
    """What a run is of."""

    policy: str
    times: float
    budgeted: bool = False

    @property
    def title(self) -> str:
        return self.policy + (", budget" if self.budgeted else "")


def rows_of(number: int, mixing: np.ndarray) -> np.ndarray:
    """Return the rows of a frame."""
    return (np.random.default_rng(number).laplace(size=(ROWS, K)) @ mixing).astype(np.float32)


def capacity(n: int = 400) -> tuple[float, float]:
    """Return the milliseconds that a frame takes to be encoded and learnt from, and to be encoded."""
    mixing = np.random.default_rng(0).standard_normal((K, K))
    learner = LearnerStage("learner", "x", **LEARNER)
    frames = [Frame("a", i, arrays={"x": Array(rows_of(i, mixing), ("time", "channel"))}) for i in range(100)]
    for number in range(n):
        learner.process(frames[number % 100])
    taken = []
    for _ in range(2):
        begun = time.perf_counter()
        for frame in frames:
            learner.process(frame)
        taken.append(10 * (time.perf_counter() - begun))
        learner.start_encoding()
    return taken[0], taken[1]


def device(
    address: str,
    rate: float,
    seconds: float,
    calm_rate: float,
    calm: float,
    sent: "Synchronized[int]",
    over: "Synchronized[float]",
) -> None:
    """Be the device: send at one rate, then at the other; be late where the source takes nothing."""
    mixing = np.random.default_rng(0).standard_normal((K, K))
    frames = [rows_of(i, mixing) for i in range(200)]
    with Push(address, "device", rate=1000.0, queue=100, timeout=60.0) as push:
        for pace, lasts in ((rate, seconds), (calm_rate, calm)):
            begun, number = time.time(), 0
            while (now := time.time()) < begun + lasts:
                if begun + number / pace > now:
                    time.sleep(min(0.001, begun + number / pace - now))
                    continue
                push(frames[push.count % 200], time=now)
                number += 1
                sent.value = push.count
            if pace == rate:
                over.value = time.time()


class Observer(threading.Thread):
    """Listens to the learner's tap: when each frame came, and how old it was; and how many it has made."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.address = address
        self.ages: list[tuple[float, float]] = []
        self.frames = 0  # as the learner says

    def run(self) -> None:
        decode = msgspec.msgpack.Decoder().decode
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            socket.setsockopt(zmq.RCVHWM, 100_000)
            socket.connect(self.address)
            socket.subscribe(b"frame")
            socket.subscribe(b"status")
            while True:
                topic, head, *parts = socket.recv_multipart()
                now = time.time()
                if topic == b"status":
                    self.frames = decode(head)["frames"]
                    continue
                header = decode(parts[0])
                if not header["end"]:
                    self.ages.append((now, now - header["time"]))


class Found(NamedTuple):
    """What came of a run: times and ages of features, when the load ended, features a second and the rest."""

    ages: np.ndarray
    over: float
    taken: float
    oldest: float
    bound: float
    lost: int
    unexplained: int
    memory: dict[str, float]
    row: dict[str, object]


def measure(case: Case, rate: float, budget: float, seconds: float, calm: float) -> Found:
    """Run once; `rate` is how many frames a second the learner takes."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        config = folder.with_suffix(".toml")
        config.write_text(
            CONFIG.format(
                folder=folder,
                policy=case.policy,
                K=K,
                K1=K1,
                frames=FRAMES,
                budget=budget if case.budgeted else 0.0,
            )
        )
        command = [sys.executable, "-m", "stream_infomax.cli", "run", str(config), "--plain"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
            return observed(case, folder, run, rate, seconds, calm)


def observed(
    case: Case, folder: Path, run: "subprocess.Popen[bytes]", rate: float, seconds: float, calm: float
) -> Found:
    """Let the device send to a run that starts, and look on."""
    while not (folder / "source.devices").exists() or not {"source", "learner"} <= pids(run).keys():
        time.sleep(0.1)
    observer = Observer(f"ipc://{folder}/learner.tap")
    observer.start()
    time.sleep(3)  # the learner compiles
    sent, over = multiprocessing.Value("q", 0), multiprocessing.Value("d", 0.0)
    address = f"ipc://{folder}/source.devices"
    work = (address, case.times * rate, seconds, rate / 2, calm, sent, over)
    pusher = multiprocessing.Process(target=device, args=work)
    pusher.start()
    pusher.join(seconds + calm - 1)
    most = {name: memory(pid) for name, pid in pids(run).items() if name in ("source", "learner")}
    pusher.join()
    run.wait()
    summary = json.loads((folder / "run.json").read_text())["summary"]
    ages = np.array(observer.ages)
    loaded = ages[(ages[:, 0] < over.value) & (ages[:, 0] > ages[0, 0] + 5)]  # the warm-up is over
    calm_ages = ages[ages[:, 0] >= over.value]
    young = np.convolve(calm_ages[:, 1] < YOUNG, np.ones(SETTLED), "valid") >= 0.9 * SETTLED
    due = case.times * rate * seconds + rate / 2 * calm
    n_features = observer.frames - 1  # and the end
    taken = len(loaded) / np.ptp(loaded[:, 0])  # a second
    bound = (FRAMES + CREDIT) / taken + np.diff(loaded[:, 0]).max()
    lost = sum(summary["lost"].values())
    unexplained = sent.value - n_features - lost
    thinned = summary["set_aside"].get("learner", {}).get("thinned", 0)
    row = {
        "policy": case.title,
        "load": f"{case.times:g} ×",
        "due": f"{due:,.0f}",
        "sent": f"{sent.value:,}",
        "features": f"{n_features:,}",
        "a second": f"{taken:,.0f}",
        "lost, as counted": f"{lost:,}",
        "unexplained": f"{unexplained:,}",
        "learnt from": f"{1 - thinned / (ROWS * max(1, n_features)):.0%}",
        "age p50": f"{np.median(loaded[:, 1]):.3f} s",
        "age, largest": f"{loaded[:, 1].max():.3f} s",
        "bound": f"{bound:.3f} s" if case.policy == "drop-oldest" else "",
        "young again after": f"{calm_ages[np.argmax(young), 0] - over.value:.2f} s" if young.any() else "not",
        **{f"{name} (MiB)": f"{mib:.0f}" for name, mib in most.items()},
    }
    return Found(ages, over.value, taken, loaded[:, 1].max(), bound, lost, unexplained, most, row)


def plot(found: dict[Case, Found]) -> None:
    """Draw the ages over the time of each run."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    titles = list(dict.fromkeys(case.title for case in found))
    figure, panels = pyplot.subplots(
        1, len(titles), figsize=(3.6 * len(titles), 3.2), layout="constrained", sharey=True
    )
    for title, axes in zip(titles, np.atleast_1d(panels), strict=True):
        for case, one in found.items():
            if case.title == title:
                times, ages = one.ages.T
                every = max(1, len(ages) // 1500)
                n = len(ages) // every * every
                oldest = ages[:n].reshape(-1, every).max(axis=1)
                axes.plot(times[:n:every] - one.over, oldest, linewidth=0.8, label=f"{case.times:g} ×")
        axes.axvline(0, color="0.6", linewidth=0.8, linestyle=":")
        axes.set(title=title, xlabel="seconds after the load", yscale="log")
        axes.spines[["top", "right"]].set_visible(False)
    np.atleast_1d(panels)[0].set_ylabel("age of the newest feature (s)")
    np.atleast_1d(panels)[-1].legend(frameon=False, fontsize=8)
    common.save_small(figure, RESULTS / "overload.png")


def main() -> None:
    """Measure what a frame takes, then all cases; write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--calm", type=float, default=20.0)
    parser.add_argument("--times", type=float, nargs="*", default=TIMES)
    arguments = parser.parse_args()
    compile_kernels()
    cost, encoding = capacity()
    budget = 1.5 * encoding
    rate = measure(Case("wait", 5), 1000 / cost, budget, 15, 1).taken
    cases = [
        Case(policy, times, budgeted)
        for policy, budgeted in (("wait", False), ("drop-oldest", False), ("drop-oldest", True))
        for times in arguments.times
    ]
    found = {}
    for case in cases:
        found[case] = measure(case, rate, budget, arguments.seconds, arguments.calm)
        print(found[case].row, flush=True)
    note = (
        f"{machine('pyzmq')}. The learner takes {rate:,.0f} frames of {ROWS} rows of {K} numbers a second. The stage "
        f"alone needs {cost:.2f} ms for a frame that is learnt from, {encoding:.2f} ms for one that is only encoded; "
        f"the budget is {budget:.2f} ms. A load of {arguments.seconds:g} s, then half of what the learner takes for "
        f"{arguments.calm:g} s. The source's log holds {FRAMES} frames, {CREDIT} are on their way: the bound is the "
        "time in which so many are taken, and the longest pause between two features. Features are young again where "
        f"of the next {SETTLED} nine in ten are less than {YOUNG:g} s old. Ages are of the time after the first five "
        "seconds, with the warm-up."
    )
    write_table(
        "overload", "A sensor that gives more than the learner takes", [one.row for one in found.values()], note
    )
    plot(found)


if __name__ == "__main__":
    main()
