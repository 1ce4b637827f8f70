"""What a person does to a learner: hold, resume, undo."""

import pickle
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import reference
from helpers.mixtures import amari, same

from stream_infomax import Encoder, OnlineInfomax
from stream_infomax.learning.infomax.basis import Basis
from stream_infomax.learning.infomax.fitted import NotWarmError
from stream_infomax.learning.infomax.steering import published_of

K = 6
HERE, THERE = np.random.default_rng(0).standard_normal((2, K, K))
# Other sources with the covariance of HERE: what is learnt from them is another rotation.
TURNED = np.linalg.cholesky(HERE @ HERE.T) @ np.linalg.qr(np.random.default_rng(5).standard_normal((K, K)))[0]
KINDS = {
    "complete": {},
    "overcomplete": {"n_components": 9, "overcomplete": True},
    "fewer dimensions": {"n_rank": 4},
    "without a memory": {"memory": 0},
    "with a half-life": {"half_life": 5000.0},
    "that follows": {"adapt": "follow"},
    "that holds": {"adapt": "hold"},
}


def rows_of(mixing, n, seed):
    return np.random.default_rng(seed).laplace(size=(n, K)) @ mixing.T


def astray(mixing=TURNED, n=30_000, **settings):
    """A learner that has gone astray, and the basis that it had before."""
    learner = OnlineInfomax(**settings).partial_fit(rows_of(HERE, 6000, 0))
    earlier = Encoder.of(learner)
    return learner.partial_fit(rows_of(mixing, n, 1)), earlier


def alike(earlier, learner, rows):
    """The correlation of each output with that of an earlier basis."""
    one, other = earlier.transform(rows), learner.transform(rows)
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(one.T, other.T, strict=True)])


def kinds(learner):
    return [event.kind for event in learner.events_]


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_an_undone_basis_is_back_under_its_version_and_stays_near(settings):
    learner, earlier = astray(**settings)
    rows = rows_of(HERE, 4000, 2)
    assert alike(earlier, learner, rows).min() < 0.95, "it has to have gone astray"
    learner.undo(earlier)
    assert learner.version_ == earlier.version
    np.testing.assert_array_equal(learner.transform(rows), earlier.transform(rows))
    event = learner.events_[-1]
    assert event.kind == "undo"
    assert event.text.startswith(f"version {earlier.version} is back in place of ")
    versions = set()
    for i in range(30):
        learner.partial_fit(rows_of(HERE, 200, 3 + i))
        versions.add(learner.version_)
    assert len(versions) > 1, "learning goes on"
    assert alike(earlier, learner, rows).min() > 0.95
    looked = settings.get("adapt", "fixed") != "fixed"
    assert kinds(learner)[-1] == ("resume" if looked else "undo"), "it is no change that the earlier basis fits"
    assert (learner.became()["a change is examined"] > 0) == looked


def test_it_learns_on_to_a_better_basis_than_that_which_is_back():
    learner, earlier = astray(THERE)
    learner.undo(earlier).partial_fit(rows_of(HERE, 60_000, 2))
    assert amari(learner.components_ @ HERE) < 0.8 * amari(earlier.components @ HERE)


def test_the_event_says_how_far_away_the_basis_is():
    learner, earlier = astray(THERE)
    present = Encoder.of(learner)
    covariance = learner._learner._whitener.covariance()
    scale, reference_ = learner._learner._whitener.scale, learner._learner._whitener.reference
    rows = np.random.default_rng(1).multivariate_normal(np.zeros(K), covariance, 100_000) / scale + reference_
    found = alike(earlier, present, rows)
    size = earlier.transform(rows).std(axis=0)
    text = learner.undo(earlier).events_[-1].text
    said = [float(word.strip(",;")) for word in text.split() if word[-1] != "." and "." in word]
    assert f"is back in place of {present.version}: " in text
    np.testing.assert_allclose(said, [found.min(), found.max(), size.min(), size.max()], atol=0.02)


