"""Basis: a published basis as a model of rows, and how well models describe the same rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.neurons import minus_log_density, score, start_beta
from stream_infomax.learning.infomax.published import Published

Floats = NDArray[np.floating[Any]]

# The scale of outputs is found by so many fixed-point steps.
SCALE_STEPS = 30


@dataclass(frozen=True)
class Basis:
    """Where rows lie, how they are whitened and turned, in the rows' own units and in float64.

    The model: potentials are independent and logistic; what the whitening leaves out is normal in every direction.

    Attributes
    ----------
    mean
        μ, (K,).
    whiten, dewhiten
        V and Σ V, (K, K0).
    rotation
        C, (K0, K1).
    rest
        Mean variance of a direction that V leaves out; 0 where there is none.
    """

    mean: Floats
    whiten: Floats
    dewhiten: Floats
    rotation: Floats
    rest: float

    @classmethod
    def of(cls, published: Published, rest: float) -> Self:
        """Return the basis that was published."""
        rotation = published.rotation.astype(np.float64)
        whiten = published.filters.T.astype(np.float64) @ rotation.T / published.amplitude
        dewhiten = published.basis.astype(np.float64) @ rotation.T * published.amplitude
        return cls(published.mean, whiten, dewhiten, rotation, rest)

    @property
    def is_complete(self) -> bool:
        """Whether there are as many components as dimensions."""
        return bool(self.rotation.shape[0] == self.rotation.shape[1])

    def potentials(self, rows: Floats) -> Floats:
        """Return ŷ (n, K1) of rows (n, K)."""
        return np.asarray((rows - self.mean) @ self.whiten @ self.rotation)

    def outputs(self, rows: Floats) -> Floats:
        """Return ŷ (n, K0) of rows (n, K); of an overcomplete basis the whitened rows."""
        whitened = (rows - self.mean) @ self.whiten
        return np.asarray(whitened @ self.rotation if self.is_complete else whitened)

    def surprise(self, rows: Floats) -> Floats:
        """Return minus the log likelihood of each row (n,), in nats."""
        K, n_rank = self.whiten.shape
        nats = minus_log_density(self.outputs(rows), start_beta(1, 1)).sum(axis=1)
        nats -= 0.5 * np.linalg.slogdet(self.whiten.T @ self.whiten)[1]
        if n_rank == K:
            return np.asarray(nats)
        left = self._left_out(rows)
        floor = 1e-6 * float(np.square(self.dewhiten).sum()) / K
        rest = max(self.rest, floor, 1e-300)
        return np.asarray(nats + 0.5 * (K - n_rank) * math.log(2 * math.pi * rest) + 0.5 * left / rest)

    def _left_out(self, rows: Floats) -> Floats:
        """Return the squared length (n,) of what the whitening leaves out of rows (n, K)."""
        centred = rows - self.mean
        return np.asarray(np.square(centred - (centred @ self.whiten) @ self.dewhiten.T).sum(axis=1))

    def with_rest_of(self, rows: Floats) -> Self:
        """Return the basis with the mean variance that rows (n, K) have in the directions it leaves out."""
        K, n_rank = self.whiten.shape
        return self if n_rank == K else replace(self, rest=float(self._left_out(rows).mean()) / (K - n_rank))

    def level(self, rows: Floats, mean: Floats) -> float:
        """Return how many times as large as usual rows (n, K) of this mean are, as is most likely."""
        outputs, beta = replace(self, mean=mean).outputs(rows), start_beta(1, 1)
        factor = float(np.sqrt(np.mean(np.square(outputs)))) or 1.0
        for _ in range(SCALE_STEPS):
            scaled = outputs / factor
            factor *= float(np.mean(score(scaled, beta) * scaled))
        return factor

    def moved(self, mean: Floats, factors: Floats) -> Self:
        """Return the basis for rows of another mean (K,), whose channels are so many times as large (K,)."""
        by = factors[:, None]
        rest = self.rest * float(np.mean(factors**2))
        return replace(self, mean=mean, whiten=self.whiten / by, dewhiten=self.dewhiten * by, rest=rest)

    def deviations(self) -> Floats:
        """Return the standard deviations (K,) of the channels."""
        return np.asarray(np.sqrt(np.square(self.dewhiten).sum(axis=1) + self.rest))

    def covariance(self) -> Floats:
        """Return Σ (K, K)."""
        K, n_rank = self.whiten.shape
        covariance = self.dewhiten @ self.dewhiten.T
        if n_rank < K:
            span = np.linalg.qr(self.dewhiten)[0]
            covariance += self.rest * (np.eye(K) - span @ span.T)
        return np.asarray(covariance)
