"""What tests of the learner share: mixed sources, how far they are unmixed, and where two states differ."""

import numpy as np

from stream_infomax.state.pages import Paged


def mixed_sources(n, k, seed=0, kind="laplace"):
    rng = np.random.default_rng(seed)
    sources = rng.laplace(size=(n, k)) if kind == "laplace" else rng.uniform(-1, 1, size=(n, k))
    mixing = rng.standard_normal((k, k))
    return sources @ mixing.T + rng.standard_normal(k), mixing


def amari(product):
    """Amari distance of a matrix from a scaled permutation, 0 where it is one (Amari, Cichocki & Yang 1996)."""
    a = np.abs(product)
    k = len(a)
    rows = (a.sum(1) / a.max(1) - 1).sum()
    columns = (a.sum(0) / a.max(0) - 1).sum()
    return (rows + columns) / (2 * k * (k - 1))


def same(left, right):
    """The first path where two states differ, or None."""
    assert left.keys() == right.keys()
    for name in left:
        if isinstance(left[name], dict):
            inner = same(left[name], right[name])
            if inner:
                return f"{name}/{inner}"
        elif isinstance(left[name], Paged | np.ndarray):
            if left[name].dtype != right[name].dtype or not np.array_equal(left[name], right[name], equal_nan=True):
                return name
        elif left[name] != right[name] and not (left[name] != left[name] and right[name] != right[name]):  # two NaN
            return name
    return None
