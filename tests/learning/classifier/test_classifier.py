"""The online classifier, its test-then-train score, and labels that come late."""

import numpy as np
import pytest

from stream_infomax.learning.classifier.classifier import Examiner, OnlineClassifier, Pooling, Score


def clouds(n, classes=3, width=6, seed=0):
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((classes, width))
    labels = rng.integers(classes, size=n)
    return centres[labels] + rng.standard_normal((n, width)), [f"class {label}" for label in labels]


def test_it_learns_separable_classes_in_one_pass():
    features, labels = clouds(1500)
    classifier = OnlineClassifier(6, learning_rate=1e-2)
    right = []
    for x, label in zip(features, labels, strict=True):
        right.append(classifier.predict(x) == label)
        classifier.learn(x, label)
    assert right[0] is False
    assert np.mean(right[-500:]) > 0.93


def test_its_gradient_is_that_of_the_surprise():
    """The first step of Adam goes by the sign of the gradient: compare with a numerical derivative."""
    features, labels = clouds(40, seed=3)
    classifier = OnlineClassifier(6, penalty=0.0)
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
    classifier = OnlineClassifier(2)
    assert classifier.predict(np.zeros(2)) == ""
    assert len(classifier.probabilities(np.zeros(2))) == 0
    classifier.learn(np.array([1.0, 2.0]), "a")
    assert classifier.predict(np.zeros(2)) == "a"
    assert classifier.probabilities(np.zeros(2)).tolist() == [1.0]
    classifier.learn(np.array([-1.0, 2.0]), "b")
    assert classifier.classes == ["a", "b"]
    assert classifier.probabilities(np.zeros(2)).sum() == pytest.approx(1)


def test_a_dead_feature_has_no_say():
    classifier = OnlineClassifier(3, penalty=0.0)
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
        classifier = OnlineClassifier(6, learning_rate=1e-2, half_life=half_life)
        for x, label in zip(features, labels, strict=True):
            classifier.learn(x, label)
        hits[half_life] = 0
        for x, label in zip(features[:60], swapped, strict=False):
            hits[half_life] += classifier.predict(x) == label
            classifier.learn(x, label)
    assert hits[50] > hits[None]
    with pytest.raises(ValueError, match="half_life"):
        OnlineClassifier(2, half_life=0)


def test_labels_are_texts_and_features_finite():
    classifier = OnlineClassifier(2)
    classifier.learn(np.ones(2), "1")
    with pytest.raises(TypeError, match="received 1 of type int"):
        classifier.learn(np.ones(2), 1)
    with pytest.raises(ValueError, match="2 finite numbers"):
        classifier.learn(np.array([1.0, np.nan]), "1")
    with pytest.raises(ValueError, match="shape \\(3,\\)"):
        classifier.learn(np.ones(3), "1")


def test_score_on_a_sorted_stream():
    """Ten labels, each a hundred times in a row: "same as last time" is right 990 times of 1000."""
    score = Score(fading=1.0)
    labels = [str(digit) for digit in range(10) for _ in range(100)]
    for position, label in enumerate(labels):
        score.add(label if position % 2 else "wrong", label)
    values = score.values()
    assert values["accuracy"] == values["overall"] == 0.5
    assert values["no_change"] == values["overall_no_change"] == 0.99
    assert values["kappa_temporal"] == pytest.approx((0.5 - 0.99) / 0.01)
    assert values["window"] == 0.5
    # The majority so far is right in the first hundred but its first, and at ties the earliest label wins.
    assert values["majority"] == pytest.approx(0.099)
    assert values["scored"] == 1000
    assert values["chance"] == 0.1
    # Of the last 200, the first of each hundred is a change.
    assert (values["window_size"], values["window_no_change"], values["window_majority"]) == (200, 0.99, 0.0)
    assert values["window_kappa_temporal"] == values["overall_kappa_temporal"] == pytest.approx(-49)


def test_score_fades():
    score = Score(fading=0.5, window=2)
    for hit in (True, True, False):
        score.add("a" if hit else "b", "a")
    assert score.values()["accuracy"] == pytest.approx((0.25 + 0.5) / 1.75)
    assert score.values()["window"] == 0.5


def test_score_before_any_label_and_where_nothing_changes():
    assert np.isnan(Score().values()["accuracy"])
    score = Score()
    for _ in range(3):
        score.add("a", "a")
    assert score.values()["accuracy"] == 1
    assert score.values()["kappa_temporal"] == pytest.approx(1)
    sure = Score(window=2)
    for _ in range(3):
        sure.add("a", "a")
    assert np.isnan(sure.values()["window_kappa_temporal"]), "where nothing changes there is nothing to gain"


def test_prediction_comes_before_the_label():
    examiner = Examiner(OnlineClassifier(1))
    examiner.segment("s", np.ones(1), "a")
    assert examiner.score.values()["overall"] == 0
    examiner.segment("t", np.ones(1), "a")
    assert examiner.score.values()["overall"] == 0.5


def test_late_labels_score_the_prediction_that_was_made_then():
    at_once, late = Examiner(OnlineClassifier(6)), Examiner(OnlineClassifier(6))
    features, labels = clouds(30)
    for number, (x, label) in enumerate(zip(features, labels, strict=True)):
        at_once.segment(str(number), x, label)
        late.segment(str(number), x, None)
        if number >= 2:
            assert late.label(str(number - 2), labels[number - 2])
    assert late.score.values()["scored"] == 28
    assert list(late.waiting) == ["28", "29"]
    late.label("28", labels[28])
    late.label("29", labels[29])
    assert np.array_equal(late.classifier.weights, at_once.classifier.weights), "the same labels in the same order"
    assert late.score.values()["overall"] <= at_once.score.values()["overall"]


def test_labels_for_unknown_segments_and_segments_without_labels_are_counted():
    examiner = Examiner(OnlineClassifier(1), waiting=3)
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
    assert examiner.score.values()["scored"] == 1


def test_restored_examiner_goes_on_alike():
    features, labels = clouds(80)
    one = Examiner(OnlineClassifier(6, half_life=30), waiting=10)
    for number in range(40):
        one.segment(str(number), features[number], labels[number] if number % 3 else None)
    other = Examiner(OnlineClassifier(6, half_life=30), waiting=10)
    other.restore(one.state())
    for number in range(40, 80):
        left = one.segment(str(number), features[number], labels[number])
        assert np.array_equal(left, other.segment(str(number), features[number], labels[number]))
        assert one.label(str(number - 40), "class 0") == other.label(str(number - 40), "class 0")
    assert one.score.values() == other.score.values()
    assert one.counts == other.counts
    with pytest.raises(ValueError, match="reads 6 features, this one 5"):
        Examiner(OnlineClassifier(5)).restore(one.state())


def test_pooling_in_pieces_leaves_out_what_is_not_finite():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((50, 3)).astype(np.float32)
    rows[[4, 30]] = np.nan
    pool = Pooling(3)
    for start in range(0, 50, 8):
        pool.add(rows[start : start + 8])
    good = rows[np.isfinite(rows).all(1)].astype(np.float64)
    np.testing.assert_allclose(pool.result(), np.concatenate([good.mean(0), good.std(0)]), rtol=1e-6)
    other = Pooling(3)
    other.restore(pool.state())
    assert np.array_equal(other.result(), pool.result())
    assert np.isnan(Pooling(3).result()).all()
