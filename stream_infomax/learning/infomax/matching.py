"""Matching: which component of one basis is which of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.encoder import Encoder
from stream_infomax.learning.infomax.translate import covariance_of
from stream_infomax.settings.extras import optional

Floats = NDArray[np.floating[Any]]
Fate: TypeAlias = Literal["same", "changed", "died", "born"]

# Correlations from which on a component is the same one, or the same one changed.
SAME, CHANGED = 0.9, 0.5


class Match(NamedTuple):
    """A component of the first basis, one of the second, or both.

    `before` and `after` are their numbers, None where there is none; `correlation` is that of their outputs, with its
    sign, 0 where one is missing; `sign` is 1 or -1.
    """

    before: int | None
    after: int | None
    correlation: float
    status: Fate

    @property
    def sign(self) -> int:
        """-1 where the component points the other way now."""
        return -1 if self.correlation < 0 else 1


def correlations(from_: Any, to: Any) -> Floats:
    """Return the correlations of the outputs of two bases (K1 of `from_`, K1 of `to`), float64.

    Rows are taken to have the mean of the covariances behind the two bases.

    Parameters
    ----------
    from_, to
        Encoder, OnlineInfomax, or a basis from a tap.

    Raises
    ------
    ValueError
        Where the bases are of rows of different widths.
    """
    a, b = Encoder.of(from_), Encoder.of(to)
    if a.n_features != b.n_features:
        raise ValueError(f"from_ is of rows of {a.n_features} features, to of {b.n_features}; they have to be one")
    covariance = (covariance_of(a) + covariance_of(b)) / 2
    before, after = (one.components.astype(np.float64) for one in (a, b))
    across = before @ covariance @ after.T
    deviations = [np.sqrt(np.einsum("ij,jk,ik->i", one, covariance, one)) for one in (before, after)]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = across / np.multiply.outer(*deviations)
    return np.asarray(np.clip(np.nan_to_num(found, posinf=0, neginf=0), -1, 1))


def match(from_: Any, to: Any) -> list[Match]:
    """Return which component is which, so that the sum of |correlation| is largest (Kuhn 1955).

    From 0.9 on a component is the ``same``, from 0.5 on it has ``changed``; others have ``died`` here and were ``born``
    there. In the order of the first basis, those that were born behind.

    Parameters
    ----------
    from_, to
        Encoder, OnlineInfomax, or a basis from a tap.

    Raises
    ------
    ValueError
        Where the bases are of rows of different widths.
    MissingExtraError
        Where SciPy is not installed.
    """
    with optional():
        from scipy.optimize import linear_sum_assignment
    found = correlations(from_, to)
    rows, columns = linear_sum_assignment(-np.abs(found))
    partner: dict[int, int] = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    before = [_matched(found, number, partner.get(number)) for number in range(len(found))]
    taken = {one.after for one in before}
    return [*before, *_born(found.shape[1], taken)]


def _matched(found: Floats, number: int, partner: int | None) -> Match:
    correlation = 0.0 if partner is None else float(found[number, partner])
    if partner is None or abs(correlation) < CHANGED:
        return Match(number, None, 0.0, "died")
    return Match(number, partner, correlation, "same" if abs(correlation) >= SAME else "changed")


def _born(n_components: int, taken: set[int | None]) -> Sequence[Match]:
    return [Match(None, number, 0.0, "born") for number in range(n_components) if number not in taken]
