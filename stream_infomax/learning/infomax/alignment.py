"""Alignment: means over learners of what belongs to their components, each with those that it is the same as.

Learners that have learnt apart for long may have found the same components under other numbers, or with the other sign.
Means of different components are components of nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.matching import CHANGED
from stream_infomax.settings.extras import optional

Floats = NDArray[np.floating[Any]]

# Of what is averaged: what turns round with a component; what belongs to one, in the last axis; the rest is of all.
SIGNED = ("learnt", "average", "bias")
BY_COMPONENT = (*SIGNED, "means", "density", "linear", "log_beta")


class Part(NamedTuple):
    """What one learner, or several, bring.

    Attributes
    ----------
    rows
        That it stands on.
    behind
        Rows that each component stands on, (K1,).
    rotation
        C in a whitening that is the same for all, (K0, K1).
    means
        What is to be averaged, by its name.
    """

    rows: float
    behind: Floats
    rotation: Floats
    means: Mapping[str, Floats]


class Aligned(NamedTuple):
    """Means over parts.

    Attributes
    ----------
    means
        By their names, float64.
    behind
        Rows that each component stands on, (K1,).
    cosines
        Of each part, |cosine| of its components with those of the part that stands on most rows, (K1,).
    """

    means: dict[str, Floats]
    behind: Floats
    cosines: list[Floats]


def aligned(parts: Sequence[Part]) -> Aligned:
    """Return the means over parts, weighted by rows, the components matched with those of the part with most rows.

    A component whose |cosine| with its partner is below 0.5 is another one, and does not count.
    """
    most = max(range(len(parts)), key=lambda i: parts[i].rows)
    whole = sum(part.rows for part in parts)
    behind = np.zeros(parts[0].rotation.shape[1])
    found: list[tuple[Mapping[str, Floats], Floats, float]] = []
    cosines = []
    for number, part in enumerate(parts):
        order, cosine = assigned(parts[most].rotation, part.rotation)
        counts = np.where((np.abs(cosine) >= CHANGED) | (number == most), part.behind[order], 0.0)
        behind += counts
        found.append((_turned(part.means, order, np.where(cosine < 0, -1.0, 1.0)), counts, part.rows))
        cosines.append(np.abs(cosine))
    means: dict[str, Floats] = {name: np.zeros(np.shape(mean)) for name, mean in parts[0].means.items()}
    # Of components that no rows stand behind, the learner that counts is as good as any.
    none = behind == 0
    for number, (values, counts, rows) in enumerate(found):
        share = np.where(none, number == most, counts / np.where(none, 1.0, behind))
        for name, value in values.items():
            by = share if name in BY_COMPONENT else (rows / whole if whole else 1 / len(parts))
            means[name] += by * np.asarray(value, np.float64)
    return Aligned(means, behind, cosines)


def _turned(means: Mapping[str, Floats], order: NDArray[np.intp], sign: Floats) -> dict[str, Floats]:
    """Return what belongs to components in another order, turned round where their signs are -1."""
    if np.array_equal(order, np.arange(len(order))) and np.all(sign == 1):
        return dict(means)
    turned = dict(means)
    for name in BY_COMPONENT:
        if name in means:
            turned[name] = means[name][..., order] * (sign if name in SIGNED else 1.0)
    return turned


def assigned(first: Floats, other: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return which column of C' (K0, K1) is which of C, so that the sum of |cosine| is largest, and the cosines.

    In a whitened space these are the correlations of the outputs (Kuhn 1955 for the assignment). Raises
    MissingExtraError without SciPy, unless it is plain that every column is what it was.
    """
    lengths = np.multiply.outer(np.linalg.norm(first, axis=0), np.linalg.norm(other, axis=0))
    cosines = (first.T @ other) / np.maximum(lengths, 1e-30)
    sizes = np.abs(cosines)
    own = np.diagonal(sizes)
    order = np.arange(len(own))
    # Where each is the largest of its row, no other order has a larger sum.
    if not np.all(own >= sizes.max(axis=1)):
        with optional():
            from scipy.optimize import linear_sum_assignment
        order = np.asarray(linear_sum_assignment(-sizes)[1])
    return order, np.clip(cosines[np.arange(len(order)), order], -1, 1)
