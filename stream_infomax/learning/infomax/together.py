"""Together: learners that learn one basis, each from its own rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.exchange import LONGEST_NAME, Delta, MergeError, Shared, about, must_be
from stream_infomax.learning.infomax.fitted import Fitted
from stream_infomax.learning.infomax.late import moved
from stream_infomax.learning.infomax.learner import BlockLearner
from stream_infomax.learning.infomax.merging import join, merge
from stream_infomax.learning.infomax.settings import EstimatorSettings
from stream_infomax.learning.infomax.uniting import United, unite
from stream_infomax.learning.parameters import Estimator
from stream_infomax.learning.rows import Names
from stream_infomax.learning.threads import one_thread
from stream_infomax.settings.printable import printable

Floats = NDArray[np.floating[Any]]


class Together(Fitted, Estimator):
    """What OnlineInfomax does to learn together with others.

    One learner begins, and says what it has learnt (`share`). All go on from that (`take`), learn each from its own
    rows for a round (`partial_fit`), and say what that adds (`delta`). `merge` makes of these what all go on from.
    """

    _settings: Any
    _started: EstimatorSettings
    _start: Any
    _first_seed: Any

    def share(self, learners: int = 1) -> Shared:
        """Return what others can go on from.

        Parameters
        ----------
        learners
            How many will learn in the next round: a row of each counts for as many.

        Raises
        ------
        NotWarmError
            While the warm-up lasts.
        MergeError
            Where `learners` is less than 1.
        """
        self._published()
        if learners < 1:
            raise MergeError(f"learners = {learners}; accepted is at least 1")
        with one_thread():
            return self._begun_learner().share(learners, self._names())

    def take(self, shared: Shared) -> Self:
        """Begin a round: go on from what all have in common.

        What this learner has learnt since its own last `delta`, and has not given away, is given up. Its memory of past
        rows and the unfinished block stay. Until the next `take` the published basis stays that of all.

        Parameters
        ----------
        shared
            Of `share` or `merge`.

        Raises
        ------
        MergeError
            Where it is of other sizes, this learner is in its own warm-up, or follows changes of its stream
            (``adapt``). The learner stays what it was.
        """
        shared.check("shared")
        settings: EstimatorSettings = self._settings() if self._learner is None else self._started
        with about("shared"):
            n_features, n_rank = np.shape(shared.whitening["whiten"])
            n_components = len(shared.rule["tuning"]["beta"])
            _check(settings, shared, n_rank, n_components)
            must_be("shared", "the shape of rotation", np.shape(shared.rotation), (n_rank, n_components))
            if self._learner is not None:
                self._check_here(self._learner, (n_features, n_rank, n_components))
                must_be("shared", "columns", shared.names, self._names())
            with self._as_before_where_refused(), one_thread():
                if self._learner is None:
                    names: Names | None = np.array(shared.names, object) if shared.names else None
                    self._start(n_features, self._first_seed(), names)
                self._begun_learner().begin_round(shared)
        return self

    def delta(self, name: str) -> Delta:
        """Return what this learner has learnt since the round began; the unfinished block belongs to the next.

        Parameters
        ----------
        name
            Of this learner, another one for each.

        Raises
        ------
        MergeError
            Where no round has begun, or this learner has left it: it was told to `undo`, or has followed a change.
        """
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
            raise MergeError(f"name = {printable(repr(name))}; accepted are 1 to {LONGEST_NAME} characters")
        found = self._learner.delta(name) if self._learner is not None else None
        if found is None:
            raise MergeError(
                f"delta of {printable(name)}: it is in no round; `take` begins one, and an undo or a change of the "
                "stream that was followed ends it"
            )
        return found

    @staticmethod
    def merge(
        base: Shared,
        deltas: Sequence[Delta],
        learners: int | None = None,
        late: Sequence[tuple[Shared, Delta]] = (),
    ) -> Shared:
        """Return what all learners go on from after a round; the next `take` begins another.

        The order of the deltas changes no bit: they are summed in the order of their names.

        Parameters
        ----------
        base
            What the round began with.
        deltas
            One of each learner that has learnt in it.
        learners
            How many will learn in the next round; without it as many as have learnt in this one.
        late
            Deltas of rounds before, each behind what it began with. Their moments count as all others; their filters
            for ½ⁿ after n rounds, the rest being those of `base`.

        Raises
        ------
        MergeError
            Where a delta is of another base, round, size or version, is there twice, or holds numbers that are not
            finite; names it. Nothing is merged then.
        """
        with one_thread():
            return merge(base, [*deltas, *(moved(one, old, base) for old, one in late)], learners)

    @staticmethod
    def join(base: Shared, deltas: Sequence[Delta]) -> Delta:
        """Return several deltas of a round as one, for `merge` or for another `join`: the node of a tree.

        Moments are the same up to rounding, however deltas are joined. So are filters while learners agree; where
        their components have to be matched (docs/merging.md), it matters which are matched first.

        Parameters
        ----------
        base
            What the round began with.
        deltas
            One of each learner, or joined ones.

        Raises
        ------
        MergeError
            As `merge`.
        """
        with one_thread():
            return join(base, deltas)

    @staticmethod
    def unite(shares: Mapping[str, Shared]) -> United:
        """Return what learners can go on from that had no common start: their components are matched first.

        Each component is paired with one of the learner that stands on most rows, so that the sum of |correlation| of
        their outputs is largest (Kuhn 1955), turned round where it points the other way, and averaged with it where the
        correlation is at least 0.5. The moments are those of all rows.

        Parameters
        ----------
        shares
            What each learner says with `share`, by its name.

        Raises
        ------
        MergeError
            Where they are of other sizes or columns, or hold numbers that are not finite; names the learner.
        MissingExtraError
            Where SciPy is not installed.
        """
        with one_thread():
            return unite(shares)

    def _names(self) -> list[str]:
        return [str(name) for name in getattr(self, "feature_names_in_", [])]

    @staticmethod
    def _check_here(learner: BlockLearner, sizes: tuple[int, int, int]) -> None:
        """Raise MergeError where a learner that has begun cannot go on from something of these sizes."""
        published = learner.published
        if published is None:
            raise MergeError(
                f"shared: this learner is in its own warm-up, {learner.n_missing} rows before its end; accepted is "
                "one without rows, or behind its warm-up"
            )
        here = (len(published.mean), *published.rotation.shape)
        if here != sizes:
            raise MergeError(f"shared: {sizes} features, dimensions and components; this learner has {here}")


def _check(settings: EstimatorSettings, shared: Shared, n_rank: int, n_components: int) -> None:
    """Raise MergeError where a learner of these settings cannot go on from what is shared."""
    if settings.adapt != "fixed":
        raise MergeError(
            f"adapt = {settings.adapt!r}; accepted is 'fixed': who follows changes of its own leaves others"
        )
    if settings.half_life != shared.half_life:
        raise MergeError(f"half_life = {settings.half_life}; accepted is that of all, {shared.half_life}")
    if settings.overcomplete != (n_components > n_rank):
        raise MergeError(
            f"overcomplete = {settings.overcomplete}; shared are {n_components} components of {n_rank} dimensions"
        )
    for key, wanted, there in (
        ("n_rank", settings.n_rank, n_rank),
        ("n_components", settings.n_components, n_components),
    ):
        if wanted is not None and wanted != there and (key == "n_rank" or wanted < there or settings.overcomplete):
            raise MergeError(f"{key} = {wanted}; shared is one of {there}")
