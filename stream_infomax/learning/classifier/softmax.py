"""SoftmaxRegression: multinomial logistic regression, learnt vector by vector while it is being scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.measures.moments import RobustMoments
from stream_infomax.state.kept import Kept

Vector = NDArray[np.float64]

NARROW = 100  # features up to which the rate of Adam is taken as it is given
RENEW = 128  # vectors of a much smaller scale after which the scale is taken to have changed for good


class SoftmaxRegression(Kept):
    """Multinomial logistic regression, one step of Adam for each labelled vector.

    Features are standardised by their running mean and deviation, which no single vector can sway, and held within 8
    deviations, so that no single vector blows the weights up. A class gets its weights when its first label comes.

    Parameters
    ----------
    width
        Numbers of a feature vector.
    learning_rate
        Of Adam (D. Kingma, J. Ba 2015; moments 0.9 and 0.999). From more than 100 features it learns by the root of
        100 / width slower: each step moves every weight, and so the answer by more, the more weights there are.
    penalty
        L2 on the weights.
    half_life
        Labelled vectors after which what was learnt counts half; None never forgets.

    Attributes
    ----------
    classes
        The labels that have come, in their order.
    weights
        One row a class, (classes, width + 1) float64; the last column is the bias.
    steps
        Labelled vectors so far.
    """

    kept = ("classes", "steps", "moments", "weights", "moment", "square")
    free: ClassVar = {"weights": (0,), "moment": (0,), "square": (0,)}

    def __init__(
        self, width: int, *, learning_rate: float = 2e-3, penalty: float = 1e-4, half_life: float | None = None
    ) -> None:
        self.width = width
        self.rate = learning_rate * min(1.0, float(np.sqrt(NARROW / max(width, 1))))
        self.penalty = penalty
        self.keep = 1.0 if half_life is None else 0.5 ** (1 / half_life)
        self.moments = RobustMoments(width, half_life, RENEW)
        self.classes: list[str] = []
        self.steps = 0
        self.weights: Vector = np.zeros((0, width + 1))
        self.moment: Vector = np.zeros((0, width + 1))
        self.square: Vector = np.zeros((0, width + 1))

    @property
    def widths(self) -> list[int]:
        """The width, in a list as a `Blend` has several."""
        return [self.width]

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned; raises KeyError, ValueError as `Kept`."""
        super().restore(state)
        texts = all(isinstance(label, str) for label in self.classes)
        if self.steps < 0 or not texts or not len(self.classes) == len(self.weights) == len(self.moment):
            raise ValueError(f"classes: {self.classes!r:.200}; accepted are texts, one for each row of the weights")

    def probabilities(self, features: Vector) -> Vector:
        """Return the probability of each of ``classes``, in the order in which they came, for vectors (…, width)."""
        return softmax(self._standardised(features) @ self.weights.T)

    def predict(self, features: Vector) -> str:
        """Return the likeliest class, an empty text before the first label."""
        return self.classes[int(self.probabilities(features).argmax())] if self.classes else ""

    def learn(self, features: Vector, label: str) -> None:
        """Learn that this vector (width,) bears this label.

        Raises
        ------
        TypeError
            Where the label is no text.
        ValueError
            Where the vector has another width or is not finite.
        """
        check(features, label, self.width)
        if label not in self.classes:
            self.classes.append(label)
            row = np.zeros((1, self.width + 1))
            self.weights, self.moment, self.square = (
                np.concatenate([rows, row]) for rows in (self.weights, self.moment, self.square)
            )
        self.moments.update(features[None])
        x = self._standardised(features)
        error = softmax(x @ self.weights.T)
        error[self.classes.index(label)] -= 1
        gradient = error[:, None] * x + self.penalty * self.weights
        self.steps += 1
        step = adam(gradient, self.moment, self.square, self.steps)
        self.weights = self.keep * self.weights - self.rate * step

    def _standardised(self, features: Vector) -> Vector:
        one = np.ones((*features.shape[:-1], 1))
        return np.concatenate([self.moments.standardised(features).astype(np.float64), one], axis=-1)


def adam(gradient: Vector, moment: Vector, square: Vector, steps: int) -> Vector:
    """Return step number `steps`, from 1, of Adam at rate 1; moves the moments of the gradient, in place.

    D. Kingma, J. Ba 2015, algorithm 1, with 0.9 and 0.999.
    """
    moment += 0.1 * (gradient - moment)
    square += 0.001 * (gradient**2 - square)
    step: Vector = (moment / (1 - 0.9**steps)) / (np.sqrt(square / (1 - 0.999**steps)) + 1e-8)
    return step


def check(features: Vector, label: str, width: int) -> None:
    """Raise where a vector is not of this width or not finite (ValueError), or its label no text (TypeError)."""
    if not isinstance(label, str):
        raise TypeError(f"a label is a text; received {label!r} of type {type(label).__name__}")
    if features.shape != (width,) or not np.isfinite(features).all():
        raise ValueError(f"features must be {width} finite numbers; received shape {features.shape}")


def softmax(logits: Vector) -> Vector:
    """Return the probabilities (…, classes) whose logarithms are these but for a constant."""
    if logits.shape[-1] == 0:
        return logits
    exponential = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Vector = exponential / exponential.sum(axis=-1, keepdims=True)
    return result
