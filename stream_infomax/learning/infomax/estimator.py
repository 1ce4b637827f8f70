"""OnlineInfomax: learns a basis from a stream of rows, in scikit-learn's manner (Huang & Zhang 2017)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from msgspec.structs import asdict, replace
from numpy.typing import NDArray

from stream_infomax.learning.infomax import neurons
from stream_infomax.learning.infomax.adapting import Sizes
from stream_infomax.learning.infomax.commands import Commands
from stream_infomax.learning.infomax.encoding import Encoding
from stream_infomax.learning.infomax.learner import BlockLearner
from stream_infomax.learning.infomax.saved import FORMAT, learner_state
from stream_infomax.learning.infomax.settings import Adapt, EstimatorSettings
from stream_infomax.learning.infomax.together import Together
from stream_infomax.learning.rows import Names, names_of
from stream_infomax.learning.threads import one_thread
from stream_infomax.settings.configured import configured_by
from stream_infomax.settings.record import make
from stream_infomax.state import file
from stream_infomax.state.error import readable
from stream_infomax.state.kept import Kept, counted, within

Floats = NDArray[np.floating[Any]]

SETTINGS_THAT_SHAPE = (
    "n_components",
    "overcomplete",
    "n_rank",
    "energy",
    "block",
    "memory",
    "output",
    "warmup",
    "random_state",
)


@configured_by(EstimatorSettings)
class OnlineInfomax(Commands, Together, Encoding, Kept):
    """Neural population infomax, learnt from a stream in one pass.

    The rows x (n_features K) are whitened as their running covariance allows (rank K0), and a rotation C of the
    whitened space is refined after every block: the outputs transmit more and more information. Algorithm 1 of the
    paper learns n_components = K0 filters. Where `n_components` is larger than the rank there are as many as the rank,
    and a warning; with `overcomplete` there are n_components, learnt by algorithm 2. Whatever the cut of the rows into
    calls, the same rows give the same basis to the last bit.

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
    whitening_ : ndarray of shape (n_rank, n_features)
        Vᵀ, the other part: components_ = sqrt(n_components_/n_rank_) rotation_.T @ whitening_.
    beta_, bias_ : ndarray of shape (n_components,)
        Of the neurons' g = σ(β ŷ + b) behind "rate" and "poisson", tuned online (stage 2 of the paper).
    version_ : str
        Of the published basis; rows of one version are comparable, `translate` maps those of another.
    n_features_in_, n_components_, n_rank_ : int
        K, K1, K0.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where the first rows were a table with such names.
    width_ : int
        Columns of the output.
    n_rows_seen_, n_updates_ : int
        Finite rows that have come, and blocks learnt from. `n_samples_seen_` and `n_iter_` are scikit-learn's names
        for them.
    batch_size_ : int
        Rows of a block: `block`, or more where it had to be raised.
    n_set_aside_ : dict
        Numbers of rows not learnt from, by reason: "not finite"; and of the finite rows "silent" (all the same),
        "stuck" and "clipped" (of single channels).
    n_shortened_ : int
        Outlying rows that were shortened before they were learnt from.
    events_ : list of Event
        The newest 64 events (position, kind, text): changes of the stream and what was done about them. Positions
        count finite rows.
    n_events_ : int
        How many there were.
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
    _started: EstimatorSettings

    def __init__(
        self,
        n_components: int | None = None,
        *,
        overcomplete: bool = False,
        n_rank: int | None = None,
        energy: float = 1.0,
        block: int = 64,
        memory: int | str = 24 << 20,
        half_life: float | None = None,
        adapt: Adapt = "fixed",
        false_alarm_rows: float = 1e7,
        output: neurons.Output = "potential",
        warmup: int | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
    ) -> None:
        self.n_components = n_components
        self.overcomplete = overcomplete
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
        """Forget everything, then learn from X in one pass; X is all there is.

        Where X is over before the warm-up, the basis is a whitening from the rows there are, with a warning.

        Further passes bring more where rows are few: ``for _ in range(4): learner.partial_fit(X)``. Five passes over
        an EEG recording lowered the objective from 49.9 to 46.4, 44.7, 44.0 and 43.5 nats.

        Parameters
        ----------
        X
            Rows, (n, n_features): an array or a table.
        y
            Not used.

        Raises
        ------
        ValueError
            Where X is no matrix of real numbers, or nothing in it varies, or a parameter is not accepted. The learner
            stays what it was.
        """
        rows = self._rows(X, fresh=True)
        if not len(rows):
            raise ValueError(f"X has 0 sample(s) (shape={rows.shape}) while a minimum of 1 is required")
        with self._as_before_where_refused():
            self._learner = None
            learner = self._begun(X, rows)
            self._learn(rows, learner)
            warmup = learner.sizes.warmup
            early = not learner.has_enough
            with one_thread(learner.sizes.multiplications):
                finished = learner.finish()
            if not finished:
                raise ValueError(
                    f"n_samples={len(rows)}, of which {self.n_rows_seen_} are finite, and nothing varies; accepted are "
                    "two different rows or more"
                )
            if early:
                warnings.warn(
                    f"the data end before the warm-up of {warmup} rows: the basis is a whitening from "
                    f"{self.n_rows_seen_} rows; partial_fit goes on from there, with the same rows too",
                    stacklevel=2,
                )
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from the rows of X; those with NaN or infinities are set aside and counted.

        Parameters
        ----------
        X
            Rows, (n, n_features): an array or a table.
        y
            Not used.

        Raises
        ------
        ValueError
            Where X is no matrix of real numbers, has another width or other columns than before, or a parameter is
            not accepted.
        """
        rows, learner = self._taken(X)
        self._learn(rows, learner)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Floats:
        """Return ``fit(X).transform(X)``."""
        return self.fit(X).transform(X)

    def partial_fit_transform(self, X: Any, y: Any = None) -> Floats:
        """Encode the rows of X with the basis as it stands, then learn from them.

        Parameters
        ----------
        X
            Rows, (n, n_features): an array or a table.
        y
            Not used.

        Returns
        -------
        ndarray of shape (n, width_)
            float32; a table after `set_output`. Rows that are not finite, and all rows of a call that begins before
            the warm-up is over, come out as NaN. Their width is the final one, unless the rank turns out to be smaller
            than `n_components`, `n_rank` or n_features, whichever decides (with `overcomplete` it is the final one).

        Raises
        ------
        ValueError
            As `partial_fit`.
        """
        rows, learner = self._taken(X)
        if learner.published is None:
            encoded = np.full((len(rows), self.width_), np.nan, np.float32)
        else:
            encoded = self._encode(rows, learner.published, self.n_rows_seen_ + self.n_set_aside_["not finite"])
        tabled = self._tabled(encoded, X)
        self._learn(rows, learner)
        return tabled

    def _learn(self, X: Floats, learner: BlockLearner) -> None:
        with one_thread(learner.multiplications(len(X))):
            aside = learner.take(X)
        self.n_set_aside_["not finite"] += aside
        self.n_set_aside_ |= learner.quarantine.counts
        self.n_rows_seen_ += len(X) - aside
        while learner.notes:  # last: a warning may be an error
            warnings.warn(learner.notes.pop(0), UserWarning, stacklevel=3)

    def became(self) -> dict[str, int]:
        """Return the rows of whole blocks that were learnt from and those that were not, by reason.

        Counted since the learner was made or restored.
        """
        return dict(self._learner.became) if self._learner is not None else {}

    # ---------------------------------------------------------------- state

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on with the same bits: a nested dict of arrays and JSON values.

        Its settings are those that the learner was started with; `output` is what it is now.
        """
        if self._learner is None:
            return {"format": FORMAT, "settings": _plain(self._settings())}
        return {
            "format": FORMAT,
            "settings": _plain(replace(self._started, output=self._output())),
            "n_features": self.n_features_in_,
            "feature_names": list(getattr(self, "feature_names_in_", [])),
            "n_rows_seen": self.n_rows_seen_,
            "n_set_aside": dict(self.n_set_aside_),
            "seed": self._seed,
            "learner": self._learner.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state.

        Raises
        ------
        KeyError, ValueError
            Where the state is of another version, a setting that shapes the result differs, or something does not fit
            or is missing; names it. The learner stays what it was.
        """
        if state.get("format") != FORMAT:
            raise ValueError(f"state format {state.get('format')!r}; this version reads {FORMAT}")
        settings = asdict(self._settings())
        for name in SETTINGS_THAT_SHAPE:
            if state["settings"][name] != settings[name]:
                raise ValueError(f"{name} is {settings[name]!r} here and {state['settings'][name]!r} in the state")
        with self._as_before_where_refused():
            self._learner = None
            if "learner" not in state:
                return
            n_features, names = int(state["n_features"]), [str(name) for name in state["feature_names"]]
            learner = self._start(n_features, int(state["seed"]), np.array(names, object) if names else None)
            self.n_rows_seen_ = int(state["n_rows_seen"])
            self.n_set_aside_ = counted(state["n_set_aside"], "n_set_aside", self.n_set_aside_)
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
        with readable(Path(path)):
            learner = cls(**state["settings"])
            learner.restore(state)
        return learner

    # ---------------------------------------------------------------- beginnings

    def _taken(self, X: Any) -> tuple[Floats, BlockLearner]:
        """Return the rows of X, and what learns from them."""
        rows = self._rows(X, fresh=self._learner is None)
        self._output()
        return rows, self._learner or self._begun(X, rows)

    def _begun(self, X: Any, rows: Floats) -> BlockLearner:
        return self._start(rows.shape[1], self._first_seed(), names_of(X))

    def _first_seed(self) -> int:
        seed = self.random_state
        if seed is None or isinstance(seed, np.random.RandomState | np.random.Generator):
            seed = drawn(seed)
        return int(seed)

    def _start(self, n_features: int, seed: int, names: Names | None) -> BlockLearner:
        settings = self._settings()
        settings.check_memory(n_features)
        learner = BlockLearner(
            Sizes(
                n_features=n_features,
                n_components=settings.n_components,
                overcomplete=settings.overcomplete,
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
        self._started = settings
        self._seed = seed
        self._know(n_features, names)
        self.n_rows_seen_ = 0
        self.n_set_aside_ = {"not finite": 0}
        return learner

    def _settings(self) -> EstimatorSettings:
        """Return the parameters as they are now; raises SettingError where one is not accepted."""
        given = self.get_params()
        if isinstance(given["random_state"], np.random.RandomState | np.random.Generator):
            given["random_state"] = None  # a seed is drawn from it at the start
        return make(EstimatorSettings, given)


def drawn(source: np.random.RandomState | np.random.Generator | None) -> int:
    """Return a seed from a generator, or from the system."""
    if isinstance(source, np.random.RandomState):
        return int(source.randint(2**31))
    return int((source or np.random.default_rng()).integers(2**32))


def _plain(settings: EstimatorSettings) -> dict[str, Any]:
    return asdict(settings) | {"memory": int(settings.memory)}
