"""The blend of levels: what it foretells, the slope of its weights, which levels count, what it stands."""

import numpy as np
import pytest
import reference
from helpers.clouds import clouds

from stream_infomax.learning.classifier.blend import Blend
from stream_infomax.learning.classifier.softmax import SoftmaxRegression


def beside_noise(n, width=40, seed=0):
    """Clouds that tell their class, beside noise that tells nothing."""
    features, labels = clouds(n, seed=seed)
    noise = np.random.default_rng(seed + 1).standard_normal((n, width))
    return np.concatenate([features, noise], 1), labels


def learnt(features, labels, blend):
    """Whether each vector was named right before it was learnt from."""
    hits = []
    for x, label in zip(features, labels, strict=True):
        hits.append(blend.predict(x) == label)
        blend.learn(x, label)
    return np.array(hits)


def test_it_multiplies_what_its_levels_foretell():
    features, labels = clouds(300)
    blend = Blend([2, 4], learning_rate=1e-2)
    learnt(features, labels, blend)
    assert np.abs(blend.weights - 0.5).max() > 0.05
    for x in features[:5]:
        apart = [part.probabilities(own) for part, own in zip(blend.parts, np.split(x, [2]), strict=True)]
        assert blend.probabilities(x) == pytest.approx(reference.blend(apart, blend.weights), rel=1e-9)
    assert blend.probabilities(features[:5])[3] == pytest.approx(blend.probabilities(features[3]), rel=1e-12)


def test_the_slope_of_its_weights_is_that_of_the_surprise():
    features, labels = clouds(60, seed=3)
    blend = Blend([2, 4])
    learnt(features, labels, blend)
    blend.moment[:] = blend.square[:] = 0
    before, x, label = blend.weights.copy(), features[0], labels[0]

    def surprise(weights):
        blend.weights = weights
        return -np.log(blend.probabilities(x)[blend.classes.index(label)])

    shifts = 1e-5 * np.eye(2)
    slope = [(surprise(before + shift) - surprise(before - shift)) / 2e-5 for shift in shifts]
    blend.weights = before
    blend.learn(x, label)
    assert blend.moment == pytest.approx(0.1 * np.array(slope), rel=1e-4)
    assert (np.sign(blend.weights - before) == -np.sign(slope)).all()


def test_a_level_that_tells_nothing_loses_its_weight_and_does_no_harm():
    features, labels = beside_noise(1000)
    blend, joined = Blend([6, 40], learning_rate=1e-2), SoftmaxRegression(46, learning_rate=1e-2)
    alone = SoftmaxRegression(6, learning_rate=1e-2)
    together = learnt(features, labels, blend)[500:].mean()
    assert 3 * blend.weights[1] < blend.weights[0]
    assert together >= learnt(features[:, :6], labels, alone)[500:].mean() - 0.01
    assert together >= learnt(features, labels, joined)[500:].mean()


def test_with_a_half_life_it_follows_when_another_level_tells_the_classes():
    features, labels = beside_noise(1000, width=6)
    features[500:] = np.roll(features[500:], 6, axis=1)
    blend = Blend([6, 6], learning_rate=1e-2, half_life=100)
    first, then = np.split(learnt(features, labels, blend), 2)
    assert first[-200:].mean() > 0.85
    assert then[-200:].mean() > 0.85
    assert blend.weights[1] > blend.weights[0]


def test_no_burst_in_one_level_spoils_the_others():
    features, labels = beside_noise(800)
    loud = features.copy()
    loud[300:320, :6] *= 1e3
    loud[400, 6:] *= 1e6
    clean, burst = (learnt(rows, labels, Blend([6, 40], learning_rate=1e-2)) for rows in (features, loud))
    assert burst[-300:].mean() >= clean[-300:].mean() - 0.02


def test_a_class_that_comes_late_is_named_soon():
    features, labels = clouds(900)
    late = [label if i >= 500 or label != "class 2" else "class 0" for i, label in enumerate(labels)]
    blend = Blend([3, 3], learning_rate=1e-2)
    hits = learnt(features, late, blend)
    assert blend.steps == 900 - len(blend.classes)
    assert hits[700:].mean() > 0.85


def test_what_it_does_not_accept():
    blend = Blend([1, 2])
    assert blend.predict(np.zeros(3)) == ""
    blend.learn(np.ones(3), "a")
    state = blend.state()
    with pytest.raises(ValueError, match="3 finite numbers"):
        blend.learn(np.ones(2), "a")
    with pytest.raises(TypeError, match="received 1 of type int"):
        blend.learn(np.ones(3), 1)
    with pytest.raises(ValueError, match="accepted are 2, one for each level"):
        blend.restore({**state, "parts": state["parts"][:1]})
    with pytest.raises(ValueError, match="steps: -1"):
        blend.restore({**state, "steps": -1})
    other = Blend([1, 2])
    other.learn(np.ones(3), "b")
    with pytest.raises(ValueError, match="accepted are the same"):
        blend.restore({**state, "parts": [state["parts"][0], other.state()["parts"][1]]})
