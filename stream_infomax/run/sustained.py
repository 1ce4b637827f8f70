"""What rate this machine sustains: a pipeline is given frames as fast as it takes them, for a few seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from stream_infomax.configuration.compose import pipeline_of, source_of, take_over
from stream_infomax.configuration.load import Config, ConfigError
from stream_infomax.frames.contracts import Live, Seekable, Stage
from stream_infomax.frames.frame import Array, Frame

# Frames that are held, so that reading a file is not measured; they are given again and again.
HELD = 256
# Seconds of a frame of noise, which stands for the data of a live source.
FRAME_SECONDS = 0.02
# Seconds after which a warm-up that is not over is given up.
PATIENCE = 20.0


class Sustained(NamedTuple):
    """What was measured.

    Attributes
    ----------
    frames, rows
        Processed a second; rows are those of the source.
    times
        How often faster that is than the data come; 0 where they have no rate.
    slowest
        Seconds of the slowest frame.
    noise
        Whether noise stood for the data.
    warm
        Whether the warm-up was over when it was measured.
    """

    frames: float
    rows: float
    times: float
    slowest: float
    noise: bool
    warm: bool


def sustained(config: Config, seconds: float = 3.0) -> Sustained:
    """Measure all stages of a configuration, in one process on one core.

    Parameters
    ----------
    seconds
        How long it is measured, once the warm-up is over.

    Raises
    ------
    ConfigError
        Where the source cannot be read, or is live and does not say what its rows are.
    """
    pipeline = pipeline_of(config)
    take_over(config, pipeline)
    source = source_of(config)
    held = _held(config, source)
    given = _again_and_again(held)
    begun = time.perf_counter()
    for frame in given:
        pipeline.process(frame)
        now = time.perf_counter() - begun
        if now > PATIENCE or (now > seconds / 3 and _is_warm(pipeline.stages)):
            break
    slowest, n_frames, n_rows = 0.0, 0, 0
    begun = last = time.perf_counter()
    while last - begun < seconds:
        frame = next(given)
        pipeline.process(frame)
        now = time.perf_counter()
        slowest, last = max(slowest, now - last), now
        n_frames += 1
        n_rows += frame.arrays[config.source.name].n_rows
    taken = last - begun
    times = n_rows / taken / held[0].rate if held[0].rate else 0.0
    noise = isinstance(source, Live)
    return Sustained(n_frames / taken, n_rows / taken, times, slowest, noise, _is_warm(pipeline.stages))


def _held(config: Config, source: Seekable | Live) -> list[Frame]:
    """Return the first frames of the source, or noise where it is live."""
    if isinstance(source, Seekable):
        return [frame for frame in islice(source.frames(), HELD) if frame.arrays]
    outline = source.outline() if hasattr(source, "outline") else None
    if outline is None or outline.row is None:
        raise ConfigError(
            f"source.kind = {config.source.kind!r}: what its rows are shows only once they come; a configuration whose "
            "source says so can be measured"
        )
    n_rows = max(1, round(FRAME_SECONDS * outline.rate))
    axes = ("time", "channel") if len(outline.row) == 1 else ("item", "y", "x", "colour")[: 1 + len(outline.row)]
    rng = np.random.default_rng(0)
    arrays = (Array(rng.laplace(size=(n_rows, *outline.row)).astype(np.float32), axes) for _ in range(HELD))
    return [Frame(config.source.name, arrays={config.source.name: array}, rate=outline.rate) for array in arrays]


def _again_and_again(frames: Sequence[Frame]) -> Iterator[Frame]:
    """Yield frames as of one stream without an end; what is repeated is another segment."""
    offsets = count()
    for turn in count():
        for frame in frames:
            yield replace(frame, offset=next(offsets), segment=f"{frame.segment} {turn}", end=False)


def _is_warm(stages: Iterable[Stage]) -> bool:
    return all(getattr(stage, "is_warm", True) for stage in stages)