@pytest.mark.parametrize("settings", [{}, {"n_rank": 4}, {"n_components": 9, "overcomplete": True}])
def test_a_basis_has_a_whitening_again_that_is_the_nearest(settings):
    learner, earlier = astray(THERE, **settings)
    whitener = learner._learner._whitener
    published = published_of(earlier, whitener)
    model = Basis.of(published, 0.0)
    np.testing.assert_allclose(model.whiten.T @ model.dewhiten, np.eye(learner.n_rank_), atol=1e-4)
    np.testing.assert_allclose(model.rotation @ model.rotation.T, np.eye(learner.n_rank_), atol=1e-5)
    np.testing.assert_allclose(model.rotation.T @ model.whiten.T * earlier.amplitude, earlier.components, atol=1e-4)
    now = whitener.dewhiten / whitener.scale[:, None]
    expected = reference.nearest_rotation(now, earlier.components / earlier.amplitude)
    np.testing.assert_allclose(published.rotation, expected, atol=1e-5)


def test_a_basis_of_the_archive_is_back_with_the_rows_that_it_stood_on():
    learner = OnlineInfomax(adapt="follow").partial_fit(rows_of(HERE, 16_000, 0))
    learner.partial_fit(rows_of(THERE, 20_000, 1))
    assert kinds(learner) == ["change"]
    (entry,) = learner._learner._stream.archive.earlier
    made = entry.published
    earlier = Encoder(
        mean=made.mean,
        components=made.filters,
        mixing=made.basis,
        amplitude=made.amplitude,
        beta=made.beta,
        bias=made.bias,
        output="potential",
    )
    learner.undo(earlier)
    assert learner.version_ == earlier.version
    assert f"; {entry.rows:,.0f} rows count on" in learner.events_[-1].text
    assert len(learner._learner._stream.archive.earlier) == 1, "the other room is an earlier one now"
    # A person has gone back: the learner does not know better, though the rows are of the other room still.
    learner.partial_fit(rows_of(THERE, 1000, 2))
    assert kinds(learner) == ["change", "undo", "change"]
    assert "another covariance" in learner.events_[-1].text


def test_a_gain_that_has_changed_since_is_found_out():
    gain = np.array([1, 1, 5, 1, 1, 1])
    learner = OnlineInfomax(adapt="follow").partial_fit(rows_of(HERE, 6000, 0))
    earlier = Encoder.of(learner)
    learner.partial_fit(rows_of(HERE, 30_000, 1) * gain).undo(earlier).partial_fit(rows_of(HERE, 4000, 2) * gain)
    assert kinds(learner)[-2:] == ["undo", "change"]
    assert "channels have another gain: 2 (4.9" in learner.events_[-1].text
    rows = rows_of(HERE, 4000, 3)
    one, other = earlier.transform(rows), learner.transform(rows * gain)
    assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(one.T, other.T, strict=True)) > 0.99


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(("adapt", "row"), [("fixed", 30), ("follow", 300)])
def test_an_outlying_row_after_an_undo_is_shortened_as_ever(adapt, row):
    learner, earlier = astray(n=64, adapt=adapt)
    rows = rows_of(HERE, 640, 1)
    rows[row] = 1e30  # in the first step after the undo, or the examination, while the memory is empty
    learner.undo(earlier).partial_fit(rows)
    assert learner.n_shortened_
    assert alike(earlier, learner, rows_of(HERE, 1000, 2)).min() > 0.98


def test_hold_and_resume():
    learner = OnlineInfomax().partial_fit(rows_of(HERE, 6000, 0)).hold()
    assert learner.held_
    updates, components = learner.n_updates_, learner.components_
    learner.hold()  # again
    learner.partial_fit(rows_of(THERE, 4000, 1))
    assert (learner.n_updates_, kinds(learner)) == (updates, ["hold"])
    np.testing.assert_array_equal(learner.components_, components)
    assert learner.became()["held"] == 10_000 // 64 * 64 - 64 * updates
    learner.resume().partial_fit(rows_of(HERE, 4000, 2))
    assert learner.n_updates_ > updates
    assert kinds(learner) == ["hold", "resume"]
    assert not learner.held_


@pytest.mark.parametrize("adapt", ["fixed", "follow", "hold"])
def test_after_a_person_s_hold_learning_goes_on_at_once_and_nothing_is_examined(adapt):
    """What was held leaves no trace, and a calm stretch of another covariance is no reason to give up all else."""
    held, other = (OnlineInfomax(adapt=adapt).partial_fit(rows_of(HERE, 6400, 0)) for _ in range(2))
    held.hold().partial_fit(rows_of(THERE, 6400, 1)).resume()
    for learner in (held, other):
        learner.partial_fit(rows_of(THERE, 128, 2)).partial_fit(rows_of(HERE, 3200, 3))
    assert held.became()["a change is examined"] == 0
    assert kinds(held) == ["hold", "resume"]
    np.testing.assert_array_equal(held.components_, other.components_)


