"""Accuracy beside those who look at nothing."""

import numpy as np
import pytest

from stream_infomax.learning.classifier.scores import Score


def test_score_on_a_sorted_stream():
    """Ten labels, each a hundred times in a row: "same as last time" is right 990 times of 1000."""
    score = Score(fading=1.0)
    labels = [str(digit) for digit in range(10) for _ in range(100)]
    for position, label in enumerate(labels):
        score.add(label if position % 2 else "wrong", label)
    assert score.faded.accuracy == score.overall.accuracy == 0.5
    assert score.faded.no_change == score.overall.no_change == 0.99
    assert score.faded.kappa_temporal == pytest.approx((0.5 - 0.99) / 0.01)
    assert score.recent.accuracy == 0.5
    # The majority so far is right in the first hundred but its first, and at ties the earliest label wins.
    assert score.faded.majority == pytest.approx(0.099)
    assert score.n == 1000
    assert score.chance == 0.1
    # Of the last 200, the first of each hundred is a change.
    assert (score.n_recent, score.recent.no_change, score.recent.majority) == (200, 0.99, 0.0)
    assert score.recent.kappa_temporal == score.overall.kappa_temporal == pytest.approx(-49)


def test_score_fades():
    score = Score(fading=0.5, window=2)
    for hit in (True, True, False):
        score.add("a" if hit else "b", "a")
    assert score.faded.accuracy == pytest.approx((0.25 + 0.5) / 1.75)
    assert score.recent.accuracy == 0.5


def test_score_before_any_label_and_where_nothing_changes():
    assert np.isnan(Score().faded.accuracy)
    score = Score()
    for _ in range(3):
        score.add("a", "a")
    assert score.faded.accuracy == 1
    assert score.faded.kappa_temporal == pytest.approx(1)
    sure = Score(window=2)
    for _ in range(3):
        sure.add("a", "a")
    assert np.isnan(sure.recent.kappa_temporal), "where nothing changes there is nothing to gain"
