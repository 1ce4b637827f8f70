"""Whole files with wrong trees: whatever is restored from a state of another type says so in one sentence."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
from helpers.held import Held
from helpers.held_learning import LEARNING
from helpers.held_running import RUNNING

from stream_infomax.state import file as state_file
from stream_infomax.state.error import fitting
from torture.frame import Trial, torture
from torture.mutations import VALUES, replaced

# Arrays that are none of those that a state holds.
ARRAYS = (
    *(np.zeros(0), np.zeros((3, 0), np.float32), np.zeros((2, 2, 2)), np.full((6, 6), np.nan), np.array(7)),
    *(np.array([True]), np.arange(5), np.full(6, -1), np.full((4, 6), 1e300), np.array([2**62, 1])),
)
WRONG = (*(value for value in VALUES if not isinstance(value, bytes)), *ARRAYS, 10**30, "float32", "nan", -(10**9))
# Seconds that it may take to restore a state, and to go on from it.
LONGEST = 30.0
# Pieces of data that an object gets which has taken a wrong state over.
PIECES = 3


def restored(held: Held, state: Any, trial: Trial) -> str:
    """Restore an object from a file with this state and let it go on; return which error names it, empty for none."""
    path = trial.folder / "state"
    state_file.save(path, {"state": state})
    one = held.make()
    try:
        with fitting("the state"):
            one.restore(state_file.load(path)["state"])
    except ValueError as error:
        assert "the state" in str(error)
        return "refused"
    try:
        for number in range(held.before, held.before + PIECES):
            held.feed(one, number)
    except (ValueError, StopIteration):  # or it has no such frame any more
        return "refused later"
    return ""


def tried(trial: Trial, name: str, held: Held, total: int) -> Counter[str]:
    """Restore an object from so many wrong states."""
    generator = trial.random(name)
    one = held.make()
    for number in range(held.before):
        held.feed(one, number)
    state = one.state()
    found: Counter[str] = Counter()
    for number in range(total):
        wrong: Any = replaced(generator, state, WRONG)
        begin = time.monotonic()
        try:
            with np.errstate(all="ignore"):
                found[restored(held, wrong, trial)] += 1
        except Exception as error:
            raise AssertionError(f"{name}, state {number} ({difference(state, wrong)}): {error!r}") from error
        assert time.monotonic() - begin < LONGEST, f"{name}, state {number} ({difference(state, wrong)}): too long"
    return found


def difference(right: Any, wrong: Any, path: str = "") -> str:
    """Return where two trees differ, and what is there in the wrong one."""
    if isinstance(right, dict) and isinstance(wrong, dict):
        for key in right.keys() | wrong.keys():
            if key not in wrong or key not in right:
                return f"{path}/{key} is {'missing' if key not in wrong else 'new'}"
            if right[key] is not wrong[key] and (found := difference(right[key], wrong[key], f"{path}/{key}")):
                return found
        return ""
    if isinstance(right, list) and isinstance(wrong, list) and len(right) == len(wrong):
        pairs = enumerate(zip(right, wrong, strict=True))
        return next((found for i, (a, b) in pairs if a is not b and (found := difference(a, b, f"{path}/{i}"))), "")
    return f"{path} is {wrong!r:.80}" if right is not wrong else ""


@torture(minutes=60)
def fuzz_of_states(trial: Trial) -> str:
    """Does one of 100,000 saved states with a wrong tree lead to anything but an error in one sentence?"""
    objects = {**RUNNING, **LEARNING}
    objects = {name: held for name, held in objects.items() if hasattr(held.make(), "restore")}
    each = trial.times(100_000 // len(objects), least=1)
    found: Counter[str] = Counter()
    for number, (name, held) in enumerate(objects.items()):
        found += tried(trial, name, held, each)
        trial.progress(number + 1, len(objects))
    taken = found.pop("", 0)
    said = ", ".join(f"{count:,} {how}" for how, count in found.items())
    return f"{taken + found.total():,} states of {len(objects)} kinds of objects: {said}, {taken:,} taken over"
