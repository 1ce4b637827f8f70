"""OnlineInfomax: learns a basis from a stream of rows, in scikit-learn's manner (Huang & Zhang 2017)."""

import math
import os
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning import kernels, store, tuning
from stream_infomax.learning.estimator import Estimator
from stream_infomax.learning.memory import RowMemory
from stream_infomax.learning.updates import CompleteRule, OvercompleteRule, make_rule
from stream_infomax.learning.whitening import StreamingWhitener

Array = NDArray[Any]

STATE_FORMAT = 1
# The whitening and the published basis hold until this share more blocks have come, and at least that many.
REFRESH_GROWTH, REFRESH_BLOCKS = 0.05, 8
PUBLISH_GROWTH, PUBLISH_BLOCKS = 0.05, 16
# Blocks learnt from the memory for each new one.
REPLAYS = 4
OBJECTIVE_EVERY = 8
OBJECTIVE_WEIGHT = 0.05
SETTINGS_THAT_SHAPE = ("n_components", "n_rank", "energy", "block", "memory", "output", "warmup", "random_state")


class NotWarmError(ValueError, AttributeError):
    """Raised where something is asked of a learner whose warm-up is not over (as scikit-learn's NotFittedError)."""


@dataclass(frozen=True)
class Published:
    """A basis as the world sees it: never changed, only replaced."""

    mean: Array
    rotation: Array
    filters: Array
    basis: Array
    scale: float
    beta: Array
    bias: Array


