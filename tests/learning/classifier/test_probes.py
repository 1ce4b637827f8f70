"""Linear probes against scikit-learn's logistic regression."""

import numpy as np
import pytest
from helpers.extras import extra

extra("scipy")

from stream_infomax.learning.classifier.probes import LinearProbe  # noqa: E402


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_it_finds_the_optimum_that_scikit_learn_finds():
    linear_model = pytest.importorskip("sklearn.linear_model")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    rng = np.random.default_rng(0)
    features = rng.standard_normal((300, 8)) * 3 + 1
    labels = np.array(["a", "b", "c"])[np.argmax(features[:, :3] + 2 * rng.standard_normal((300, 3)), 1)]
    probe = LinearProbe(strength=0.5).fit(features, labels)
    scaled = preprocessing.StandardScaler().fit_transform(features)
    reference = linear_model.LogisticRegression(C=0.5, max_iter=1000).fit(scaled, labels)
    np.testing.assert_allclose(probe.weights_[:-1].T, reference.coef_, atol=5e-3)
    assert probe.score(features, labels) == pytest.approx(reference.score(scaled, labels), abs=0.01)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="two classes"):
        LinearProbe().fit(np.eye(3), ["a", "a", "a"])
