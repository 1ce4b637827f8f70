"""scikit-learn's own checks of an estimator, all of them."""

import warnings

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from stream_infomax.learning.classifier.classifier import OnlineClassifier
from stream_infomax.learning.infomax.estimator import OnlineInfomax

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Estimator .* does not inherit")  # scikit-learn is not imported for a base class
    over_all_checks = parametrize_with_checks(
        [OnlineInfomax(), OnlineInfomax(output="halves", memory=0), OnlineClassifier()]
    )


@pytest.mark.filterwarnings("ignore:the data end before the warm-up")
@over_all_checks
def test_scikit_learns_checks(estimator, check):
    check(estimator)
