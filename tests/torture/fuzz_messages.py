"""Mutated messages against everything that reads messages: nothing crashes, hangs or grows, and all is counted."""

from __future__ import annotations

import gc
import importlib.util
import re
import resource
import subprocess
import sys
import time
from collections import Counter

import hypothesis
import msgspec
from hypothesis import strategies as st

from torture.decoders import Target, targets
from torture.frame import Trial, need, torture
from torture.mutations import Parts, mutated

# Seconds that a message may take, on a machine that does other things too.
LONGEST = 5.0
# MiB by which the process may grow over all messages of a decoder but the first tenth.
GROWTH = 64


def resident() -> float:
    """Return how much memory this process has had at most, in MiB."""
    gc.collect()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fuzzed(trial: Trial, target: Target, total: int) -> Counter[str]:
    """Give a decoder its seeds, then so many mutated messages; return how many were refused, by reason."""
    generator = trial.random(target.name)
    reasons: Counter[str] = Counter()
    for seed in target.seeds:
        target.feed(list(seed))
    before = 0.0
    for number in range(total):
        message = mutated(generator, target.seeds)
        begin = time.monotonic()
        try:
            reasons[target.feed(list(message))] += 1
        except Exception as error:
            raise AssertionError(f"{target.name}, message {number} ({message!r:.300}): {error!r}") from error
        seconds = time.monotonic() - begin
        assert seconds < LONGEST, f"{target.name}, message {number} ({message!r:.300}): {seconds:.1f} s"
        if number == total // 10:
            before = resident()
    grown = resident() - before
    assert grown < GROWTH, f"{target.name}: grew by {grown:.0f} MiB over {total} messages"
    return reasons


@torture(minutes=60, short=0.0003)
def fuzz_of_messages(trial: Trial) -> str:
    """Do 1,000,000 mutated messages crash, stop or grow one of the decoders, or is one of them not counted?"""
    found = targets(trial.folder)
    each = trial.times(1_000_000 // len(found), least=20)
    reasons: Counter[str] = Counter()
    for number, target in enumerate(found):
        try:
            reasons += fuzzed(trial, target, each)
        finally:
            target.close()
        trial.progress(number + 1, len(found))
    accepted = reasons.pop("", 0)
    total = accepted + reasons.total()
    said = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common(6))
    return f"{total:,} messages to {len(found)} decoders, {accepted:,} accepted; refused: {said}, …"


@torture(minutes=60)
def fuzz_by_coverage(trial: Trial) -> str:
    """Does a message that atheris finds, by what it reaches in the code, crash, stop or grow one of the decoders?"""
    need(importlib.util.find_spec("atheris"), "the package atheris")
    names = [target.name for target in targets(trial.folder) if target.close() is None]
    runs = trial.times(1_000_000 // len(names), least=1000)
    total = reached = 0
    for number, name in enumerate(names):
        folder = trial.folder / str(number)
        folder.mkdir()
        command = [sys.executable, "-m", "torture.coverage", name, str(runs), str(trial.seed), str(folder)]
        told = subprocess.run(command, capture_output=True, text=True, errors="replace")
        last = "\n".join(told.stderr.splitlines()[-40:])
        assert told.returncode == 0, f"{name}: {last}"
        (done,) = re.findall(r"Done (\d+) runs", told.stderr)
        total += int(done)
        reached += int((re.findall(r"cov: (\d+)", told.stderr) or ["0"])[-1])
        trial.progress(number + 1, len(names))
    return f"{total:,} messages to {len(names)} decoders, {reached:,} branches of the code reached"


def trees() -> st.SearchStrategy[object]:
    """Return maps, lists and values of all kinds, some of them under keys that are expected."""
    keys = st.sampled_from(("version", "stream", "arrays", "name", "shape", "axes", "dtype", "kind", "log", "labels"))
    plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
    return st.recursive(
        plain, lambda of: st.lists(of, max_size=9) | st.dictionaries(keys | st.text(), of, max_size=9), max_leaves=30
    )


def messages() -> st.SearchStrategy[Parts]:
    """Return messages."""
    part = st.binary(max_size=300) | trees().map(msgspec.msgpack.encode)
    return st.lists(part, max_size=4)


def explored(target: Target, how: hypothesis.settings, seed: int) -> None:
    """Give a decoder what hypothesis makes up."""

    def feed(parts: Parts) -> None:
        target.feed(parts)

    hypothesis.seed(seed)(how(hypothesis.given(messages())(feed)))()


@torture(minutes=60, short=0.001)
def fuzz_by_hypothesis(trial: Trial) -> str:
    """Does a message of any tree, as hypothesis makes them up, crash one of the decoders?"""
    found = targets(trial.folder)
    each = trial.times(100_000 // len(found), least=10)
    quiet = hypothesis.settings(
        max_examples=each, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    for number, target in enumerate(found):
        explored(target, quiet, trial.seed)
        target.close()
        trial.progress(number + 1, len(found))
    return f"{each * len(found):,} messages to {len(found)} decoders"
