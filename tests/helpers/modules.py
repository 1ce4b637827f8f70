"""What tests of contrastive modules share: features, small modules, and what it means to be the same."""

import numpy as np
from msgspec.structs import replace

from stream_infomax.frames import wire
from stream_infomax.frames.contracts import Pipeline
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.stages.contrast import ContrastStage
from stream_infomax.state.pages import Paged

SMALL = {"width": 8, "rows": 200, "excerpt": 60, "anchors": 32, "negatives": 16}


def speech(segments=12, frame_rows=10, width=5, seed=0, encoder="learner-1", streams=("a",)):
    """Frames of smooth features: segments of 45 to 90 rows at 200 rows a second, streams taking turns."""
    rng = np.random.default_rng(seed)
    offset = 0
    for number in range(segments):
        stream = streams[number % len(streams)]
        rows = int(rng.integers(45, 90))
        walk = np.cumsum(rng.standard_normal((rows, width)), 0).astype(np.float32)
        is_last_of_stream = number >= segments - len(streams)
        for start in range(0, rows, frame_rows):
            last = start + frame_rows >= rows
            yield Frame(
                stream=stream,
                offset=offset,
                segment=f"{stream}{number}",
                arrays={"features": Array(walk[start : start + frame_rows], ("time", "component"))},
                last=last,
                end=last and is_last_of_stream,
                rate=200.0,
                encoder=encoder,
            )
            offset += 1


def module(number, **settings):
    below = f"m{number - 1}" if number > 1 else "features"
    return ContrastStage(f"m{number}", below, module=number, **{**SMALL, **settings})


def with_features(frame, rows, axes=("time", "component")):
    return replace(frame, arrays={"features": Array(np.asarray(rows, np.float32), axes)})


def stack(**settings):
    return Pipeline([module(number, **settings) for number in (1, 2, 3, 4)])


def same_frames(one, other):
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        assert wire.encode(left) == wire.encode(right)


def same_state(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same_state(one[key], other[key])
    elif isinstance(one, Paged | np.ndarray):
        assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    else:
        assert one == other or one != one
