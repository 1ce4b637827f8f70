"""Thinning: which frames a learner learns from where learning takes more time than there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stream_infomax.frames.event import Event
from stream_infomax.state.kept import Kept, within

# One frame in n is learnt from, n a power of two up to this: so what learning costs stays known.
SPARSEST = 64
# Seconds and frames between two decisions, at least; what was measured before one counts half as much after it.
SECONDS, FRAMES, FADE = 0.5, 8, 0.5
# More is learnt from only where it takes no more than this share of the time that there is. A stage keeps up that rests
# for more than the other share.
ROOM, RESTED = 0.8, 0.05
# Decisions after which more frames, once learnt from again, are taken to be no burden; and the most to wait for before
# the next attempt where they were one.
SURE, PATIENCE = 2, 16
# Changes that are kept, and how many of them are shown as events.
KEPT, SHOWN = 65_536, 64
# 2^64 divided by the golden ratio: multiples of it lie evenly among the numbers of 64 bits.
GOLDEN = 0x9E3779B97F4A7C15


def is_learnt(offset: int, one_in: int) -> bool:
    """Return whether the frame of an offset is learnt from where one in so many is.

    Those of a share are among those of every larger one, and as many in each of several streams that take turns.

    Examples
    --------
    >>> [offset for offset in range(30) if is_learnt(offset, 4)]
    [0, 2, 5, 10, 13, 18, 23, 26]
    """
    return (offset * GOLDEN % 2**64) * one_in < 2**64


class Thinning(Kept):
    """Keeps the mean time that a stage takes for a frame below a budget: it learns from a share of the frames.

    Where no frame waits there is more time, and that is used as well. A change of the share is made at a frame, and
    kept with its offset: with the same changes the same frames are learnt from, whatever a clock says then. What the
    clock said is no part of the state.

    Parameters
    ----------
    stage
        Name of the stage.
    budget_ms
        Milliseconds of a frame; 0 for as many as it takes.
    clock
        Returns seconds.

    Attributes
    ----------
    one_in
        Of so many frames one is learnt from.
    """

    kept: ClassVar[tuple[str, ...]] = ("_changes", "_n_changes")
    free: ClassVar[Mapping[str, tuple[int, ...]]] = {"_changes": (0,)}

    def __init__(self, stage: str, budget_ms: float = 0.0, clock: Callable[[], float] = time.perf_counter) -> None:
        self.stage = stage
        self.budget = budget_ms / 1000
        self.one_in = 1
        # Of each change: the offset from which on it holds, the rows that the learner had seen, and one in how many.
        self._changes: npt.NDArray[np.int64] = np.zeros((0, 3), np.int64)
        self._n_changes = 0
        self._recorded: npt.NDArray[np.int64] | None = None
        self._clock = clock
        self._start()

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        super().__setstate__(attributes)
        self._start()  # what a clock says is of its process

    def _start(self) -> None:
        """Know nothing of the time that frames take."""
        self._decided = self._began = self._clock()
        self._frames, self._idle = 0, 0.0
        # Frames and seconds, of those that are only encoded and of those that are learnt from, too.
        self._spent = np.zeros((2, 2))
        self._rose, self._calm, self._patience = False, 0, 1

    def begin(self, offset: int, position: int) -> Event | None:
        """Begin with a frame; return what is to be said where the share changes with it.

        Parameters
        ----------
        offset
            The frame's.
        position
            Rows that the learner has seen.
        """
        before = self.one_in
        if self._recorded is not None:
            number = int(np.searchsorted(self._recorded[:, 0], offset, side="right"))
            self.one_in = int(self._recorded[number - 1, 2]) if number else 1
        elif self.budget:
            self._began = self._clock()
            if self._frames >= FRAMES and self._began - self._decided >= SECONDS:
                self.one_in = self._decide()
        if self.one_in == before:
            return None
        self._changes = np.concatenate([self._changes, [[offset, position, self.one_in]]])[-KEPT:]
        self._n_changes += 1
        return self._event(len(self._changes) - 1)

    def learns(self, offset: int) -> bool:
        """Return whether the frame of this offset is learnt from."""
        return is_learnt(offset, self.one_in)

    def end(self, learnt: bool) -> None:
        """End the frame that was begun last; say whether it was learnt from."""
        if self.budget:
            self._spent[int(learnt)] += 1, self._clock() - self._began
            self._frames += 1

    def rest(self, seconds: float) -> None:
        """Take note that for so long nobody waited for this stage."""
        self._idle += seconds

    def _decide(self) -> int:
        """Return in how many frames one is to be learnt from."""
        n, seconds = self._spent.T
        encoded, learnt = seconds / np.maximum(n, 1)
        spent, there_is = seconds.sum(), self.budget
        if self._idle > RESTED * (spent + self._idle):  # it keeps up with what comes
            there_is = max(there_is, (spent + self._idle) / n.sum())

        def takes(one_in: int) -> float:
            return float(encoded + (learnt - encoded) / one_in)

        wanted = self.one_in
        if n[1] and takes(wanted) > there_is:
            while wanted < SPARSEST and takes(wanted) > there_is:
                wanted *= 2
        elif n[1] and wanted > 1 and self._calm >= self._patience and takes(wanted // 2) <= ROOM * there_is:
            wanted //= 2
        self._remember(wanted)
        self._spent *= FADE
        self._idle *= FADE
        self._decided, self._frames = self._began, 0
        return wanted

    def _remember(self, wanted: int) -> None:
        """Wait longer before the next attempt to learn from more where the last one has to be taken back."""
        if self._rose and (wanted > self.one_in or self._calm >= SURE):
            self._patience = min(2 * self._patience, PATIENCE) if wanted > self.one_in else 1
            self._rose = False
        self._rose = self._rose or wanted < self.one_in
        self._calm = self._calm + 1 if wanted == self.one_in else 1

    def retrace(self, state: Mapping[str, Any]) -> None:
        """From now on change the share where a state recorded that, and not by the clock.

        Raises
        ------
        ValueError
            Where the state does not know all changes any more.
        """
        recorded = Thinning(self.stage)
        recorded.restore(state)
        known, of = len(recorded._changes), recorded._n_changes
        if known < of:
            raise ValueError(f"n_changes: {of:,}; accepted are up to {KEPT:,}, of more only the newest are known")
        self._recorded = recorded._changes

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned; how long frames take is measured anew."""
        super().restore(state)
        shares = self._changes[:, 2].tolist()
        if not {1 << power for power in range(SPARSEST.bit_length())}.issuperset(shares):
            with within("changes"):
                raise ValueError(f"one in {sorted(set(shares))}; accepted are powers of two up to {SPARSEST}")
        self.one_in = shares[-1] if shares else 1
        self._start()

    def events(self) -> list[Event]:
        """Return the newest 64 changes, oldest first."""
        n = len(self._changes)
        return [self._event(number) for number in range(max(0, n - SHOWN), n)]

    def _event(self, number: int) -> Event:
        offset, position, one_in = self._changes[number].tolist()
        less = one_in > (self._changes[number - 1, 2] if number else 1)
        of = f"1 of {one_in} frames is" if one_in > 1 else "all frames are"
        text = f"from offset {offset:,} on {of} learnt from"
        return Event(stage=self.stage, position=position, kind="thin" if less else "resume", text=text)
