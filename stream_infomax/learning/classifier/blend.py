"""Blend: a classifier for each of several levels, and weights that are learnt from what each of them foretold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stream_infomax.learning.classifier.softmax import SoftmaxRegression, Vector, adam, check, softmax
from stream_infomax.state.kept import Kept, within

RATE = 1e-2  # of Adam, for the weights of the levels
LEAST = 1e-9  # a probability: no level excludes a class alone


class Blend(Kept):
    """Softmax regressions on levels beside each other: their probabilities multiplied, each to the power of a weight.

    Every level learns for itself. The weights go down the slope of the blend's surprise at a label that no level has
    learnt from yet, so that a level which only knows its vectors by heart gets no weight. They start equal, with the
    sum 1, and are never negative.

    Parameters
    ----------
    widths
        Numbers of each level's vector; the vectors stand behind each other in what is learnt from.
    learning_rate, penalty, half_life
        As of `SoftmaxRegression`. With a half-life the weights go back towards equal ones.

    Attributes
    ----------
    parts
        The regression of each level.
    weights
        The weight of each level, (levels,) float64.
    steps
        Labelled vectors that the weights were learnt from: not the first one of a class.
    """

    kept = ("weights", "moment", "square", "steps")

    def __init__(
        self,
        widths: Sequence[int],
        *,
        learning_rate: float = 2e-3,
        penalty: float = 1e-4,
        half_life: float | None = None,
    ) -> None:
        self.width = sum(widths)
        self.parts = [
            SoftmaxRegression(width, learning_rate=learning_rate, penalty=penalty, half_life=half_life)
            for width in widths
        ]
        self.keep = self.parts[0].keep
        self.weights: Vector = np.full(len(widths), 1 / len(widths))
        self.moment: Vector = np.zeros(len(widths))
        self.square: Vector = np.zeros(len(widths))
        self.steps = 0

    @property
    def classes(self) -> list[str]:
        """The labels that have come, in their order."""
        return self.parts[0].classes

    @property
    def widths(self) -> list[int]:
        """Numbers of each level's vector."""
        return [part.width for part in self.parts]

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs."""
        return {**super().state(), "parts": [part.state() for part in self.parts]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned; raises KeyError, ValueError as `Kept`."""
        super().restore(state)
        if self.steps < 0:
            raise ValueError(f"steps: {self.steps}; accepted is 0 or more")
        if len(state["parts"]) != len(self.parts):
            raise ValueError(f"parts: {len(state['parts'])}; accepted are {len(self.parts)}, one for each level")
        for i, (part, saved) in enumerate(zip(self.parts, state["parts"], strict=True)):
            with within(f"parts.{i}"):
                part.restore(saved)
        if any(part.classes != self.classes for part in self.parts):
            raise ValueError(f"parts: classes {[part.classes for part in self.parts]!r:.200}; accepted are the same")

    def probabilities(self, features: Vector) -> Vector:
        """Return the probability of each of ``classes``, in the order in which they came, for vectors (…, width)."""
        return softmax(np.tensordot(self.weights, self._logarithms(features), 1))

    def predict(self, features: Vector) -> str:
        """Return the likeliest class, an empty text before the first label."""
        return self.classes[int(self.probabilities(features).argmax())] if self.classes else ""

    def learn(self, features: Vector, label: str) -> None:
        """Learn that this vector (width,) bears this label; raises as `SoftmaxRegression`."""
        check(features, label, self.width)
        if label in self.classes:
            self._weigh(self._logarithms(features), self.classes.index(label))
        for part, own in zip(self.parts, self._split(features), strict=True):
            part.learn(own, label)

    def _weigh(self, logarithms: Vector, index: int) -> None:
        error = softmax(self.weights @ logarithms)
        error[index] -= 1
        slope = logarithms @ error
        self.steps += 1
        step = adam(slope, self.moment, self.square, self.steps)
        equal = 1 / len(self.parts)
        self.weights = np.maximum(equal + self.keep * (self.weights - equal) - RATE * step, 0.0)

    def _split(self, features: Vector) -> list[Vector]:
        return np.split(features, np.cumsum(self.widths)[:-1], axis=-1)

    def _logarithms(self, features: Vector) -> Vector:
        """Return the logarithm of what each level gives each class, (levels, …, classes)."""
        each = zip(self.parts, self._split(features), strict=True)
        logarithms: Vector = np.log(np.array([part.probabilities(own) for part, own in each]) + LEAST)
        return logarithms
