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
from stream_infomax.learning.contrast.layouts import Conv, Layer, Layout, layout, output_width, steps_ahead


class ContrastModule(nn.Module):
    """Layers and their own loss: z = convolutions(x), c = GRU(z) where there is a GRU and c = z elsewhere.

    A module that is only a GRU predicts its own input from its state, as GIM's last module does. What a module passes
    on, its output, is z, or with ``residual`` what came in beside it.

    Parameters
    ----------
    channels
        Width of the input rows.
    layers
        From the input up.
    steps
        K, how many of its output rows ahead the module predicts.
    residual
        The output is [what came in (the mean over the stride), z]; only z is contrasted. A module that is only a GRU
        passes on what came in, with or without.
    normalise
        The z that is passed on is standardised channel by channel, by moments of about the last hundred batches; the
        contrast is of z as it is.
    **loss
        Passed on to ``InfoNCE``.

    Attributes
    ----------
    width, context, output : int
        Channels of z, of c, and of the output.
    stride : int
        Input rows of an output row.
    """

    def __init__(
        self,
        channels: int,
        layers: tuple[Layer, ...],
        steps: int,
        *,
        residual: bool = False,
        normalise: bool = False,
        **loss: float,
    ) -> None:
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
        self.residual = residual and len(self.convolutions) > 0
        self.output = output_width(channels, layers, residual)
        self.moments = Moments(width) if normalise and len(self.convolutions) else None
        self.loss = InfoNCE(self.context, self.width, steps, **loss)  # type: ignore[arg-type]

    def encode(self, x: Tensor, tails: list[Tensor] | None = None) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Encode rows (B, T, C) that continue those before; return output, c (B, T', ·), the tails to continue with.

        Parameters
        ----------
        x
            The next rows, any number of them.
        tails
            What the last call returned: the inputs that each convolution still needs, the GRU's state, and of a
            residual module the rows short of a stride. None is a beginning, with zeros before the first row.
        """
        own = tails[:-1] if tails is not None and self.residual else tails
        z, c, new = self._layers(x, own)
        if not self.residual:
            return self._passed_on(x, z), c, new
        x = x if tails is None else torch.cat([tails[-1], x], 1)
        return self._passed_on(x, z), c, [*new, x[:, z.shape[1] * self.stride :].detach()]

    def _layers(self, x: Tensor, tails: list[Tensor] | None) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return z, c and the tails of the layers."""
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

    def _passed_on(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the output (B, T', ·) for what came in (B, at least T'·stride, C) and z (B, T', ·)."""
        added = z if self.moments is None else self.moments.standardised(z)
        if not self.residual:
            return added
        batch, rows = z.shape[:2]
        came_in = x[:, : rows * self.stride].reshape(batch, rows, self.stride, self.channels).mean(2)
        return torch.cat([came_in, added], -1)

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        generator: torch.Generator,
        past: Tensor | None = None,
        streams: Tensor | None = None,
    ) -> Level:
        """Encode excerpts from their beginning, predict, and while training follow the moments of z.

        Parameters
        ----------
        x
            Excerpts (B, T, C).
        lengths
            Rows of each (B,).
        generator
            Of anchors and negatives.
        past
            Other rows for the same excerpts (B, T, C): contexts are computed from them, targets and negatives from
            `x`. None: contexts from `x` too.
        streams
            A number for the stream of each excerpt (B,), as for ``InfoNCE``.
        """
        z, c, _ = self._layers(x, None)
        past_z, seen, _ = (None, c, None) if past is None else self._layers(past, None)
        lengths = lengths // self.stride
        prediction = self.loss(z, seen, lengths, generator, streams)
        output = self._passed_on(x, z)
        past_output = None if past is None or past_z is None else self._passed_on(past, past_z)
        if self.moments is not None and self.training and prediction is not None:
            self.moments.follow(z.detach(), lengths)
        return Level(output, c, lengths, prediction, past_output)


class Moments(nn.Module):
    """Slow running mean and variance of every channel: plain averages of the first hundred batches, fading later.

    They are buffers: saved, averaged and published as weights are.

    Parameters
    ----------
    width
        Channels.
    """

    MOST = 8.0  # deviations: a channel that wakes up is no shock above
    LEAST = 1e-4  # of a variance

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.variance: Tensor
        self.batches: Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.register_buffer("batches", torch.zeros(1))

    def standardised(self, z: Tensor) -> Tensor:
        """Return rows with zero mean and unit deviation."""
        return ((z - self.mean) / (self.variance + self.LEAST).sqrt()).clamp(-self.MOST, self.MOST)

    def follow(self, z: Tensor, lengths: Tensor) -> None:
        """Take in the rows that are there of excerpts (B, T, width); a batch that is not finite is left out."""
        rows = z[(torch.arange(z.shape[1]) < lengths[:, None]).to(z.device)]
        mean, variance = rows.mean(0), rows.var(0, correction=0)
        if not (torch.isfinite(mean).all() and torch.isfinite(variance).all()):
            return
        self.batches.add_(1).clamp_(max=100)
        share = 1 / self.batches
        shift = mean - self.mean
        if self.batches == 1:  # the first batch replaces the values that stood for nothing
            self.mean.copy_(mean)
            self.variance.copy_(variance)
        else:
            self.variance.add_(share * (variance - self.variance + (1 - share) * shift**2))
            self.mean.add_(share * shift)


class Level(NamedTuple):
    """What one module makes of a batch: output, contexts, lengths, how well it predicts, the output of the past."""

    z: Tensor
    c: Tensor
    lengths: Tensor
    prediction: Prediction | None
    past: Tensor | None = None


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
    residual, normalise, **loss
        As for ``ContrastModule`` and ``InfoNCE``; for columns of grids ``columns`` and ``skip``, and ``steps`` instead
        of a horizon.

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
        residual: bool = False,
        normalise: bool = False,
        **loss: float,
    ) -> None:
        super().__init__()
        stack = layout(modules, width) if isinstance(modules, str) else modules
        if end_to_end:
            stack = (tuple(layer for layers in stack for layer in layers),)
        self.stack = nn.ModuleList()
        for index, layers in enumerate(stack):
            rate /= math.prod(layer.stride for layer in layers if isinstance(layer, Conv))
            ahead = steps_ahead(horizon, rate) if steps is None else steps
            module = seeded_module(
                channels, layers, ahead, seed=seed, index=index, residual=residual, normalise=normalise, **loss
            )
            self.stack.append(module)
            channels = module.output
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
            level: Level = module(x.detach(), lengths, self.generator)
            levels.append(level)
            x, lengths = level.z, level.lengths
        return levels


def seeded_module(
    channels: int, layers: tuple[Layer, ...], steps: int, *, seed: int, index: int, **settings: float
) -> ContrastModule:
    """Return module number ``index`` of a stack with weights that depend on (seed, index) and nothing else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed * 1009 + index)
        return ContrastModule(channels, layers, steps, **settings)  # type: ignore[arg-type]
