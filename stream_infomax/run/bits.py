"""Where two trees of values first differ, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_infomax.settings.printable import printable


def first_difference(here: Any, there: Any, path: str = "") -> str:
    """Return where two trees of plain values and arrays first differ, to the bit, in words; empty where they do not."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key in {**here, **there}:
            inner = f"{path}/{key}" if path else str(key)
            if (key in here) != (key in there):
                return f"{inner} is only in {'what was computed' if key in here else 'the run'}"
            if found := first_difference(here[key], there[key], inner):
                return found
        return ""
    if isinstance(here, list | tuple) and isinstance(there, list | tuple):
        if len(here) != len(there):
            return f"{path}: {len(here)} values computed, {len(there)} in the run"
        for n, (mine, its) in enumerate(zip(here, there, strict=True)):
            if different := first_difference(mine, its, f"{path}/{n}"):
                return different
        return ""
    one, other = np.asarray(here), np.asarray(there)
    if (one.dtype, one.shape) != (other.dtype, other.shape) and (one.ndim or other.ndim):
        return f"{path}: {one.dtype} {one.shape} computed, {other.dtype} {other.shape} in the run"
    if one.dtype.hasobject or one.dtype != other.dtype:
        return "" if here == there else f"{path}: {printable(repr(here))} computed, {printable(repr(there))} in the run"
    if one.tobytes() == other.tobytes():
        return ""
    if not one.ndim:
        return f"{path}: {printable(repr(here))} computed, {printable(repr(there))} in the run"
    size = one.dtype.itemsize
    a, b = (np.frombuffer(value.tobytes(), np.uint8).reshape(-1, size) for value in (one, other))
    at = int(np.flatnonzero((a != b).any(axis=1))[0])
    place = ", ".join(map(str, np.unravel_index(at, one.shape)))
    return f"{path}[{place}]: {one.ravel()[at]!r} computed, {other.ravel()[at]!r} in the run"
