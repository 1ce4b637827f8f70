"""What does a round cost with a thousand to a million devices: bytes, levels of a tree, seconds?

Costs are measured from real records: what it takes to read, check and join one more delta, one more name in it, and to
merge and write. A model adds them up:

    alone   N · max(D / link, a) + m + N · S / link
    tree    d levels of B children: each B · max((D + names) / link, a + c · names) + j, then m, then d · B · S / link

plus what the last and slowest device takes to send D and to hear S. N devices, D and S bytes of a delta and of what is
shared, a seconds of a delta, c of a name, j and m of a join and of a merge. It is checked twice: by real trees of joins
against the costs, and by a simulation of every delta on its way (links and processors as queues; devices are done at
other times and each has a link of its own speed).

    python benchmarks/fleet_model.py
"""

import common  # isort: skip  (pins threads)
import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.exchange import Delta, Shared
from stream_infomax.learning.kernels import compile_kernels

FEATURES = (64, 144, 512)
DEVICES = (1_000, 10_000, 100_000, 1_000_000)
CHILDREN = 32
LINK, UP = 1e9 / 8, 10e6 / 8  # bytes a second of a node, and of a device
# Devices are done within these seconds of each other, and their links are as fast as this, or slower by this factor.
SPREAD, SLOWER = 1.0, 4.0
FEW, MANY, REPEATS = 2, 32, 5
NAMES = 4000


@dataclass(frozen=True)
class Costs:
    """Bytes, and seconds of one processor.

    Attributes
    ----------
    delta, shared
        Bytes as they travel; a delta with one name.
    name
        Bytes of one name in a delta.
    a, c
        Seconds of a node for a delta more, and for a name more.
    j, m
        Seconds of a join and of a merge beside those for its deltas, with writing the result.
    """

    delta: float
    shared: float
    name: float
    a: float
    c: float
    j: float
    m: float


class Records:
    """Real records of one round: a base, and deltas that travelled."""

    def __init__(self, K: int) -> None:
        rng = np.random.default_rng(0)
        mixing = rng.standard_normal((K, K)).astype(np.float32)

        def rows(n: int) -> np.ndarray:
            return rng.laplace(size=(n, K)).astype(np.float32) @ mixing

        self.base: Shared = OnlineInfomax().partial_fit(rows(20 * K)).share(MANY)
        learners = [OnlineInfomax(random_state=i).take(self.base) for i in range(4)]
        learnt = [learner.partial_fit(rows(1024)).delta("x") for learner in learners]
        self.deltas = [learnt[i % len(learnt)] for i in range(MANY)]

    def sent(self, n: int, names: int = 1) -> list[bytes]:
        """Return n deltas as they travel, each with so many names."""
        return [
            replace(delta, parts={f"{i * names + k:07}": 1024 for k in range(names)}).to_bytes()
            for i, delta in enumerate(self.deltas[:n])
        ]

    def join(self, sent: Sequence[bytes]) -> bytes:
        """Do what a node of a tree does."""
        return OnlineInfomax.join(self.base, received(sent)).to_bytes()

    def merge(self, sent: Sequence[bytes]) -> bytes:
        """Do what a coordinator does."""
        return OnlineInfomax.merge(self.base, received(sent)).to_bytes()


def received(sent: Sequence[bytes]) -> list[Delta]:
    """Return the deltas that travelled."""
    return [Delta.from_bytes(one, "delta") for one in sent]


def seconds(act: Callable[[], object]) -> float:
    """Return the CPU seconds that something takes, the least of a few."""
    found = []
    for _ in range(REPEATS):
        since = time.process_time()
        act()
        found.append(time.process_time() - since)
    return min(found)


