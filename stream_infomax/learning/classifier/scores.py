"""Score: test-then-train accuracy beside that of two classifiers that look at nothing.

J. Gama, R. Sebastião, P. Rodrigues 2013; I. Žliobaitė et al. 2015.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.state.kept import Kept


class Figures(NamedTuple):
    """Shares of predictions that were right; NaN where there were none.

    Attributes
    ----------
    accuracy
        Of the classifier.
    no_change
        Of "the same label as last time".
    majority
        Of "the most frequent label so far".
    """

    accuracy: float
    no_change: float
    majority: float

    @property
    def kappa_temporal(self) -> float:
        """(p - p_no_change) / (1 - p_no_change): above 0 where the classifier beats "no change".

        On a sorted stream that is nearly always right, and accuracy alone means little. NaN where it is always right.
        """
        return (self.accuracy - self.no_change) / (1 - self.no_change) if self.no_change < 1 else math.nan


class Score(Kept):
    """The figures of a classifier: faded, of the most recent results, and of all.

    Parameters
    ----------
    fading
        Factor by which an older result counts less with every new one (Gama 2013).
    window
        Results that are recent.

    Attributes
    ----------
    labels
        How often each label has come.
    """

    kept = ("weight", "right", "totals", "labels", "last", "_hits")
    free: ClassVar = {"_hits": (0,)}

    def __init__(self, fading: float = 0.995, window: int = 200) -> None:
        self.fading = fading
        self.window = window
        # Who was right: the classifier, no change, the majority (as Figures); faded, in all, of the last results.
        self.weight = 0.0
        self.right: NDArray[np.float64] = np.zeros(3)
        self.totals: NDArray[np.int64] = np.zeros(3, np.int64)
        self._hits: NDArray[np.bool_] = np.zeros((0, 3), np.bool_)
        self.labels: Counter[str] = Counter()
        self.last = ""

    def add(self, predicted: str, label: str) -> None:
        """Take in a prediction and the label that then came."""
        majority = self.labels.most_common(1)[0][0] if self.labels else ""
        hits = np.array([predicted == label, self.last == label, majority == label])
        self.weight = self.fading * self.weight + 1
        self.right = self.fading * self.right + hits
        self.totals += hits
        self._hits = np.concatenate([self._hits[-self.window + 1 or len(self._hits) :], hits[None]])
        self.labels[label] += 1
        self.last = label

    @property
    def faded(self) -> Figures:
        """The figures with older results counting less."""
        return _figures(self.right, self.weight)

    @property
    def recent(self) -> Figures:
        """The figures of the last `n_recent` results."""
        return _figures(self._hits.sum(0), len(self._hits))

    @property
    def overall(self) -> Figures:
        """The figures of all results."""
        return _figures(self.totals, self.n)

    @property
    def n(self) -> int:
        """Results so far."""
        return self.labels.total()

    @property
    def n_recent(self) -> int:
        """Results that are recent, at most `window`."""
        return len(self._hits)

    @property
    def chance(self) -> float:
        """The share that is right by chance: one of the labels that have come, each as likely as the others."""
        return 1 / len(self.labels) if self.labels else math.nan


def _figures(hits: NDArray[Any], n: float) -> Figures:
    return Figures(*(float(hit) / n if n else math.nan for hit in hits))
