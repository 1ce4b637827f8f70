"""OnlineClassifier: labels of every kind, tables, and that what is refused changes nothing."""

import numpy as np
import pytest
from helpers.clouds import clouds

from stream_infomax.learning.classifier.classifier import OnlineClassifier
from stream_infomax.learning.classifier.softmax import SoftmaxRegression
from stream_infomax.learning.scikit import NotFittedError


@pytest.fixture(scope="module")
def labelled():
    features, labels = clouds(600)
    return np.array(features), np.array(labels)


def test_partial_fit_is_the_softmax_regression_row_by_row(labelled):
    X, y = labelled
    classifier, plain = OnlineClassifier(learning_rate=1e-2), SoftmaxRegression(X.shape[1], learning_rate=1e-2)
    for part in np.split(np.arange(len(X)), [1, 30, 333]):
        classifier.partial_fit(X[part], y[part])
    for x, label in zip(X, y, strict=True):
        plain.learn(x, label)
    probabilities = np.array([plain.probabilities(x) for x in X])
    np.testing.assert_allclose(classifier.predict_proba(X), probabilities[:, np.argsort(plain.classes)], atol=1e-12)
    assert classifier.score(X, y) > 0.9
    assert classifier.n_samples_seen_ == len(X)


@pytest.mark.parametrize(
    "names",
    [
        np.array(["b", "a", "cc"]),
        np.array(["b", "a", "cc"], object),
        np.array(["b", "a", "cc"], np.dtypes.StringDType()),
        np.array([10, -2, 3]),
        np.array([2.0, 0.0, 1.0]),
        np.array([True, False, True]),
        [7, 8, 9],
    ],
)
def test_labels_of_every_kind_come_back_as_they_were(labelled, names):
    X, y = labelled
    wanted = np.array([names[int(label[-1]) % 3] for label in y], getattr(names, "dtype", None))
    classifier = OnlineClassifier().fit(X, wanted)
    np.testing.assert_array_equal(classifier.classes_, np.unique(wanted))
    predicted = classifier.predict(X)
    assert set(predicted) <= set(wanted)
    np.testing.assert_allclose(classifier.predict_proba(X).sum(axis=1), 1)
    assert classifier.score(X, wanted) == np.mean(predicted == wanted)


def test_a_fit_does_not_depend_on_the_order_of_classes(labelled):
    X, y = labelled
    order = np.argsort(y, kind="stable")
    assert OnlineClassifier().fit(X[order], y[order]).score(X, y) > 0.9


def test_classes_may_be_named_beforehand_and_come_later(labelled):
    X, y = labelled
    classifier = OnlineClassifier().partial_fit(X[:1], y[:1], classes=["class 0", "class 9"])
    probabilities = classifier.predict_proba(X[:2])
    assert probabilities.shape == (2, len(classifier.classes_))
    assert (probabilities[:, classifier.classes_ == "class 9"] == 0).all()
    classifier.partial_fit(X, y)
    assert set(classifier.classes_) == {*y, "class 9"}
    with pytest.raises(NotFittedError, match="no label"):
        OnlineClassifier().partial_fit(X[:0], y[:0]).predict(X)


def test_columns_in_another_order_are_refused(labelled):
    pandas = pytest.importorskip("pandas")
    X, y = labelled
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    classifier = OnlineClassifier().fit(frame, pandas.Series(y))
    np.testing.assert_array_equal(classifier.predict(frame), OnlineClassifier().fit(X, y).predict(X))
    for method in (classifier.predict, classifier.predict_proba, lambda rows: classifier.partial_fit(rows, y)):
        with pytest.raises(ValueError, match="same order"):
            method(frame[list("fedcba")])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is None"),
        (np.linspace(0, 1, 600), "Unknown label type: continuous"),
        (np.full(600, np.nan), "Unknown label type"),
        (np.array([1, 2**70] * 300, object), "beyond 64 bits"),
        (np.array(["a", 1] * 300, object), "labels of the types int, str"),
        (np.zeros((600, 2), int), r"shape \(600, 2\)"),
        (np.zeros(599, int), "inconsistent numbers of samples: 600, 599"),
        (np.zeros(600, "M8[s]"), "dtype datetime64"),
        (np.zeros(600, int), "y has whole numbers; labels so far were texts"),
    ],
)
def test_what_is_refused_changes_nothing(labelled, y, message):
    X, right = labelled
    classifier = OnlineClassifier().partial_fit(X, right)
    before = classifier.predict_proba(X)
    with pytest.raises(ValueError, match=message):
        classifier.partial_fit(X, y)
    if "so far" not in message:
        with pytest.raises(ValueError, match=message):
            classifier.fit(X, y)
    with pytest.raises(ValueError, match="NaN or infinity"):
        classifier.fit(np.where(np.arange(6) == 2, np.nan, X), right)
    with pytest.raises(ValueError, match="half_life = 0"):
        classifier.set_params(half_life=0).fit(X, right)
    np.testing.assert_array_equal(classifier.predict_proba(X), before)


def test_a_column_of_labels_is_taken_with_a_warning(labelled):
    X, y = labelled
    with pytest.warns(UserWarning, match="column-vector"):
        classifier = OnlineClassifier().fit(X, y[:, None])
    assert classifier.score(X, y) > 0.9
