"""Encoding: what a learner makes of rows with the basis that it has published, in scikit-learn's manner."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels, neurons
from stream_infomax.learning.infomax.fitted import Fitted, NotWarmError
from stream_infomax.learning.infomax.published import Published
from stream_infomax.learning.parameters import Estimator
from stream_infomax.learning.scikit import OUTPUTS, output_of, table
from stream_infomax.learning.threads import one_thread
from stream_infomax.settings.error import SettingError
from stream_infomax.settings.words import one_of

Floats = NDArray[np.floating[Any]]

# Rows that `score` takes at once: of each, a matrix of the rank's size.
SCORED = 256


class Encoding(Fitted, Estimator):
    """Transforms and scores rows; `OnlineInfomax` learns what it does it with."""

    def transform(self, X: Any, first: int = 0) -> Floats:
        """Encode the rows of X with the published basis.

        Parameters
        ----------
        X
            Rows, (n, n_features): an array or a table.
        first
            The number of the first row in its stream, by which spikes are drawn.

        Returns
        -------
        ndarray of shape (n, width_)
            float32; a table after `set_output`. Rows that are not finite come out as NaN.

        Raises
        ------
        NotWarmError
            While the warm-up lasts; names how many rows are missing.
        ValueError
            Where X is no matrix of real numbers of the width known, or a table of other columns.
        """
        published = self._published()
        return self._tabled(self._encode(self._rows(X, fresh=False), published, first), X)

    def inverse_transform(self, Y: Any) -> Floats:
        """Return the rows x ≈ mean_ + B y for potentials (3.110).

        Parameters
        ----------
        Y
            Potentials, (n, n_components).

        Returns
        -------
        ndarray of shape (n, n_features)
            float32.

        Raises
        ------
        NotWarmError
            While the warm-up lasts.
        ValueError
            Where `output` is not "potential", or Y has another width.
        """
        if self._output() != "potential":
            raise ValueError(f"inverse_transform needs output='potential'; this learner has output={self.output!r}")
        published = self._published()
        Y = np.asarray(Y, np.float32)
        if Y.ndim != 2 or Y.shape[1] != published.basis.shape[1]:
            raise ValueError(f"Y has shape {Y.shape}; accepted is (n, {published.basis.shape[1]})")
        with one_thread():
            return np.asarray(Y @ published.basis.T + published.mean.astype(np.float32), np.float32)

    def score(self, X: Any, y: Any = None) -> float:
        """Return how much the rows of X tell through the neurons, in nats a row; higher is better.

        That is the mean of ½ ln det(J Jᵀ), J the derivative of the neurons' g by the row. With as many components as
        dimensions it is the log-likelihood of a row (of its projection, where dimensions were left out); learners of
        different `n_rank_` are not to be compared by it.

        Parameters
        ----------
        X
            Rows, (n, n_features); those that are not finite are left out.
        y
            Not used.

        Raises
        ------
        NotWarmError
            While the warm-up lasts.
        ValueError
            As `transform`; where no row is finite.
        """
        published = self._published()
        X = self._rows(X, fresh=False)
        rows = X[np.isfinite(X).all(axis=1)]
        if not len(rows):
            raise ValueError(f"none of the {len(X)} rows of X is finite; accepted is one or more")
        with one_thread():
            parts = [_information(published, rows[i : i + SCORED]) for i in range(0, len(rows), SCORED)]
        return float(np.concatenate(parts).mean())

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the output's columns (scikit-learn).

        Parameters
        ----------
        input_features
            Names of the features; they have to be those that are known, and change nothing.

        Raises
        ------
        NotWarmError
            Before the first row.
        ValueError
            Where `input_features` are others.
        """
        if self._learner is None:
            raise NotWarmError(f"this {type(self).__name__} has seen no row: its width is not known")
        if input_features is not None:
            known = getattr(self, "feature_names_in_", None)
            if known is not None and not np.array_equal(known, np.asarray(input_features, object)):
                raise ValueError("input_features is not equal to feature_names_in_")
            if len(input_features) != self.n_features_in_:
                raise ValueError(
                    f"input_features should have length equal to number of features ({self.n_features_in_}), "
                    f"got {len(input_features)}"
                )
        name = type(self).__name__.lower()
        return np.array([f"{name}{i}" for i in range(self.width_)], dtype=object)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose what `transform` returns.

        Parameters
        ----------
        transform
            "default" (an array), "pandas", "polars"; None changes nothing.

        Raises
        ------
        ValueError
            For anything else.
        """
        if transform is not None:
            if transform not in OUTPUTS:
                raise ValueError(f"transform = {transform!r}; accepted: {one_of(OUTPUTS)}")
            self._sklearn_output_config = {"transform": transform}
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import TransformerTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "transformer"
        tags.transformer_tags = TransformerTags(preserves_dtype=[])
        return tags

    def _encode(self, X: Floats, published: Published, first: int) -> Floats:
        output = self._output()
        finite = np.empty(len(X), np.bool_)
        centred = np.empty(X.shape, np.float32)
        n_finite = kernels.centre_rows(X, published.mean, finite, centred)
        with one_thread(len(X) * published.filters.size):
            potential = neurons.potentials(centred, published.filters)
        encoded = neurons.publish(potential, output, published.amplitude, published.beta, published.bias)
        if output == "poisson":
            encoded = neurons.spike_counts(encoded, self._seed, first)
        if n_finite < len(X):
            encoded[~finite] = np.nan
        return encoded

    def _output(self) -> neurons.Output:
        """Return `output`, which counts at once, not only from the next start on."""
        if self.output not in neurons.OUTPUTS:
            raise SettingError("output", self.output, one_of(f'"{output}"' for output in neurons.OUTPUTS))
        return self.output

    def _tabled(self, encoded: Floats, given: Any) -> Floats:
        kind = output_of(self)
        if kind == "default":
            return encoded
        tabled: Floats = table(kind, encoded, self.get_feature_names_out(), given)
        return tabled


def _information(published: Published, rows: Floats) -> Floats:
    """Return ½ ln det(J Jᵀ) of every row (n,), J = diag(φ) Cᵀ Vᵀ; without the sum where C is square."""
    rotation = published.rotation.astype(np.float64)
    whiten = rotation @ published.filters / published.amplitude  # Vᵀ (K0, K), as C Cᵀ = I
    volume = 0.5 * np.linalg.slogdet(whiten @ whiten.T)[1]
    y = (rows - published.mean) @ (published.filters.T.astype(np.float64) / published.amplitude)
    minus = neurons.minus_log_density(y, published.beta.astype(np.float64), published.bias.astype(np.float64))
    if rotation.shape[0] == rotation.shape[1]:
        return np.asarray(volume - minus.sum(axis=1))
    largest = -minus.min(axis=1)
    turned = rotation * np.exp(-minus - largest[:, None])[:, None, :]
    return np.asarray(volume + len(rotation) * largest + 0.5 * np.linalg.slogdet(turned @ turned.swapaxes(1, 2))[1])
