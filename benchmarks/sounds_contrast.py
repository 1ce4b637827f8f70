"""What do the contrastive modules add on other sounds: short pieces of speech by ten speakers, and ESC-10?

Log-mel patches → infomax → halves → residual modules, one online pass in sorted order; linear probes on mean and
deviation, beside pooled MFCC (13, with deviation) and log-mel (40) of the same pieces.

librispeech_mini: ten speakers, utterances 0000-0005 streamed and probed on, 0006-0007 tested, in segments of 0.5 s.
ESC-10 (160 clips): three of the folds 1-4 streamed and probed on, the fourth tested, each in turn.

    python benchmarks/sounds_contrast.py [speech|esc10] [STACK ...] [SEED ...]
"""

import common  # isort: skip  (pins threads)
import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from contrast_common import SEEDS, Front, Recording, Results, Stack, draw, mel_of, paired, probe, spread
from scipy.fft import dct

from stream_infomax.learning.classifier.pooling import pool

PIECE = 0.5
# Who speaks stays the same in an excerpt: negatives come from everywhere, and nothing is distorted.
SPEAKERS: dict[str, Any] = {
    "stack": "mel",
    "rows": 1024,
    "updates": 2,
    "temperature": 0.1,
    "residual": True,
    "horizon": 0.06,
    "skip": (3, 4, 4),
}
# What sounds stays the same too, however loud and through whichever microphone: short excerpts, so that many are told
# from one another. Chosen on training folds (docs/tried.md).
EVENTS: dict[str, Any] = {
    "stack": "mel",
    "own": 0.0,
    "temperature": 0.1,
    "residual": True,
    "horizon": 0.12,
    "skip": (8, 8, 8),
}
REPLAY = {"replay": 16_000_000, "excerpt": 128}
KINDS = {"speech": (SPEAKERS, {}), "esc10": (EVENTS, REPLAY)}  # of each set: the stack's settings, the windows'
TITLES = {"speech": "Ten speakers, half a second", "esc10": "ESC-10, four folds"}
STACKS: dict[str, dict[str, Any]] = {
    "untrained": {"train": False},
    "modules": {},
    "CPC end to end": {"end_to_end": True},
}


