"""Streams with everything in them that a stage meets: two streams that take turns, segments, bad rows, late labels."""

import numpy as np
from msgspec.structs import replace

from stream_infomax.frames import wire
from stream_infomax.frames.frame import Array, Frame
from stream_infomax.state.pages import Paged

WORDS = ("one", "two", "three")


def signal(rng, n):
    return Array(rng.laplace(size=(n, 1)).astype(np.float32), ("time", "channel"))


def features(rng, n):
    return Array(np.cumsum(rng.standard_normal((n, 5)), 0).astype(np.float32), ("time", "component"))


def picture(rng, n):
    return Array(rng.random((1, 11, 14)).astype(np.float32), ("item", "y", "x"))


def patches(rng, n):
    return Array(rng.random((n, 6, 6, 3)).astype(np.float32), ("item", "y", "x", "colour"))


def grid(rng, n):
    means = 2 * rng.standard_normal(3)
    return Array((means + rng.standard_normal((5, 4, 3))).astype(np.float32), ("grid_y", "grid_x", "component"))


def stream(rows, n=40, name="source", rate=1000.0, size=40, seed=0):
    """Return frames of two streams, each of segments of three frames; every seventh frame has a bad row.

    Segments have their labels in their frames, or late. Each third segment is cut off by the next one. Nothing is lost.
    """
    rng = np.random.default_rng(seed)
    frames = []
    time = dict.fromkeys("ab", 0.0)
    for number in range(n):
        which = "ab"[number // 2 % 2]
        segment, part = divmod(len([frame for frame in frames if frame.stream == which and frame.arrays]), 3)
        array = rows(rng, int(rng.integers(size // 2, 2 * size)))
        if number % 7 == 3:
            array.data.reshape(array.n_rows, -1)[array.n_rows // 2, 0] = np.nan
        label = {"word": WORDS[segment % 3]}
        last = part == 2 and segment % 3 != 2
        frames.append(
            Frame(
                which,
                len(frames),
                f"{which}{segment}",
                {name: array},
                last=last or number >= n - 2,
                end=number >= n - 2,
                time=time[which],
                rate=rate,
                labels=label if segment % 2 else {},
                encoder="below-1",
            )
        )
        time[which] += array.n_rows / rate if rate else 0.0
        if last and not segment % 2:
            frames.append(Frame(which, len(frames), f"{which}{segment}", labels=label))
    return [locked(frame) for frame in frames]


def locked(frame):
    """Return the frame with arrays that cannot be written to."""
    for array in frame.arrays.values():
        array.data.flags.writeable = False
    return frame


def numbered(frames, first=0):
    """Return the frames with offsets that follow one another."""
    return [replace(frame, offset=first + number) for number, frame in enumerate(frames)]


def with_rows(frame, change):
    """Return the frame with its rows changed."""
    arrays = {name: Array(change(array.data), array.axes) for name, array in frame.arrays.items()}
    return locked(replace(frame, arrays=arrays))


def as_bytes(frames):
    """Return frames as bytes, so that two of them can be compared to the bit."""
    return [wire.encode(frame) for frame in frames]


def bits(frames):
    """Return the arrays of frames, and nothing else of them, as bytes."""
    return [
        {name: (array.axes, array.data.shape, array.data.tobytes()) for name, array in frame.arrays.items()}
        for frame in frames
    ]


def halves(frame, name):
    """Return the frame as two, where it has rows in time; `last` and `end` stay with the second."""
    array = frame.arrays[name]
    if array.axes[0] != "time":
        return [frame]
    middle = len(array.data) // 3
    parts = [
        locked(replace(frame, arrays={name: Array(rows.copy(), array.axes)})) for rows in np.split(array.data, [middle])
    ]
    parts[1] = replace(parts[1], time=frame.time + (middle / frame.rate if frame.rate else 0.0))
    return [replace(parts[0], last=False, end=False), parts[1]]


def rows_of_segments(frames, name):
    """Return the rows of each segment of frames that all have rows."""
    rows = {}
    for frame in frames:
        rows.setdefault((frame.stream, frame.segment), []).append(frame.arrays[name].rows())
    return {
        segment: np.concatenate([part for part in parts if len(part)] or parts[:1]) for segment, parts in rows.items()
    }


def same_tree(one, other):
    """Whether two states are the same to the bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_tree(one[key], other[key]) for key in one)
    if isinstance(one, Paged | np.ndarray):
        one, other = np.asarray(one), np.asarray(other)
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    return repr(one) == repr(other)
