"""A linear classifier that learns while it is being scored: predict first, then learn from the label.

``OnlineClassifier`` is multinomial logistic regression. ``Score`` keeps its test-then-train figures beside those of
two classifiers that look at nothing (J. Gama, R. Sebastião, P. Rodrigues 2013; I. Žliobaitė et al. 2015). ``Examiner``
joins them and waits for labels that come late. numpy only.
"""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.measures.standardise import RunningScale

Vector = NDArray[np.float64]
RIVALS = ("accuracy", "no_change", "majority")


class Pooling:
    """Mean and deviation of the rows of a segment that comes in pieces; rows with NaN are left out.

    Parameters
    ----------
    width
        Columns of a row; the pooled vector has twice as many.
    """

    def __init__(self, width: int) -> None:
        self.scale = RunningScale(width)

    def add(self, rows: NDArray[np.floating[Any]]) -> None:
        """Take in the next rows (n, width)."""
        self.scale.update(rows[np.isfinite(rows).all(1)])

    def result(self) -> Vector:
        """Return mean and deviation (2·width,); NaN where no finite row has come."""
        if self.scale.rows == 0:
            return np.full(2 * len(self.scale.mean), np.nan)
        return np.concatenate([self.scale.mean, np.sqrt(self.scale.variance)])

    def state(self) -> dict[str, Any]:
        """Return everything that a later ``restore`` needs."""
        return self.scale.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what ``state`` returned."""
        self.scale.restore(state)


class OnlineClassifier:
    """Multinomial logistic regression, one step of Adam for each labelled vector.

    Features are standardised by their running mean and deviation. A class gets its weights when its first label comes.

    Parameters
    ----------
    width
        Numbers of a feature vector.
    learning_rate
        Of Adam (D. Kingma, J. Ba 2015; moments 0.9 and 0.999).
    penalty
        L2 on the weights.
    half_life
        Labelled vectors after which what was learnt counts half; None never forgets.
    """

    def __init__(
        self, width: int, *, learning_rate: float = 2e-3, penalty: float = 1e-4, half_life: float | None = None
    ) -> None:
        if half_life is not None and half_life <= 0:
            raise ValueError(f"half_life must be positive or None; received {half_life}")
        self.width = width
        self.learning_rate, self.penalty = learning_rate, penalty
        self.keep = 1.0 if half_life is None else 0.5 ** (1 / half_life)
        self.scale = RunningScale(width, half_life)
        self.classes: list[str] = []
        self.steps = 0
        self.weights = np.zeros((0, width + 1))  # the last column is the bias
        self.moment = np.zeros((0, width + 1))
        self.square = np.zeros((0, width + 1))

    def probabilities(self, features: Vector) -> Vector:
        """Return the probability of each of ``classes`` (in the order in which they came) for a vector (width,)."""
        return _softmax(self.weights @ self._standardised(features))

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
        if not isinstance(label, str):
            raise TypeError(f"a label is a text; received {label!r} of type {type(label).__name__}")
        if features.shape != (self.width,) or not np.isfinite(features).all():
            raise ValueError(f"features must be {self.width} finite numbers; received shape {features.shape}")
        if label not in self.classes:
            self.classes.append(label)
            row = np.zeros((1, self.width + 1))
            self.weights, self.moment, self.square = (
                np.concatenate([rows, row]) for rows in (self.weights, self.moment, self.square)
            )
        self.scale.update(features[None])
        x = self._standardised(features)
        error = _softmax(self.weights @ x)
        error[self.classes.index(label)] -= 1
        gradient = error[:, None] * x + self.penalty * self.weights
        self.steps += 1
        self.moment += 0.1 * (gradient - self.moment)
        self.square += 0.001 * (gradient**2 - self.square)
        step = (self.moment / (1 - 0.9**self.steps)) / (np.sqrt(self.square / (1 - 0.999**self.steps)) + 1e-8)
        self.weights = self.keep * self.weights - self.learning_rate * step

    def _standardised(self, features: Vector) -> Vector:
        return np.append(self.scale.apply(features).astype(np.float64), 1.0)

    def state(self) -> dict[str, Any]:
        """Return everything that a later ``restore`` needs."""
        return {
            "classes": list(self.classes),
            "steps": self.steps,
            "scale": self.scale.state(),
            "weights": self.weights.copy(),
            "moment": self.moment.copy(),
            "square": self.square.copy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what ``state`` returned; ValueError where the width differs."""
        saved = state["weights"].shape[1] - 1
        if saved != self.width:
            raise ValueError(f"the saved classifier reads {saved} features, this one {self.width}")
        self.classes = list(state["classes"])
        self.steps = int(state["steps"])
        self.scale.restore(state["scale"])
        self.weights, self.moment, self.square = (
            np.array(state[name], np.float64) for name in ("weights", "moment", "square")
        )


def _softmax(logits: Vector) -> Vector:
    if len(logits) == 0:
        return logits
    exponential = np.exp(logits - logits.max())
    result: Vector = exponential / exponential.sum()
    return result


