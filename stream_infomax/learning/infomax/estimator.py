"""OnlineInfomax: learns a basis from a stream of rows, in scikit-learn's manner (Huang & Zhang 2017)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from msgspec.structs import asdict
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels, neurons
from stream_infomax.learning.infomax.fitted import Fitted
from stream_infomax.learning.infomax.learner import BlockLearner, Sizes
from stream_infomax.learning.infomax.published import Published
from stream_infomax.learning.infomax.saved import FORMAT, learner_state
from stream_infomax.learning.infomax.settings import Adapt, EstimatorSettings
from stream_infomax.learning.parameters import Estimator
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.record import make
from stream_infomax.state import file
from stream_infomax.state.kept import Kept, within

Floats = NDArray[np.floating[Any]]

SETTINGS_THAT_SHAPE = ("n_components", "n_rank", "energy", "block", "memory", "output", "warmup", "random_state")


@configured_by(EstimatorSettings)
class OnlineInfomax(Fitted, Estimator, Kept):
    """Neural population infomax, learnt from a stream in one pass.

    The rows x (n_features K) are whitened as their running covariance allows (rank K0), and a rotation C of the
    whitened space is refined after every block: the outputs transmit more and more information. Algorithm 1 of the
    paper learns n_components = K0, algorithm 2 (overcomplete) more. Whatever the cut of the rows into calls, the same
    rows give the same basis to the last bit.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Filters, float32: y = components_ @ (x - mean_).
    mixing_ : ndarray of shape (n_features, n_components)
        Basis B, float32: x ≈ mean_ + B y.
    mean_ : ndarray of shape (n_features,)
        Mean of the rows, float64.
    rotation_ : ndarray of shape (n_rank, n_components)
        C, the part of the filters that is not whitening; C Cᵀ = I.
    beta_, bias_ : ndarray of shape (n_components,)
        Of the neurons' g = σ(β ŷ + b) behind "rate" and "poisson", tuned online (stage 2 of the paper).
    n_features_in_, n_components_, n_rank_ : int
        K, K1, K0.
    width_ : int
        Columns of the output.
    n_rows_seen_, n_updates_ : int
        Rows and blocks learnt from.
    n_set_aside_ : dict
        Numbers of rows not learnt from, by reason.
    n_shortened_ : int
        Outlying rows that were shortened before they were learnt from.
    events_ : list of Event
        The newest 64 events (position, kind, text): changes of the stream and what was done about them.
    objective_ : float
        Running Q1 = -⟨Σ ln φ(ŷ_k)⟩ in nats at β0, b = 0, on rows before they are learnt from (2.83); lower is better.
        Q̂ (2.98) where there are more components than dimensions.

    References
    ----------
    W. Huang, K. Zhang, "An Information-Theoretic Framework for Fast and Robust Unsupervised Learning via Neural
    Population Infomax", ICLR 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from stream_infomax import OnlineInfomax
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.laplace(size=(5000, 4)) @ rng.standard_normal((4, 4))
    >>> learner = OnlineInfomax()
    >>> for block in np.split(rows, 10):
    ...     learner = learner.partial_fit(block)
    >>> learner.transform(rows[:3]).shape
    (3, 4)
    """

    n_rows_seen_: int
    n_set_aside_: dict[str, int]
    _seed: int

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_rank: int | None = None,
        energy: float = 1.0,
        block: int = 64,
        memory: int | str = 24 << 20,
        half_life: float | None = None,
        adapt: Adapt = "fixed",
        false_alarm_rows: float = 1e7,
        output: neurons.Output = "potential",
        warmup: int | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.n_rank = n_rank
        self.energy = energy
        self.block = block
        self.memory = memory
        self.half_life = half_life
        self.adapt = adapt
        self.false_alarm_rows = false_alarm_rows
        self.output = output
        self.warmup = warmup
        self.random_state = random_state

    # ---------------------------------------------------------------- learning

    def fit(self, X: Any, y: Any = None) -> Self:
        """Forget everything, then learn from X in one pass.

        Further passes bring more where rows are few: ``for _ in range(4): learner.partial_fit(X)``. Five passes over
        an EEG recording lowered the objective from 49.9 to 46.4, 44.7, 44.0 and 43.5 nats.

        Parameters
        ----------
        X
            Rows, (n, n_features).
        y
            Not used.

        Raises
        ------
        ValueError
            Where X is no matrix of real numbers, or a parameter is not accepted.
        """
        self._learner = None
        return self.partial_fit(X)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from the rows of X; those with NaN or infinities are set aside and counted.

        Parameters
        ----------
        X
            Rows, (n, n_features).
        y
            Not used.

        Raises
        ------
        ValueError
            Where X is no matrix of real numbers or has another width than before, or a parameter is not accepted.
        """
        X = self._check(X)
        self._learn(X, self._begun(X))
        return self

    def partial_fit_transform(self, X: Any, y: Any = None) -> Floats:
        """Encode the rows of X with the basis as it stands, then learn from them.

        Parameters
        ----------
        X
            Rows, (n, n_features).
        y
            Not used.

        Returns
        -------
        ndarray of shape (n, width_)
            float32. Rows that are not finite, and all rows of a call that begins before the warm-up is over, come out
            as NaN. Their width is the final one, unless neither `n_components` nor `n_rank` is given and the rank turns
            out to be smaller than n_features.

        Raises
        ------
        ValueError
            As `partial_fit`.
        """
        X = self._check(X)
        learner = self._begun(X)
        if learner.published is None:
            encoded = np.full((len(X), self.width_), np.nan, np.float32)
        else:
            encoded = self._encode(X, learner.published, self.n_rows_seen_ + sum(self.n_set_aside_.values()))
        self._learn(X, learner)
        return encoded

    def _learn(self, X: Floats, learner: BlockLearner) -> None:
        aside = learner.take(X)
        self.n_set_aside_["not finite"] += aside
        self.n_rows_seen_ += len(X) - aside

    def resume(self) -> Self:
        """End a hold (`adapt="hold"` after a change): learning goes on with the next row."""
        if self._learner is not None:
            self._learner.resume()
        return self

    # ---------------------------------------------------------------- encoding

    def transform(self, X: Any, first: int = 0) -> Floats:
        """Encode the rows of X with the published basis.

        Parameters
        ----------
        X
            Rows, (n, n_features).
        first
            The number of the first row in its stream, by which spikes are drawn.

        Returns
        -------
        ndarray of shape (n, width_)
            float32. Rows that are not finite come out as NaN.

        Raises
        ------
        NotWarmError
            While the warm-up lasts; names how many rows are missing.
        ValueError
            Where X is no matrix of real numbers of the width known.
        """
        published = self._published()
        return self._encode(self._check(X), published, first)

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
        if self.output != "potential":
            raise ValueError(f"inverse_transform needs output='potential'; this learner has output={self.output!r}")
        published = self._published()
        Y = np.asarray(Y, np.float32)
        if Y.ndim != 2 or Y.shape[1] != published.basis.shape[1]:
            raise ValueError(f"Y has shape {Y.shape}; accepted is (n, {published.basis.shape[1]})")
        return np.asarray(Y @ published.basis.T + published.mean.astype(np.float32), np.float32)

    def _encode(self, X: Floats, published: Published, first: int) -> Floats:
        finite = np.empty(len(X), np.bool_)
        centred = np.empty(X.shape, np.float32)
        n_finite = kernels.centre_rows(X, published.mean, finite, centred)
        potential = centred @ published.filters.T
        encoded = neurons.publish(potential, self.output, published.amplitude, published.beta, published.bias)
        if self.output == "poisson":
            encoded = neurons.spike_counts(encoded, self._seed, first)
        if n_finite < len(X):
            encoded[~finite] = np.nan
        return encoded

    def get_feature_names_out(self, input_features: Any = None) -> Floats:
        """Return the names of the output's columns (scikit-learn)."""
        return np.array([f"onlineinfomax{i}" for i in range(self.width_)], dtype=object)

    # ---------------------------------------------------------------- state

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on with the same bits: a nested dict of arrays and JSON values."""
        settings = asdict(self._settings())
        settings["memory"] = int(settings["memory"])
        state: dict[str, Any] = {"format": FORMAT, "settings": settings}
        if self._learner is not None:
            state["n_features"] = self.n_features_in_
            state["n_rows_seen"] = self.n_rows_seen_
            state["n_set_aside"] = dict(self.n_set_aside_)
            state["seed"] = self._seed
            state["learner"] = self._learner.state()
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state.

        Raises
        ------
        KeyError, ValueError
            Where the state is of another version, a setting that shapes the result differs, or something does not fit
            or is missing; names it.
        """
        if state.get("format") != FORMAT:
            raise ValueError(f"state format {state.get('format')!r}; this version reads {FORMAT}")
        settings = asdict(self._settings())
        for name in SETTINGS_THAT_SHAPE:
            if state["settings"][name] != settings[name]:
                raise ValueError(f"{name} is {settings[name]!r} here and {state['settings'][name]!r} in the state")
        self._learner = None
        if "learner" not in state:
            return
        learner = self._start(int(state["n_features"]), int(state["seed"]))
        self.n_rows_seen_ = int(state["n_rows_seen"])
        self.n_set_aside_ = {str(reason): int(count) for reason, count in state["n_set_aside"].items()}
        with within("learner"):
            learner.restore(state["learner"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state as safetensors, whole or not at all.

        Raises
        ------
        StateFileError
            Where the disk does not take it; names the file.
        """
        file.save(Path(path), self.state())

    @classmethod
    def load(cls, path: str | os.PathLike[str], name: str | None = None) -> Self:
        """Return the learner in a file or folder, which goes on with the same bits.

        Parameters
        ----------
        path
            What `save` wrote; or, of a run, a checkpoint, a service's folder or the run's folder, of which the newest
            checkpoint is taken.
        name
            The learner's stage, where the run has several learners.

        Raises
        ------
        StateFileError
            Where there is no learner of this name and version, no telling which, or the file is damaged; names it.
        """
        state = learner_state(Path(path), name)
        learner = cls(**state["settings"])
        learner.restore(state)
        return learner

    # ---------------------------------------------------------------- beginnings

    def _begun(self, X: Floats) -> BlockLearner:
        if self._learner is not None:
            return self._learner
        seed = self._settings().random_state
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        return self._start(X.shape[1], int(seed))

    def _start(self, n_features: int, seed: int) -> BlockLearner:
        settings = self._settings()
        settings.check_memory(n_features)
        learner = BlockLearner(
            Sizes(
                n_features=n_features,
                n_components=settings.n_components,
                n_rank=settings.n_rank,
                energy=settings.energy,
                block=settings.rows_a_block(n_features),
                memory=int(settings.memory),
                half_life=settings.half_life,
                adapt=settings.adapt,
                false_alarm_rows=settings.false_alarm_rows,
                warmup=settings.rows_of_warmup(n_features),
                seed=seed,
            )
        )
        self._learner = learner
        self._seed = seed
        self.n_features_in_ = n_features
        self.n_rows_seen_ = 0
        self.n_set_aside_ = {"not finite": 0}
        return learner

    def _check(self, X: Any) -> Floats:
        """Return X as a C-contiguous float32 or float64 matrix of the width known."""
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] == 0 or X.dtype.kind not in "fiub":
            raise ValueError(f"X has shape {X.shape} and dtype {X.dtype}; accepted are real numbers (n, n_features)")
        if X.dtype not in (np.float32, np.float64):
            X = X.astype(np.float64)
        if self._learner is not None and X.shape[1] != self.n_features_in_:
            raise ValueError(f"X has {X.shape[1]} features; this learner has learnt from {self.n_features_in_}")
        return np.ascontiguousarray(X)

    def _settings(self) -> EstimatorSettings:
        """Return the parameters as they are now; raises SettingError where one is not accepted."""
        return make(EstimatorSettings, self.get_params())
