"""Where electrodes sit by the 10-10 system, seen from above, and a smooth map of what they measure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Tenths of the way from nasion over the crown to inion; and degrees of the ring through Fpz, T7, Oz and T8.
_MIDLINE = {"N": 0, "FP": 1, "AF": 2, "F": 3, "FC": 4, "C": 5, "CP": 6, "P": 7, "PO": 8, "O": 9, "I": 10}
_RING = {"FP": 18, "AF": 36, "F": 54, "FT": 72, "T": 90, "TP": 108, "P": 126, "PO": 144, "O": 162}
# What a line of electrodes is called at its end on the ring, and the older names of four places.
_AT_RING = {"FC": "FT", "C": "T", "CP": "TP"}
_OLDER = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}


def positions(names: Sequence[str]) -> list[tuple[float, float] | None]:
    """Return the place of each name, to the right and to the front, the crown at (0, 0) and the nasion at (0, 1).

    Distances from the crown are those over the scalp. None where a name is none of the 10-10 system; places that the
    system has only outside its ring through Fpz and Oz are one tenth below it (T9, P10, Iz), those of ears are None.
    """
    return [_position(name) for name in names]


def _position(name: str) -> tuple[float, float] | None:
    plain = re.sub(r"^EEG |[.]+$|-(REF|LE|AVG?)$", "", name.strip().upper())
    found = re.fullmatch(r"([A-Z]+?)(Z|\d{1,2})", _OLDER.get(plain, plain))
    if found is None:
        return None
    line, place = found[1], found[2]
    if place == "Z":
        return _flat(_midline(line)) if line in _MIDLINE else None
    number = int(place)
    side = -1.0 if number % 2 else 1.0
    step = (number + 1) // 2  # from the midline: 1, 2, 3, and 4 on the ring, 5 below it
    if line in ("FP", "O"):
        return _flat(_ring(line, side)) if step == 1 else None
    outer = _AT_RING.get(line, line)
    if outer not in _RING or not 1 <= step <= 5 or (line in ("T", "FT", "TP") and step < 4):
        return None
    if step == 5:
        return _flat(_ring(outer, side, 0.1))
    middle = line if line in _MIDLINE else {"T": "C", "FT": "FC", "TP": "CP"}[line]
    return _flat(_on_arc(_midline(middle), _ring(outer, 1.0), step / 4) * (side, 1, 1))


def _midline(line: str) -> Floats:
    angle = math.pi * (_MIDLINE[line] / 10 - 0.5)
    return np.array([0.0, -math.sin(angle), math.cos(angle)])


def _ring(line: str, side: float, below: float = 0.0) -> Floats:
    around, down = math.radians(_RING[line]), math.pi * (0.4 + below)
    return np.array([side * math.sin(around), math.cos(around), 0]) * math.sin(down) + (0, 0, math.cos(down))


def _on_arc(middle: Floats, right: Floats, share: float) -> Floats:
    """Return the point at `share` of the way from the midline to the ring, on the circle through both sides."""
    left = right * (-1, 1, 1)
    normal = np.cross(right - middle, left - middle)
    normal /= np.linalg.norm(normal)
    centre = normal * (normal @ middle)
    one = middle - centre
    other = np.cross(normal, one)
    if other @ (right - centre) < 0:
        other = -other
    angle = math.atan2(other @ (right - centre), one @ (right - centre)) * share
    result: Floats = centre + math.cos(angle) * one + math.sin(angle) * other
    return result


def _flat(point: Floats) -> tuple[float, float]:
    """Return a point of the sphere with its distance from the crown kept; 1 is a quarter of the way around."""
    x, y, z = (float(value) for value in point)
    length = math.hypot(x, y)
    radius = math.acos(max(-1.0, min(1.0, z))) / (math.pi / 2)
    return (radius * x / length, radius * y / length) if length > 1e-9 else (0.0, 0.0)


def surface(places: Floats, targets: Floats) -> Floats:
    """Return the matrix that takes values at places (n, 2) to a thin-plate spline at targets (m, 2)."""
    n = len(places)
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = _plate(places, places) + 1e-3 * np.eye(n)  # a little smoothing
    system[:n, n:] = np.c_[np.ones(n), places]
    system[n:, :n] = system[:n, n:].T
    basis = np.c_[_plate(targets, places), np.ones(len(targets)), targets]
    # Places on one line have no plane of their own: least squares.
    result: Floats = (basis @ np.linalg.pinv(system))[:, :n]
    return result


def _plate(one: Floats, other: Floats) -> Floats:
    square = ((one[:, None] - other[None]) ** 2).sum(-1)
    result: Floats = 0.5 * square * np.log(np.maximum(square, 1e-12))
    return result
