"""Encoder: what was learnt, to encode rows with; it needs NumPy, and nothing of what learns."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax import neurons
from stream_infomax.learning.infomax.published import version_of
from stream_infomax.learning.infomax.saved import contents, learner_of
from stream_infomax.learning.rows import check_names, matrix
from stream_infomax.learning.threads import one_thread
from stream_infomax.state import file
from stream_infomax.state.error import readable
from stream_infomax.state.file import StateFileError, Tree

Floats = NDArray[np.floating[Any]]

# Of what `save` writes; a learner's state has a format of its own, and may change more often.
FORMAT = 1
_KEPT = re.compile(r"basis-(.+)-([0-9]+)-([0-9a-f]{12})\.safetensors")


class Kept(NamedTuple):
    """A basis that a service has kept in its `folder`: the learner's stage, the first frame it holds for, version.

    Where each stream has a learner of its own, a digest of the stream follows the stage (`in_file`).
    """

    stage: str
    offset: int
    version: str
    folder: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"basis-{self.stage}-{self.offset}-{self.version}.safetensors"


def in_file(key: str) -> str:
    """Return a learner's stage or STAGE/STREAM as the name of a file has it: any stream makes a digest."""
    stage, slash, stream = key.partition("/")
    return f"{stage}.{blake2b(stream.encode(), digest_size=6).hexdigest()}" if slash else stage