def test_a_learner_says_while_it_examines_and_when_it_has():
    learner, earlier = astray(adapt="follow")
    learner.undo(earlier).partial_fit(rows_of(HERE, 128, 2))
    assert learner.examining_
    learner.partial_fit(rows_of(HERE, 640, 3))
    assert not learner.examining_
    event = learner.events_[-1]
    assert event.kind == "resume"
    assert event.text == f"after the undo to {earlier.version}: the covariance fits as before; learning goes on"


def test_a_hold_of_its_own_stays_its_own():
    """A person who tells a learner to hold that does already has not looked what has changed."""
    learner = OnlineInfomax(adapt="hold").partial_fit(rows_of(HERE, 16_000, 0)).partial_fit(rows_of(THERE, 3000, 1))
    assert kinds(learner) == ["hold"]
    learner.hold().resume().partial_fit(rows_of(THERE, 128, 2))
    assert kinds(learner) == ["hold", "resume"]
    assert learner.examining_


def test_a_person_s_hold_outlives_a_restart_whatever_adapt_is_there():
    for adapt in ("fixed", "follow", "hold"):
        again = OnlineInfomax(adapt=adapt)
        again.restore(OnlineInfomax().partial_fit(rows_of(HERE, 3000, 0)).hold().state())
        assert again.held_


def test_an_undo_on_hold_waits_for_the_person_too():
    learner, earlier = astray()
    learner.hold().undo(earlier).partial_fit(rows_of(HERE, 3000, 2))
    assert learner.held_
    assert learner.version_ == earlier.version
    learner.resume().partial_fit(rows_of(HERE, 3000, 3))
    assert learner.version_ != earlier.version
    assert alike(earlier, learner, rows_of(HERE, 3000, 4)).min() > 0.98


@pytest.mark.parametrize("settings", [{}, {"adapt": "follow"}, {"n_components": 9, "overcomplete": True}])
@pytest.mark.parametrize("extra", [0, 30])
def test_state_pickle_and_copy_go_on_with_the_same_bits(settings, extra):
    """From in the midst of a block, right after a command or in the examination that follows it."""
    learner, earlier = astray(THERE, 3000 + 31, **settings)
    learner.hold().partial_fit(rows_of(HERE, 50, 2)).undo(earlier).resume()
    learner.partial_fit(rows_of(HERE, extra, 3)) if extra else None
    restored = OnlineInfomax(**settings)
    restored.restore(learner.state())
    others = [restored, pickle.loads(pickle.dumps(learner)), deepcopy(learner)]  # noqa: S301
    for one in (learner, *others):
        one.partial_fit(rows_of(HERE, 2000, 4))
    for other in others:
        assert same(learner.state(), other.state()) is None


def test_the_rows_of_a_block_under_way_mean_what_they_meant():
    """A unit that changes in the midst of a block changes no row."""
    learner, earlier = astray(1000 * THERE, 20_000, adapt="follow")
    inner = learner._learner
    learner.partial_fit(rows_of(HERE, 40, 2))
    before = inner._unit().absolute(inner._rows[: inner._filled])
    scale = inner._whitener.scale
    learner.undo(earlier)
    assert not np.array_equal(scale, inner._whitener.scale)
    np.testing.assert_allclose(inner._unit().absolute(inner._rows[: inner._filled]), before, rtol=1e-5, atol=1e-2)


def test_what_cannot_be_done_is_refused():
    cold = OnlineInfomax()
    warm, earlier = astray(n=64)
    for act in (cold.hold, lambda: cold.undo(earlier)):
        with pytest.raises(NotWarmError, match="warm-up of OnlineInfomax is not over"):
            act()
    assert cold.resume() is cold
    wider = Encoder.of(OnlineInfomax().partial_fit(np.random.default_rng(0).laplace(size=(900, K + 1))))
    with pytest.raises(ValueError, match=r"it has \(7, 7, 7\) components, .* this learner has \(6, 6, 6\)"):
        warm.undo(wider)
    with pytest.raises(ValueError, match="not finite"):
        warm.undo(replace(earlier, mean=np.full(K, np.nan)))
    assert warm.events_ == []
