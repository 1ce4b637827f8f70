"""OnlineClassifier: a linear classifier that learns row by row, in scikit-learn's manner."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.classifier.settings import SoftmaxSettings
from stream_infomax.learning.classifier.softmax import SoftmaxRegression
from stream_infomax.learning.parameters import Estimator
from stream_infomax.learning.rows import Floats, names_of
from stream_infomax.learning.scikit import NotFittedError, category
from stream_infomax.learning.threads import one_thread
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.record import make
from stream_infomax.state.kept import Kept, within

Labels = NDArray[Any]

# A fit passes over its rows, in another order each time, until it has taken so many steps of Adam.
STEPS = 3000
KINDS = {"b": "booleans", "i": "whole numbers", "u": "whole numbers", "U": "texts", "O": "texts"}


@configured_by(SoftmaxSettings)
class OnlineClassifier(Estimator, Kept):
    """Multinomial logistic regression, one step of Adam for each row.

    Features are standardised by their running mean and deviation, which no single row can sway. `partial_fit` takes
    rows in the order in which they come; a class gets its weights when its first label comes, or is named beforehand.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels known, sorted.
    n_features_in_ : int
        Width of the rows.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where the first rows were a table with such names.
    n_samples_seen_ : int
        Rows learnt from, each time that they were.

    Examples
    --------
    >>> import numpy as np
    >>> from stream_infomax import OnlineClassifier
    >>> rows = np.random.default_rng(0).normal(size=(500, 3))
    >>> labels = np.where(rows[:, 0] > 0, "right", "left")
    >>> OnlineClassifier().fit(rows, labels).predict([[2.0, 0.0, 0.0]])
    array(['right'], dtype='<U5')
    """

    classes_: Labels
    _softmax: SoftmaxRegression | None = None

    def __init__(self, *, learning_rate: float = 2e-3, penalty: float = 1e-4, half_life: float | None = None) -> None:
        self.learning_rate = learning_rate
        self.penalty = penalty
        self.half_life = half_life

    # ---------------------------------------------------------------- learning

    def fit(self, X: Any, y: Any) -> Self:
        """Forget everything, then learn from the rows in random order (always the same), again where they are few.

        Parameters
        ----------
        X
            Rows, (n, n_features): an array or a table.
        y
            Their labels (n,): texts, whole numbers or booleans.

        Raises
        ------
        ValueError
            Where rows are no finite real numbers, labels do not fit, or a parameter is not accepted. The classifier
            stays what it was.
        """
        rows, labels = self._rows(X, fresh=True), _labels(y)
        _check_lengths(rows, labels, 1)
        with self._as_before_where_refused():
            self._start(rows.shape[1], names_of(X))
            self._name(labels)
            order = np.random.default_rng(0)
            for _ in range(-(-STEPS // len(rows))):
                self._learn(rows, labels, order.permutation(len(rows)))
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Learn from rows in the order in which they come.

        Parameters
        ----------
        X
            Rows, (n, n_features): an array or a table.
        y
            Their labels (n,): texts, whole numbers or booleans.
        classes
            Labels that may come, for `predict_proba` to have their columns from the start; others may come too.

        Raises
        ------
        ValueError
            As `fit`; where rows have another width or other columns than before.
        """
        rows, labels = self._rows(X, fresh=self._softmax is None), _labels(y)
        _check_lengths(rows, labels, 0)
        with self._as_before_where_refused():
            if self._softmax is None:
                self._start(rows.shape[1], names_of(X))
            if classes is not None:
                self._name(_labels(classes))
            self._name(labels)
            self._learn(rows, labels, np.arange(len(rows)))
        return self

    def _start(self, n_features: int, names: Any) -> None:
        settings = make(SoftmaxSettings, self.get_params())
        self._softmax = SoftmaxRegression(
            n_features,
            learning_rate=settings.learning_rate,
            penalty=settings.penalty,
            half_life=settings.half_life,
        )
        self._know(n_features, names)
        self.classes_ = np.array([], dtype="U1")

    def _name(self, labels: Labels) -> None:
        """Let labels be known."""
        known = self.classes_
        if len(known) and len(labels) and KINDS[known.dtype.kind] != KINDS[labels.dtype.kind]:
            raise ValueError(f"y has {KINDS[labels.dtype.kind]}; labels so far were {KINDS[known.dtype.kind]}")
        self.classes_ = np.unique(np.concatenate([known, labels]) if len(known) else labels)

    def _learn(self, rows: Floats, labels: Labels, order: NDArray[np.intp]) -> None:
        assert self._softmax is not None
        texts = [str(label) for label in labels]
        with one_thread():
            for i in order:
                self._softmax.learn(rows[i].astype(np.float64), texts[i])

    # ---------------------------------------------------------------- predicting

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each of `classes_` for every row, (n, n_classes); 0 before its first label.

        Raises
        ------
        NotFittedError
            Before the first label.
        ValueError
            Where X is no matrix of finite numbers of the width known, or a table of other columns.
        """
        if self._softmax is None or not self._softmax.classes:
            raise NotFittedError(f"this {type(self).__name__} has learnt from no label yet")
        rows = _finite(self._rows(X, fresh=False))
        probabilities = np.zeros((len(rows), len(self.classes_)))
        column = {str(label): i for i, label in enumerate(self.classes_)}
        with one_thread():
            probabilities[:, [column[label] for label in self._softmax.classes]] = self._softmax.probabilities(
                rows.astype(np.float64)
            )
        return probabilities

    def predict(self, X: Any) -> Labels:
        """Return the likeliest class of every row (n,); raises as `predict_proba`."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[likeliest])

    def score(self, X: Any, y: Any) -> float:
        """Return the share of rows whose label is predicted; raises as `predict_proba`."""
        return float(np.mean(self.predict(X) == _labels(y)))

    @property
    def n_samples_seen_(self) -> int:
        """Rows learnt from, each time that they were."""
        return self._softmax.steps if self._softmax is not None else 0

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = False
        return tags

    # ---------------------------------------------------------------- state

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on with the same bits: a nested dict of arrays and JSON values."""
        if self._softmax is None:
            return {}
        return {
            "n_features": self.n_features_in_,
            "feature_names": list(getattr(self, "feature_names_in_", [])),
            "classes": self.classes_.tolist(),
            "kind": self.classes_.dtype.str,
            "softmax": self._softmax.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned; raises KeyError, ValueError as `Kept`, and stays what it was then."""
        with self._as_before_where_refused():
            self._softmax = None
            if "softmax" not in state:
                return
            names = [str(name) for name in state["feature_names"]]
            self._start(int(state["n_features"]), np.array(names, object) if names else None)
            self.classes_ = np.array(state["classes"], np.dtype(state["kind"]))
            assert self._softmax is not None
            with within("softmax"):
                self._softmax.restore(state["softmax"])
            if not set(self._softmax.classes) <= {str(label) for label in self.classes_}:
                raise ValueError(f"classes: {state['classes']!r:.200}; accepted are those of the weights")


