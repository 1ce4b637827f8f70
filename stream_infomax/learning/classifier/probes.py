"""Linear probes: what a linear classifier can read from features that were learnt without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.measures.moments import RobustMoments
from stream_infomax.settings.extras import optional

with optional():
    from scipy.optimize import minimize

Floats = NDArray[np.floating[Any]]


class LinearProbe:
    """Multinomial logistic regression with an L2 penalty, fitted to the end by L-BFGS on standardised features.

    The loss is the sum of the surprises (nats) plus ‖weights‖² / (2·strength), as in scikit-learn's
    ``LogisticRegression(C=strength)``.

    Parameters
    ----------
    strength
        The inverse of the penalty.
    iterations
        L-BFGS steps at most.

    Attributes
    ----------
    classes_
        The labels, sorted.
    weights_
        One column a class, (F + 1, classes); the last row is the bias.
    """

    def __init__(self, strength: float = 1.0, iterations: int = 200) -> None:
        self.strength, self.iterations = strength, iterations

    def fit(self, features: Floats, labels: Sequence[str]) -> LinearProbe:
        """Fit on features (n, F) and their labels.

        Raises
        ------
        ValueError
            Where there are fewer than two classes.
        """
        self.classes_, index = np.unique(np.asarray(labels), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a probe needs two classes or more; received {list(self.classes_)}")
        self.moments = RobustMoments(features.shape[1])
        self.moments.update(features)
        x = np.concatenate([self.moments.standardised(features), np.ones((len(features), 1), np.float32)], 1)
        one_hot = np.eye(len(self.classes_), dtype=np.float32)[index]
        shape = (x.shape[1], len(self.classes_))

        def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weights = flat.reshape(shape)
            logits = x @ weights.astype(np.float32)
            logits -= logits.max(1, keepdims=True)
            total = np.exp(logits).sum(1, keepdims=True)
            surprise = float((np.log(total, dtype=np.float64) - (logits * one_hot).sum(1, keepdims=True)).sum())
            penalised = weights.copy()
            penalised[-1] = 0
            gradient = x.T @ (np.exp(logits) / total - one_hot) + penalised / self.strength
            return surprise + float((penalised**2).sum()) / (2 * self.strength), gradient.ravel().astype(np.float64)

        start = np.zeros(shape[0] * shape[1])
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": self.iterations})
        self.weights_ = found.x.reshape(shape)
        return self

    def predict(self, features: Floats) -> NDArray[np.str_]:
        """Return the likeliest class of every row (n, F)."""
        logits = self.moments.standardised(features) @ self.weights_[:-1] + self.weights_[-1]
        predicted: NDArray[np.str_] = self.classes_[logits.argmax(1)]
        return predicted

    def score(self, features: Floats, labels: Sequence[str]) -> float:
        """Return the share of rows whose label is predicted."""
        return float(np.mean(self.predict(features) == np.asarray(labels)))
