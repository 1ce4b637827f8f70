"""The online classifier, its test-then-train score, and labels that come late."""

import numpy as np
import pytest
from helpers.clouds import clouds

from stream_infomax.learning.classifier.softmax import SoftmaxRegression


def test_it_learns_separable_classes_in_one_pass():
    features, labels = clouds(1500)
    classifier = SoftmaxRegression(6, learning_rate=1e-2)
    right = []
    for x, label in zip(features, labels, strict=True):
        right.append(classifier.predict(x) == label)
        classifier.learn(x, label)
    assert right[0] is False
    assert np.mean(right[-500:]) > 0.93


def test_its_gradient_is_that_of_the_surprise():
    """The first step of Adam goes by the sign of the gradient: compare with a numerical derivative."""
    features, labels = clouds(40, seed=3)
    classifier = SoftmaxRegression(6, penalty=0.0)
    for x, label in zip(features, labels, strict=True):
        classifier.learn(x, label)
    classifier.moment[:] = classifier.square[:] = 0
    classifier.steps = 0
    x, label = features[0], labels[0]
    before = classifier.weights.copy()
    classifier.learn(x, label)
    step = classifier.weights - before
    z = classifier._standardised(x)
    index = classifier.classes.index(label)

    def surprise(weights):
        logits = weights @ z
        return np.log(np.exp(logits).sum()) - logits[index]

    for row, column in [(0, 0), (1, 3), (2, 6)]:
        shift = np.zeros_like(before)
        shift[row, column] = 1e-5
        slope = (surprise(before + shift) - surprise(before - shift)) / 2e-5
        assert np.sign(step[row, column]) == -np.sign(slope)
        assert classifier.moment[row, column] == pytest.approx(0.1 * slope, rel=1e-4)


def test_classes_come_as_they_come_and_one_class_is_no_error():
    classifier = SoftmaxRegression(2)
    assert classifier.predict(np.zeros(2)) == ""
    assert len(classifier.probabilities(np.zeros(2))) == 0
    classifier.learn(np.array([1.0, 2.0]), "a")
    assert classifier.predict(np.zeros(2)) == "a"
    assert classifier.probabilities(np.zeros(2)).tolist() == [1.0]
    classifier.learn(np.array([-1.0, 2.0]), "b")
    assert classifier.classes == ["a", "b"]
    assert classifier.probabilities(np.zeros(2)).sum() == pytest.approx(1)


def test_a_dead_feature_has_no_say():
    classifier = SoftmaxRegression(3, penalty=0.0)
    for x, label in zip(*clouds(50, width=2), strict=True):
        classifier.learn(np.append(x, 7.0), label)
    assert not classifier.weights[:, 2].any()
    probe = np.array([0.3, 0.1, 7.0])
    assert np.array_equal(classifier.probabilities(probe), classifier.probabilities(np.array([0.3, 0.1, 107.0])))


def test_forgetting_follows_a_change_faster():
    features, labels = clouds(800, classes=2, seed=1)
    swapped = ["class 1" if label == "class 0" else "class 0" for label in labels]
    hits = {}
    for half_life in (None, 50):
        classifier = SoftmaxRegression(6, learning_rate=1e-2, half_life=half_life)
        for x, label in zip(features, labels, strict=True):
            classifier.learn(x, label)
        hits[half_life] = 0
        for x, label in zip(features[:60], swapped, strict=False):
            hits[half_life] += classifier.predict(x) == label
            classifier.learn(x, label)
    assert hits[50] > hits[None]


def test_labels_are_texts_and_features_finite():
    classifier = SoftmaxRegression(2)
    classifier.learn(np.ones(2), "1")
    with pytest.raises(TypeError, match="received 1 of type int"):
        classifier.learn(np.ones(2), 1)
    with pytest.raises(ValueError, match="2 finite numbers"):
        classifier.learn(np.array([1.0, np.nan]), "1")
    with pytest.raises(ValueError, match="shape \\(3,\\)"):
        classifier.learn(np.ones(3), "1")


@pytest.mark.parametrize("half_life", [None, 500])
@pytest.mark.parametrize("kind", ["vector", "first vector", "channel", "burst", "louder", "softer", "offset"])
def test_no_vector_spoils_the_others_and_another_scale_is_followed(kind, half_life):
    features, labels = clouds(2400)
    clean = features.copy()
    match kind:
        case "vector":
            features[1200] *= 1e6
        case "first vector":
            features[0] *= 1e6
        case "channel":
            features[1200, 0] = 1e6
        case "burst":
            features[1200:1220] *= 1000
        case "louder":
            features[1200:] *= 1000
        case "softer":
            features[1200:] /= 1000
        case "offset":
            features = 1e6 + 3 * features
    hits = {}
    for name, rows in (("clean", clean), ("other", features)):
        classifier = SoftmaxRegression(6, half_life=half_life)
        hits[name] = []
        for x, label in zip(rows, labels, strict=True):
            hits[name].append(classifier.predict(x) == label)
            classifier.learn(x, label)
        assert np.abs(classifier.weights).max() < 3
    assert np.mean(hits["other"][-600:]) >= np.mean(hits["clean"][-600:]) - 0.02
