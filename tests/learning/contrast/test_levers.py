"""What a module can be told: residual, normalised, a past of its own, streams, and a learning rate by rows."""

import numpy as np
import pytest
from helpers.extras import extra

torch = extra("torch")

from stream_infomax.learning.contrast.encoders import RowEncoder  # noqa: E402
from stream_infomax.learning.contrast.excerpts import Batch  # noqa: E402
from stream_infomax.learning.contrast.infonce import InfoNCE  # noqa: E402
from stream_infomax.learning.contrast.layouts import Conv, Recurrent, layout, output_width  # noqa: E402
from stream_infomax.learning.contrast.modules import ContrastModule, GreedyInfoMax, Moments  # noqa: E402
from stream_infomax.learning.contrast.online import OnlineModule, _seed  # noqa: E402

ALL = {"residual": True, "normalise": True, "own": 0.25, "stream": 0.25, "temperature": 0.2, "reach": 2, "skip": 1}


def batch(seed=0, lengths=(80, 44, 60), width=3, past=True, streams=True):
    rng = np.random.default_rng(seed)
    rows, other = rng.standard_normal((2, len(lengths), max(lengths), width)).astype(np.float32)
    rows += np.sin(np.arange(max(lengths)) / 3)[:, None].astype(np.float32)
    of = np.arange(len(lengths), dtype=np.int64) % 2
    return Batch(rows, np.array(lengths), rows + other / 4 if past else None, of if streams else None)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("name", ["fine", "paired"])
def test_live_output_equals_the_window_output(name, normalise):
    gim = GreedyInfoMax(3, 200.0, name, width=8, residual=True, normalise=normalise)
    gim(torch.randn(4, 96, 3))
    x = torch.randn(1, 96, 3)
    with torch.no_grad():
        for module in gim.stack:
            z, c, _ = module.encode(x)
            assert z.shape[2] == module.output
            pieces, tails, at = [], None, 0
            for size in (1, 2, 5, 13, 30, 96):
                piece = x[:, at : at + size]
                at += size
                live_z, live_c, tails = module.encode(piece, tails)
                pieces.append((live_z, live_c))
            torch.testing.assert_close(torch.cat([live for live, _ in pieces], 1), z)
            torch.testing.assert_close(torch.cat([live for _, live in pieces], 1), c)
            x = z


def test_a_residual_module_passes_on_what_came_in_and_contrasts_what_it_adds():
    torch.manual_seed(0)
    plain = ContrastModule(3, (Conv(4, 2, 8),), 2)
    residual = ContrastModule(3, (Conv(4, 2, 8),), 2, residual=True)
    residual.load_state_dict(plain.state_dict())
    x, lengths = torch.randn(3, 21, 3), torch.tensor([21, 12, 9])
    one, other = (module(x, lengths, torch.Generator().manual_seed(0)) for module in (plain, residual))
    assert torch.equal(one.prediction.loss, other.prediction.loss)
    assert torch.equal(other.z[..., 3:], one.z)
    for row in range(10):
        torch.testing.assert_close(other.z[:, row, :3], (x[:, 2 * row] + x[:, 2 * row + 1]) / 2)
    grown = [GreedyInfoMax(3, width=8, residual=True).stack[i].output for i in range(4)]
    assert grown == [11, 19, 27, 27]
    assert [output_width(5, layers, True) for layers in layout("paired", 8)] == [13, 13]
    assert [output_width(5, layers, False) for layers in layout("paper")] == [512] * 5 + [5]
    assert output_width(5, (Recurrent(8),), True) == 5


def test_a_past_gives_contexts_and_rows_give_targets():
    module = ContrastModule(3, (Conv(2, 1, 8), Recurrent(6)), 2)
    given = batch()
    x, past, lengths = torch.from_numpy(given.rows), torch.from_numpy(given.past), torch.from_numpy(given.lengths)
    draws = [torch.Generator().manual_seed(0) for _ in range(3)]
    level = module(x, lengths, draws[0], past)
    z, seen = module.encode(x)[0], module.encode(past)[1]
    assert torch.equal(level.prediction.loss, module.loss(z, seen, lengths, draws[1]).loss)
    assert torch.equal(level.z, z)
    assert torch.equal(level.past, module.encode(past)[0])
    same = module(x, lengths, draws[2], x)
    assert torch.equal(same.prediction.loss, module(x, lengths, torch.Generator().manual_seed(0)).prediction.loss)


