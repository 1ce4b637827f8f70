"""How far the features that two runs have kept agree, array by array, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_infomax.frames.frame import Array, Frame
from stream_infomax.sinks.store import FrameStore, holds_frames

Values = NDArray[np.float64]


class Agreement:
    """Two arrays of one name, compared row by row as the frames come.

    Attributes
    ----------
    rows
        That were compared: both have columns, and as many.
    same
        Of these, how many have the same bits.
    unlike
        Frames whose rows cannot be compared: another width or another number of them.
    first
        Offset of the first frame that differs; -1 where none does.
    """

    def __init__(self) -> None:
        self.rows = self.same = self.unlike = 0
        self.first = -1
        # Of the rows that are finite in both: how many, and the running means and second moments of x, y and xy.
        self._n = 0
        self._means: Values = np.zeros((2, 0))
        self._moments: Values = np.zeros((3, 0))

    def add(self, one: Array, other: Array, offset: int) -> None:
        """Compare the array in two frames of the same offset."""
        if one.row_shape != other.row_shape or one.n_rows != other.n_rows:
            self.unlike += 1
            self._differ(offset)
            return
        if 0 in one.row_shape:  # before a learner's first basis
            return
        x, y = one.rows(), other.rows()
        equal = ((x == y) | (np.isnan(x) & np.isnan(y))).all(1)
        self.rows += len(equal)
        self.same += int(equal.sum())
        if not equal.all():
            self._differ(offset)
        finite = np.isfinite(x).all(1) & np.isfinite(y).all(1)
        self._update(x[finite].astype(np.float64), y[finite].astype(np.float64))

    @property
    def correlations(self) -> Values:
        """The correlation of each column (columns,), from the first frame on that differs; of all where none does.

        NaN for a column that does not vary; empty where none was compared.
        """
        xx, yy, xy = self._moments
        scale = np.sqrt(xx * yy)
        found: Values = np.divide(xy, scale, out=np.full(xy.shape, np.nan), where=scale > 0)
        return found

    def _differ(self, offset: int) -> None:
        if self.first < 0:
            self.first = offset
            self._n = 0
            self._means, self._moments = np.zeros((2, 0)), np.zeros((3, 0))

    def _update(self, x: Values, y: Values) -> None:
        if len(x) == 0:
            return
        if self._means.shape[1] != x.shape[1]:  # the first, or a width that was settled meanwhile
            self._n, self._means, self._moments = 0, np.zeros((2, x.shape[1])), np.zeros((3, x.shape[1]))
        n = self._n + len(x)
        means = np.stack([x.mean(0), y.mean(0)])
        dx, dy = x - means[0], y - means[1]
        shift = means - self._means
        between = self._n * len(x) / n
        own = np.stack([(dx * dx).sum(0), (dy * dy).sum(0), (dx * dy).sum(0)])
        self._moments = self._moments + own + between * np.stack([shift[0] ** 2, shift[1] ** 2, shift[0] * shift[1]])
        self._means = self._means + shift * (len(x) / n)
        self._n = n


def agreements(one: Path, other: Path) -> dict[str, Agreement]:
    """Return, by the name of each array that both have, how far what two recorders have kept agrees.

    Parameters
    ----------
    one, other
        Folders of recorders.
    """
    found: dict[str, Agreement] = {}
    if not (holds_frames(one) and holds_frames(other)):
        return found
    for mine, its in _together(FrameStore(one).frames(), FrameStore(other).frames()):
        for name in mine.arrays.keys() & its.arrays.keys():
            found.setdefault(name, Agreement()).add(mine.arrays[name], its.arrays[name], mine.offset)
    return dict(sorted(found.items()))


def _together(one: Iterator[Frame], other: Iterator[Frame]) -> Iterator[tuple[Frame, Frame]]:
    """Yield the frames of the same offset; both come in the order of their offsets."""
    mine, its = next(one, None), next(other, None)
    while mine is not None and its is not None:
        if mine.offset == its.offset:
            yield mine, its
            mine, its = next(one, None), next(other, None)
        elif mine.offset < its.offset:
            mine = next(one, None)
        else:
            its = next(other, None)
