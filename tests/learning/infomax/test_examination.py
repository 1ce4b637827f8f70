"""What an examination concludes from rows."""

import numpy as np
import pytest

from stream_infomax.learning.infomax.basis import Basis
from stream_infomax.learning.infomax.examination import judge

K, K0 = 8, 5
DEVIATIONS = np.r_[np.ones(K0), np.full(K - K0, 1e-3)]


TURN = np.linalg.qr(np.random.default_rng(2).standard_normal((K, K)))[0]


def present():
    """Knows five directions; in the others rows hardly vary."""
    whiten = TURN[:, :K0]
    return Basis(np.zeros(K), whiten, whiten.copy(), np.eye(K0), 1e-6)


def rows(deviations, seed=0):
    return np.random.default_rng(seed).laplace(size=(2000, K)) / np.sqrt(2) * deviations @ TURN.T


@pytest.mark.parametrize("times", [1.0, 30.0, 0.1])
def test_what_is_left_out_may_vary_more_or_less(times):
    found = judge(rows(DEVIATIONS * np.r_[np.ones(K0), np.full(K - K0, times)]), present(), [], None)
    assert found.kind == "none"


def test_a_direction_that_was_left_out_and_leads_now_is_another_covariance():
    mixing = np.linalg.qr(np.random.default_rng(1).standard_normal((K, K)))[0]
    assert judge(rows(DEVIATIONS) @ mixing.T, present(), [], None).kind == "new"
