"""Denoising with a basis learnt from the other half of the same photograph (figure 7 of Huang & Zhang 2017).

Learn from all 7×7 patches of the left half of a photograph of 384 × 512 pixels; add Gaussian noise of the paper's norm,
23.48 (a deviation of 0.075), to the right half; replace every patch of it by what the basis makes of it, and average
where patches overlap. The remaining error is the norm of the difference from the clean right half.

* 14 bases as in the paper: x ≈ μ + B y. A projection on 14 dimensions; which rotation spans them makes no difference.
* 49 bases with shrinkage, which the paper doesn't have and for which the rotation matters: outputs of the filters, made
  orthonormal, are pulled towards 0 by √2 · noise variance / deviation, the best guess for a Laplace source (sparse code
  shrinkage, Hyvärinen 1999).
* Minibatch dictionary learning (scikit-learn) with 100 atoms and orthogonal matching pursuit of 1 and 2 atoms.
"""

import common  # isort: skip  # noqa: F401  (pins threads)
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import data_folder, machine, save_small, write_table
from PIL import Image

from stream_infomax.learning.infomax.estimator import OnlineInfomax
from stream_infomax.learning.infomax.matrices import polar
from stream_infomax.plots.style import bare, new_figure, panel

PICTURE = "kodim05.png"  # the one for which the paper's energy 0.975 gives the paper's 14 dimensions
HEIGHT, WIDTH = 384, 512
SIDE = 7
NOISE_NORM = 23.48
N_BASES = 14
N_ATOMS = 100
Denoiser = Callable[[np.ndarray], np.ndarray]


def halves() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clean left half, clean right half, noisy right half; grey values in 0…1."""
    picture = np.asarray(Image.open(data_folder() / "natural_images" / PICTURE), dtype=np.float64) / 255
    top, left = (picture.shape[0] - HEIGHT) // 2, (picture.shape[1] - WIDTH) // 2
    picture = picture[top : top + HEIGHT, left : left + WIDTH]
    clean = picture[:, WIDTH // 2 :]
    noise = np.random.default_rng(0).standard_normal(clean.shape)
    return picture[:, : WIDTH // 2], clean, clean + noise * NOISE_NORM / np.linalg.norm(noise)


def patches(picture: np.ndarray) -> np.ndarray:
    """All overlapping patches, shape (n, 49)."""
    return np.lib.stride_tricks.sliding_window_view(picture, (SIDE, SIDE)).reshape(-1, SIDE * SIDE)


def assemble(rows: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The picture whose pixels are the means of all patches that hold them."""
    total, count = np.zeros(shape), np.zeros(shape)
    high, wide = shape[0] - SIDE + 1, shape[1] - SIDE + 1
    values = rows.reshape(high, wide, SIDE, SIDE)
    for y in range(SIDE):
        for x in range(SIDE):
            total[y : y + high, x : x + wide] += values[:, :, y, x]
            count[y : y + high, x : x + wide] += 1
    return total / count


def projection(rows: np.ndarray) -> Denoiser:
    """Ours with 14 bases."""
    learner = OnlineInfomax(n_rank=N_BASES, random_state=0).partial_fit(rows)
    return lambda noisy: learner.inverse_transform(learner.transform(noisy))


def shrinkage(rows: np.ndarray) -> Denoiser:
    """Ours with all 49 bases, outputs pulled towards zero; orthonormal filters, so that the noise stays white."""
    learner = OnlineInfomax(random_state=0).partial_fit(rows)
    mean, filters = learner.mean_, polar(learner.components_.astype(np.float64))
    noise_variance = NOISE_NORM**2 / (HEIGHT * WIDTH / 2)
    pull = np.sqrt(2) * noise_variance / ((rows - mean) @ filters.T).std(axis=0)

    def denoise(noisy: np.ndarray) -> np.ndarray:
        y = (noisy - mean) @ filters.T
        return mean + np.sign(y) * np.maximum(np.abs(y) - pull, 0) @ filters

    return denoise


def dictionary(rows: np.ndarray, atoms: int) -> Denoiser:
    """scikit-learn's dictionary as its documentation denoises: patches standardised, codes of `atoms` atoms."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    standard = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    learner = MiniBatchDictionaryLearning(
        N_ATOMS,
        alpha=1,
        batch_size=200,
        max_iter=20,
        random_state=0,
        transform_algorithm="omp",
        transform_n_nonzero_coefs=atoms,
    ).fit(standard)

    def denoise(noisy: np.ndarray) -> np.ndarray:
        mean = noisy.mean(axis=0)
        return learner.transform(noisy - mean) @ learner.components_ + mean

    return denoise


METHODS: dict[str, Callable[[np.ndarray], Denoiser]] = {
    f"ours, {N_BASES} bases": projection,
    "ours, 49 bases, shrunk": shrinkage,
    "dictionary, 1 of 100 atoms": lambda rows: dictionary(rows, 1),
    "dictionary, 2 of 100 atoms": lambda rows: dictionary(rows, 2),
}


def draw(path: Path) -> None:
    """Measure, write the table and draw pictures with their differences."""
    learnt, clean, noisy = halves()
    order = np.random.default_rng(1).permutation(len(patches(learnt)))
    rows = patches(learnt)[order]
    shown = {"noisy": noisy}
    table = [{"method": "none (noisy)", "remaining error": f"{np.linalg.norm(noisy - clean):.2f}"}]
    for name, learn in METHODS.items():
        since = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            denoise = learn(rows)
            learning = time.process_time() - since
            shown[name] = assemble(denoise(patches(noisy)), clean.shape)
        seconds = time.process_time() - since - learning
        error = f"{np.linalg.norm(shown[name] - clean):.2f}"
        table.append(
            {
                "method": name,
                "remaining error": error,
                "learn (CPU s)": f"{learning:.2f}",
                "denoise (CPU s)": f"{seconds:.2f}",
            }
        )
    note = f"{machine('scikit-learn')}. {PICTURE}, {HEIGHT}×{WIDTH}: learnt from the left half, tested on the right."
    write_table("denoising", "Denoising: norm of what is left of the noise", table, note)
    _picture(shown, clean, path)


def _picture(shown: dict[str, np.ndarray], clean: np.ndarray, path: Path) -> None:
    side, gap = 2.3, 0.16
    detail = np.s_[20:180, 40:200]
    note = (
        "a detail of the right half of a photograph, bases learnt from its left half; below, what is left of the noise"
    )
    columns = {"clean": clean, **shown}
    figure = new_figure(len(columns) * (side + gap) + 0.5, 2 * side + 1.75, "Denoising 7×7 patches", note)
    for i, (name, picture) in enumerate(columns.items()):
        left = 0.3 + i * (side + gap)
        axes = bare(panel(figure, left, side + 0.6, side, side, name))
        axes.imshow(picture[detail], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        if name == "clean":
            continue
        axes = bare(panel(figure, left, 0.2, side, side, f"norm {np.linalg.norm(picture - clean):.2f}"))
        axes.imshow((picture - clean)[detail], cmap="RdBu_r", vmin=-0.3, vmax=0.3, interpolation="nearest")
    save_small(figure, path)
