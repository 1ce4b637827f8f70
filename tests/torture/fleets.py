"""Fleets: kills at random moments, and members that hand in whatever they like."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from helpers.fleets import Fleet, fleet
from helpers.mixtures import mixed_sources

from stream_infomax import OnlineInfomax
from stream_infomax.fleet.archive import Archive
from stream_infomax.fleet.coordinator import Coordinator, UnfitError
from stream_infomax.learning.infomax.exchange import Shared
from stream_infomax.state import file
from stream_infomax.state.file import Tree
from stream_infomax.transport.messages import Ask, HandIn
from torture.frame import Trial, torture
from torture.mutations import VALUES

# Seconds between two kills.
APART = (0.2, 2.0)
PROCESSES = ("coordinator", "worker-0", "worker-1")


@torture(minutes=60)
def kills_in_a_fleet(trial: Trial) -> str:
    """Does a fleet whose coordinator and workers are killed learn other bits than one that is left alone?"""
    total = trial.times(100)
    expected, _ = asyncio.run(_learnt(trial.folder / "alone", None))
    killed = 0
    for number in range(total):
        found, kills = asyncio.run(_learnt(trial.folder / "run", trial.random(number)))
        assert found == expected, f"fleet {number}: another basis after {kills} kills"
        killed += kills
        trial.progress(number + 1, total)
    return f"{killed} kills in {total} fleets, 0 differing bits"


async def _learnt(folder: Path, random: Random | None) -> tuple[bytes, int]:
    """Return what a fleet has learnt, and how often a process of it was killed."""
    one = Fleet(fleet(folder, workers=2))
    kills = 0

    async def kill(random: Random) -> None:
        nonlocal kills
        for _ in range(random.randint(1, 6)):
            await asyncio.sleep(random.uniform(*APART))
            if pid := one.supervisor.pids().get(random.choice(PROCESSES)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    kills += 1

    killing = asyncio.create_task(kill(random)) if random is not None else None
    try:
        return await one.run(), kills
    finally:
        if killing is not None:
            killing.cancel()
        shutil.rmtree(folder)


@torture(minutes=30, short=0.004)
def hostile_deltas(trial: Trial) -> str:
    """Does anything that is handed in crash a coordinator, or change what others learn?"""
    total = trial.times(50_000)
    rows, _ = mixed_sources(1500, 4)
    names = ("00", "01")
    learners = {name: OnlineInfomax() for name in (*names, "box")}
    share = learners["00"].partial_fit(rows[:500]).share(2)
    deltas = {name: one.take(share).partial_fit(rows[500:900]).delta(name) for name, one in learners.items()}
    run = trial.folder / "run"
    coordinator = Coordinator(Archive(run), names)
    coordinator.take(HandIn("00", "share", 0), share.to_bytes())
    coordinator.take(ask := Ask("box", 0, guest=True))
    coordinator.answer(ask)
    refused = 0
    for number in range(total):
        random = trial.random(number)
        name = random.choice(("00", "box"))
        record = random.choice((deltas[name], deltas[name], share))
        content = file.dumped(_spoilt(record.tree(), random))
        what: Any = "share" if isinstance(record, Shared) and random.random() < 0.8 else "delta"
        try:
            coordinator.take(HandIn(name, what, 0, guest=name == "box"), content)
        except UnfitError:
            refused += 1
        coordinator._handed.pop("00", None)  # what looks sound may be there; the shard itself is honest
        trial.progress(number + 1, total)
    taken = dict(coordinator._handed)
    for name in names:
        coordinator.take(HandIn(name, "delta", 0), deltas[name].to_bytes())
    coordinator.merge()
    if not taken:
        expected = OnlineInfomax.merge(share, [deltas[name] for name in names])
        assert coordinator.archive.content(1) == expected.to_bytes(), "others have learnt otherwise"
    Shared.load(coordinator.archive.path(1)).check("what was merged")
    return f"{total:,} records handed in, {refused:,} refused"


def _spoilt(tree: Tree, random: Random) -> Tree:
    """Return a tree in which one value, somewhere, is another one."""
    spoilt = file.copied(tree)
    at: Any = spoilt
    while True:
        key = random.choice(list(at))
        if not isinstance(at[key], dict) or not at[key] or random.random() < 0.1:
            break
        at = at[key]
    value, now = at[key], random.random()
    if now < 0.1:
        del at[key]
    elif isinstance(value, np.ndarray) and now < 0.7:
        at[key] = _other(value, random)
    else:
        value = random.choice(VALUES)
        at[key] = value if not isinstance(value, bytes) else np.frombuffer(value, np.uint8)
    return spoilt


def _other(array: np.ndarray[Any, Any], random: Random) -> np.ndarray[Any, Any]:
    """Return an array of another shape, type or with other numbers."""
    kind = random.randrange(6)
    if kind == 0:
        return np.array(np.atleast_1d(array)[..., : random.randrange(2)])
    if kind == 1:
        with np.errstate(all="ignore"):
            return np.asarray(array, random.choice(("f2", "f4", "f8", "i8", "c8", "b1", "u1")))
    if kind == 2:
        return np.array(array[None])
    changed = np.array(array)
    if changed.dtype.kind == "f" and changed.size:
        values = (np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0, -1.0, 1e-300)
        changed.reshape(-1)[random.randrange(changed.size)] = random.choice(values)
    with np.errstate(all="ignore"):
        return changed if kind < 5 else changed * random.choice((0.0, -1.0, 1e20))