class OnlineInfomax(Estimator):
    """Neural population infomax, learnt from a stream in one pass.

    The rows x (n_features K) are whitened as their running covariance allows (rank K0), and a rotation C of the
    whitened space is refined after every block so that the outputs transmit the most information: algorithm 1 for
    n_components = K0, algorithm 2 (overcomplete) for more. Whatever the cut of the rows into calls, the same rows
    give the same basis to the last bit.

    Parameters
    ----------
    n_components : K1, the number of filters; None for K0. Below the rank that `energy` gives, K0 is lowered to it.
    n_rank : K0, the dimensions kept by the whitening; None to let `energy` decide.
    energy : sqrt of the share of variance that the kept dimensions hold (2.49), in (0, 1]; 1 keeps the numerical
        rank.
    block : rows between two updates.
    memory : bytes for past rows, learnt from again along the way; 0 for none.
    half_life : rows after which the weight of an observation halves, for streams that change; None for streams
        that do not.
    output : "potential" y, "rate" g²/4, "halves" [max(y, 0), max(-y, 0)], or "log" ln(|ŷ| + 0.1).
    warmup : rows from which rank and first whitening are taken; None for 10 n_features.
    random_state : seed of the start and of what is drawn from the memory; None draws one.

    Attributes
    ----------
    components_ : filters (n_components, n_features): y = components_ @ (x - mean_).
    mixing_ : basis B (n_features, n_components): x ≈ mean_ + B y.
    mean_ : (n_features,).
    n_features_in_, n_components_, n_rank_ : K, K1, K0.
    n_rows_seen_, n_updates_ : rows and blocks learnt from.
    n_set_aside_ : rows not learnt from, by reason.
    objective_ : running Q1 = -⟨Σ ln φ(ŷ_k)⟩ in nats at β0, b = 0, on rows before they are learnt from (2.83).
    width_ : columns of the output.
    """

    n_features_in_: int
    n_rows_seen_: int
    n_updates_: int
    n_set_aside_: dict[str, int]
    objective_: float
    _started = False
    _published: Published | None = None
    _whitener: StreamingWhitener | None
    _rule: CompleteRule | OvercompleteRule | None
    _memory: RowMemory | None
    _seed: int
    _pending: Array
    _n_pending: int
    _origin: Array
    _scale: float
    _whiten: Array
    _settled_at: int
    _next_refresh: int
    _next_publication: int
    _n_watched: int

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_rank: int | None = None,
        energy: float = 1.0,
        block: int = 64,
        memory: int = 24 << 20,
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
        self._forget()
        return self.partial_fit(X)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from the rows of X (n, n_features).

        Rows with NaN or infinities are set aside and counted. Raises ValueError where X is no matrix of numbers or
        has another width than before.
        """
        self._learn(self._check(X))
        return self

    def partial_fit_transform(self, X: Any, y: Any = None) -> Array:
        """Encode the rows of X with the basis as it stands, then learn from them; returns (n, width_) float32.

        Rows that are not finite, and all rows of a call that begins before the warm-up is over, come out as NaN.
        Their width is the final one, unless neither `n_components` nor `n_rank` is given and the rank turns out
        to be smaller than n_features.
        """
        X = self._check(X)
        self._begin(X)
        waiting = self._published is None
        encoded = np.full((len(X), self.width_), np.nan, np.float32) if waiting else self._encode(X)
        self._learn(X)
        return encoded

    def _learn(self, X: Array) -> None:
        self._begin(X)
        finite = np.empty(len(X), np.bool_)
        n_finite = kernels.finite_rows(X, finite)
        if n_finite < len(X):
            self.n_set_aside_["not finite"] += len(X) - n_finite
            X = X[finite]
        start = 0
        while start < len(X):
            taken = min(len(X) - start, self.block - self._n_pending)
            rows = X[start : start + taken]
            start += taken
            self.n_rows_seen_ += taken
            if taken < self.block:
                self._pending[self._n_pending : self._n_pending + taken] = rows
                self._n_pending += taken
                if self._n_pending < self.block:
                    return
                rows, self._n_pending = self._pending, 0
            self._learn_block(rows)

    def _learn_block(self, rows: Array) -> None:
        """Learn from one whole block; whatever changes, changes at multiples of `block` rows of the stream."""
        if self._whitener is None:
            self._whitener = self._start_origin(rows)
        whitener = self._whitener
        block: Array = np.empty(rows.shape, np.float32)
        kernels.centre_rows(rows, whitener.reference, self._scale, block)
        whitener.add(block)
        self.n_updates_ += 1
        shift = np.asarray((whitener.reference - self._origin) * self._scale, np.float32)
        if self._memory is not None:
            self._memory.add(block + shift)
        if self._rule is None:
            if self.n_updates_ * self.block >= self._warmup_rows():
                self._settle()
            return
        self._watch(block)
        if self._memory is not None:
            batch = np.empty(((1 + REPLAYS) * self.block, self.n_features_in_), np.float32)
            batch[: self.block] = block
            self._memory.draw(shift, batch[self.block :])
            block = batch
        self._rule.step(block, self._whiten, self.block, (self.n_updates_ - self._settled_at) * self.block)
        # Never both after one block, so that no pause is long.
        if self.n_updates_ >= self._next_refresh:
            whitener.refresh()
            self._whiten = whitener.whiten.astype(np.float32)
            self._next_refresh = self._after(REFRESH_GROWTH, REFRESH_BLOCKS)
        elif self.n_updates_ >= self._next_publication:
            self._publish()
            self._next_publication = self._after(PUBLISH_GROWTH, PUBLISH_BLOCKS)

    def _start_origin(self, rows: Array) -> StreamingWhitener:
        """Take origin and unit of the float32 rows from the first block: later rows are near, whatever they measure."""
        spread = float(np.sqrt(np.mean(np.var(np.asarray(rows, np.float64), axis=0))))
        # A power of two scales without rounding, so that a gain of the sensor changes nothing.
        self._scale = 2.0 ** -round(math.log2(spread)) if spread > 0 else 1.0
        self._origin = np.asarray(np.mean(rows, axis=0, dtype=np.float64))
        return StreamingWhitener(self._origin, self._scale, self.half_life)

    def _settle(self) -> None:
        """End the warm-up: decide K0 and K1, whiten, start C at random."""
        assert self._whitener is not None
        n_rank = self._whitener.settle(self.n_rank, self.energy, self.n_components)
        if n_rank == 0:
            return
        n_components = self.n_components or n_rank
        self._rule = make_rule(n_rank, n_components, self._seed, self.half_life)
        self._settled_at = self.n_updates_
        self._whiten = self._whitener.whiten.astype(np.float32)
        self._publish()
        self._next_refresh = self._after(REFRESH_GROWTH, REFRESH_BLOCKS)
        self._next_publication = self._after(PUBLISH_GROWTH, PUBLISH_BLOCKS)

    def _publish(self) -> None:
        """Publish the averaged basis in the whitening as it stands."""
        assert self._whitener is not None
        assert self._rule is not None
        scale = math.sqrt(self._rule.n_components / self._rule.n_rank)
        rotation = self._rule.published()
        filters = (scale * self._scale * self._whitener.whiten.T).astype(np.float32)
        basis = (self._whitener.dewhiten / (scale * self._scale)).astype(np.float32)
        self._published = Published(
            mean=self._whitener.reference.copy(),
            rotation=np.asarray(rotation, np.float32),
            filters=rotation.T @ filters,
            basis=basis @ rotation,
            scale=scale,
            beta=self._rule.beta.copy(),
            bias=self._rule.bias.copy(),
        )

    def _after(self, growth: float, least: int) -> int:
        """The block after which to act again: a share of the blocks that count from now."""
        blocks = float(self.n_updates_)
        if self.half_life is not None:
            blocks = min(blocks, self.half_life / self.block)
        return self.n_updates_ + max(least, int(growth * blocks))

    def _watch(self, rows: Array) -> None:
        """Follow the objective on rows that have not been learnt from yet."""
        assert self._rule is not None
        if self.n_updates_ % OBJECTIVE_EVERY:
            return
        value = self._rule.objective(rows, self._whiten)
        self._n_watched += 1
        if self._n_watched == 1:
            self.objective_ = value
        else:
            self.objective_ += max(1 / self._n_watched, OBJECTIVE_WEIGHT) * (value - self.objective_)

    # ---------------------------------------------------------------- encoding

    def transform(self, X: Any) -> Array:
        """Encode the rows of X (n, n_features) with the published basis; returns (n, width_) float32.

        Rows that are not finite come out as NaN. Raises ValueError while the warm-up lasts, naming how many rows
        are missing.
        """
        self._published_or_raise()
        return self._encode(self._check(X))

    def inverse_transform(self, Y: Any) -> Array:
        """Rows x ≈ mean_ + B y (n, n_features) float32 for potentials Y (n, n_components) (3.110)."""
        if self.output != "potential":
            raise ValueError(f"inverse_transform needs output='potential'; this learner has output={self.output!r}")
        published = self._published_or_raise()
        Y = np.asarray(Y, np.float32)
        if Y.ndim != 2 or Y.shape[1] != published.basis.shape[1]:
            raise ValueError(f"Y has shape {Y.shape}; accepted is (n, {published.basis.shape[1]})")
        return np.asarray(Y @ published.basis.T + published.mean.astype(np.float32), np.float32)

    def _encode(self, X: Array) -> Array:
        published = self._published_or_raise()
        finite = np.empty(len(X), np.bool_)
        n_finite = kernels.finite_rows(X, finite)
        centred = np.empty(X.shape, np.float32)
        kernels.centre_rows(X, published.mean, 1.0, centred)
        if n_finite < len(X):
            centred[~finite] = 0
        potential = centred @ published.filters.T
        encoded = tuning.publish(potential, self.output, published.scale, published.beta, published.bias)
        if n_finite < len(X):
            encoded[~finite] = np.nan
        return encoded

    # ---------------------------------------------------------------- what has been learnt

    @property
    def components_(self) -> Array:
        """Filters (n_components, n_features): the transposed W of the paper."""
        return self._published_or_raise().filters

    @property
    def rotation_(self) -> Array:
        """C (n_rank, n_components), C Cᵀ = I: the part of the filters that is not whitening."""
        return self._published_or_raise().rotation

    @property
    def mixing_(self) -> Array:
        """Basis B (n_features, n_components)."""
        return self._published_or_raise().basis

    @property
    def mean_(self) -> Array:
        """Mean of the rows, as of the last refresh before publishing (n_features,)."""
        return self._published_or_raise().mean

    @property
    def n_components_(self) -> int:
        """K1."""
        return int(self._published_or_raise().filters.shape[0])

    @property
    def n_rank_(self) -> int:
        """K0."""
        self._published_or_raise()
        assert self._rule is not None
        return self._rule.n_rank

    @property
    def width_(self) -> int:
        """Columns of the output."""
        if self._published is not None:
            n_components = len(self._published.filters)
        else:
            n_components = self.n_components or self.n_rank or self.n_features_in_
        return tuning.width(self.output, n_components)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names of the output's columns (scikit-learn)."""
        return np.array([f"onlineinfomax{i}" for i in range(self.width_)], dtype=object)

    # ---------------------------------------------------------------- state

    def state(self) -> dict[str, Any]:
        """Everything needed to go on with the same bits: a nested dict of arrays and JSON values."""
        state: dict[str, Any] = {"format": STATE_FORMAT, "settings": self.get_params()}
        if not self._started:
            return state
        state["counters"] = {
            "n_features": self.n_features_in_,
            "n_rows_seen": self.n_rows_seen_,
            "n_updates": self.n_updates_,
            "n_set_aside": dict(self.n_set_aside_),
            "seed": self._seed,
            "settled_at": self._settled_at,
            "next_refresh": self._next_refresh,
            "next_publication": self._next_publication,
            "scale": self._scale,
            "objective": None if math.isnan(self.objective_) else self.objective_,
            "n_watched": self._n_watched,
        }
        state["pending"] = self._pending[: self._n_pending]
        state["origin"] = self._origin
        if self._whitener is not None:
            state["whitener"] = self._whitener.state()
        if self._memory is not None:
            state["memory"] = self._memory.state()
        if self._rule is not None and self._published is not None:
            state["rule"] = self._rule.state()
            state["published"] = asdict(self._published)
        return store.copied(state)

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state; raises ValueError where a setting that shapes the result differs, naming it."""
        if state.get("format") != STATE_FORMAT:
            raise ValueError(f"state format {state.get('format')!r}; this version reads {STATE_FORMAT}")
        settings = self.get_params()
        for name in SETTINGS_THAT_SHAPE:
            if state["settings"][name] != settings[name]:
                raise ValueError(f"{name} is {settings[name]!r} here and {state['settings'][name]!r} in the state")
        self._forget()
        if "counters" not in state:
            return
        counters = state["counters"]
        self._start(int(counters["n_features"]), int(counters["seed"]))
        self.n_rows_seen_ = int(counters["n_rows_seen"])
        self.n_updates_ = int(counters["n_updates"])
        self.n_set_aside_ = {str(reason): int(count) for reason, count in counters["n_set_aside"].items()}
        self._settled_at = int(counters["settled_at"])
        self._next_refresh = int(counters["next_refresh"])
        self._next_publication = int(counters["next_publication"])
        self._scale = float(counters["scale"])
        self.objective_ = math.nan if counters["objective"] is None else float(counters["objective"])
        self._n_watched = int(counters["n_watched"])
        self._n_pending = len(state["pending"])
        self._pending[: self._n_pending] = state["pending"]
        self._origin = np.array(state["origin"], np.float64)
        if "whitener" in state:
            self._whitener = StreamingWhitener(self._origin, self._scale, self.half_life)
            self._whitener.restore(state["whitener"])
        if self._memory is not None:
            self._memory.restore(state["memory"])
        if "rule" in state:
            assert self._whitener is not None
            self._published = Published(**state["published"])
            n_components = len(self._published.filters)
            self._rule = make_rule(self._whitener.n_rank, n_components, self._seed, self.half_life)
            self._rule.restore(state["rule"])
            self._whiten = self._whitener.whiten.astype(np.float32)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state as safetensors, at once or not at all."""
        store.save(self.state(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote."""
        state = store.load(path)
        learner = cls(**state["settings"])
        learner.restore(state)
        return learner

    # ---------------------------------------------------------------- beginnings

    def _forget(self) -> None:
        self._started = False
        self._published = None

    def _begin(self, X: Array) -> None:
        if not self._started:
            self._check_settings()
            seed = self.random_state
            if seed is None:
                seed = int(np.random.SeedSequence().generate_state(1)[0])
            self._start(X.shape[1], seed)

    def _start(self, n_features: int, seed: int) -> None:
        self._started = True
        self._seed = seed
        self.n_features_in_ = n_features
        self.n_rows_seen_ = 0
        self.n_updates_ = 0
        self.n_set_aside_ = {"not finite": 0}
        self.objective_ = math.nan
        self._n_watched = 0
        self._pending = np.zeros((self.block, n_features))
        self._n_pending = 0
        self._origin = np.zeros(n_features)
        self._scale = 1.0
        self._whitener = None
        self._rule = None
        self._published = None
        self._whiten = np.zeros((n_features, 0), np.float32)
        self._settled_at = 0
        self._next_refresh = 0
        self._next_publication = 0
        self._memory = None
        if self.memory:
            self._memory = RowMemory(self.memory, n_features, seed)
            if len(self._memory.rows) < self.block:
                raise ValueError(
                    f"memory={self.memory} bytes hold {len(self._memory.rows)} rows of {n_features} numbers; "
                    f"accepted are 0 or at least one block, {4 * n_features * self.block} bytes"
                )

    def _warmup_rows(self) -> int:
        return 10 * self.n_features_in_ if self.warmup is None else self.warmup

    def _check(self, X: Any) -> Array:
        """X as a C-contiguous float32 or float64 matrix of the width known."""
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] == 0 or X.dtype.kind not in "fiub":
            raise ValueError(f"X has shape {X.shape} and dtype {X.dtype}; accepted are real numbers (n, n_features)")
        if X.dtype not in (np.float32, np.float64):
            X = X.astype(np.float64)
        if self._started and X.shape[1] != self.n_features_in_:
            raise ValueError(f"X has {X.shape[1]} features; this learner has learnt from {self.n_features_in_}")
        return np.ascontiguousarray(X)

    def _check_settings(self) -> None:
        accepted: dict[str, tuple[bool, str]] = {
            "n_components": (self.n_components is None or self.n_components >= 1, "None or at least 1"),
            "n_rank": (self.n_rank is None or self.n_rank >= 1, "None or at least 1"),
            "energy": (0 < self.energy <= 1, "above 0 and at most 1"),
            "block": (self.block >= 1, "at least 1"),
            "memory": (self.memory >= 0, "0 or more bytes"),
            "half_life": (self.half_life is None or self.half_life > 0, "None or rows above 0"),
            "output": (self.output in tuning.OUTPUTS, f"one of {tuning.OUTPUTS}"),
            "warmup": (self.warmup is None or self.warmup >= 2, "None or at least 2 rows"),
        }
        for name, (right, what) in accepted.items():
            if not right:
                raise ValueError(f"{name} is {getattr(self, name)!r}; accepted is {what}")

    def _published_or_raise(self) -> Published:
        if self._published is not None:
            return self._published
        missing = ""
        if self._started:
            missing = f": {max(1, self._warmup_rows() - self.n_rows_seen_)} more rows (that vary) are needed"
        raise NotWarmError(f"the warm-up of {type(self).__name__} is not over{missing}")
