"""InfoNCE against a naive twin, causal modules, and the isolation of one module from another."""

import math
import pickle
from copy import deepcopy

import pytest
from helpers.extras import extra

torch = extra("torch")

from stream_infomax.learning.contrast.layouts import Conv, Recurrent, layout, steps_ahead  # noqa: E402
from stream_infomax.learning.contrast.modules import (  # noqa: E402
    ContrastModule,
    GreedyInfoMax,
    InfoNCE,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def naive_info_nce(loss, z, c, lengths, draws):
    """Equation by equation, one anchor, step and negative at a time."""
    batch, total, width = z.shape
    anchors, _ = loss._draw_anchors(lengths, total, draws)
    shared, own = loss._draw_negatives(lengths, total, draws)
    weights = loss.predict.weight.view(loss.steps, width, c.shape[2])
    z_flat, c_flat = z.reshape(batch * total, width), c.reshape(batch * total, -1)
    losses, accuracies = [], []
    for k in range(1, loss.steps + 1):
        per_anchor, hits = [], []
        for group in range(batch // loss.columns):
            for anchor in anchors[group].tolist():
                b, t = divmod(anchor, total)
                if b // loss.columns != group or t + loss.skip + k >= lengths[b]:
                    continue
                positive = anchor + loss.skip + k
                negatives = [j for j in [*shared.tolist(), *own[group].tolist()] if j != positive]
                scores = [z_flat[j] @ weights[k - 1] @ c_flat[anchor] for j in [positive, *negatives]]
                per_anchor.append(torch.logsumexp(torch.stack(scores), 0) - scores[0])
                hits.append(float(scores[0] > max(scores[1:])))
        if per_anchor:
            losses.append(sum(per_anchor) / len(per_anchor))
            accuracies.append(sum(hits) / len(hits))
    return sum(losses) / len(losses), sum(accuracies) / len(accuracies)


@pytest.mark.parametrize(
    ("skip", "columns", "lengths", "anchors"),
    [(0, 1, [9, 4, 7], 100), (0, 1, [9, 1, 2], 5), (2, 3, [9, 9, 9], 30)],
)
def test_info_nce_is_the_written_equation(skip, columns, lengths, anchors):
    torch.manual_seed(0)
    loss = InfoNCE(5, 4, 3, negatives=12, anchors=anchors, skip=skip, columns=columns).double()
    z, c = torch.randn(3, 9, 4, dtype=torch.float64), torch.randn(3, 9, 5, dtype=torch.float64)
    lengths = torch.tensor(lengths)
    score = loss(z, c, lengths, generator())
    expected, accuracy = naive_info_nce(loss, z, c, lengths, generator())
    assert float(score.loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-10)
    assert float(score.accuracy) == pytest.approx(accuracy)


def test_gradient_of_info_nce_is_its_derivative():
    torch.manual_seed(1)
    loss = InfoNCE(3, 3, 2, negatives=8).double()
    z = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    c = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([6, 5])
    assert torch.autograd.gradcheck(lambda z, c: loss(z, c, lengths, generator()).loss, (z, c))


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


@pytest.mark.parametrize("name", ["fine", "paired", "paper", "patches"])
def test_live_output_equals_the_window_output(name):
    gim = GreedyInfoMax(3, 200.0, name if name != "paper" else layout("paper")[1:5], width=16)
    x = torch.randn(1, 96, 3)
    with torch.no_grad():
        for module in gim.stack:
            z, c, _ = module.encode(x)
            pieces, tails, at = [], None, 0
            for size in (1, 2, 5, 13, 30, 96):
                piece = x[:, at : at + size]
                at += size
                if piece.shape[1]:
                    live_z, live_c, tails = module.encode(piece, tails)
                    pieces.append((live_z, live_c))
            torch.testing.assert_close(torch.cat([live for live, _ in pieces], 1), z)
            torch.testing.assert_close(torch.cat([live for _, live in pieces], 1), c)
            x = z


def test_output_depends_on_the_past_only():
    module = ContrastModule(2, (Conv(4, 2, 8), Recurrent(8)), 2)
    x = torch.randn(1, 20, 2)
    changed = x.clone()
    changed[:, 12:] = 5.0
    for one, other in zip(module.encode(x)[:2], module.encode(changed)[:2], strict=True):
        assert torch.equal(one[:, :6], other[:, :6])
        assert not torch.equal(one[:, 6:], other[:, 6:])


def test_shapes_of_the_paper():
    """GIM's encoder: downsampling 160, 512 channels, 12 steps everywhere, a GRU of 256 that predicts its input."""
    gim = GreedyInfoMax(1, 16_000.0, "paper")
    with torch.no_grad():
        levels = gim(torch.randn(1, 5_120, 1))
    assert [tuple(level.z.shape[1:]) for level in levels[:5]] == [(steps, 512) for steps in (1024, 256, 128, 64, 32)]
    assert tuple(levels[5].c.shape[1:]) == (32, 256)
    assert [module.loss.steps for module in gim.stack] == [12] * 6
    sizes = [sum(p.numel() for p in module.convolutions.parameters()) for module in gim.stack]
    assert sizes == [5_632, 2_097_664, 1_049_088, 1_049_088, 1_049_088, 0]
    assert sum(p.numel() for p in gim.stack[5].recurrent.parameters()) == 591_360
    assert sum(p.numel() for p in gim.stack[0].loss.parameters()) == 3_145_728


@pytest.mark.parametrize("name", ["fine", "paired"])
def test_no_gradient_crosses_a_border(name):
    gim = GreedyInfoMax(4, 200.0, name, width=16)
    levels = gim(torch.randn(3, 64, 4))
    for number, level in enumerate(levels):
        for other, module in enumerate(gim.stack):
            gradients = torch.autograd.grad(
                level.prediction.loss, list(module.parameters()), retain_graph=True, allow_unused=True
            )
            if other == number:
                assert all(gradient is not None for gradient in gradients)
            else:
                assert all(gradient is None for gradient in gradients)


def test_end_to_end_is_the_same_layers_under_one_loss():
    greedy, cpc = GreedyInfoMax(4, width=16), GreedyInfoMax(4, width=16, end_to_end=True)
    assert len(greedy.stack) == 4
    assert len(cpc.stack) == 1
    count = lambda model: sum(p.numel() for name, p in model.named_parameters() if "loss" not in name)  # noqa: E731
    assert count(greedy) == count(cpc)
    (level,) = cpc(torch.randn(3, 64, 4))
    level.prediction.loss.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in cpc.parameters())


def test_one_summed_backward_is_one_backward_a_module():
    x = torch.randn(3, 64, 4)
    together, apart = GreedyInfoMax(4, width=16), GreedyInfoMax(4, width=16)
    sum(level.prediction.loss for level in together(x)).backward()
    for level in apart(x):
        level.prediction.loss.backward()
    for one, other in zip(together.parameters(), apart.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_training_learns_what_follows():
    """Two kinds of excerpts with their own rhythm: the module must learn to tell what comes next."""
    torch.manual_seed(0)
    gim = GreedyInfoMax(4, 50.0, ((Conv(2, 1, 16),), (Recurrent(16),)), negatives=16)
    optimiser = torch.optim.Adam(gim.parameters(), 3e-3)
    accuracies = []
    for _ in range(80):
        phase = torch.rand(8, 1, 1) * 6.28
        speed = torch.tensor([0.3, 0.9]).repeat(4)[:, None, None]
        time = torch.arange(40)[None, :, None]
        x = torch.sin(speed * time + phase + torch.arange(4) * 1.57)
        levels = gim(x)
        optimiser.zero_grad()
        sum(level.prediction.loss for level in levels).backward()
        optimiser.step()
        accuracies.append([float(level.prediction.accuracy) for level in levels])
    first, last = torch.tensor(accuracies[:5]).mean(0), torch.tensor(accuracies[-5:]).mean(0)
    assert (last > first + 0.1).all()
    assert (last > 3 / 17).all()


def test_same_seed_same_bits_and_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = GreedyInfoMax(4, seed=3)
    x = torch.linspace(-1, 1, 3 * 64 * 4).view(3, 64, 4)
    losses = [level.prediction.loss for level in one(x)]
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    again = [level.prediction.loss for level in GreedyInfoMax(4, seed=3)(x)]
    other = [level.prediction.loss for level in GreedyInfoMax(4, seed=4)(x)]
    assert all(torch.equal(a, b) for a, b in zip(losses, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(losses, other, strict=True))


def pickled(stack):
    return pickle.loads(pickle.dumps(stack))  # noqa: S301


@pytest.mark.parametrize("again", [deepcopy, pickled])
def test_a_copy_draws_on_as_the_original(again):
    stack, x = GreedyInfoMax(4, seed=3), torch.linspace(-1, 1, 3 * 64 * 4).view(3, 64, 4)
    stack(x)
    copy = again(stack)
    expected, found = ([level.prediction.loss for level in each(x)] for each in (stack, copy))
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


def test_steps_ahead():
    assert [steps_ahead(0.12, rate) for rate in (3_200, 100, 50, 1)] == [12, 12, 6, 1]


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: layout("deep"), "'deep'.*fine, paired, paper, patches"),
        (lambda: InfoNCE(2, 2, 0), "steps=0"),
        (lambda: InfoNCE(2, 2, 1, negatives=1), "negatives=1"),
        (lambda: ContrastModule(2, (Recurrent(4), Conv(2, 1, 4)), 1), "must be the last"),
        (lambda: ContrastModule(2, (Conv(2, 3, 4),), 1), "stride"),
    ],
)
def test_refusals_name_what_is_wrong(make, names):
    with pytest.raises(ValueError, match=names):
        make()
