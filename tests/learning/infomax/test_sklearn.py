"""OnlineInfomax as scikit-learn's tools see it."""

import subprocess
import sys

import numpy as np
import pytest

from stream_infomax.learning.infomax.estimator import OnlineInfomax

sklearn = pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def test_first_step_of_a_pipeline(digits):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    X, y = digits
    model = make_pipeline(OnlineInfomax(n_rank=30, output="halves"), LogisticRegression(max_iter=2000))
    assert model.fit(X, y).score(X, y) > 0.9


def test_last_step_of_a_pipeline(digits):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, _ = digits
    model = make_pipeline(StandardScaler(), OnlineInfomax(n_rank=30))
    features = model.fit(X).transform(X)
    assert features.shape == (len(X), 30)
    assert list(model.get_feature_names_out()[:2]) == ["onlineinfomax0", "onlineinfomax1"]
    np.testing.assert_array_equal(model.fit_transform(X), features)


def test_a_search_over_parameters_in_two_processes(digits):
    from sklearn.model_selection import GridSearchCV

    rows = digits[0][:, 10:20]
    search = GridSearchCV(OnlineInfomax(n_rank=8), {"block": [32, 64], "memory": [0, "1 MiB"]}, cv=3, n_jobs=2)
    search.fit(rows)
    assert search.best_params_["memory"] == "1 MiB"
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.score(rows) == search.score(rows)


def test_errors_are_scikit_learns_and_travel_between_processes():
    import pickle

    from sklearn.exceptions import NotFittedError

    from stream_infomax.learning.infomax.fitted import NotWarmError

    with pytest.raises(NotFittedError) as caught:
        OnlineInfomax().transform(np.zeros((1, 2)))
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert isinstance(again, NotWarmError)
    assert str(again) == str(caught.value)


def test_clone_is_fresh(digits):
    from sklearn.base import clone

    learner = OnlineInfomax(n_rank=20, block=32).fit(digits[0])
    copy = clone(learner)
    assert copy.get_params() == learner.get_params()
    with pytest.raises(ValueError, match="not over"):
        copy.transform(digits[0])


def test_check_is_fitted(digits):
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    with pytest.raises(NotFittedError):
        check_is_fitted(OnlineInfomax())
    check_is_fitted(OnlineInfomax(n_rank=20).fit(digits[0]))


def test_notebook_view(digits):
    from sklearn.pipeline import make_pipeline
    from sklearn.utils import estimator_html_repr

    learner = OnlineInfomax(n_rank=20)
    assert "OnlineInfomax(n_rank=20)" in repr(learner)
    assert "OnlineInfomax" in estimator_html_repr(learner)
    assert "OnlineInfomax" in make_pipeline(learner)._repr_html_()


def test_parameters():
    learner = OnlineInfomax().set_params(block=16, output="log")
    assert learner.get_params()["block"] == 16
    with pytest.raises(ValueError, match="blok"):
        learner.set_params(blok=3)


def test_works_where_neither_scikit_learn_nor_scipy_is_installed():
    code = (
        "import sys; sys.modules['scipy'] = sys.modules['sklearn'] = None; "
        "import numpy as np; from stream_infomax.learning.infomax.estimator import OnlineInfomax as O; "
        "m = O().fit(np.random.default_rng(0).laplace(size=(500, 4))); m.transform(np.zeros((1, 4))); repr(m); "
        "m = O(9).fit(np.random.default_rng(0).laplace(size=(500, 4))); print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
