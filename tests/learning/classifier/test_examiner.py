"""Predictions are scored when their labels come."""

import numpy as np
import pytest
from helpers.clouds import clouds

from stream_infomax.learning.classifier.examiner import Examiner
from stream_infomax.learning.classifier.softmax import SoftmaxRegression


def test_prediction_comes_before_the_label():
    examiner = Examiner(SoftmaxRegression(1))
    examiner.segment("s", np.ones(1), "a")
    assert examiner.score.overall.accuracy == 0
    examiner.segment("t", np.ones(1), "a")
    assert examiner.score.overall.accuracy == 0.5


def test_late_labels_score_the_prediction_that_was_made_then():
    at_once, late = Examiner(SoftmaxRegression(6)), Examiner(SoftmaxRegression(6))
    features, labels = clouds(30)
    for number, (x, label) in enumerate(zip(features, labels, strict=True)):
        at_once.segment(str(number), x, label)
        late.segment(str(number), x, None)
        if number >= 2:
            assert late.label(str(number - 2), labels[number - 2])
    assert late.score.n == 28
    assert list(late.waiting) == ["28", "29"]
    late.label("28", labels[28])
    late.label("29", labels[29])
    assert np.array_equal(late.classifier.weights, at_once.classifier.weights), "the same labels in the same order"
    assert late.score.overall.accuracy <= at_once.score.overall.accuracy


def test_labels_for_unknown_segments_and_segments_without_labels_are_counted():
    examiner = Examiner(SoftmaxRegression(1), waiting=3)
    assert not examiner.label("never seen", "a")
    for number in range(5):
        examiner.segment(str(number), np.ones(1), None)
    assert not examiner.label("0", "a")
    assert examiner.label("4", "a")
    assert not examiner.label("4", "a")
    assert examiner.segment("empty", np.array([np.nan]), "a") is None
    assert examiner.counts == {"empty": 1, "given_up": 2, "unknown": 3}
    with pytest.raises(TypeError):
        examiner.label("3", 3)
    assert "3" in examiner.waiting
    assert examiner.score.n == 1


def test_restored_examiner_goes_on_alike():
    features, labels = clouds(80)
    one = Examiner(SoftmaxRegression(6, half_life=30), waiting=10)
    for number in range(40):
        one.segment(str(number), features[number], labels[number] if number % 3 else None)
    other = Examiner(SoftmaxRegression(6, half_life=30), waiting=10)
    other.restore(one.state())
    for number in range(40, 80):
        left = one.segment(str(number), features[number], labels[number])
        assert np.array_equal(left, other.segment(str(number), features[number], labels[number]))
        assert one.label(str(number - 40), "class 0") == other.label(str(number - 40), "class 0")
    assert one.score.overall == other.score.overall
    assert one.counts == other.counts
    with pytest.raises(ValueError, match=r"classifier\.moments\.mean: an array of shape \(6,\)"):
        Examiner(SoftmaxRegression(5)).restore(one.state())
