"""Fitted: what a learner has learnt by now, as attributes in scikit-learn's manner."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import neurons
from stream_infomax.learning.infomax.events import Event
from stream_infomax.learning.infomax.learner import BlockLearner
from stream_infomax.learning.infomax.published import Published
from stream_infomax.learning.scikit import NotFittedError

Floats = NDArray[np.floating[Any]]


class NotWarmError(NotFittedError):
    """Raised where something is asked of a learner whose warm-up is not over."""


class Fitted:
    """The attributes of OnlineInfomax that follow from what its learner has published.

    Those that need a basis raise NotWarmError while the warm-up lasts.
    """

    n_features_in_: int
    n_rows_seen_: int
    n_set_aside_: dict[str, int]
    output: neurons.Output
    _learner: BlockLearner | None = None
    _seed: int

    @property
    def drift_(self) -> float:
        """How far the stream is on its way to an alarm of change, which 1 raises; 0 while the warm-up lasts."""
        return self._learner.drift if self._learner is not None else 0.0

    @property
    def components_(self) -> Floats:
        """Filters (n_components, n_features): the transposed W of the paper."""
        return self._published().filters

    @property
    def rotation_(self) -> Floats:
        """C (n_rank, n_components), C Cᵀ = I: the part of the filters that is not whitening."""
        return self._published().rotation

    @property
    def mixing_(self) -> Floats:
        """Basis B (n_features, n_components)."""
        return self._published().basis

    @property
    def mean_(self) -> Floats:
        """Mean of the rows, as of the last refresh before publishing (n_features,)."""
        return self._published().mean

    @property
    def whitening_(self) -> Floats:
        """Vᵀ (n_rank, n_features): components_ = sqrt(n_components/n_rank) rotation_ᵀ whitening_."""
        published = self._published()
        return np.asarray(published.rotation @ published.filters / np.float32(published.amplitude))

    @property
    def beta_(self) -> Floats:
        """Steepness β of every neuron (n_components,), tuned to its potentials ŷ."""
        return self._published().beta

    @property
    def bias_(self) -> Floats:
        """Bias b of every neuron (n_components,)."""
        return self._published().bias

    @property
    def version_(self) -> str:
        """Of the basis and the output: 12 hexadecimal digits, others as soon as another basis is published."""
        return self._published().version(self.output)

    @property
    def seed_(self) -> int:
        """Of everything that is drawn: `random_state`, or what was drawn from it at the start."""
        self._begun_learner()
        return self._seed

    @property
    def n_components_(self) -> int:
        """K1."""
        return int(self._published().filters.shape[0])

    @property
    def n_rank_(self) -> int:
        """K0."""
        return int(self._published().rotation.shape[0])

    @property
    def n_updates_(self) -> int:
        """Blocks that have been learnt from."""
        return self._learner.n_updates if self._learner is not None else 0

    @property
    def n_iter_(self) -> int:
        """As `n_updates_`, under scikit-learn's name."""
        return self.n_updates_

    @property
    def n_samples_seen_(self) -> int:
        """As `n_rows_seen_`, under scikit-learn's name."""
        return self.n_rows_seen_

    @property
    def batch_size_(self) -> int:
        """Rows between two updates: `block`, or more where it was raised."""
        return self._begun_learner().sizes.block

    @property
    def n_shortened_(self) -> int:
        """Outlying rows that counted for less; 0 while the warm-up lasts."""
        return self._learner.n_shortened if self._learner is not None else 0

    @property
    def events_(self) -> list[Event]:
        """The newest 64 events, oldest first."""
        return self._learner.events.since(0) if self._learner is not None else []

    @property
    def n_events_(self) -> int:
        """Events so far, those that are not among `events_` any more included."""
        return self._learner.events.count if self._learner is not None else 0

    @property
    def objective_(self) -> float:
        """Running Q1 (Q̂ where there are more components than dimensions) in nats; NaN before there is one."""
        return self._learner.objective if self._learner is not None else math.nan

    @property
    def width_(self) -> int:
        """Columns of the output."""
        if self._learner is not None and self._learner.published is not None:
            n_components = len(self._learner.published.filters)
        else:
            sizes = self._begun_learner().sizes
            n_components = sizes.n_components or sizes.n_rank or sizes.n_features
        return neurons.width(self.output, n_components)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: components and the course of the objective."""
        from stream_infomax.learning.infomax.notebook import html

        return html(self)

    def _begun_learner(self) -> BlockLearner:
        if self._learner is None:
            raise NotWarmError(f"the warm-up of {type(self).__name__} is not over: no row has come")
        return self._learner

    def _published(self) -> Published:
        learner = self._begun_learner()
        if learner.published is None:
            rows = f"{learner.n_missing} more rows (that vary) are needed"
            raise NotWarmError(f"the warm-up of {type(self).__name__} is not over: {rows}")
        return learner.published
