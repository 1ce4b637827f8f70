"""Features of one basis as those of another: exact where nothing is lost, with the share explained elsewhere."""

import numpy as np
import pytest

from stream_infomax import Encoder, OnlineInfomax, translate
from stream_infomax.learning.infomax.translate import Translation

K = 8


def rows(n, seed=0, turn=0.0, n_sources=K, noise=0.0):
    """Laplace rows whose mixing is turned the further the larger `turn` is, with a mean that moves along."""
    rng = np.random.default_rng(99)
    mixing, other = rng.normal(size=(2, K, n_sources))
    rng = np.random.default_rng(seed)
    sources = rng.laplace(size=(n, n_sources))
    return sources @ (np.cos(turn) * mixing + np.sin(turn) * other).T + 5 * turn + noise * rng.normal(size=(n, K))


def learnt(turn=0.0, seed=0, **parameters):
    with_noise = {} if "n_rank" not in parameters else {"n_sources": parameters["n_rank"], "noise": 0.05}
    return OnlineInfomax(block=16, **parameters).fit(rows(6000, seed, turn, **with_noise))


@pytest.mark.parametrize("n_components", [K, 2 * K])
def test_it_is_exact_where_the_first_basis_spans_all(n_components):
    more = {"overcomplete": True} if n_components > K else {}
    a, b = learnt(n_components=n_components, n_rank=K, **more), learnt(0.4, n_components=K)
    X = rows(500, 5, 0.2)
    translation = Translation(a, b)
    assert translation.exact
    assert (translation.explained == 1).all()
    scale = np.abs(b.transform(X)).mean()
    np.testing.assert_allclose(translate(a.transform(X), a, b), b.transform(X), atol=1e-4 * scale)
    np.testing.assert_array_equal(translation.apply(a.transform(X)), translate(a.transform(X), a, b))


def test_there_and_back_is_where_it_began():
    a, b = learnt(), learnt(0.4)
    y = a.transform(rows(100))
    np.testing.assert_allclose(translate(translate(y, a, b), b, a), y, atol=1e-4)


def test_least_squares_and_the_share_explained_where_dimensions_were_left_out():
    a, b = learnt(n_rank=5), learnt(0.1, n_rank=5)
    translation = Translation(a, b)
    assert not translation.exact
    X = np.concatenate([rows(20000, 5, turn, 5, 0.05) - 5 * turn for turn in (0.0, 0.1)])
    y, wanted = a.transform(X), b.transform(X)
    left = (translate(y, a, b) - wanted).var(axis=0)
    np.testing.assert_allclose(translation.explained, 1 - left / wanted.var(axis=0), atol=0.05)
    fit = np.linalg.lstsq(y - y.mean(axis=0), wanted - wanted.mean(axis=0), rcond=None)[0].T
    np.testing.assert_allclose(translation.matrix, fit, atol=0.1)
    assert translation.explained.max() <= 1


def test_a_basis_is_itself_explained():
    a = learnt(n_rank=5)
    translation = Translation(a, a)
    np.testing.assert_allclose(translation.explained, 1, atol=1e-4)
    y = a.transform(rows(100))
    np.testing.assert_allclose(translation.apply(y), y, atol=1e-3)


@pytest.mark.parametrize(
    ("before", "after"), [("halves", "halves"), ("rate", "rate"), ("rate", "log"), ("halves", "rate")]
)
def test_outputs_that_tell_the_potential(before, after):
    a, b = learnt(output=before), learnt(0.3, output=after)
    X = rows(300)
    found, wanted = translate(a.transform(X), a, b), b.transform(X)
    known = np.isfinite(found).all(axis=1)
    assert known.mean() > 0.95
    # What a rate near 0 or 1/4 says of its potential has few digits in float32.
    near = np.abs(found[known] - wanted[known]).max(axis=1)
    assert np.median(near) < 1e-3


def test_a_saturated_rate_and_a_row_set_aside_come_out_as_nan():
    a, b = learnt(output="rate"), learnt(0.3)
    y = a.transform(rows(4))
    y[1, 2], y[2] = 0.25, np.nan
    found = translate(y, a, b)
    assert np.isnan(found[[1, 2]]).all()
    assert np.isfinite(found[[0, 3]]).all()


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("log", "potential", "from_.output = 'log': the log magnitude has lost the sign"),
        ("poisson", "potential", "from_.output = 'poisson': numbers of spikes"),
        (
            "potential",
            "poisson",
            "to.output = 'poisson': they cannot be drawn again; accepted: potential, halves, rate, log",
        ),
    ],
)
def test_outputs_that_cannot_be_mapped_are_refused(before, after, words):
    a, b = learnt(output=before), learnt(output=after)
    with pytest.raises(ValueError, match=words):
        translate(a.transform(rows(3)), a, b)


def test_what_does_not_fit_is_named():
    a = learnt()
    with pytest.raises(ValueError, match=r"features have shape \(3, 7\); accepted is \(n, 8\)"):
        translate(np.zeros((3, 7)), a, a)
    narrow = OnlineInfomax(block=16).fit(rows(2000)[:, :6])
    with pytest.raises(ValueError, match="rows of 8 features, to of 6"):
        translate(np.zeros((3, 8)), a, narrow)
    with pytest.raises(TypeError, match="dict has no basis; accepted: an Encoder"):
        translate(np.zeros((3, 8)), {}, a)


def test_a_classifier_keeps_its_accuracy_on_translated_features(record_property):
    """Two textures that differ in the variance of their sources; the basis drifts, the classifier stays."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    learner = OnlineInfomax(block=16, half_life=4000)
    learner.partial_fit(rows(8000))
    a = Encoder.of(learner)
    for step in range(20):
        learner.partial_fit(rows(2000, step, 0.04 * step))
    b = Encoder.of(learner)
    rng = np.random.default_rng(3)
    labels = rng.integers(2, size=4000)
    X = rows(4000, 50) + 0.8 * np.where(labels, 1, -1)[:, None] * rows(1, 51)
    half = slice(0, 2000), slice(2000, None)
    trained = linear_model.LogisticRegression().fit(a.transform(X[half[0]]), labels[half[0]])
    accuracy = trained.score(a.transform(X[half[1]]), labels[half[1]])
    newer = b.transform(X[half[1]])
    translated = trained.score(translate(newer, b, a), labels[half[1]])
    untranslated = trained.score(newer, labels[half[1]])
    fresh = linear_model.LogisticRegression().fit(b.transform(X[half[0]]), labels[half[0]])
    anew = fresh.score(newer, labels[half[1]])
    print(
        f"on a {accuracy:.3f}, trained on b {anew:.3f}, translated {translated:.3f}, not translated {untranslated:.3f}"
    )
    assert accuracy > 0.7
    assert abs(translated - accuracy) <= 0.001
    assert translated >= anew - 0.01
    assert untranslated < accuracy - 0.05
