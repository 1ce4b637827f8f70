"""Which component is which: same, changed, died, born."""

import numpy as np
import pytest
from helpers.extras import needs

from stream_infomax import Encoder, OnlineInfomax
from stream_infomax.learning.infomax.matching import correlations, match

pytestmark = needs("scipy")
K = 6


def encoder(mixing, n_components=None):
    """A basis whose potentials are those of a mixing of independent sources of variance one."""
    mixing = np.asarray(mixing, np.float64)
    n = mixing.shape[1]
    return Encoder(
        mean=np.zeros(len(mixing)),
        components=np.linalg.pinv(mixing).astype(np.float32),
        mixing=mixing.astype(np.float32),
        amplitude=1.0,
        beta=np.ones(n, np.float32),
        bias=np.zeros(n, np.float32),
        output="potential",
    )


@pytest.fixture
def mixing():
    return np.random.default_rng(0).normal(size=(K, K))


def test_a_permutation_with_signs_is_found(mixing):
    order, signs = np.array([3, 0, 5, 1, 4, 2]), np.array([1, -1, 1, -1, -1, 1])
    found = match(encoder(mixing), encoder(mixing[:, order] * signs))
    assert [one.before for one in found] == list(range(K))
    for one in found:
        assert order[one.after] == one.before
        assert one.sign == signs[one.after]
        assert one.status == "same"
        assert one.correlation == pytest.approx(one.sign, abs=1e-5)


def test_correlations_are_those_of_the_outputs(mixing):
    rng = np.random.default_rng(1)
    a, b = encoder(mixing), encoder(mixing + 0.3 * rng.normal(size=(K, K)))
    X = np.concatenate([rng.normal(size=(100000, K)) @ one.mixing.T for one in (a, b)])
    expected = np.corrcoef(a.transform(X).T, b.transform(X).T)[:K, K:]
    np.testing.assert_allclose(correlations(a, b), expected, atol=0.02)
    np.testing.assert_allclose(correlations(b, a), correlations(a, b).T, atol=1e-12)


def test_components_change_die_and_are_born():
    angle = np.pi / 4
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    a, b = encoder(np.eye(4)[:, :3]), encoder(turned[:, [0, 1, 3]])
    found = match(a, b)
    assert [(one.before, one.status) for one in found if one.before is not None] == [
        (0, "changed"),
        (1, "changed"),
        (2, "died"),
    ]
    assert [(one.after, one.status) for one in found if one.before is None] == [(2, "born")]


def test_other_numbers_of_components(mixing):
    found = match(encoder(mixing[:, :4]), encoder(mixing))
    assert [one.after for one in found[:4]] == [0, 1, 2, 3]
    assert sorted(one.after for one in found[4:]) == [4, 5]
    assert len(match(encoder(mixing), encoder(mixing[:, :4]))) == K


def test_a_component_is_itself_at_every_publication(tmp_path):
    """Neither refreshes nor publications nor a restart move a component or turn it round."""
    rng = np.random.default_rng(2)
    mixing = rng.normal(size=(8, 8))
    X = rng.laplace(size=(40000, 8)) @ mixing.T
    learner = OnlineInfomax(block=16)
    before, least, publications = None, 1.0, 0
    for part in np.split(X, 400):
        if learner.n_iter_ == 1000:
            learner.save(tmp_path / "learner")
            learner = OnlineInfomax.load(tmp_path / "learner")
        learner.partial_fit(part)
        if not hasattr(learner, "components_"):
            continue
        if before is not None and learner.version_ != before.version:
            publications += 1
            kept = np.diag(correlations(before, learner))
            if learner.n_rows_seen_ > 4000:  # the basis has been found
                least = min(least, kept.min())
                assert [one.after for one in match(before, learner)] == list(range(8))
        before = Encoder.of(learner)
    assert publications > 40
    assert least > 0.99


def test_a_component_stays_itself_where_channels_get_another_gain():
    """A learner that follows turns the basis with the channels: the outputs stay what they were."""
    rng = np.random.default_rng(2)
    mixing = rng.normal(size=(8, 8))
    learner = OnlineInfomax(block=32, adapt="follow").partial_fit(rng.laplace(size=(40000, 8)) @ mixing.T)
    before = Encoder.of(learner)
    gains = np.where(np.arange(8) == 2, 1000.0, 1.0) * 30
    for _ in range(100):
        learner.partial_fit((rng.laplace(size=(100, 8)) @ mixing.T) * gains)
    assert "change" in {event.kind for event in learner.events_}
    X = rng.laplace(size=(5000, 8)) @ mixing.T
    old, new = before.transform(X), learner.transform(X * gains)
    assert min(np.corrcoef(old[:, k], new[:, k])[0, 1] for k in range(8)) > 0.95
