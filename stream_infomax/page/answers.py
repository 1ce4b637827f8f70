"""What a classifier said recently: its scores, whether they were right, and what it took for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infomax.page.tiles import Pixels, shades
from stream_infomax.page.watched import Named

Floats = npt.NDArray[np.float64]

# Segments whose scores are drawn; classes of a table of all pairs; pairs that are listed where there are more classes.
SHOWN, MOST_CLASSES, MOST_PAIRS = 60, 12, 12


class Answer(NamedTuple):
    """What a segment was taken for.

    Attributes
    ----------
    segment
        Its name.
    said
        The likeliest class; empty where the classifier said nothing.
    label
        What it is; empty where nobody said that.
    scores
        Probabilities of the classes, in the classifier's order.
    """

    segment: str
    said: str
    label: str
    scores: tuple[float, ...]

    @property
    def is_right(self) -> bool | None:
        """Whether it was taken for what it is; None where one of them is not known."""
        return self.said == self.label if self.said and self.label else None


def answers(named: Sequence[Named], stage: str, target: str) -> list[Answer]:
    """Return what the classifier `stage` said of segments, the newest last; of those that it said nothing of, none."""
    found = (Answer(one.segment, one.labels.get(stage, ""), one.labels.get(target, ""), one.scores) for one in named)
    return [answer for answer in found if answer.said]


def classes(given: Sequence[Answer]) -> list[str]:
    """Return what the columns of the scores stand for: the likeliest is known by its name; empty where none was it."""
    width = max((len(answer.scores) for answer in given), default=0)
    names = [""] * width
    for answer in given:
        if answer.scores:
            names[int(np.argmax(answer.scores))] = answer.said
    return names


class Scores(NamedTuple):
    """Scores as a picture: segments to the right, classes upwards.

    Attributes
    ----------
    pixels
        (classes, segments), the first class at the bottom: dark for 0, light for 1.
    x, y
        Where the labels are, as far as they are known.
    """

    pixels: Pixels
    x: Floats
    y: Floats


def scores(given: Sequence[Answer]) -> Scores:
    """Return the newest scores as a picture."""
    names, shown = classes(given), given[-SHOWN:]
    values = np.full((len(names), len(shown)), np.nan)
    for i, answer in enumerate(shown):
        values[: len(answer.scores), i] = 2 * np.clip(answer.scores, 0, 1) - 1
    marks = [(i, names.index(one.label)) for i, one in enumerate(shown) if one.label and one.label in names]
    places = np.array(marks, dtype=np.float64).reshape(-1, 2) + 0.5
    return Scores(shades(values), places[:, 0], places[:, 1])


def confusion(given: Sequence[Answer]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the classes, in the classifier's order, and how often each (line) was taken for each (column)."""
    judged = [answer for answer in given if answer.is_right is not None]
    found = {name for answer in judged for name in (answer.label, answer.said)}
    names = [name for name in classes(given) if name in found]
    names += sorted(found - set(names))
    table = np.zeros((len(names), len(names)), np.int64)
    place = {name: i for i, name in enumerate(names)}
    for answer in judged:
        table[place[answer.label], place[answer.said]] += 1
    return names, table


def mistakes(names: Sequence[str], table: npt.NDArray[np.int64]) -> list[tuple[str, str, int]]:
    """Return what was taken for what most often, and how often."""
    pairs = [
        (name, other, int(table[i, j]))
        for i, name in enumerate(names)
        for j, other in enumerate(names)
        if i != j and table[i, j]
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:MOST_PAIRS]
