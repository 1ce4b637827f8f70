"""What an object that holds state is, at a moment of its life; held_learning.py and held_running.py have them.

Everything there can be sent to another process: a copy goes on there.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_IMAGES = importlib.util.find_spec("PIL") is not None and importlib.util.find_spec("skimage") is not None
HAS_MEL = importlib.util.find_spec("kaldi_native_fbank") is not None
HAS_MCAP = importlib.util.find_spec("mcap") is not None
HAS_XDF = importlib.util.find_spec("pyxdf") is not None
HAS_VIDEO = importlib.util.find_spec("av") is not None
PIECES = 12


class Held(NamedTuple):
    """One object at one moment.

    Attributes
    ----------
    make
        Gives the object at its beginning.
    feed
        Gives the object piece number i of its data, and returns what it makes of that, as arrays.
    before
        Pieces until the moment.
    """

    make: Callable[[], Any]
    feed: Callable[[Any, int], list[np.ndarray]]
    before: int = 5


def go_on(one: Any, feed: Callable[[Any, int], list[np.ndarray]], first: int, n: int = PIECES) -> list[np.ndarray]:
    """Return what an object makes of the pieces from number `first` on."""
    return [made for i in range(first, first + n) for made in feed(one, i)]


def rows_of(i: int, n: int, width: int = 6, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng([seed, i])
    mixing = np.random.default_rng(seed).standard_normal((width, width))
    return (generator.laplace(size=(n, width)) @ mixing + 3).astype(np.float32)