def speech(folder: Path) -> tuple[list[Recording], list[Recording], list[tuple[str, str, bool]]]:
    """Return what is streamed, the pieces to probe on, and (piece, speaker, tested) of each."""
    streamed, pieces, described = [], [], []
    for path in sorted((folder / "librispeech_mini" / "multi_utterance").glob("*.flac")):
        speaker, _, utterance = path.stem.split("-")
        samples, rate = soundfile.read(path, dtype="float32")
        tested = int(utterance) >= 6
        if not tested:
            streamed.append(Recording(path.stem, samples, rate, {"speaker": speaker}))
        size = round(PIECE * rate)
        for number in range(len(samples) // size):
            piece = Recording(f"{path.stem}-{number}", samples[number * size : (number + 1) * size], rate, {})
            pieces.append(piece)
            described.append((piece.name, speaker, tested))
    return streamed, pieces, described


def clips(folder: Path) -> list[Recording]:
    """Return the clips of ESC-10 sorted by class."""
    with (folder / "esc10" / "clips.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["class"], row["file"]))
    recordings = []
    for row in rows:
        samples, rate = soundfile.read(folder / "esc10" / "audio" / row["file"], dtype="float32")
        recordings.append(Recording(row["file"], samples, rate, {"class": row["class"], "fold": row["fold"]}))
    return recordings


def baselines(recordings: list[Recording]) -> dict[str, np.ndarray]:
    """Return pooled log-mel and MFCC of each recording."""
    mel = list(mel_of(recordings))
    return {
        "log-mel": np.array([pool(rows) for rows in mel]),
        "MFCC": np.array([pool(dct(rows, norm="ortho")[:, :13]) for rows in mel]),
    }


def learn(
    name: str, streamed: list[Recording], recordings: list[Recording], kind: str, seed: int
) -> dict[str, np.ndarray]:
    """Learn from what is streamed; return the pooled vectors of the recordings by level.

    Of the stack that is not trained the levels below it are there too: its input, log-mel and MFCC.
    """
    levers, windows = KINDS[kind]
    options = {**levers, **STACKS[name]}
    trains = options.pop("train", True)
    front = Front("log-mel", seed, recordings[0].rate, **(windows if trains else {}))
    stack = None
    for recording in streamed:
        if (frame := front.learn(recording)) is None:
            continue
        if stack is None:
            width = frame.arrays["learner"].row_shape[0]
            stack = Stack(width, front.rate, seed=seed, replays="replay" in windows, **options)
        stack.learn(frame, trains)
    assert stack is not None
    pooled = [stack.levels(rows) for rows in front.features(recordings)]
    vectors = {level: np.array([vector[level] for vector in pooled]) for level in pooled[0]}
    below = {"input": vectors.pop("input")}
    above = {f"{name}, {level}": part for level, part in vectors.items()}
    return above if trains else {**baselines(recordings), **below, **above}


def run_speech(name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return the accuracy (%) of naming the speaker of half a second."""
    streamed, pieces, described = speech(folder)
    speakers = [speaker for _, speaker, _ in described]
    tested = np.array([tested for *_, tested in described])
    vectors = learn(name, streamed, pieces, "speech", seed)
    return {"accuracy": {level: probe(part, speakers, ~tested, tested) for level, part in vectors.items()}}


def run_esc10(name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return the mean accuracy (%) over folds of naming the class of a clip."""
    recordings = clips(folder)
    classes = [recording.labels["class"] for recording in recordings]
    fold = np.array([int(recording.labels["fold"]) for recording in recordings])
    found: dict[str, list[float]] = {}
    for tested in (1, 2, 3, 4):
        streamed = [recording for recording, number in zip(recordings, fold, strict=True) if number != tested]
        for level, part in learn(name, streamed, recordings, "esc10", seed).items():
            found.setdefault(level, []).append(probe(part, classes, fold != tested, fold == tested))
    return {"accuracy": {level: float(np.mean(values)) for level, values in found.items()}}


def write(kind: str, results: Results) -> None:
    """Write the table and the plot of what has been run."""
    levels: dict[str, dict[int, float]] = {}  # the accuracy of each seed
    seconds: dict[str, list[float]] = {}
    for name in STACKS:
        for seed in SEEDS:
            if run := results.runs.get(f"{name} {seed}"):
                seconds.setdefault(name, []).extend([run["cpu_s"]] if "cpu_s" in run else [])
                for level, accuracy in run["accuracy"].items():
                    levels.setdefault(level, {})[seed] = accuracy
    values = {level: list(of.values()) for level, of in levels.items()}
    rows = [{"what": level, "seeds": len(of), "accuracy": spread(of)} for level, of in values.items()]
    notes = []
    for one in ("modules, z+c", "modules, all levels"):
        for other in ("input", "log-mel", "MFCC", "untrained, z+c", "CPC end to end, z+c"):
            seeds = sorted(levels.get(one, {}).keys() & levels.get(other, {}).keys())
            if len(seeds) > 1:
                difference = paired(*([levels[level][seed] for seed in seeds] for level in (one, other)))
                notes.append(f"{one}, minus {other}: {difference}, {len(seeds)} seeds.\n")
    cpu = ", ".join(f"{name} {np.mean(of):.0f} s" for name, of in seconds.items() if of)
    notes.append(f"CPU of a run: {cpu or 'not known'}. {common.machine('torch')}")
    title = f"{TITLES[kind]}: linear probes in %, mean ± deviation over seeds"
    common.write_table(f"{kind}_contrast", title, rows, "\n".join(notes), results.codes())
    draw(f"{kind}_contrast", TITLES[kind], values, "accuracy, %")


def main() -> None:
    """Run what is missing, then write a table for each set."""
    seeds = [int(text) for text in sys.argv[1:] if text.isdigit()] or list(SEEDS)
    kinds = [kind for kind in KINDS if kind in sys.argv[1:]] or list(KINDS)
    stacks = [name for name in STACKS if name in sys.argv[1:]] or list(STACKS)
    folder = common.data_folder()
    for kind in kinds:
        results = Results(f"{kind}_contrast")
        compute = {"speech": run_speech, "esc10": run_esc10}[kind]
        for name in stacks:
            for seed in seeds:
                results.run(f"{name} {seed}", lambda name=name, seed=seed, compute=compute: compute(name, seed, folder))
        write(kind, results)


if __name__ == "__main__":
    main()
