"""Examiner: predicts first, then scores and learns when the label comes, however late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stream_infomax.learning.classifier.blend import Blend
from stream_infomax.learning.classifier.scores import Score
from stream_infomax.learning.classifier.softmax import SoftmaxRegression, Vector
from stream_infomax.learning.threads import one_thread
from stream_infomax.state.kept import Kept


class Examiner(Kept):
    """Predict every segment when it ends, score and learn when its label comes.

    Parameters
    ----------
    classifier
        What predicts and learns.
    waiting
        At most so many segments without a label are kept; then the oldest is given up.

    Attributes
    ----------
    score
        The figures so far.
    waiting
        Predicted label and features (width,) of each segment that waits for its label, by its key.
    counts
        Segments that were ``empty`` or ``given_up``, and labels of segments that were ``unknown``.
    """

    kept = ("classifier", "score", "counts")

    def __init__(self, classifier: SoftmaxRegression | Blend, waiting: int = 1000) -> None:
        self.classifier = classifier
        self.score = Score()
        self.limit = waiting
        self.waiting: dict[str, tuple[str, Vector]] = {}
        self.counts = {"empty": 0, "given_up": 0, "unknown": 0}

    def predict(self, features: Vector) -> tuple[Vector, str] | None:
        """Return probabilities and likeliest class of a segment that gets no label; None for an ``empty`` one."""
        if not np.isfinite(features).all():
            self.counts["empty"] += 1
            return None
        with one_thread():
            return self.classifier.probabilities(features), self.classifier.predict(features)

    def segment(self, key: str, features: Vector, label: str | None) -> Vector | None:
        """Predict a segment, then use its label if it has one; return the probabilities of ``classifier.classes``.

        A segment without a finite row (NaN features) is counted as ``empty`` and gives None.
        """
        found = self.predict(features)
        if found is None:
            return None
        probabilities, predicted = found
        self.waiting.pop(key, None)
        self.waiting[key] = (predicted, features)
        if label is not None:
            self.label(key, label)
        while len(self.waiting) > self.limit:
            self.waiting.pop(next(iter(self.waiting)))
            self.counts["given_up"] += 1
        return probabilities

    def label(self, key: str, label: str) -> bool:
        """Score and learn from the label of a segment that waits for it; others are counted as ``unknown``."""
        if key not in self.waiting:
            self.counts["unknown"] += 1
            return False
        predicted, features = self.waiting[key]
        with one_thread():
            self.classifier.learn(features, label)
        self.score.add(predicted, label)
        del self.waiting[key]
        return True

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs; what waits as two lists and an array (segments, width)."""
        features = [features for _, features in self.waiting.values()]
        return {
            **super().state(),
            "keys": list(self.waiting),
            "predicted": [predicted for predicted, _ in self.waiting.values()],
            "features": np.array(features, np.float64).reshape(len(features), self.classifier.width),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned; raises KeyError, ValueError as `Kept`."""
        super().restore(state)
        rows = np.array(state["features"], np.float64)
        self.waiting = {
            key: (predicted, row) for key, predicted, row in zip(state["keys"], state["predicted"], rows, strict=True)
        }
