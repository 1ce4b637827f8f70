"""What is done beside learning is spread over blocks, and when it takes effect depends on the rows alone."""

import copy
import math
import multiprocessing
import pickle

import numpy as np
import pytest

from stream_infomax import OnlineInfomax
from stream_infomax.learning import threads
from stream_infomax.learning.infomax import published, refresh

WIDE = 64


def rows(n, k=WIDE, seed=0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).standard_normal((k, k))
    return (rng.laplace(size=(n, k)) @ mixing).astype(np.float32)


def learnt(first, *others):
    """The basis after two more pieces, with what is done to the learner in between."""
    learner = OnlineInfomax().partial_fit(first)
    for other in others:
        learner = other(learner)
    return learner.components_


def more(learner):
    return learner.partial_fit(rows(2000, seed=1))


def pickled(one):
    return pickle.loads(pickle.dumps(one))  # noqa: S301


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("between", [lambda one: one, copy.deepcopy, pickled])
def test_the_end_of_the_warm_up_is_taken_over_at_the_same_row(monkeypatch, beside, between):
    expected = learnt(rows(3000), more)
    monkeypatch.setattr(threads.Beside, "possible", beside)
    all_rows = rows(3000)

    def rest(learner):
        return learner.partial_fit(all_rows[650:])

    np.testing.assert_array_equal(learnt(all_rows[:650], between, rest, more), expected)


def _components_of(learner, all_rows, to):
    to.send(learner.partial_fit(all_rows).components_)


def test_a_fork_in_between_waits_for_it(monkeypatch):
    monkeypatch.setattr(threads.Beside, "possible", True)
    all_rows = rows(3000)
    learner = OnlineInfomax().partial_fit(all_rows[:650])
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_components_of, args=(learner, all_rows[650:], there))
    child.start()
    found = here.recv()
    child.join()
    np.testing.assert_array_equal(found, OnlineInfomax().partial_fit(all_rows).components_)


def test_the_message_says_how_many_rows_are_missing():
    learner = OnlineInfomax().partial_fit(rows(650))
    with pytest.raises(ValueError, match="246 more rows"):  # ten rows a feature, and four blocks
        learner.transform(rows(1))
    learner.partial_fit(rows(245, seed=1))
    with pytest.raises(ValueError, match="1 more rows"):
        learner.transform(rows(1))
    learner.partial_fit(rows(1, seed=2)).transform(rows(1))


def test_a_batch_that_ends_in_between_is_all_there_is():
    assert OnlineInfomax().fit(rows(700)).components_.shape == (WIDE, WIDE)


@pytest.mark.parametrize("settings", [{}, {"n_rank": 10}, {"n_components": 40, "overcomplete": True}])
def test_no_block_does_more_than_one_piece(monkeypatch, settings):
    pieces = []

    def counted(owner, name):
        original = getattr(owner, name)

        def call(self, *arguments):
            pieces.append(name)
            return original(self, *arguments)

        monkeypatch.setattr(owner, name, call)

    learner = OnlineInfomax(block=28, memory=0, **settings).partial_fit(rows(4000, k=16))
    rule = learner._learner._rule
    counted(refresh.Refresh, "begin")
    counted(refresh.Refresh, "step")
    counted(published.Publication, "step")
    counted(type(rule), "renew")
    seen = set()
    for block in np.split(rows(28 * 400, k=16, seed=1), 400):
        pieces.clear()
        learner.partial_fit(block)
        assert len(pieces) <= 1
        assert not (pieces and rule.led_back)
        seen.update(pieces)
    assert seen == {"begin", "step", "renew"}
    assert math.isfinite(learner.objective_)


STREAMS = {
    "rail": lambda x: 32767 + 0.5 * x,
    "jump": lambda x: x + 1e10,
    "error code": lambda x: np.where(np.arange(x.shape[1]) == 2, 1e10, x),
    "gain": lambda x: 1e9 * x,
    "dead": lambda x: 0 * x,
    "dither": lambda x: 1e-6 * x,
}


@pytest.mark.parametrize("settings", [{}, {"half_life": 300.0}, {"n_components": 10, "overcomplete": True}])
@pytest.mark.parametrize("adapt", ["fixed", "follow"])
@pytest.mark.parametrize("stream", STREAMS)
def test_no_stream_freezes_the_whitening(stream, adapt, settings):
    x = rows(20_000, k=6).astype(np.float64)
    x[4000:6000] = STREAMS[stream](x[4000:6000])
    learner = OnlineInfomax(adapt=adapt, **settings).partial_fit(x[:10_000])
    before = learner.mean_.copy()
    learner.partial_fit(x[10_000:])
    assert np.isfinite(learner.transform(x[-100:])).all()
    assert np.isfinite(learner.mixing_).all()
    assert np.abs(learner.mean_ - before).max() > 0
