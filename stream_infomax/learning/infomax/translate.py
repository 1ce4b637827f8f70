"""Translation: features of one version of a basis as those of another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import neurons
from stream_infomax.learning.infomax.encoder import Encoder

Floats = NDArray[np.floating[Any]]

REVERSIBLE = ("potential", "halves", "rate")
REACHABLE = ("potential", "halves", "rate", "log")
WHY_NOT = {
    "log": "the log magnitude has lost the sign of the potential",
    "poisson": "numbers of spikes do not tell the potential behind them",
}
# Of the largest eigenvalue: directions below have no variance.
NO_VARIANCE = 1e-9


class Translation:
    """The map from features of one basis to those of another.

    Potentials are mapped by y_b = M y_a + W_bᵀ (μ_a - μ_b). Where the first basis spans all of the rows (K0 = K),
    M = W_bᵀ B_a, and the map is exact. Elsewhere M = W_bᵀ Σ W_a (W_aᵀ Σ W_a)⁺, the least squares estimate, Σ the mean
    of the covariances behind the two bases.

    Parameters
    ----------
    from_, to
        Encoder, OnlineInfomax, or a basis from a tap.

    Attributes
    ----------
    matrix, offset : ndarray of shape (K1 of `to`, K1 of `from_`) and (K1 of `to`,)
        M and W_bᵀ (μ_a - μ_b), float64.
    explained : ndarray of shape (K1 of `to`,)
        The share of each component's variance that the map explains; 1 where it is exact.
    exact : bool
        Whether nothing is estimated.

    Raises
    ------
    ValueError
        Where the bases are of rows of different widths, or the outputs cannot be mapped.
    """

    def __init__(self, from_: Any, to: Any) -> None:
        self.from_, self.to = a, b = Encoder.of(from_), Encoder.of(to)
        if a.n_features != b.n_features:
            raise ValueError(f"from_ is of rows of {a.n_features} features, to of {b.n_features}; they have to be one")
        for which, output, accepted in (("from_", a.output, REVERSIBLE), ("to", b.output, REACHABLE)):
            if output not in accepted:
                why = WHY_NOT[output] if which == "from_" else "they cannot be drawn again"
                raise ValueError(f"{which}.output = {output!r}: {why}; accepted: {', '.join(accepted)}")
        before, after = (one.components.astype(np.float64) for one in (a, b))
        self.exact = a.n_rank == a.n_features
        if self.exact:
            self.matrix = after @ np.linalg.pinv(before)
            self.explained: Floats = np.ones(len(after))
        else:
            covariance = (covariance_of(a) + covariance_of(b)) / 2
            across = after @ covariance @ before.T
            self.matrix = across @ np.linalg.pinv(before @ covariance @ before.T, NO_VARIANCE, hermitian=True)
            variance = np.einsum("ij,jk,ik->i", after, covariance, after)
            self.explained = np.clip(np.einsum("ij,ij->i", self.matrix, across) / variance, 0, 1)
        self.offset = after @ (a.mean - b.mean)

    def apply(self, features: Any) -> Floats:
        """Return features of the second basis (n, width of `to`), float32, for those of the first (n, width).

        A row that holds a saturated ``rate`` (0 or ¼), from which no potential follows, comes out as NaN, as does one
        that is not finite.

        Raises
        ------
        ValueError
            Where `features` have another width.
        """
        features = np.asarray(features)
        if features.ndim != 2 or features.shape[1] != self.from_.width:
            raise ValueError(f"features have shape {features.shape}; accepted is (n, {self.from_.width})")
        potential = _potentials(features.astype(np.float64), self.from_)
        bad = ~np.isfinite(potential).all(axis=1)
        potential[bad] = 0
        mapped = (potential @ self.matrix.T + self.offset).astype(np.float32)
        published = neurons.publish(mapped, self.to.output, self.to.amplitude, self.to.beta, self.to.bias)
        published[bad] = np.nan
        return published


def translate(features: Any, from_: Any, to: Any) -> Floats:
    """Return features of one basis as those of another: ``Translation(from_, to).apply(features)``.

    Parameters
    ----------
    features
        Rows encoded with `from_`, (n, width).
    from_, to
        Encoder, OnlineInfomax, or a basis from a tap.

    Returns
    -------
    ndarray of shape (n, width of `to`)
        float32. `Translation` says which share of each component is explained.

    Raises
    ------
    ValueError
        Where widths differ; where an output cannot be mapped: ``log`` has no signs, ``poisson`` no potentials.
    """
    return Translation(from_, to).apply(features)


def covariance_of(one: Any) -> Floats:
    """Return the covariance Σ = a² B Bᵀ (K, K) of the rows that a basis spans; float64."""
    encoder = Encoder.of(one)
    mixing = encoder.mixing.astype(np.float64) * encoder.amplitude
    return np.asarray(mixing @ mixing.T)


def _potentials(features: Floats, encoder: Encoder) -> Floats:
    """Return the potentials (n, K1) behind features; infinite where a rate is saturated."""
    if encoder.output == "halves":
        n = encoder.n_components
        return features[:, :n] - features[:, n:]
    if encoder.output == "rate":
        g = 2 * np.sqrt(features)
        with np.errstate(divide="ignore", invalid="ignore"):
            raw = (np.log(g) - np.log1p(-g) - encoder.bias) / encoder.beta
        return np.asarray(encoder.amplitude * raw)
    return features.copy()
