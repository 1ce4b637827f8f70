"""The difference of two classifiers that were tested on the same things, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.settings.extras import optional

with optional():
    from scipy.special import stdtrit


class Paired(NamedTuple):
    """A difference and where it lies with 95 %; the bounds are NaN where one group alone was tested."""

    difference: float
    low: float
    high: float


def paired(one: NDArray[Any], other: NDArray[Any], groups: Sequence[str]) -> Paired:
    """Return by how much the mean of `one` is above that of `other`, with its 95 % interval.

    What was tested together counts as one observation: a speaker who is hard to understand is hard for both, in all
    that is said. The interval is Student's t over the groups, each with the weight of its size; for groups of one size
    that is the paired t interval.

    Parameters
    ----------
    one, other
        What each scored on the same things, (n,).
    groups
        Which group each thing belongs to, (n,).
    """
    of_group = np.unique(np.asarray(groups), return_inverse=True)[1]
    gained = np.bincount(of_group, np.asarray(one, float) - np.asarray(other, float))
    sizes = np.bincount(of_group)
    n = len(sizes)
    difference = float(gained.sum() / sizes.sum())
    if n < 2:
        return Paired(difference, float("nan"), float("nan"))
    error = np.sqrt(n / (n - 1) * ((gained - sizes * difference) ** 2).sum()) / sizes.sum()
    half = float(stdtrit(n - 1, 0.975) * error)
    return Paired(difference, difference - half, difference + half)
