"""Greedy InfoMax: contrastive modules on top of one another, with no gradient between them.

S. Löwe, P. O'Connor, B. Veeling, "Putting An End to End-to-End: Gradient-Isolated Learning of
Representations", NeurIPS 2019 (GIM), after A. van den Oord, Y. Li, O. Vinyals, "Representation Learning with
Contrastive Predictive Coding", 2018 (CPC). The file reads from a layer to the stack:

    layers    ``Conv`` (causal) and ``Recurrent`` (GRU), named by ``layout``
    modules   ``ContrastModule``: layers and their own InfoNCE loss
    stack     ``GreedyInfoMax``: modules in a row, each blind to what the ones above want

Shapes: B excerpts, T rows of an excerpt, C channels, A anchors, K steps ahead, N negatives. An excerpt is a run of
consecutive rows of one segment; ``lengths`` (B,) says how many rows of each excerpt are there, the rest is padding.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from stream_infomax.settings.extras import optional

with optional():
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

from stream_infomax.learning.contrast.layouts import Conv, Layer, Layout, layout, steps_ahead


class Prediction(NamedTuple):
    """How well a module tells the rows that follow from rows that don't.

    Attributes
    ----------
    loss : Tensor
        Nats, the mean over anchors, then over steps; ln(1 + N) is chance.
    accuracy : Tensor
        Share of anchors whose true row scores highest; 1 / (1 + N) is chance.
    pairs : int
        Pairs of anchor and step that the means are over.
    """

    loss: Tensor
    accuracy: Tensor
    pairs: int


class InfoNCE(nn.Module):
    """Tell the row that follows after k steps from N others (CPC, equation 4; GIM, equation 3).

    s_k(z, c) = zᵀ W_k c without temperature or normalisation, and

        L_k = -mean over anchors of [ s_k(z_{t+k}, c_t) - logsumexp of s_k over {z_{t+k}} and the negatives ],
        L = mean of L_k over k = 1 … K.

    Gradients flow through positives, negatives and contexts. Of the negatives three quarters are a pool that
    all anchors and steps share, drawn from all rows of the batch, and a quarter is a pool of the anchor's own
    excerpt or image (a group; G of them are in a batch). Where a negative is the positive itself it is left out.

    Parameters
    ----------
    context, target
        Channels of c and of z.
    steps
        K, how many steps ahead to predict.
    negatives
        N, negatives of an anchor.
    anchors
        So many anchors are drawn from a batch, equally many (rounded up) from each group.
    skip
        The first step predicted is 1 + skip: on grids of overlapping patches the rows that share pixels with the
        context are skipped.
    columns
        So many consecutive sequences are the columns of one image, and "own" means of that image. 1 for sounds.
    """

    def __init__(
        self,
        context: int,
        target: int,
        steps: int,
        *,
        negatives: int = 64,
        anchors: int = 256,
        skip: int = 0,
        columns: int = 1,
    ) -> None:
        super().__init__()
        if min(steps, anchors, columns) < 1 or negatives < 2 or skip < 0:
            raise ValueError(
                f"steps, anchors and columns are at least 1, negatives 2, skip 0; received steps={steps}, "
                f"anchors={anchors}, columns={columns}, negatives={negatives}, skip={skip}"
            )
        self.steps, self.negatives, self.anchors, self.skip, self.columns = steps, negatives, anchors, skip, columns
        self.predict = nn.Linear(context, steps * target, bias=False)  # W_1 … W_K

    def forward(self, z: Tensor, c: Tensor, lengths: Tensor, generator: torch.Generator) -> Prediction | None:
        """Return loss and accuracy, or None where no row of the batch has a row that far ahead.

        Parameters
        ----------
        z, c
            Targets (B, T, C) and contexts (B, T, Cc).
        lengths
            Rows of each sequence (B,), on the CPU.
        generator
            Draws anchors and negatives, on the CPU: every device draws alike.
        """
        total, width = z.shape[1:]
        z, c = z.flatten(0, 1), c.flatten(0, 1)
        anchors, ends = self._draw_anchors(lengths, total, generator)  # (G, A)
        positives = anchors[..., None] + self.skip + torch.arange(1, self.steps + 1)  # (G, A, K)
        valid = positives < ends[..., None]
        pairs = int(valid.sum())
        if pairs == 0:
            return None
        positives = torch.where(valid, positives, anchors[..., None])
        shared, own = self._draw_negatives(lengths, total, generator)

        predicted = self.predict(_take(c, anchors)).view(len(anchors), -1, width)  # (G, A·K, C)
        positive = (predicted * _take(z, positives.flatten(1))).sum(-1, keepdim=True)  # (G, A·K, 1)
        negative = torch.cat([predicted @ _take(z, shared).T, predicted @ _take(z, own).transpose(1, 2)], -1)
        drawn = torch.cat([shared.expand(len(own), -1), own], -1)  # (G, N)
        is_positive = (drawn[:, None] == positives.flatten(1)[..., None]).to(z.device)
        scores = torch.cat([positive, negative.masked_fill(is_positive, -math.inf)], -1)  # (G, A·K, 1 + N)

        weight = valid.to(z)
        weight = weight / weight.sum((0, 1)).clamp(min=1)  # mean over anchors …
        weight = (weight / weight.sum()).flatten(1)  # … then over the steps that any anchor reaches
        surprise = torch.logsumexp(scores, -1) - scores[..., 0]
        right = scores[..., 0] > scores[..., 1:].amax(-1)
        return Prediction((weight * surprise).sum(), (weight * right).sum().detach(), pairs)

    def _draw_anchors(self, lengths: Tensor, total: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the flat indices (G, A) of rows with a row to predict, and where their sequences end.

        They are spread evenly over each excerpt or image. A group without such a row gets ends that leave no pair.
        """
        able = torch.arange(total) + 1 + self.skip < lengths[:, None]
        rows, first, count = _by_group(able, self.columns)
        each = -(-self.anchors // len(count))
        part = (torch.arange(each) + torch.rand(len(count), each, generator=generator, dtype=torch.float64)) / each
        anchors = rows[first[:, None] + (part * count[:, None]).long()]
        sequence = anchors // total
        ends = sequence * total + lengths[sequence]
        return anchors, torch.where(count[:, None] > 0, ends, 0)

    def _draw_negatives(self, lengths: Tensor, total: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the flat indices of the pool (N - N/4,) and of each group's own negatives (G, N/4)."""
        quarter = self.negatives // 4
        rows, first, count = _by_group(torch.arange(total) < lengths[:, None], self.columns)
        shared = rows[torch.randint(int(count.sum()), (self.negatives - quarter,), generator=generator)]
        part = torch.rand(len(count), quarter, generator=generator, dtype=torch.float64)
        return shared, rows[first[:, None] + (part * count[:, None]).long()]


def _by_group(chosen: Tensor, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the flat indices of the chosen rows (B, T) and one more; where each group begins in them, its number."""
    count = chosen.sum(1).view(-1, columns).sum(1)
    rows = chosen.flatten().nonzero().squeeze(1)
    return torch.cat([rows, rows.new_zeros(1)]), count.cumsum(0) - count, count


def _take(rows: Tensor, index: Tensor) -> Tensor:
    """Return rows[index]; the backward pass of index_select is the fast one."""
    return rows.index_select(0, index.flatten().to(rows.device)).view(*index.shape, rows.shape[-1])


class ContrastModule(nn.Module):
    """Layers and their own loss: z = convolutions(x), c = GRU(z) where there is a GRU and c = z elsewhere.

    A module that is only a GRU predicts its own input from its state, as GIM's last module does.

    Parameters
    ----------
    channels
        Width of the input rows.
    layers
        From the input up.
    steps
        K, how many of its output rows ahead the module predicts.
    **loss
        Passed on to ``InfoNCE``.
    """

    def __init__(self, channels: int, layers: tuple[Layer, ...], steps: int, **loss: int) -> None:
        super().__init__()
        self.channels = channels
        self.convolutions = nn.ModuleList()
        self.recurrent: nn.GRU | None = None
        width = channels
        for layer in layers:
            if self.recurrent is not None:
                raise ValueError(f"{layer} stands on a Recurrent layer, which must be the last of its stack")
            if isinstance(layer, Conv):
                if not 1 <= layer.stride <= layer.kernel:
                    raise ValueError(f"{layer}: the stride must be between 1 and the kernel")
                self.convolutions.append(nn.Conv1d(width, layer.width, layer.kernel, layer.stride))
                width = layer.width
            else:
                self.recurrent = nn.GRU(width, layer.width, batch_first=True)
        self.width = width
        self.context = width if self.recurrent is None else self.recurrent.hidden_size
        self.stride = math.prod(layer.stride for layer in layers if isinstance(layer, Conv))
        self.loss = InfoNCE(self.context, self.width, steps, **loss)

    def encode(self, x: Tensor, tails: list[Tensor] | None = None) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Encode rows (B, T, C) that continue those before; return z, c (B, T', ·) and the tails to continue with.

        Parameters
        ----------
        x
            The next rows, any number of them.
        tails
            What the last call returned: the inputs that each convolution still needs and the GRU's state. None is a
            beginning, with zeros before the first row.
        """
        batch = x.shape[0]
        old = iter(tails) if tails is not None else None
        new = []
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv1d)
            kernel, stride = convolution.kernel_size[0], convolution.stride[0]
            tail = next(old) if old is not None else x.new_zeros(batch, kernel - stride, x.shape[2])
            x = torch.cat([tail, x], 1) if tail.shape[1] else x
            rows = max(0, (x.shape[1] - kernel) // stride + 1)
            new.append(x[:, rows * stride :].detach())
            if rows:
                x = functional.relu(convolution(x.transpose(1, 2)).transpose(1, 2))
            else:
                x = x.new_zeros(batch, 0, convolution.out_channels)
        z = c = x
        if self.recurrent is not None:
            state = next(old) if old is not None else x.new_zeros(1, batch, self.context)
            c = x.new_zeros(batch, 0, self.context)
            if x.shape[1]:
                c, state = self.recurrent(x, state)
            new.append(state.detach())
        return z, c, new

    def forward(
        self, x: Tensor, lengths: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Prediction | None]:
        """Encode excerpts from their beginning; return z, c, their lengths, and how well it predicts."""
        z, c, _ = self.encode(x)
        lengths = lengths // self.stride
        return z, c, lengths, self.loss(z, c, lengths, generator)


class Level(NamedTuple):
    """What one module makes of a batch."""

    z: Tensor
    c: Tensor
    lengths: Tensor
    prediction: Prediction | None


class GreedyInfoMax(nn.Module):
    """A stack of modules trained at the same time, each by its own loss: z_m = g_m(stop_gradient(z_{m-1})).

    The sum of the losses can be minimised by one optimiser over all parameters: as no gradient passes from one
    module into another and Adam treats parameters one by one, this is the same as one optimiser a module.

    Parameters
    ----------
    channels
        Width of the input rows.
    rate
        Input rows a second; of no meaning for grids.
    modules
        A name for ``layout``, or the layers of each module.
    horizon
        How far ahead every module predicts, in seconds; at most 12 of its own steps. 0.12 s was best for CPC.
    width
        Channels of a named layout.
    end_to_end
        True joins all layers into one module with one loss at the top: CPC, the twin to compare with.
    seed
        Of the weights and of the draws of anchors and negatives.
    **loss
        ``negatives``, ``anchors``; for columns of grids ``columns`` and ``skip``, and ``steps`` instead of a horizon.

    Examples
    --------
    >>> gim = GreedyInfoMax(channels=8, rate=200)
    >>> levels = gim(torch.randn(4, 256, 8))
    >>> sum(level.prediction.loss for level in levels).backward()
    """

    def __init__(
        self,
        channels: int,
        rate: float = 200.0,
        modules: str | Layout = "fine",
        *,
        horizon: float = 0.12,
        width: int = 128,
        end_to_end: bool = False,
        seed: int = 0,
        steps: int | None = None,
        **loss: int,
    ) -> None:
        super().__init__()
        stack = layout(modules, width) if isinstance(modules, str) else modules
        if end_to_end:
            stack = (tuple(layer for layers in stack for layer in layers),)
        self.stack = nn.ModuleList()
        for index, layers in enumerate(stack):
            rate /= math.prod(layer.stride for layer in layers if isinstance(layer, Conv))
            ahead = steps_ahead(horizon, rate) if steps is None else steps
            module = seeded_module(channels, layers, ahead, seed=seed, index=index, **loss)
            self.stack.append(module)
            channels = module.width
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> list[Level]:
        """Encode excerpts (B, T, C) and predict their rows at every level.

        Parameters
        ----------
        x
            Excerpts, padded to a common length.
        lengths
            Rows of each (B,); None where all are full.
        """
        if lengths is None:
            lengths = torch.full((x.shape[0],), x.shape[1])
        levels = []
        for module in self.stack:
            level = Level(*module(x.detach(), lengths, self.generator))
            levels.append(level)
            x, lengths = level.z, level.lengths
        return levels


def seeded_module(
    channels: int, layers: tuple[Layer, ...], steps: int, *, seed: int, index: int, **loss: int
) -> ContrastModule:
    """Return module number ``index`` of a stack with weights that depend on (seed, index) and nothing else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed * 1009 + index)
        return ContrastModule(channels, layers, steps, **loss)
