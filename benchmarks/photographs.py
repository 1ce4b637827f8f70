"""Patches of natural_images with whole pictures held out, and the measures by which a basis of them is judged."""

import common  # isort: skip  # noqa: F401  (pins threads)
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from common import data_folder
from PIL import Image

from stream_infomax.learning.infomax.matrices import polar
from stream_infomax.learning.infomax.neurons import minus_log_density, start_beta
from stream_infomax.learning.measures.information import coefficient_entropy, conditional_entropy

HELD_OUT = 4
SIDE = 12
TRAIN_ROWS, HELD_OUT_ROWS = 100_000, 20_000


@cache
def pictures() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Grey values in 0…1 of the pictures to learn from and of the last four, by name, which are held out."""
    files = sorted((data_folder() / "natural_images").glob("*.png"))
    loaded = [_grey(file) for file in files]
    return loaded[:-HELD_OUT], loaded[-HELD_OUT:]


def _grey(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file), dtype=np.float32) / 255


def random_patches(images: list[np.ndarray], rows: int, side: int, seed: int) -> np.ndarray:
    """Draw patches, shape (rows, side²), float32: picture and place are uniform."""
    rng = np.random.default_rng(seed)
    out = np.empty((rows, side, side), np.float32)
    which = rng.integers(len(images), size=rows)
    places = rng.random((rows, 2))
    for i, image in enumerate(images):
        views = np.lib.stride_tricks.sliding_window_view(image, (side, side))
        rows_here = np.flatnonzero(which == i)
        y, x = (places[rows_here] * views.shape[:2]).astype(int).T
        out[rows_here] = views[y, x]
    return out.reshape(rows, side * side)


@dataclass
class Whitening:
    """Mean and the map V to whitened space by the training rows' covariance, x̂ = (x - μ) V; full rank."""

    mean: np.ndarray
    forward: np.ndarray
    backward: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray) -> "Whitening":
        """Whitening by the mean and covariance of X (n, K)."""
        mean = X.mean(axis=0, dtype=np.float64)
        centred = X - mean.astype(np.float32)
        values, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64) / len(X))
        return cls(mean, vectors / np.sqrt(values), vectors * np.sqrt(values))

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Whitened rows, float32."""
        return (X - self.mean.astype(np.float32)) @ self.forward.astype(np.float32)

    def rotation(self, filters: np.ndarray) -> np.ndarray:
        """The nearest rotation C to filters (K, K1) that are applied to x - μ."""
        return polar(self.backward.T @ filters)


def judge(C: np.ndarray, X: np.ndarray) -> dict[str, float]:
    """Q (nats), coefficient entropy (bits), conditional entropy (nats) of the rotation nearest to C on whitened X."""
    C = polar(C.astype(np.float64)).astype(np.float32)
    Y = X @ C
    beta = start_beta(C.shape[1], C.shape[0])
    return {
        "Q": float(minus_log_density(Y, np.float32(beta)).sum(axis=1, dtype=np.float64).mean()),
        "entropy": coefficient_entropy(Y),
        "conditional": conditional_entropy(C, Y),
    }