def _labels(y: Any) -> Labels:
    """Return labels as an array (n,) of texts, whole numbers or booleans; raises ValueError where they are none."""
    if y is None:
        raise ValueError("OnlineClassifier requires y to be passed, but the target y is None")
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        text = f"A column-vector y was passed when a 1d array was expected: y has shape {labels.shape}"
        warnings.warn(text, category("DataConversionWarning"), stacklevel=3)
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(f"y has shape {labels.shape}; accepted are labels (n,)")
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels).all() and (labels == np.round(labels)).all()
        if not whole:
            raise ValueError("Unknown label type: continuous; accepted are texts, whole numbers, booleans")
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "O":
        found = sorted({type(label).__name__ for label in labels})
        if found not in (["str"], ["int"], ["bool"], []):
            raise ValueError(f"y has labels of the types {', '.join(found)}; accepted are texts, or whole numbers")
        if found != ["str"]:
            labels = np.array(labels.tolist())
            if labels.dtype.kind == "O":
                raise ValueError("y has numbers beyond 64 bits; accepted are texts, whole numbers, booleans")
    if labels.dtype.kind == "T":
        labels = np.array(labels.tolist(), np.str_)
    if labels.dtype.kind not in KINDS:
        raise ValueError(f"y has dtype {labels.dtype}; accepted are texts, whole numbers, booleans")
    return labels


def _check_lengths(rows: Floats, labels: Labels, least: int) -> None:
    _finite(rows)
    if len(rows) != len(labels):
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {len(rows)}, {len(labels)}")
    if len(rows) < least:
        raise ValueError(f"X has 0 sample(s) (shape={rows.shape}) while a minimum of {least} is required")


def _finite(rows: Floats) -> Floats:
    if not np.isfinite(rows).all():
        raise ValueError("X contains NaN or infinity; accepted are finite numbers")
    return rows
