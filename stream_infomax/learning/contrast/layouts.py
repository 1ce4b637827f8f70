"""Layouts: the layers of named stacks of modules. Plain data: torch is not imported."""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST_STEPS = 12  # GIM and CPC predict 12 steps; more did not help CPC


@dataclass(frozen=True)
class Conv:
    """A causal convolution with ReLU: output row j sees the input up to row (j + 1)·stride - 1 and no further."""

    kernel: int
    stride: int
    width: int


@dataclass(frozen=True)
class Recurrent:
    """A GRU; its state is the context from which its module predicts. Only the last layer of a stack can be one."""

    width: int


Layer = Conv | Recurrent
Layout = tuple[tuple[Layer, ...], ...]


def layout(name: str, width: int = 128) -> Layout:
    """Return the layers of every module of a named stack.

    Parameters
    ----------
    name
        ``fine``: a layer a module, for features at 100 to 200 rows a second. ``mel``: the same with one stride less,
        for features at 100 rows a second. ``paired``: the layers of ``fine`` in two modules. ``paper``: the six
        modules of GIM for raw audio at 16 kHz. ``patches``: two modules of two 1×1 convolutions, for grids of image
        patches, which never mix.
    width
        Channels of every layer; ``paper`` has its own (512, and 256 for the GRU).
    """
    wide, deep = Conv(4, 2, width), Conv(3, 1, width)
    alone = (Conv(1, 1, width), Conv(1, 1, width))
    kernels = ((10, 5), (8, 4), (4, 2), (4, 2), (4, 2))
    layouts: dict[str, Layout] = {
        "fine": ((wide,), (wide,), (deep,), (Recurrent(width),)),
        "mel": ((wide,), (deep,), (Recurrent(width),)),
        "paired": ((wide, wide), (deep, Recurrent(width))),
        "paper": (*((Conv(kernel, stride, 512),) for kernel, stride in kernels), (Recurrent(256),)),
        "patches": (alone, alone),
    }
    if name not in layouts:
        raise ValueError(f"layout is {name!r}; there are {', '.join(layouts)}")
    return layouts[name]


def steps_ahead(horizon: float, rate: float) -> int:
    """Return the steps that a horizon (s) is at a rate (rows/s), between 1 and 12."""
    return max(1, min(MOST_STEPS, round(horizon * rate)))


def output_width(channels: int, layers: tuple[Layer, ...], residual: bool) -> int:
    """Return the channels of what a module of these layers passes on: z, or what came in and z beside it.

    0 as long as it is not known how many `channels` come in (0), where they are passed on.
    """
    widths = [layer.width for layer in layers if isinstance(layer, Conv)]
    own = widths[-1] if widths else 0
    if own and not residual:
        return own
    return channels + own if channels else 0


def least_skip(layers: tuple[Layer, ...], length: float = 1.0, hop: float = 1.0) -> int:
    """Return how many output rows to skip so that no target shares a sample with the context.

    Parameters
    ----------
    layers
        All layers up to the module that predicts, from the first module on.
    length, hop
        Of the windows that are the rows of the first module, in samples or any other unit.
    """
    past, stride = 0, 1  # input rows that an output row sees before its own, and its own
    for layer in layers:
        if isinstance(layer, Conv):
            past += (layer.kernel - layer.stride) * stride
            stride *= layer.stride
    return max(0, math.ceil(((past - 1) * hop + length) / (stride * hop) - 1e-9))