def measured(records: Records) -> Costs:
    """Return what things cost, from real joins and merges of few and of many."""
    few, many, named = records.sent(FEW), records.sent(MANY), records.sent(FEW, NAMES)
    with_few, with_many = (seconds(lambda sent=sent: records.join(sent)) for sent in (few, many))
    a = (with_many - with_few) / (MANY - FEW)
    extra = FEW * (NAMES - 1)
    return Costs(
        delta=len(few[0]),
        shared=len(records.merge(few)),
        name=(sum(map(len, named)) - sum(map(len, few))) / extra,
        a=a,
        c=max(0.0, seconds(lambda: records.join(named)) - with_few) / extra,
        j=max(0.0, with_few - FEW * a),
        m=max(0.0, seconds(lambda: records.merge(few)) - FEW * a),
    )


def levels(devices: int, children: int) -> int:
    """Return how many levels of nodes stand above so many devices."""
    return max(1, math.ceil(round(math.log(devices, children), 9)))


def below(devices: int, children: int) -> list[int]:
    """Return how many names each child of a node has, level by level from the devices on, evenly spread."""
    d = levels(devices, children)
    return [max(1, round(devices / children ** (d - level))) for level in range(d)]


def modelled(costs: Costs, devices: int, children: int) -> tuple[float, float]:
    """Return seconds: of a round, from its first delta to the last device that heard, and of the coordinator."""
    up = [(costs.delta + costs.name * names, costs.a + costs.c * names) for names in below(devices, children)]
    fan = devices ** (1 / len(up))
    busy = [fan * max(sent / LINK, work) + costs.j for sent, work in up]
    down = len(up) * fan * costs.shared / LINK
    own = SPREAD + SLOWER * (costs.delta + costs.shared) / UP
    root = fan * up[-1][1] + costs.m
    return own + sum(busy) - costs.j + costs.m + down, root


