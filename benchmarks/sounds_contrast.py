"""What do the contrastive modules add on other sounds: short pieces of speech by ten speakers, and ESC-10?

Log-mel patches → infomax → halves → residual modules, one online pass in sorted order; linear probes on mean and
deviation, beside pooled MFCC (13, with deviation) and log-mel (40) of the same pieces.

librispeech_mini: ten speakers, utterances 0000-0005 streamed and probed on, 0006-0007 tested, in segments of 0.5 s.
ESC-10 (160 clips): three of the folds 1-4 streamed and probed on, the fourth tested, each in turn.

    python benchmarks/sounds_contrast.py [speech|esc10] [SEED ...]
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
# Who speaks and what sounds stay the same in an excerpt: negatives come from everywhere, and nothing is distorted.
LEVERS: dict[str, Any] = {
    "stack": "mel",
    "rows": 1024,
    "updates": 2,
    "temperature": 0.1,
    "residual": True,
    "horizon": 0.06,
    "skip": (3, 4, 4),
}
STACKS: dict[str, dict[str, Any]] = {
    "modules": {},
    "CPC end to end": {"end_to_end": True},
    "untrained": {"train": False},
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


def learn(streamed: list[Recording], recordings: list[Recording], seed: int) -> dict[str, np.ndarray]:
    """Learn from what is streamed; return the pooled vectors of the recordings by stack and level."""
    front = Front("log-mel", seed, recordings[0].rate)
    frames = [frame for recording in streamed if (frame := front.learn(recording)) is not None]
    width = frames[0].arrays["learner"].row_shape[0]
    final = list(front.features(recordings))
    vectors: dict[str, np.ndarray] = {}
    for name, settings in STACKS.items():
        options = {**LEVERS, **settings}
        train = options.pop("train", True)
        stack = Stack(width, front.rate, seed=seed, **options)
        for frame in frames:
            stack.learn(frame, train)
        pooled = [stack.levels(rows) for rows in final]
        for level in pooled[0]:
            if level != "input" or name == "modules":
                label = "input" if level == "input" else f"{name}, {level}"
                vectors[label] = np.array([vector[level] for vector in pooled])
    return vectors


def run_speech(seed: int, folder: Path) -> dict[str, Any]:
    """Return the accuracy (%) of naming the speaker of half a second."""
    streamed, pieces, described = speech(folder)
    speakers = [speaker for _, speaker, _ in described]
    tested = np.array([tested for *_, tested in described])
    vectors = {**baselines(pieces), **learn(streamed, pieces, seed)}
    return {"accuracy": {name: probe(part, speakers, ~tested, tested) for name, part in vectors.items()}}


def run_esc10(seed: int, folder: Path) -> dict[str, Any]:
    """Return the mean accuracy (%) over folds of naming the class of a clip."""
    recordings = clips(folder)
    classes = [recording.labels["class"] for recording in recordings]
    fold = np.array([int(recording.labels["fold"]) for recording in recordings])
    found: dict[str, list[float]] = {}
    for tested in (1, 2, 3, 4):
        streamed = [recording for recording, number in zip(recordings, fold, strict=True) if number != tested]
        vectors = {**baselines(recordings), **learn(streamed, recordings, seed)}
        for name, part in vectors.items():
            found.setdefault(name, []).append(probe(part, classes, fold != tested, fold == tested))
    return {"accuracy": {name: float(np.mean(values)) for name, values in found.items()}}


def main() -> None:
    """Run what is missing, then write a table for each set."""
    names = [text for text in sys.argv[1:] if not text.isdigit()] or ["speech", "esc10"]
    seeds = [int(text) for text in sys.argv[1:] if text.isdigit()] or list(SEEDS)
    folder = common.data_folder()
    titles = {"speech": "Ten speakers, half a second", "esc10": "ESC-10, four folds"}
    for name in names:
        results = Results(f"{name}_contrast")
        compute = {"speech": run_speech, "esc10": run_esc10}[name]
        for seed in seeds:
            results.run(str(seed), lambda seed=seed, compute=compute: compute(seed, folder))
        runs = list(results.runs.values())
        levels = {level: [run["accuracy"][level] for run in runs] for level in runs[0]["accuracy"]}
        rows = [{"what": level, "seeds": len(runs), "accuracy": spread(values)} for level, values in levels.items()]
        ours = levels["modules, z+c"]
        notes = [
            f"modules, z+c, minus {other}: {paired(ours, levels[other])}.\n"
            for other in ("input", "log-mel", "MFCC", "untrained, z+c", "CPC end to end, z+c")
            if len(runs) > 1
        ]
        notes.append(f"CPU of a run: {np.mean([run['cpu_s'] for run in runs]):.0f} s. {common.machine('torch')}")
        title = f"{titles[name]}: linear probes in %, mean ± deviation over seeds"
        common.write_table(f"{name}_contrast", title, rows, "\n".join(notes), results.codes())
        draw(f"{name}_contrast", titles[name], levels, "accuracy, %")


if __name__ == "__main__":
    main()
