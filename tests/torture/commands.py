"""Any commands at any frames: stages that are exchanged for their states on the way come to the same bits."""

import random
from pathlib import Path
from typing import Any

import numpy as np
from helpers.ledgers import check_balanced
from msgspec.structs import replace

from stream_infomax.frames import wire
from stream_infomax.frames.basis import Basis
from stream_infomax.frames.command import Command
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.frames.ledger import Ledger
from stream_infomax.stages.classifier import ClassifierStage
from stream_infomax.stages.learner import LearnerStage
from stream_infomax.state import file as state_file
from torture.frame import Trial, torture

K, ROWS, FRAMES = 4, 40, 150
WORDS = ("one", "two")
# Of a frame: that it comes after a command, and that the stages are exchanged for their states before it.
TOLD, EXCHANGED = 0.2, 0.1


def frames(generator: random.Random) -> list[Frame]:
    """Return two streams in which everything happens: other mixings and gains, faults, gaps, segments, late labels."""
    rng = np.random.default_rng(generator.randrange(2**32))
    mixing, made, offset = rng.standard_normal((K, K)), [], 0
    for number in range(FRAMES):
        if generator.random() < 0.02:
            mixing = mixing * rng.choice([1.0, 30.0]) if generator.random() < 0.5 else rng.standard_normal((K, K))
        rows = rng.laplace(size=(generator.randrange(1, 2 * ROWS), K)) @ mixing.T
        if generator.random() < 0.05:
            rows[:] = generator.choice([0.0, np.nan, 1e30])
        stream, segment = "ab"[number // 3 % 2], str(number // 6)
        last, labels = number % 3 == 2, {"word": generator.choice(WORDS)}
        array = {"x": Array(rows.astype(np.float32), ("time", "channel"))}
        late = last and generator.random() < 0.5
        made.append(Frame(stream, offset, segment, array, last=last, labels={} if late else labels))
        if late:
            made.append(Frame(stream, offset + 1, segment, labels=labels))
        offset = made[-1].offset + 1 + (generator.random() < 0.02)
    return made


def pipeline(generator: random.Random) -> Pipeline:
    """Return a learner of some kind, and a classifier of its features."""
    settings: dict[str, Any] = {
        "block": generator.choice([16, 64]),
        "adapt": generator.choice(["fixed", "follow", "hold"]),
        "share": generator.choice(["all", "stream"]),
        "memory": generator.choice(["0 B", "20 kB", "1 MB"]),
    }
    settings |= generator.choice([{}, {"n_rank": 3}, {"n_components": 7, "overcomplete": True}])
    return Pipeline([LearnerStage("learner", "x", **settings), ClassifierStage("names", "learner", target="word")])


def wanted(generator: random.Random, known: list[Basis]) -> tuple[Command, Basis | None]:
    """Return a command, and what an undo goes back to: any basis so far, or one that is none of the learner's."""
    action = generator.choice(["pause", "resume", "resume", "hold", "undo", "undo"])
    basis = generator.choice(known) if known and generator.random() < 0.9 else None
    if basis is not None and generator.random() < 0.1:
        basis = replace(basis, mean=np.full(K, np.nan)) if generator.random() < 0.5 else replace(basis, stream="no")
    return Command(
        id="1", action=action, stage=generator.choice(["", "", "names"])
    ), basis if action == "undo" else None


def driven(generator: random.Random, seed: str, exchange: Path | None) -> tuple[list[list[bytes]], Any]:
    """Return what stages make of frames and commands; they are exchanged for their states where a file is given."""
    stages = pipeline(random.Random(seed))
    ledger, told, known = Ledger("service", stages.stages, []), random.Random(seed + "told"), list[Basis]()
    made = []
    for frame in frames(random.Random(seed + "frames")):
        if told.random() < TOLD:
            command, basis = wanted(told, known)
            stages.command(command, basis)
        if exchange is not None and generator.random() < EXCHANGED:
            state_file.save(exchange, stages.state())
            kept, stages = ledger.balances(), pipeline(random.Random(seed))
            stages.restore(state_file.load(exchange))
            ledger = Ledger("service", stages.stages, [])
            ledger.restore(kept)
        out = stages.process(frame)
        made.append(wire.encode(out))
        known = [*known, *stages.bases()][-30:]
        check_balanced(ledger.balances()[1:])
    return made, (stages.counts(), stages.events(), [replace(one, in_flight={}) for one in ledger.balances()[1:]])


@torture(minutes=30, short=0.002)
def any_commands(trial: Trial) -> str:
    """Do stages that were told anything at any frame go on from any state with the same bits, and lose no row?"""
    total = trial.times(1000)
    for number in range(total):
        seed = f"{trial.seed} {number}"
        whole, end = driven(trial.random(number), seed, None)
        exchanged, other = driven(trial.random(number), seed, trial.folder / "state")
        different = [place for place, (a, b) in enumerate(zip(whole, exchanged, strict=True)) if a != b]
        assert not different, f"seed {seed!r}: frame {different[0]} differs"
        assert end == other, f"seed {seed!r}: counts, events or the ledger differ"
        trial.progress(number + 1, total)
    return f"{total} streams of {FRAMES} frames and some {round(TOLD * FRAMES)} commands: no bit differs"