def simulated(costs: Costs, devices: int, children: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return what `modelled` does, and the bytes through the root, of every delta on its way."""
    slower = SLOWER ** rng.random(devices)
    arrivals = rng.random(devices) * SPREAD + costs.delta / UP * slower
    names = np.ones(devices)
    heights: list[int] = []
    root = moved = 0.0
    while True:
        fan = min(children, len(arrivals))
        nodes = max(1, math.ceil(len(arrivals) / fan))
        heights.append(fan)
        arrivals, names, worked, came = level(costs, arrivals, names, nodes)
        if nodes == 1:
            root, moved = worked + costs.m, came + fan * costs.shared
            break
        arrivals += costs.j
    told = arrivals[0] + costs.m + sum(heights) * costs.shared / LINK
    return float(told + (costs.shared / UP * slower).max()), root, moved


def level(
    costs: Costs, arrivals: np.ndarray, names: np.ndarray, nodes: int
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Let children's deltas queue for their node's link, then for its processor.

    Returns when each node has joined, its names, and the work and the bytes of the busiest.
    """
    fan = math.ceil(len(arrivals) / nodes)
    lacking = nodes * fan - len(arrivals)
    came = np.concatenate([arrivals, np.full(lacking, -np.inf)]).reshape(nodes, fan)
    parts = np.concatenate([names, np.zeros(lacking)]).reshape(nodes, fan)
    order = np.argsort(came, axis=1)
    came, parts = np.take_along_axis(came, order, 1), np.take_along_axis(parts, order, 1)
    there = parts > 0
    sent = np.where(there, costs.delta + costs.name * parts, 0.0)
    work = np.where(there, costs.a + costs.c * parts, 0.0)
    link, done = np.zeros(nodes), np.zeros(nodes)
    for i in range(fan):
        link = np.maximum(link, came[:, i]) + sent[:, i] / LINK
        done = np.maximum(done, link) + work[:, i]
    return done, parts.sum(axis=1), float(work.sum(axis=1).max()), float(sent.sum(axis=1).max())


def check(records: Records, costs: Costs) -> dict[str, str]:
    """Compare real trees of two levels with the costs, and what they join with a join of all at once."""
    sent = records.sent(MANY)
    side = math.isqrt(MANY)
    groups = [sent[i : i + side] for i in range(0, MANY, side)]
    joined = [records.join(group) for group in groups]
    at_once, in_tree = (Delta.from_bytes(records.join(one), "delta") for one in (sent, joined))
    real = sum(seconds(lambda group=group: records.join(group)) for group in groups)
    real += seconds(lambda: records.merge(joined))
    model = len(groups) * costs.j + (MANY + len(groups)) * costs.a + MANY * 2 * costs.c + costs.m
    apart = np.abs(at_once.scatter - in_tree.scatter).max() / np.abs(at_once.scatter).max()
    turned = np.abs(at_once.means["learnt"] - in_tree.means["learnt"]).max() / np.abs(at_once.means["learnt"]).max()
    return {
        "tree of real joins, s": f"{real:.3f}",
        "by the costs, s": f"{model:.3f}",
        "moments apart": f"{apart:.0e}",
        "filters apart": f"{turned:.0e}",
    }


def table_of(K: int, costs: Costs) -> list[dict[str, str]]:
    """Return a row for each number of devices, alone and in a tree."""
    table = []
    for devices in DEVICES:
        for children in (devices, CHILDREN):
            model, root = modelled(costs, devices, children)
            runs = [simulated(costs, devices, children, np.random.default_rng(seed)) for seed in range(3)]
            found, busy, moved = (float(np.median(column)) for column in zip(*runs, strict=True))
            table.append(
                {
                    "K": f"{K}",
                    "devices": f"{devices:,}",
                    "children of a node": f"{children:,}",
                    "levels": f"{levels(devices, children)}",
                    "kB of a device": f"{(costs.delta + costs.shared) / 1e3:,.0f}",
                    "MB through the coordinator": f"{moved / 1e6:,.0f}",
                    "CPU of the coordinator, s": f"{busy:.2f} ({root:.2f})",
                    "round trip, s": f"{found:.1f} ({model:.1f})",
                }
            )
    return table


def plot(costs: dict[int, Costs]) -> None:
    """Draw round trips over numbers of devices."""
    figure, axes = plt.subplots(figsize=(6, 4))
    for K, cost in costs.items():
        for children, style in ((0, "--"), (CHILDREN, "-")):
            trips = [simulated(cost, n, children or n, np.random.default_rng(0))[0] for n in DEVICES]
            label = f"K = {K}, {'a tree' if children else 'one coordinator'}"
            axes.loglog(DEVICES, trips, style, marker="o", label=label)
    axes.set(xlabel="devices", ylabel="seconds of a round's exchange")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(common.RESULTS / "fleet_model.png", dpi=120)


def main() -> None:
    """Measure, simulate, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", default="", help="what else ran on this machine, for the note")
    given = parser.parse_args()
    compile_kernels()
    costs, pieces, table = {}, [], []
    for K in FEATURES:
        records = Records(K)
        costs[K] = cost = measured(records)
        ms = {"a delta": cost.a, "a join": cost.j, "the merge": cost.m}
        row = {"K": f"{K}", "delta, kB": f"{cost.delta / 1e3:,.0f}", "shared, kB": f"{cost.shared / 1e3:,.0f}"}
        row |= {f"{name}, ms": f"{1e3 * value:.2f}" for name, value in ms.items()}
        pieces.append(
            row | {"a name, µs": f"{1e6 * cost.c:.1f}", "a name, B": f"{cost.name:.0f}"} | check(records, cost)
        )
        table += table_of(K, cost)
    machine = f"{common.machine()}. {given.beside}".rstrip()
    common.write_table("fleet_model_costs", "What the pieces of a round cost", pieces, machine)
    note = (
        f"{machine} Simulated (in brackets: the model). Links of 1 Gbit/s at nodes and of 10 Mbit/s at devices, in the "
        f"simulation slower by up to {SLOWER:.0f} times; devices are done within {SPREAD:.0f} s. Round trip: from the "
        "first delta sent until the last device has heard. Patience and retries are not in it."
    )
    common.write_table("fleet_model", "A round of many devices", table, note)
    plot(costs)


if __name__ == "__main__":
    main()
