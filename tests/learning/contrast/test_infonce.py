"""InfoNCE against its naive twin and its numerical derivative; where anchors and negatives come from."""

import math

import pytest
from helpers.extras import extra

torch = extra("torch")

from reference_contrast import info_nce  # noqa: E402

from stream_infomax.learning.contrast.infonce import InfoNCE  # noqa: E402


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


LEVERS = [
    {},
    {"own": 0.5, "stream": 0.5},
    {"own": 0.0, "stream": 0.25},
    {"own": 1.0},
    {"temperature": 0.1},
    {"reach": 3},
    {"own": 0.25, "stream": 0.25, "temperature": 0.5, "reach": 2},
]


@pytest.mark.parametrize("levers", LEVERS)
@pytest.mark.parametrize(
    ("skip", "columns", "lengths", "anchors"),
    [(0, 1, [9, 4, 7], 100), (0, 1, [9, 1, 2], 5), (2, 3, [9, 9, 9], 30), (1, 1, [9, 7, 8], 30)],
)
def test_info_nce_is_the_written_equation(skip, columns, lengths, anchors, levers):
    torch.manual_seed(0)
    loss = InfoNCE(5, 4, 3, negatives=12, anchors=anchors, skip=skip, columns=columns, **levers).double()
    z, c = torch.randn(3, 9, 4, dtype=torch.float64), torch.randn(3, 9, 5, dtype=torch.float64)
    lengths, streams = torch.tensor(lengths), torch.tensor([7, 7, -2])
    score = loss(z, c, lengths, generator(), streams)
    expected, accuracy = info_nce(loss, z, c, lengths, generator(), streams)
    assert float(score.loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-10)
    assert float(score.accuracy) == pytest.approx(accuracy)


@pytest.mark.parametrize("levers", LEVERS)
def test_gradient_of_info_nce_is_its_derivative(levers):
    torch.manual_seed(1)
    loss = InfoNCE(3, 3, 2, negatives=8, **levers).double()
    z = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    c = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([6, 5])
    weight = loss.predict.weight

    def value(z, c, weight):
        given = {"predict.weight": weight}
        return torch.func.functional_call(loss, given, (z, c, lengths, generator())).loss

    assert torch.autograd.gradcheck(value, (z, c, weight))


def test_untrained_loss_of_small_scores_is_ln_of_one_plus_n():
    loss = InfoNCE(4, 4, 2, negatives=16)
    z = 1e-3 * torch.randn(4, 50, 4)
    score = loss(z, z, torch.full((4,), 50), generator())
    # A negative that happens to be the positive is left out, which costs a little below ln 17.
    assert float(score.loss.detach()) == pytest.approx(math.log(17), abs=0.02)


def test_the_positive_is_never_its_own_negative():
    loss = InfoNCE(2, 2, 1, negatives=8)
    z = torch.ones(1, 2, 2)
    score = loss(z, z, torch.tensor([2]), generator())
    # Candidates are the positive and copies of the anchor with the same score: chance among 1 + the anchors drawn.
    shared, own = loss._draw_negatives(torch.tensor([2]), 2, _after_anchors(loss))
    others = int((shared == 0).sum() + (own == 0).sum())
    assert float(score.loss.detach()) == pytest.approx(math.log(1 + others), abs=1e-5)
    assert others < 8


def _after_anchors(loss):
    draws = generator()
    loss._draw_anchors(torch.tensor([2]), 2, draws)
    return draws


def test_pairs_never_reach_into_padding_or_the_next_excerpt():
    loss = InfoNCE(2, 2, 4, negatives=4)
    z = torch.randn(3, 6, 2)
    poisoned = z.clone()
    poisoned[0, 4:] = torch.nan
    poisoned[2, 1:] = torch.nan
    lengths = torch.tensor([4, 6, 1])
    score = loss(poisoned, poisoned, lengths, generator())
    assert torch.isfinite(score.loss)
    anchors, ends = loss._draw_anchors(lengths, 6, generator())
    assert ends[:2].tolist() == [[4] * 86, [12] * 86]
    assert ends[2].tolist() == [0] * 86
    assert set(anchors[0].tolist()) == {0, 1, 2}
    assert set(anchors[1].tolist()) == {6, 7, 8, 9, 10}


def test_no_pair_at_all_gives_no_score():
    assert InfoNCE(2, 2, 2)(torch.ones(3, 4, 2), torch.ones(3, 4, 2), torch.tensor([1, 0, 1]), generator()) is None


def test_a_quarter_of_the_negatives_is_of_the_own_excerpt_or_image():
    loss = InfoNCE(2, 2, 2, negatives=64)
    lengths = torch.tensor([5, 9, 7])
    shared, own = loss._draw_negatives(lengths, 9, generator())
    assert own.shape == (3, 16)
    assert shared.shape == (48,)
    assert torch.equal(own // 9, torch.arange(3)[:, None].expand(3, 16))
    assert (own % 9 < lengths[own // 9]).all()
    assert set((shared // 9).tolist()) == {0, 1, 2}
    grids = InfoNCE(2, 2, 2, negatives=64, columns=3)
    _, own = grids._draw_negatives(torch.full((6,), 4), 4, generator())
    assert torch.equal(own // 12, torch.arange(2)[:, None].expand(2, 16))
    assert len(set((own[0] // 4).tolist())) == 3


def test_negatives_of_the_stream_are_of_its_other_excerpts():
    loss = InfoNCE(2, 2, 2, negatives=400, own=0.0, stream=1.0)
    lengths, streams = torch.tensor([5, 9, 7, 2, 4]), torch.tensor([3, -8, 3, 3, 5])
    shared, found = loss._draw_negatives(lengths, 9, generator(), streams)
    assert shared.shape == (0,)
    assert found.shape == (5, 400)
    everything = {(e, t) for e, length in enumerate(lengths.tolist()) for t in range(length)}
    for group, expected in enumerate([{2, 3}, set(range(5)), {0, 3}, {0, 2}, set(range(5))]):  # alone: the whole batch
        drawn = {divmod(j, 9) for j in found[group].tolist()}
        assert drawn == {(e, t) for e, t in everything if e in expected}
    grids = InfoNCE(2, 2, 2, negatives=400, own=0.0, stream=1.0, columns=2)
    _, found = grids._draw_negatives(torch.full((6,), 4), 4, generator(), torch.tensor([1, 1, 2, 2, 1, 1]))
    assert [set((one // 8).tolist()) for one in found] == [{2}, {0, 1, 2}, {0}]


def test_a_temperature_bounds_the_scores():
    torch.manual_seed(0)
    loss = InfoNCE(4, 4, 2, negatives=16, temperature=0.5)
    z = torch.randn(4, 50, 4)
    one, other = (loss(scale * z, scale * z, torch.full((4,), 50), generator()).loss for scale in (1, 1e4))
    torch.testing.assert_close(one, other)
    assert float(other.detach()) < math.log(17) + 4


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"steps": 0}, "steps=0"),
        ({"negatives": 1}, "negatives=1"),
        ({"own": 0.75, "stream": 0.5}, "own=0.75, stream=0.5"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"reach": 0}, "reach=0"),
    ],
)
def test_refusals_name_what_is_wrong(settings, names):
    with pytest.raises(ValueError, match=names):
        InfoNCE(2, 2, **{"steps": 1, **settings})
