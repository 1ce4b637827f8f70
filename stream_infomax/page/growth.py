"""Growth: how far the components of a learner have moved since they were first seen, and within an hour."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.basis import Basis

Floats = npt.NDArray[np.floating[Any]]

HOUR = 3600.0
# Seconds between two bases that are kept to look back at, and the bytes that those of a learner take at most.
EVERY = 300.0
MOST_BYTES = 16 << 20
MOST_VERSIONS = 64
ARRAYS = ("mean", "components", "mixing", "beta", "bias")
# The cosine of a component with what stood in its place before, below which it is another one.
SAME = 0.5


class Moved(NamedTuple):
    """How far each component has moved; arrays of length K1.

    Attributes
    ----------
    born_version, born_offset
        The basis in which it was first as it is, and the frame from which on that held; "" and 0 where nobody knows.
    from_first
        Cosine of its filter with the one it was first seen as.
    from_hour
        The same with an hour ago, or with the oldest that is known where that is younger.
    seconds
        How long ago the basis that `from_hour` is about was.
    """

    born_version: list[str]
    born_offset: npt.NDArray[np.int64]
    from_first: npt.NDArray[np.float64]
    from_hour: npt.NDArray[np.float64]
    seconds: float


class Growth:
    """The bases of one learner as they come.

    Memory is bounded: the first filter of each component, and one basis in five minutes of the last hour.

    Attributes
    ----------
    newest
        The newest basis.
    versions
        The newest versions and the frame from which on each holds, oldest first.
    """

    def __init__(self) -> None:
        self.newest: Basis | None = None
        self.versions: deque[tuple[str, int]] = deque(maxlen=MOST_VERSIONS)
        self._first = np.zeros((0, 0), np.float32)
        self._versions: list[str] = []
        self._offsets = np.zeros(0, np.int64)
        self._before: deque[tuple[float, npt.NDArray[np.float32]]] = deque()

    @property
    def nbytes(self) -> int:
        """What the bases take that are kept."""
        own = sum(getattr(self.newest, name).nbytes for name in ARRAYS) if self.newest is not None else 0
        return own + (1 + len(self._before)) * self._first.nbytes

    def add(self, basis: Basis, when: float) -> bool:
        """Take in a basis that came at `when`, in seconds of one clock; False where it is known already."""
        if self.newest is not None and basis.version == self.newest.version:
            self.newest = basis if basis.encoder else self.newest  # one of a tap knows more
            return False
        components = np.asarray(basis.components, np.float32)
        if self.newest is None or self._first.shape != components.shape or _is_another(basis, self.newest):
            self._begin(components, basis)
        elif basis.previous == self.newest.version:  # over more than one step a component may turn any way
            new = np.flatnonzero(cosines(self.newest.components, components) < SAME)
            self._first[new] = components[new]
            self._offsets[new] = basis.offset
            for number in new:
                self._versions[number] = basis.version
        if not self._before or when - self._before[-1][0] >= EVERY:
            self._before.append((when, components.copy()))
        self._drop(when)
        self.newest = basis
        self.versions.append((basis.version, basis.offset))
        return True

    def moved(self, now: float) -> Moved:
        """Return how far its components have moved, as of `now`."""
        components = self.newest.components if self.newest is not None else self._first
        when, before = self._before[0] if self._before else (now, components)
        for other in self._before:
            if now - other[0] >= HOUR:
                when, before = other
        return Moved(
            list(self._versions),
            self._offsets.copy(),
            cosines(self._first, components),
            cosines(before, components),
            max(0.0, now - when),
        )

    def _begin(self, components: npt.NDArray[np.float32], basis: Basis) -> None:
        self._first = components.copy()
        self._versions = [basis.version] * len(components)
        self._offsets = np.full(len(components), basis.offset, np.int64)
        self._before.clear()

    def _drop(self, now: float) -> None:
        """Forget what is older than an hour but the newest of it, and what there is no room for."""
        while len(self._before) > 1 and now - self._before[1][0] >= HOUR:
            self._before.popleft()
        while len(self._before) > 2 and len(self._before) * self._first.nbytes > MOST_BYTES:
            del self._before[1]


def _is_another(basis: Basis, before: Basis) -> bool:
    """Return whether what one gives cannot be compared with the other; of bases from files nobody knows."""
    return bool(basis.encoder and before.encoder) and basis.encoder != before.encoder


def cosines(one: Floats, other: Floats) -> npt.NDArray[np.float64]:
    """Return the cosine of each row of `one` with the same row of `other`; 0 where one of them is all zeros."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    lengths = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    products = (a * b).sum(axis=1)
    result: npt.NDArray[np.float64] = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return result