def test_gradient_with_every_lever_is_its_derivative():
    torch.manual_seed(0)
    module = ContrastModule(2, (Conv(2, 1, 3), Recurrent(3)), 2, negatives=8, **ALL).double()
    x, past = torch.randn(2, 3, 7, 2, dtype=torch.float64)
    names, values = zip(*module.named_parameters(), strict=True)

    def loss(*values):
        given = (x, torch.tensor([7, 7, 5]), torch.Generator().manual_seed(0), past, torch.tensor([0, 1, 0]))
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), given).prediction.loss

    assert torch.autograd.gradcheck(loss, values)


@pytest.mark.parametrize("levers", [{}, ALL], ids=["none", "all"])
def test_modules_in_a_row_are_joint_training(levers):
    """One Adam a module and batches passed on give the weights of one backward pass under one Adam."""
    joint = GreedyInfoMax(3, 200.0, "fine", width=8, **levers)
    optimiser = torch.optim.Adam(joint.parameters(), 1e-3)
    row, channels = [], 3
    for index, (layers, module) in enumerate(zip(layout("fine", 8), joint.stack, strict=True)):
        row.append(OnlineModule(channels, layers, module.loss.steps, index=index, clip=np.inf, **levers))
        channels = module.output
    for number in range(4):
        passed = whole = batch(number, past=bool(levers), streams=bool(levers))
        x, lengths = torch.from_numpy(whole.rows), torch.from_numpy(whole.lengths)
        past, streams = (torch.from_numpy(part) if levers else None for part in (whole.past, whole.streams))
        losses = []
        for index, (module, online) in enumerate(zip(joint.stack, row, strict=True)):
            draws = torch.Generator().manual_seed(_seed(0, index, online.updates))
            level = module(x.detach(), lengths, draws, past.detach() if levers else None, streams)
            losses.append(level.prediction.loss)
            x, lengths, past = level.z, level.lengths, level.past
        for online in row:
            passed = online.learn(passed)
        optimiser.zero_grad()
        sum(losses).backward()
        optimiser.step()
    for module, online in zip(joint.stack, row, strict=True):
        for name, value in module.state_dict().items():
            assert torch.equal(value, online.module.state_dict()[name]), name


def test_moments_follow_the_rows_that_are_there():
    rng = np.random.default_rng(0)
    moments, seen = Moments(4), []
    for number in range(3):
        z = torch.from_numpy(rng.standard_normal((2, 9, 4)) * (number + 1) + 5).float()
        moments.follow(z, torch.tensor([9, 4]))
        seen.append(np.concatenate([z[0].numpy(), z[1, :4].numpy()]))
    everything = np.concatenate(seen)
    np.testing.assert_allclose(moments.mean, everything.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, everything.var(0), rtol=1e-5)
    before = moments.mean.clone()
    moments.follow(torch.full((2, 9, 4), torch.inf), torch.tensor([9, 4]))
    assert torch.equal(before, moments.mean)
    rows = torch.from_numpy(everything)
    assert moments.standardised(rows).mean(0).abs().max() < 1e-3
    assert moments.standardised(1e6 * rows).abs().max() == 8


def test_restored_module_goes_on_with_the_same_bits_with_every_lever():
    make = lambda: OnlineModule(3, (Conv(4, 2, 8),), 4, warmup_rows=500, decay_rows=1000, **ALL)  # noqa: E731
    one, other = make(), make()
    for number in range(5):
        one.learn(batch(number))
    other.restore(one.state())
    for number in range(5, 9):
        left, right = one.learn(batch(number)), other.learn(batch(number))
        assert all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))
    live = [RowEncoder(module).encode(batch().rows[0]) for module in (one, other)]
    assert np.array_equal(live[0][0], live[1][0])
    assert np.isfinite(live[0][0]).all()
    assert one.rows == other.rows == 9 * 184


def test_the_learning_rate_rises_and_falls_by_rows():
    module = OnlineModule(3, (Conv(4, 2, 8),), 4, learning_rate=1e-2, warmup_rows=368, decay_rows=736)
    rates = []
    for number in range(4):
        module.learn(batch(number))
        rates.append(module.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-2 * rise / (1 + k / 4) for k, rise in ((1, 0.5), (2, 1), (3, 1), (4, 1))])


def test_a_past_that_is_not_finite_is_skipped():
    module, given = OnlineModule(3, (Conv(4, 2, 8),), 4), batch()
    given.past[1, 3] = np.nan
    assert module.learn(given) is None
    assert module.skipped["not_finite"] == 1


def test_a_longer_reach_sees_rows_before_and_zeros_before_the_first():
    loss = InfoNCE(2, 2, 1, reach=3)
    c = torch.arange(1.0, 11).reshape(5, 2)
    seen = loss._seen(c, torch.tensor([[0, 1, 4]]), 5)
    assert seen[0].tolist() == [[1, 2, 0, 0, 0, 0], [3, 4, 1, 2, 0, 0], [9, 10, 7, 8, 5, 6]]
