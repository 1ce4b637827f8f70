"""Causal modules, and the isolation of one module from another."""

import pickle
from copy import deepcopy

import pytest
from helpers.extras import extra

torch = extra("torch")

from stream_infomax.learning.contrast.layouts import Conv, Recurrent, layout, steps_ahead  # noqa: E402
from stream_infomax.learning.contrast.modules import (  # noqa: E402
    ContrastModule,
    GreedyInfoMax,
)


@pytest.mark.parametrize("name", ["fine", "mel", "paired", "paper", "patches"])
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
        (lambda: layout("deep"), "'deep'.*fine, mel, paired, paper, patches"),
        (lambda: ContrastModule(2, (Recurrent(4), Conv(2, 1, 4)), 1), "must be the last"),
        (lambda: ContrastModule(2, (Conv(2, 3, 4),), 1), "stride"),
    ],
)
def test_refusals_name_what_is_wrong(make, names):
    with pytest.raises(ValueError, match=names):
        make()