def kept_bases(folder: Path) -> list[Kept]:
    """Return the bases that lie in the folder of a service, or in those of a run, in the order of their frames."""
    found = [*folder.glob("basis-*.safetensors"), *folder.glob("*/basis-*.safetensors")]
    matched = [(match, path) for path in found if (match := _KEPT.fullmatch(path.name))]
    kept = [Kept(match[1], int(match[2]), match[3], path.parent) for match, path in matched]
    return sorted(kept, key=lambda one: (one.offset, one.stage))


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoder:
    """A basis at rest: it encodes as the learner that published it, and never changes.

    `load` and `of` make one.

    Attributes
    ----------
    mean
        μ, (K,) float64.
    components
        Wᵀ, (K1, K) float32: y = Wᵀ (x - μ).
    mixing
        B, (K, K1) float32: x ≈ μ + B y.
    amplitude
        a = sqrt(K1/K0) of y = a ŷ.
    beta, bias
        Of the neurons' g = σ(β ŷ + b), (K1,) float32.
    output
        What `transform` gives, as of OnlineInfomax.
    seed
        Of the spikes, where that is the output; None where it is not known.
    feature_names
        Names of the columns, where the learner was given a table; empty elsewhere.

    Examples
    --------
    >>> from stream_infomax import Encoder
    >>> features = Encoder.load("runs/photographs").transform(rows)  # doctest: +SKIP
    """

    ARRAYS: ClassVar = ("mean", "components", "mixing", "beta", "bias")

    mean: Floats
    components: Floats
    mixing: Floats
    amplitude: float
    beta: Floats
    bias: Floats
    output: str
    seed: int | None = None
    feature_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        arrays = {name: getattr(self, name) for name in self.ARRAYS}
        if not all(isinstance(array, np.ndarray) and array.dtype.kind == "f" for array in arrays.values()):
            raise ValueError(f"{', '.join(self.ARRAYS)}: accepted are arrays of floats")
        K1, K = arrays["components"].shape if arrays["components"].ndim == 2 else (0, 0)
        shapes = {"mean": (K,), "components": (K1, K), "mixing": (K, K1), "beta": (K1,), "bias": (K1,)}
        for name, array in arrays.items():
            if array.shape != shapes[name]:
                raise ValueError(f"{name}: shape {array.shape}; accepted is {shapes[name]}, as of the components")
        if self.output not in neurons.OUTPUTS or not 0 < self.amplitude < np.inf:
            raise ValueError(f"output {self.output!r}, amplitude {self.amplitude!r}: no basis has such")
        if type(self.seed) not in (int, type(None)):
            raise ValueError(f"seed {self.seed!r}; accepted is a whole number, or none")

    @classmethod
    def of(cls, one: Any) -> Self:
        """Return the encoder of a learner as it stands, of a basis from a tap, or of another encoder.

        Raises
        ------
        NotWarmError
            Where a learner's warm-up is not over.
        TypeError
            Where it is none of these.
        """
        if hasattr(one, "partial_fit") and hasattr(type(one), "mixing_"):
            arrays = {name: getattr(one, f"{name}_") for name in cls.ARRAYS}
            amplitude = float(np.sqrt(one.n_components_ / one.n_rank_))
            names = tuple(getattr(one, "feature_names_in_", ()))
            return cls(**arrays, amplitude=amplitude, output=one.output, seed=one.seed_, feature_names=names)
        try:
            given = {name: getattr(one, name) for name in (*cls.ARRAYS, "amplitude", "output")}
        except AttributeError:
            accepted = "an Encoder, an OnlineInfomax, a basis from a tap"
            raise TypeError(f"{type(one).__name__} has no basis; accepted: {accepted}") from None
        known = {name: getattr(one, name) for name in ("seed", "feature_names") if hasattr(one, name)}
        return cls(**given, **known)

    @classmethod
    def load(cls, path: str | os.PathLike[str], name: str | None = None, *, version: str | None = None) -> Self:
        """Return the encoder in a file or folder.

        Parameters
        ----------
        path
            What `save` of an encoder or of a learner wrote; or, of a run, a checkpoint, a service's folder or the
            run's folder, of which the newest checkpoint is taken.
        name
            The learner's stage, where the run has several learners; STAGE/STREAM where each stream has its own.
        version
            An earlier basis that a service has kept in its folder.

        Raises
        ------
        StateFileError
            Where there is no such encoder, no telling which, or the file is damaged; names it.
        """
        place = Path(path)
        kept = kept_bases(place) if version is not None and place.is_dir() else []
        for one in reversed(kept):
            if one.version == version and (name is None or one.stage == in_file(name)):
                return cls._from(one.path, file.load(one.path), name)
        encoder = cls.among(place, contents(place), name)
        if version is not None and encoder.version != version:
            others = [one.version for one in kept if name is None or one.stage == in_file(name)]
            known = ", ".join(dict.fromkeys([*others, encoder.version]))
            raise StateFileError(f"{place}: no basis of version {version!r}; it holds {known}")
        return encoder

    @classmethod
    def among(cls, place: Path, trees: Mapping[Path, Tree], name: str | None) -> Self:
        """Return the encoder in the `contents` of a place; raises as `load`."""
        first = next(iter(trees.values()))
        if not place.is_dir() and "encoder" in first:
            return cls._from(place, first, name)
        return cls._learnt(place, *learner_of(place, trees, name))

    @classmethod
    def _learnt(cls, place: Path, path: Path, state: Tree) -> Self:
        with readable(path):
            published = state.get("learner", {}).get("published")
            if published is None:
                raise StateFileError(f"{place}: the learner's warm-up is not over ({path.name}): there is no basis yet")
            return cls(
                mean=published["mean"],
                components=published["filters"],
                mixing=published["basis"],
                amplitude=published["amplitude"],
                beta=published["beta"],
                bias=published["bias"],
                output=state["settings"]["output"],
                seed=state["seed"],
                feature_names=tuple(state["feature_names"]),
            )

    @classmethod
    def _from(cls, path: Path, tree: Tree, name: str | None) -> Self:
        if tree.get("encoder_format") != FORMAT:
            found = tree.get("encoder_format")
            raise StateFileError(f"{path}: an encoder of format {found!r}; this version reads {FORMAT}")
        if name is not None and tree.get("stage", name) != name:
            raise StateFileError(f"{path}: no learner {name!r}; it holds {tree['stage']}")
        with readable(path):
            return cls.from_tree(tree["encoder"])

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Self:
        """Return the encoder that `tree` describes."""
        return cls(**{**tree, "feature_names": tuple(tree["feature_names"])})

    def tree(self) -> Tree:
        """Return everything there is to it, as arrays and JSON values."""
        held = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**held, "feature_names": list(self.feature_names)}

    def save(self, path: str | os.PathLike[str], **about: Any) -> None:
        """Write it as safetensors, whole or not at all.

        Parameters
        ----------
        path
            The file.
        about
            JSON values that are written with it.

        Raises
        ------
        StateFileError
            Where the disk does not take it; names the file.
        """
        file.save(Path(path), {**about, "encoder_format": FORMAT, "encoder": self.tree()})

    @property
    def version(self) -> str:
        """Of the basis and the output, as on frames."""
        return version_of([getattr(self, name) for name in self.ARRAYS], self.output)

    @property
    def n_features(self) -> int:
        """K."""
        return len(self.mean)

    @property
    def n_components(self) -> int:
        """K1."""
        return len(self.components)

    @property
    def n_rank(self) -> int:
        """K0."""
        return round(self.n_components / self.amplitude**2)

    @property
    def width(self) -> int:
        """Columns of what `transform` returns."""
        return neurons.width(self.output, self.n_components)

    def transform(self, X: Any, first: int = 0) -> Floats:
        """Encode the rows of X: the same bits as of the learner that published the basis.

        Parameters
        ----------
        X
            Rows, (n, n_features): an array or a table.
        first
            The number of the first row in its stream, by which spikes are drawn.

        Returns
        -------
        ndarray of shape (n, width)
            float32. Rows that are not finite come out as NaN.

        Raises
        ------
        ValueError
            Where X is no matrix of real numbers of this width, or a table of other columns; where spikes are to be
            drawn and the seed is not known.
        """
        names = np.array(self.feature_names, object) if self.feature_names else None
        check_names(names, X, type(self).__name__)
        rows = matrix(X)
        if rows.shape[1] != self.n_features:
            raise ValueError(
                f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting {self.n_features} features "
                "as input"
            )
        if self.output == "poisson" and self.seed is None:
            raise ValueError("output 'poisson' needs a seed; a basis from a tap has none")
        finite = np.isfinite(rows).all(axis=1)
        with np.errstate(all="ignore"):  # what is not finite is taken out below
            centred = (rows - self.mean).astype(np.float32)
        centred[~finite] = 0
        with one_thread():
            potential = neurons.potentials(centred, self.components)
        encoded = neurons.publish(potential, self.output, self.amplitude, self.beta, self.bias)
        if self.output == "poisson" and self.seed is not None:
            encoded = neurons.spike_counts(encoded, self.seed, first)
        if not finite.all():
            encoded[~finite] = np.nan
        return encoded
