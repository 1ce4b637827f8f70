"""Greedy InfoMax: contrastive modules on top of one another, with no gradient between them.

S. Löwe, P. O'Connor, B. Veeling, "Putting An End to End-to-End: Gradient-Isolated Learning of
Representations", NeurIPS 2019 (GIM), after A. van den Oord, Y. Li, O. Vinyals, "Representation Learning with
Contrastive Predictive Coding", 2018 (CPC). The file reads from a layer to the stack:

    layers    ``Conv`` (causal) and ``Recurrent`` (GRU), named by ``layout``
    modules   ``ContrastModule``: layers and their own loss, ``InfoNCE``
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

from stream_infomax.learning.contrast.infonce import InfoNCE, Prediction
from stream_infomax.learning.contrast.layouts import Conv, Layer, Layout, layout, steps_ahead


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
