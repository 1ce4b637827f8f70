"""The frame of the tortures: what one is given, how it says what it showed, and how all of them are found.

    @torture(minutes=10, short=0.02)
    def kills_of_the_reader(trial: Trial) -> str:
        '''A reader that is killed at any moment ends with the same bits.'''
        total = trial.times(200)
        random = trial.random()
        for done in range(total):
            ...
            assert found == expected, f"kill {done}: {difference}"
            trial.progress(done + 1, total)
        return f"{total} kills, 0 differing bits"

Whatever it raises is a failure, with the last line as the reason. `need` leaves out what this machine cannot do.
"""

import importlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NO_TORTURES = {"__init__", "__main__", "frame"}


class LeftOutError(Exception):
    """This machine lacks what the torture needs; the message says what."""


def need(there: object, what: str) -> None:
    """Leave the torture out where something is not there."""
    if not there:
        raise LeftOutError(what)


def nothing(done: int, total: int) -> None:
    """Say nothing of how far it is."""


@dataclass(frozen=True)
class Trial:
    """What a torture is given.

    Attributes
    ----------
    folder
        An empty folder of its own, removed afterwards; its path is short enough for a socket.
    seed
        From which everything random follows.
    share
        Of the full length: 1 is the whole trial.
    progress
        To be called with how much is done, and of how much.
    """

    folder: Path
    seed: int = 0
    share: float = 1.0
    progress: Callable[[int, int], None] = nothing

    def times(self, full: int, least: int = 1) -> int:
        """Return how often something is to be done that is done `full` times in the whole trial."""
        return max(least, round(full * self.share))

    def random(self, *words: object) -> random.Random:
        """Return a generator that depends on the seed and on these words alone."""
        return random.Random(repr((self.seed, *words)))


Run = Callable[[Trial], str]


@dataclass(frozen=True)
class Torture:
    """A torture: its function and what `torture` was told of it."""

    run: Run
    minutes: float
    short: float | None

    @property
    def name(self) -> str:
        """Return the name of its function."""
        return self.run.__name__

    @property
    def question(self) -> str:
        """Return the first line of its docstring."""
        return (self.run.__doc__ or "").strip().splitlines()[0]


TORTURES: dict[str, Torture] = {}


def torture(*, minutes: float, short: float | None = None) -> Callable[[Run], Run]:
    """Make a function a torture.

    Parameters
    ----------
    minutes
        After these it is ended, and has failed.
    short
        The share at which the tests run it, in less than 3 s; None where they do not.
    """

    def add(function: Run) -> Run:
        made = Torture(function, minutes, short)
        if not made.question or made.name in TORTURES:
            raise ValueError(f"{made.name}: needs a docstring, and a name that no other torture has")
        TORTURES[made.name] = made
        return function

    return add


def files() -> list[Path]:
    """Return the files that hold tortures."""
    here = sorted(Path(__file__).parent.glob("*.py"))
    return [file for file in here if file.stem not in NO_TORTURES and not file.stem.startswith("test_")]


def tortures() -> dict[str, Torture]:
    """Return all tortures by name."""
    for file in files():
        importlib.import_module(f"torture.{file.stem}")
    return dict(sorted(TORTURES.items()))
