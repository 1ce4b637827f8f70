"""Components of channels: their share of the signal, their weights on the sensors, the spectra of their outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stream_infomax.drawing import head

Floats = npt.NDArray[np.float64]

# So many names of the 10-10 system make a head of the sensors.
ENOUGH_OF_A_HEAD = 8
ALPHA = (8.0, 13.0)
# What an EEG's spectrum is shown of; decibels from its top to its bottom.
EEG_HZ, DECIBELS = 45.0, 30.0
# Points across a map of the scalp.
GRID = 61


def shares(basis: Floats) -> Floats:
    """Return each component's share of the signal's variance; `basis` is (n_components, n_channels)."""
    share: Floats = (basis**2).sum(1)
    return share / (share.sum() or 1.0)


def largest_weight_up(basis: Floats) -> Floats:
    """Return ±1 for each component: its largest weight is shown as positive."""
    most = basis[np.arange(len(basis)), np.abs(basis).argmax(1)]
    return np.where(most < 0, -1.0, 1.0)


def is_head(names: Sequence[str]) -> bool:
    """Return whether enough names have a place on a head."""
    return sum(place is not None for place in head.positions(names)) >= ENOUGH_OF_A_HEAD


def top_of(rate: float, of_head: bool) -> float:
    """Return the highest frequency (Hz) that a spectrum is shown to."""
    return min(EEG_HZ, rate / 2) if of_head else rate / 2


def levels(spectra: Floats, rate: float, top: float) -> tuple[Floats, Floats]:
    """Return frequencies (Hz) up to `top`, without the mean, and power at them.

    Power is 1 at its own top and 0 at DECIBELS below it or less; `spectra` is (n_frequencies, n_components).
    """
    hertz = np.linspace(0, rate / 2, len(spectra))
    shown = (hertz > 0) & (hertz <= top)
    power = 10 * np.log10(np.maximum(spectra[shown], np.finfo(float).tiny))
    return hertz[shown], np.clip(1 + (power - power.max(0)) / DECIBELS, 0, 1)


def ticks(top: float) -> list[float]:
    """Return at most six round numbers from 0 to `top`."""
    step = 10.0 ** math.floor(math.log10(top))
    step = next(step * times for times in (0.1, 0.2, 0.5, 1, 2, 5) if top / (step * times) <= 5)
    return [step * i for i in range(int(top / step + 1e-9) + 1)]


class Scalp:
    """A head seen from above, the nose up, and what is measured on it.

    Parameters
    ----------
    names
        Of the channels; those without a place on a head are passed over.
    side
        Points across a map.

    Attributes
    ----------
    known
        The channels that have a place.
    points : (n_known, 2) array
        Their places: to the right and to the front, the crown at (0, 0).
    edge
        The radius of the map; its grid goes from -edge to edge.
    outside : (side, side) array of bool
        What of the grid is beyond the edge.
    """

    def __init__(self, names: Sequence[str], side: int = GRID) -> None:
        places = dict(enumerate(head.positions(names)))
        found = {i: place for i, place in places.items() if place is not None}
        self.known = list(found)
        self.points = np.array(list(found.values()), dtype=np.float64)
        self.edge = max(1.0, float(np.hypot(*self.points.T).max()))
        self.grid = np.linspace(-self.edge, self.edge, side)
        x, y = np.meshgrid(self.grid, self.grid)
        self.outside = np.hypot(x, y) > self.edge
        self._to_grid = head.surface(self.points, np.c_[x.ravel(), y.ravel()])

    def maps(self, weights: Floats) -> Floats:
        """Return maps (n, side, side) of weights (n, n_channels), the first line at the back; NaN beyond the edge.

        Each is scaled to its largest magnitude.
        """
        images = (self._to_grid @ weights[:, self.known].T).T.reshape(-1, *self.outside.shape)
        images[:, self.outside] = 0.0
        most = np.abs(images).max((1, 2), keepdims=True)
        images /= np.where(most > 0, most, 1.0)
        images[:, self.outside] = np.nan
        return images


def outlines() -> list[npt.NDArray[np.complex128]]:
    """Return circle, nose and ears of a head of radius 0.4 around 0, as lines in the complex plane."""
    circle = 0.4 * np.exp(2j * np.pi * np.linspace(0, 1, 65))
    nose = np.array([-0.06 + 0.395j, 0.46j, 0.06 + 0.395j])
    return [circle, nose, _ear(-1), _ear(1)]


def _ear(side: int) -> npt.NDArray[np.complex128]:
    turn = np.linspace(-np.pi / 2, np.pi / 2, 15)
    result: npt.NDArray[np.complex128] = side * (0.398 + 0.04 * np.cos(turn)) + 0.09j * np.sin(turn)
    return result