class Score:
    """Test-then-train accuracy, next to what one gets without looking.

    On a sorted stream "the same label as last time" is nearly always right, so accuracy alone means little:
    kappa-temporal = (p - p_no_change) / (1 - p_no_change) is above 0 only where the classifier beats it.

    Parameters
    ----------
    fading
        Factor by which an older result counts less with every new one (Gama 2013).
    window
        Results of the windowed accuracy.
    """

    def __init__(self, fading: float = 0.995, window: int = 200) -> None:
        self.fading = fading
        # Who was right: the classifier, no-change and the majority so far; by the names in RIVALS.
        self.recent: deque[tuple[bool, ...]] = deque(maxlen=window)
        self.weight = 0.0
        self.right = dict.fromkeys(RIVALS, 0.0)
        self.totals = dict.fromkeys(RIVALS, 0)
        self.labels: Counter[str] = Counter()
        self.last = ""

    def add(self, predicted: str, label: str) -> None:
        """Take in a prediction and the label that then came."""
        majority = self.labels.most_common(1)[0][0] if self.labels else ""
        hits = (predicted == label, self.last == label, majority == label)
        self.weight = self.fading * self.weight + 1
        for name, hit in zip(RIVALS, hits, strict=True):
            self.right[name] = self.fading * self.right[name] + hit
            self.totals[name] += hit
        self.recent.append(hits)
        self.labels[label] += 1
        self.last = label

    def values(self) -> dict[str, float]:
        """Return the figures, all NaN before the first label.

        ``accuracy``, ``no_change``, ``majority`` and ``kappa_temporal`` are fading. ``window``, ``window_no_change``,
        … are the same over the last ``window_size`` results, ``overall``, ``overall_no_change``, … over all
        ``scored``. ``chance`` is one of the classes that have come, each as likely as the others.
        """
        scored = self.labels.total()
        n_recent = len(self.recent)
        hits = np.array(self.recent, float).reshape(n_recent, len(RIVALS)).sum(0)
        return {
            **_figures("", self.right.values(), self.weight),
            **_figures("window", hits, n_recent),
            **_figures("overall", self.totals.values(), scored),
            "chance": 1 / len(self.labels) if scored else np.nan,
            "scored": scored,
            "window_size": n_recent,
        }

    def state(self) -> dict[str, Any]:
        """Return everything that a later ``restore`` needs."""
        return {
            "recent": np.array(self.recent, np.bool_).reshape(len(self.recent), len(RIVALS)),
            "weight": self.weight,
            "right": dict(self.right),
            "totals": dict(self.totals),
            "labels": dict(self.labels),
            "last": self.last,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what ``state`` returned."""
        self.recent = deque((tuple(hits) for hits in state["recent"].tolist()), maxlen=self.recent.maxlen)
        self.weight = float(state["weight"])
        self.right = dict(state["right"])
        self.totals = dict(state["totals"])
        self.labels = Counter(state["labels"])
        self.last = str(state["last"])


def _figures(prefix: str, hits: Iterable[float], n: float) -> dict[str, float]:
    """Return the shares of `n` results that each rival got right, and kappa-temporal; NaN where there are none."""
    accuracy, no_change, majority = (float(hit) / n if n else np.nan for hit in hits)
    kappa = (accuracy - no_change) / (1 - no_change) if no_change < 1 else np.nan
    names = (prefix or "accuracy", *(f"{prefix}_{name}".lstrip("_") for name in (*RIVALS[1:], "kappa_temporal")))
    return dict(zip(names, (accuracy, no_change, majority, kappa), strict=True))


class Examiner:
    """Predict every segment when it ends, score and learn when its label comes.

    Parameters
    ----------
    classifier
        What predicts and learns.
    waiting
        At most so many segments without a label are kept; then the oldest is given up.
    """

    def __init__(self, classifier: OnlineClassifier, waiting: int = 1000) -> None:
        self.classifier = classifier
        self.score = Score()
        self.limit = waiting
        self.waiting: dict[str, tuple[str, Vector]] = {}
        self.counts = {"empty": 0, "given_up": 0, "unknown": 0}

    def segment(self, key: str, features: Vector, label: str | None) -> Vector | None:
        """Predict a segment, then use its label if it has one; return the probabilities of ``classifier.classes``.

        A segment without a finite row (NaN features) is counted as ``empty`` and gives None.
        """
        if not np.isfinite(features).all():
            self.counts["empty"] += 1
            return None
        probabilities = self.classifier.probabilities(features)
        self.waiting.pop(key, None)
        self.waiting[key] = (self.classifier.predict(features), features)
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
        self.classifier.learn(features, label)
        self.score.add(predicted, label)
        del self.waiting[key]
        return True

    def state(self) -> dict[str, Any]:
        """Return everything that a later ``restore`` needs."""
        return {
            "classifier": self.classifier.state(),
            "score": self.score.state(),
            "counts": dict(self.counts),
            "keys": list(self.waiting),
            "predicted": [predicted for predicted, _ in self.waiting.values()],
            "features": np.array([features for _, features in self.waiting.values()]).reshape(
                len(self.waiting), self.classifier.width
            ),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what ``state`` returned."""
        self.classifier.restore(state["classifier"])
        self.score.restore(state["score"])
        self.counts = dict(state["counts"])
        self.waiting = {
            key: (predicted, np.array(features))
            for key, predicted, features in zip(state["keys"], state["predicted"], state["features"], strict=True)
        }
