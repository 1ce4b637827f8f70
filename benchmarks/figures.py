"""The paper's pictures again: figures 2, 4, 5 and 7 of Huang & Zhang 2017, written to docs/figures/.

    python benchmarks/figures.py [complete] [overcomplete] [digits] [denoising]

complete      144 filters and bases of 12×12 patches of photographs, one pass over 10⁵ of them (figure 2)
overcomplete  1024 filters and bases of the same, rank 82 (figure 4)
digits        1024 filters and bases of MNIST, rank by energy 0.98 (figure 5)
denoising     7×7 patches, 14 bases, learnt from the left half of a photograph; the right half with noise, beside
              dictionary learning with orthogonal matching pursuit of 1 and 2 atoms (figure 7)
"""

import common  # isort: skip  # noqa: F401  (pins threads)
import argparse
import time
from pathlib import Path

import numpy as np
from common import data_folder, save_small
from photographs import SIDE, TRAIN_ROWS, pictures, random_patches

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.plots import components

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
FRAME = 256


def stream(learner: OnlineInfomax, rows: np.ndarray, passes: int = 1) -> OnlineInfomax:
    """Let the learner see the rows in frames, and say how long it took."""
    since = time.process_time()
    for _ in range(passes):
        for first in range(0, len(rows), FRAME):
            learner.partial_fit(rows[first : first + FRAME])
    seconds = time.process_time() - since
    print(f"{passes * len(rows)} rows in {seconds:.1f} CPU s: {learner.n_rank_} → {learner.n_components_}")
    return learner


def mosaic(learner: OnlineInfomax, side: int, name: str, title: str, note: str, every: int = 1) -> None:
    """Draw every so-many-th filter and basis vector of square patches."""
    figure = components(learner.components_[::every], learner.mixing_[:, ::every], ("y", "x"), (side, side))
    figure.texts[0].set_text(title)
    figure.texts[1].set_text(f"{note}; from low to high frequency, each scaled to itself")
    save_small(figure, FIGURES / name)


def complete() -> None:
    """Figure 2."""
    rows = random_patches(pictures()[0], TRAIN_ROWS, SIDE, seed=0)
    note = "144 filters of 12 × 12 pixels, full rank, one pass over 100,000 patches"
    mosaic(stream(OnlineInfomax(), rows), SIDE, "complete.png", "Complete basis of photographs", note)


def overcomplete() -> None:
    """Figure 4."""
    rows = random_patches(pictures()[0], TRAIN_ROWS, SIDE, seed=0)
    rows -= rows.mean(axis=1, keepdims=True)
    note = "1024 filters of 12 × 12 pixels, patch means removed, rank 82, one pass over 100,000 patches"
    learner = stream(OnlineInfomax(1024, overcomplete=True, n_rank=82), rows)
    mosaic(learner, SIDE, "overcomplete.png", "Overcomplete basis of photographs", note)


def digits() -> None:
    """Figure 5."""
    with np.load(data_folder() / "mnist" / "mnist_train.npz") as file:
        rows = file["images"].reshape(-1, 28 * 28).astype(np.float32) / 255
    learner = stream(OnlineInfomax(1024, overcomplete=True, energy=0.98), rows)
    rank = f"rank {learner.n_rank_} (energy 0.98)"
    note = f"every fourth of 1024 filters of 28 × 28 pixels, {rank}, one pass over 60,000 digits"
    mosaic(learner, 28, "digits.png", "Overcomplete basis of handwritten digits", note, every=4)


def denoising() -> None:
    """Figure 7."""
    from denoising import draw

    draw(FIGURES / "denoising.png")


DRAWN = {"complete": complete, "overcomplete": overcomplete, "digits": digits, "denoising": denoising}


def main() -> None:
    """Draw what is named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *DRAWN], help=", ".join(DRAWN))
    for name in parser.parse_args().names or DRAWN:
        DRAWN[name]()


if __name__ == "__main__":
    main()
