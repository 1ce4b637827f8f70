"""OnlineInfomax: learns a basis from a stream of rows, in scikit-learn's manner (Huang & Zhang 2017)."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from msgspec.structs import asdict
from numpy.typing import NDArray

from stream_infomax.learning.infomax import kernels
from stream_infomax.learning.infomax import neurons as tuning
from stream_infomax.learning.infomax.learner import BlockLearner, Sizes
from stream_infomax.learning.infomax.published import Published
from stream_infomax.learning.infomax.settings import EstimatorSettings
from stream_infomax.learning.parameters import Estimator
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.record import make
from stream_infomax.state import file as state_file
from stream_infomax.state.kept import Kept

Array = NDArray[Any]

STATE_FORMAT = 4
SETTINGS_THAT_SHAPE = ("n_components", "n_rank", "energy", "block", "memory", "output", "warmup", "random_state")


class NotWarmError(ValueError, AttributeError):
    """Raised where something is asked of a learner whose warm-up is not over (as scikit-learn's NotFittedError)."""


@configured_by(EstimatorSettings)
class OnlineInfomax(Estimator, Kept):
    """Neural population infomax, learnt from a stream in one pass.

    The rows x (n_features K) are whitened as their running covariance allows (rank K0), and a rotation C of the
    whitened space is refined after every block so that the outputs transmit the most information: algorithm 1 for
    n_components = K0, algorithm 2 (overcomplete) for more. Whatever the cut of the rows into calls, the same rows
    give the same basis to the last bit.

    Attributes
    ----------
    components_ : filters (n_components, n_features): y = components_ @ (x - mean_).
    mixing_ : basis B (n_features, n_components): x ≈ mean_ + B y.
    mean_ : (n_features,).
    beta_, bias_ : of the neurons' g = σ(β ŷ + b) behind "rate" and "poisson", tuned online (stage 2 of the paper).
    n_features_in_, n_components_, n_rank_ : K, K1, K0.
    n_rows_seen_, n_updates_ : rows and blocks learnt from.
    n_set_aside_ : rows not learnt from, by reason.
    n_shortened_ : outlying rows that were shortened before they were learnt from (learning/outliers.py).
    objective_ : running Q1 = -⟨Σ ln φ(ŷ_k)⟩ in nats at β0, b = 0, on rows before they are learnt from (2.83).
    width_ : columns of the output.
    """

    n_features_in_: int
    n_rows_seen_: int
    n_set_aside_: dict[str, int]
    _learner: BlockLearner | None = None
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
        output: tuning.Output = "potential",
        warmup: int | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.n_rank = n_rank
        self.energy = energy
        self.block = block
        self.memory = memory
        self.half_life = half_life
        self.output = output
        self.warmup = warmup
        self.random_state = random_state

    # ---------------------------------------------------------------- learning

    def fit(self, X: Any, y: Any = None) -> Self:
        """Forget everything, then learn from X (n, n_features) in one pass."""
        self._learner = None
        return self.partial_fit(X)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from the rows of X (n, n_features).

        Rows with NaN or infinities are set aside and counted. Raises ValueError where X is no matrix of numbers or
        has another width than before.
        """
        X = self._check(X)
        self._learn(X, self._begun(X))
        return self

    def partial_fit_transform(self, X: Any, y: Any = None) -> Array:
        """Encode the rows of X with the basis as it stands, then learn from them; returns (n, width_) float32.

        Rows that are not finite, and all rows of a call that begins before the warm-up is over, come out as NaN.
        Their width is the final one, unless neither `n_components` nor `n_rank` is given and the rank turns out
        to be smaller than n_features.
        """
        X = self._check(X)
        learner = self._begun(X)
        if learner.published is None:
            encoded = np.full((len(X), self.width_), np.nan, np.float32)
        else:
            encoded = self._encode(X, learner.published, self.n_rows_seen_ + sum(self.n_set_aside_.values()))
        self._learn(X, learner)
        return encoded

    def _learn(self, X: Array, learner: BlockLearner) -> None:
        aside = learner.take(X)
        self.n_set_aside_["not finite"] += aside
        self.n_rows_seen_ += len(X) - aside

    # ---------------------------------------------------------------- encoding

    def transform(self, X: Any, first: int = 0) -> Array:
        """Encode the rows of X (n, n_features) with the published basis; returns (n, width_) float32.

        Rows that are not finite come out as NaN. Spikes are those of the rows number `first`, `first` + 1, … of a
        stream. Raises ValueError while the warm-up lasts, naming how many rows are missing.
        """
        published = self._published()
        return self._encode(self._check(X), published, first)

    def inverse_transform(self, Y: Any) -> Array:
        """Rows x ≈ mean_ + B y (n, n_features) float32 for potentials Y (n, n_components) (3.110)."""
        if self.output != "potential":
            raise ValueError(f"inverse_transform needs output='potential'; this learner has output={self.output!r}")
        published = self._published()
        Y = np.asarray(Y, np.float32)
        if Y.ndim != 2 or Y.shape[1] != published.basis.shape[1]:
            raise ValueError(f"Y has shape {Y.shape}; accepted is (n, {published.basis.shape[1]})")
        return np.asarray(Y @ published.basis.T + published.mean.astype(np.float32), np.float32)

    def _encode(self, X: Array, published: Published, first: int) -> Array:
        finite = np.empty(len(X), np.bool_)
        centred = np.empty(X.shape, np.float32)
        n_finite = kernels.centre_rows(X, published.mean, finite, centred)
        potential = centred @ published.filters.T
        encoded = tuning.publish(potential, self.output, published.amplitude, published.beta, published.bias)
        if self.output == "poisson":
            encoded = tuning.spike_counts(encoded, self._seed, first)
        if n_finite < len(X):
            encoded[~finite] = np.nan
        return encoded

    # ---------------------------------------------------------------- what has been learnt

    @property
    def components_(self) -> Array:
        """Filters (n_components, n_features): the transposed W of the paper."""
        return self._published().filters

    @property
    def rotation_(self) -> Array:
        """C (n_rank, n_components), C Cᵀ = I: the part of the filters that is not whitening."""
        return self._published().rotation

    @property
    def mixing_(self) -> Array:
        """Basis B (n_features, n_components)."""
        return self._published().basis

    @property
    def mean_(self) -> Array:
        """Mean of the rows, as of the last refresh before publishing (n_features,)."""
        return self._published().mean

    @property
    def beta_(self) -> Array:
        """Steepness β of every neuron (n_components,), tuned to its potentials ŷ."""
        return self._published().beta

    @property
    def bias_(self) -> Array:
        """Bias b of every neuron (n_components,)."""
        return self._published().bias

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
    def n_shortened_(self) -> int:
        """Outlying rows that counted for less; 0 while the warm-up lasts."""
        return self._learner.n_shortened if self._learner is not None else 0

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
            n_components = self.n_components or self.n_rank or self.n_features_in_
        return tuning.width(self.output, n_components)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names of the output's columns (scikit-learn)."""
        return np.array([f"onlineinfomax{i}" for i in range(self.width_)], dtype=object)

    # ---------------------------------------------------------------- state

    def state(self) -> dict[str, Any]:
        """Everything needed to go on with the same bits: a nested dict of arrays and JSON values."""
        settings = asdict(self._settings())
        settings["memory"] = int(settings["memory"])
        state: dict[str, Any] = {"format": STATE_FORMAT, "settings": settings}
        if self._learner is not None:
            state["n_features"] = self.n_features_in_
            state["n_rows_seen"] = self.n_rows_seen_
            state["n_set_aside"] = dict(self.n_set_aside_)
            state["seed"] = self._seed
            state["learner"] = self._learner.state()
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state; raises ValueError where a setting that shapes the result differs, naming it."""
        if state.get("format") != STATE_FORMAT:
            raise ValueError(f"state format {state.get('format')!r}; this version reads {STATE_FORMAT}")
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
        learner.restore(state["learner"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state as safetensors, at once or not at all; raises StateFileError, naming the file."""
        state_file.save(Path(path), self.state())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; raises StateFileError, naming the file and what is wrong with it."""
        state = state_file.load(Path(path))
        if state.get("format") != STATE_FORMAT:  # the settings of another version may be others
            raise state_file.StateFileError(
                f"{path}: learner's state of format {state.get('format')!r}; this version reads {STATE_FORMAT}"
            )
        learner = cls(**state["settings"])
        learner.restore(state)
        return learner

    # ---------------------------------------------------------------- beginnings

    def _begun(self, X: Array) -> BlockLearner:
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

    def _check(self, X: Any) -> Array:
        """X as a C-contiguous float32 or float64 matrix of the width known."""
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] == 0 or X.dtype.kind not in "fiub":
            raise ValueError(f"X has shape {X.shape} and dtype {X.dtype}; accepted are real numbers (n, n_features)")
        if X.dtype not in (np.float32, np.float64):
            X = X.astype(np.float64)
        if self._learner is not None and X.shape[1] != self.n_features_in_:
            raise ValueError(f"X has {X.shape[1]} features; this learner has learnt from {self.n_features_in_}")
        return np.ascontiguousarray(X)

    def _settings(self) -> EstimatorSettings:
        """The parameters as they are now; raises SettingError where one is not accepted."""
        return make(EstimatorSettings, self.get_params())

    def _published(self) -> Published:
        missing = ""
        if self._learner is not None:
            if self._learner.published is not None:
                return self._learner.published
            rows = max(1, self._learner.sizes.warmup - self.n_rows_seen_)
            missing = f": {rows} more rows (that vary) are needed"
        raise NotWarmError(f"the warm-up of {type(self).__name__} is not over{missing}")
