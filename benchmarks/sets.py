"""The eight kinds of data on which the learner is tried with the same settings: rows to learn from, rows held out.

30,000 rows in the stream's own order (patches shuffled, signals in time) and 8,000 held out, or what there is. Held out
are whole pictures, other recordings, utterances and folds, and the end of each run of an EEG.
"""

import common  # isort: skip  # noqa: F401  (pins threads)
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from common import data_folder
from photographs import pictures, random_patches

ROWS, HELD_OUT, WINDOW = 30_000, 8_000, 64
# Rows to learn from, and stretches of held-out rows that are judged each by themselves.
Split = tuple[np.ndarray, list[np.ndarray]]


def photographs() -> Split:
    """8×8 patches; the last four pictures are held out."""
    training, others = pictures()
    return random_patches(training, ROWS, 8, 0), [random_patches(others, HELD_OUT, 8, 1)]


def mnist() -> Split:
    """8×8 patches from the middle of digits; the images from 50,000 on are held out."""
    with np.load(data_folder() / "mnist" / "mnist_train.npz") as file:
        images = file["images"][:, 10:18, 10:18].astype(np.float32).reshape(-1, 64) / 255
    return images[:ROWS], [images[50_000 : 50_000 + HELD_OUT]]


def windows(files: list[Path], rows: int, longest: int, seed: int) -> np.ndarray:
    """Windows of 64 samples without overlap: recordings in a seeded order, of each a stretch of at most so many."""
    import soundfile

    rng, found = np.random.default_rng(seed), []
    for i in rng.permutation(len(files)):
        samples = soundfile.read(files[i], dtype="float32")[0]
        cut = samples[: len(samples) // WINDOW * WINDOW].reshape(-1, WINDOW)
        first = rng.integers(max(1, len(cut) - longest))
        found.append(cut[first : first + longest])
        if sum(map(len, found)) >= rows:
            break
    return np.concatenate(found)[:rows]


def audio(is_held_out: Callable[[str], bool], longest: int, *parts: str) -> Split:
    """Windows of the recordings in a folder; those whose name says so are held out."""
    files = sorted(data_folder().joinpath(*parts).rglob("*.[fw][la][av]*"))
    learnt = [file for file in files if not is_held_out(file.stem)]
    others = [file for file in files if is_held_out(file.stem)]
    return windows(learnt, ROWS, longest, 0), [windows(others, HELD_OUT, longest, 1)]


def fsdd_mel() -> Split:
    """Patches of three log-mel frames, recordings in a seeded order; the indices from 45 on are held out."""
    from fsdd_features import patches

    found = patches(3, False, 3)
    names = np.random.default_rng(0).permutation(sorted(found))
    late = np.array([_index(Path(name).stem) >= 45 for name in names])
    rows, others = (np.concatenate([found[name] for name in part]) for part in (names[~late], names[late]))
    finite = [part[np.isfinite(part).all(axis=1)] for part in (rows, others)]
    return finite[0][:ROWS], [finite[1][:HELD_OUT]]


def _index(name: str) -> int:
    return int(name.rpartition("_")[2])


def eeg() -> Split:
    """64 channels, microvolts, runs in turn; the last fifth of each is held out, and judged by itself."""
    early, late = [], []
    for file in sorted((data_folder() / "eeg_motor").glob("*.npz")):
        with np.load(file) as run:
            data = run["data"].T.astype(np.float32)
        early.append(data[: len(data) * 4 // 5])
        late.append(data[len(data) * 4 // 5 :])
    return np.concatenate(early), late


def known() -> Split:
    """Sixteen Laplace and sixteen uniform sources, mixed."""
    rng = np.random.default_rng(0)
    n = ROWS + HELD_OUT
    sources = np.concatenate([rng.laplace(size=(n, 16)), rng.uniform(-2, 2, size=(n, 16))], axis=1)
    rows = (sources @ known_mixing().T).astype(np.float32)
    return rows[:ROWS], [rows[ROWS:]]


def known_mixing() -> np.ndarray:
    """How the known sources are mixed: (32 channels, 32 sources)."""
    return np.random.default_rng(5).standard_normal((32, 32))


SETS: dict[str, Callable[[], Split]] = {
    "photographs": photographs,
    "MNIST": mnist,
    "FSDD, waveform": lambda: audio(lambda name: _index(name) >= 45, 100, "fsdd", "recordings"),
    "FSDD, log-mel": fsdd_mel,
    "ESC-10": lambda: audio(lambda name: "_4-" in name, 250, "esc10", "audio"),
    "LibriSpeech": lambda: audio(lambda name: name[-1] in "67", 500, "librispeech_mini", "multi_utterance"),
    "EEG": eeg,
    "known, half sub-Gaussian": known,
}
# Signals without anything at high frequencies, and digits on an even ground, are not of full rank.
ENERGY = {"FSDD, waveform": 0.999, "ESC-10": 0.999, "LibriSpeech": 0.999, "MNIST": 0.999}


@cache
def split(name: str) -> Split:
    """Rows to learn from, and stretches held out."""
    return SETS[name]()
