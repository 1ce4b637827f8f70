"""One module online: training on batches that come by, skips, collapse, exact resume."""

import numpy as np
import pytest
from helpers.extras import extra

torch = extra("torch")

from stream_infomax.learning.contrast import online as greedy  # noqa: E402
from stream_infomax.learning.contrast.excerpts import Batch, pad  # noqa: E402
from stream_infomax.learning.contrast.layouts import Conv, Recurrent  # noqa: E402
from stream_infomax.learning.contrast.online import OnlineModule  # noqa: E402

LAYERS = (Conv(4, 2, 8),)


def batch(seed=0, lengths=(30, 22, 9), width=3):
    rng = np.random.default_rng(seed)
    walks = [np.cumsum(rng.standard_normal((length, width)), 0) for length in lengths]
    return pad([(walk / np.abs(walk).max()).astype(np.float32) for walk in walks])


def trained(updates=5, **settings):
    module = OnlineModule(3, LAYERS, 4, **settings)
    for number in range(updates):
        module.learn(batch(number))
    return module


def weights(module):
    return {name: value.copy() for name, value in module.state()["weights"].items()}


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_what_is_passed_on_is_the_output_before_the_step():
    module = OnlineModule(3, LAYERS, 4)
    given = batch()
    with torch.no_grad():
        before = module.module.encode(torch.from_numpy(given.rows))[0].numpy()
    passed = module.learn(given)
    assert passed.lengths.tolist() == [15, 11, 4]
    assert np.array_equal(passed.rows, before)
    with torch.no_grad():
        after = module.module.encode(torch.from_numpy(given.rows))[0].numpy()
    assert not np.allclose(after, before, atol=1e-6)


def test_published_weights_are_an_average_of_the_weights():
    module, seen, average = OnlineModule(3, LAYERS, 4), [], None
    for number in range(6):
        module.learn(batch(number))
        seen.append(weights(module)["convolutions.0.weight"])
        left = number / (number + 10)
        average = seen[-1] if average is None else left * average + (1 - left) * seen[-1]
    np.testing.assert_allclose(module.state()["published"]["convolutions.0.weight"], average, rtol=1e-5)
    with torch.no_grad():
        expected = module.published.encode(torch.from_numpy(batch().rows))[0].numpy()
    assert np.array_equal(module.transform(batch().rows, None)[0], expected)
    assert not np.array_equal(seen[-1], average)


def test_a_stack_in_a_row_learns_without_ever_seeing_what_is_above():
    """The weights of the first module don't change by a bit whether or not anything trains on its output."""
    alone, below = OnlineModule(3, LAYERS, 4), OnlineModule(3, LAYERS, 4)
    above = OnlineModule(8, (Conv(3, 1, 8),), 3, index=1)
    for number in range(5):
        alone.learn(batch(number))
        above.learn(below.learn(batch(number)))
    assert above.updates == 5
    assert same(weights(alone), weights(below))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda b: Batch(b.rows[:1], b.lengths[:1]), "one_excerpt"),
        (lambda b: Batch(np.where(b.rows == b.rows[0, 3, 1], np.nan, b.rows), b.lengths), "not_finite"),
        (lambda b: Batch(np.where(b.rows == b.rows[0, 3, 1], np.inf, b.rows), b.lengths), "not_finite"),
        (lambda b: Batch(np.where(b.rows == b.rows[0, 3, 1], np.float32(3e38), b.rows), b.lengths), "not_finite"),
        (lambda b: Batch(np.full_like(b.rows, 2.5), b.lengths), "constant"),
        (lambda b: Batch(b.rows[:, :3], np.array([3, 3, 2])), "short"),
        (lambda b: Batch(b.rows[:, :0], np.array([0, 0, 0])), "short"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_batch_that_cannot_be_learnt_from_is_skipped_and_counted(spoil, reason):
    module = trained()
    before = weights(module)
    assert module.learn(spoil(batch())) is None
    assert module.skipped == {**dict.fromkeys(module.skipped, 0), reason: 1}
    assert same(before, weights(module))
    assert module.updates == 5
    assert module.learn(batch()) is not None


def test_collapse_is_noticed(monkeypatch):
    monkeypatch.setattr(greedy, "STUCK_UPDATES", 20)
    rng = np.random.default_rng(0)
    deaf = OnlineModule(3, ((Conv(2, 1, 4)),), 3)
    with torch.no_grad():
        for parameter in deaf.module.convolutions.parameters():
            parameter.fill_(-1.0)
    for _ in range(19):
        deaf.learn(pad([np.abs(rng.standard_normal((30, 3))).astype(np.float32) for _ in range(4)]))
    assert not deaf.collapsed
    deaf.learn(pad([np.abs(rng.standard_normal((30, 3))).astype(np.float32) for _ in range(4)]))
    assert deaf.collapsed
    assert deaf.score < 0.02 * deaf.best_score
    learning = OnlineModule(3, LAYERS, 4, learning_rate=5e-3)
    for number in range(120):
        learning.learn(batch(number % 3, (60, 60, 60, 60)))
    assert not learning.collapsed
    assert learning.accuracy > 2 / 65


def test_learning_rate_rises_for_a_while(monkeypatch):
    monkeypatch.setattr(greedy, "RISE_UPDATES", 2)
    module = trained()
    module.raise_learning_rate()
    rates = []
    for number in range(3):
        module.learn(batch(number))
        rates.append(module.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([3e-3, 3e-3, 1e-3])


def test_restored_module_goes_on_with_the_same_bits():
    one = trained()
    one.raise_learning_rate()
    other = OnlineModule(3, LAYERS, 4)
    other.restore(one.state())
    for number in range(5, 9):
        left, right = one.learn(batch(number)), other.learn(batch(number))
        assert np.array_equal(left.rows, right.rows)
    assert same(weights(one), weights(other))
    assert same(one.state()["published"], other.state()["published"])
    left, right = one.state(), other.state()
    for index, moments in left["moments"].items():
        assert same(moments, right["moments"][index])
    for key in ("updates", "raised", "stuck", "score", "accuracy", "skipped"):
        assert left[key] == right[key]


def test_a_state_is_a_copy_and_one_of_other_sizes_is_refused():
    module = trained()
    state = module.state()
    saved = {name: value.copy() for name, value in state["weights"].items()}
    module.learn(batch(9))
    assert same(saved, state["weights"])
    with pytest.raises(ValueError, match=r"convolutions.0.weight.*\(8, 3, 4\).*\(8, 5, 4\)"):
        OnlineModule(5, LAYERS, 4).restore(state)
    with pytest.raises(ValueError, match="nothing"):
        OnlineModule(3, (*LAYERS, Recurrent(4)), 4).restore(state)
