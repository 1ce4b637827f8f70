"""Uniting: one start from learners that have learnt without one; their components are matched first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.exchange import MergeError, Shared, about, added_counts, must_be
from stream_infomax.learning.infomax.matching import CHANGED
from stream_infomax.learning.infomax.matrices import nearest_rotation
from stream_infomax.learning.infomax.merging import agreed, placed, running, whitener_of
from stream_infomax.learning.infomax.triangle import unpacked
from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.settings.extras import optional
from stream_infomax.settings.printable import printable
from stream_infomax.state.file import Tree

Floats = NDArray[np.floating[Any]]


class United(NamedTuple):
    """What independent learners have in common.

    Attributes
    ----------
    shared
        What all can go on from; its `agreement` says how alike the matched components are, 1 where they are the same.
    correlations
        Of each learner's outputs with those of the one that stands on most rows, component by component, over the rows
        of all, (K1,) by its name. Below 0.5 a component is another one: there the first learner's counts alone.
    """

    shared: Shared
    correlations: dict[str, Floats]


class _Matched(NamedTuple):
    """A learner's C in the whitening of all, its components in the order and with the signs of the first's."""

    rotation: Floats
    average: Floats
    order: NDArray[np.intp]
    sign: Floats
    correlation: Floats
    weight: Floats


def unite(shares: Mapping[str, Shared]) -> United:
    """Return what learners can go on from that had no common start; see `OnlineInfomax.unite`."""
    if not shares:
        raise MergeError("shares: none; accepted is at least one")
    names = sorted(shares, key=lambda name: (-_rows(shares[name]), name))
    first = shares[names[0]]
    for name in names:
        shares[name].check(f"shared of {printable(name)}")
        with about(f"shared of {printable(name)}"):
            _must_match(f"shared of {printable(name)}", shares[name], first)
    whitener = whitener_of(first)
    _pool(whitener, [shares[name] for name in names])
    found: list[_Matched] = []
    for name in names:
        found.append(_matched(whitener, shares[name], found[0].rotation if found else None))
    weights = np.stack([one.weight for one in found])
    weights /= weights.sum(axis=0)
    mean = np.sum([one.rotation * weight for one, weight in zip(found, weights, strict=True)], axis=0)
    average = np.sum([one.average * weight for one, weight in zip(found, weights, strict=True)], axis=0)
    stands_on = sum(float(one.weight.mean()) for one in found)
    shared = replace(
        first,
        number=0,
        learners=len(names),
        agreement=agreed(mean),
        rows=max(stands_on - first.first, 0.0),
        counts=added_counts([shares[name].counts for name in names]),
        whitening=whitener.compact(),
        rule=_rule(whitener, [shares[name].rule for name in names], found, weights)
        | placed(whitener, first.rule, nearest_rotation(mean.astype(np.float32)), average),
        way=np.zeros_like(first.way),
    )
    return United(shared, {name: one.correlation for name, one in zip(names, found, strict=True)})


def _rows(shared: Shared) -> float:
    return float(shared.rows + shared.first)


def _must_match(name: str, one: Shared, first: Shared) -> None:
    must_be(name, "half_life", one.half_life, first.half_life)
    must_be(name, "names of columns", one.names, first.names)
    for what, key in (("features and dimensions", "whiten"), ("products", "scatter")):
        must_be(name, what, np.shape(one.whitening[key]), np.shape(first.whitening[key]))
    must_be(name, "statistics", sorted(one.rule), sorted(first.rule))
    must_be(name, "components", np.shape(one.rule["average"]), np.shape(first.rule["average"]))


def _pool(whitener: StreamingWhitener, shares: list[Shared]) -> None:
    """Whiten by the moments of all rows, counted from the first learner's mean and in its unit."""
    point, scale = whitener.reference, whitener.scale
    whitener.weight, whitener.sum, whitener.scatter = 0.0, 0 * whitener.sum, 0 * whitener.scatter
    for one in shares:
        weight, factor = float(one.whitening["weight"]), scale / one.scale
        away = (one.whitening["reference"] - point) * scale
        products = unpacked(np.asarray(one.whitening["scatter"]))
        whitener.weight += weight
        whitener.sum += weight * away
        whitener.scatter += products * np.multiply.outer(factor, factor) + weight * np.multiply.outer(away, away)
    whitener.renew()


def _matched(whitener: StreamingWhitener, one: Shared, first: Floats | None) -> _Matched:
    """Return a learner's C in a whitening, its components matched with those of the first's C (K0, K1)."""
    unit = (one.scale / whitener.scale)[:, None]
    here = whitener.dewhiten.T
    if "filters" in one.rule:
        rotation, average = (here @ (unit * one.rule[key]) for key in ("filters", "average"))
    else:
        turn = here @ (unit * one.whitening["whiten"])
        rotation, average = (turn @ one.rule[key] for key in ("rotation", "average"))
    n = rotation.shape[1]
    if first is None:
        return _Matched(rotation, average, np.arange(n), np.ones(n), np.ones(n), np.full(n, _rows(one)))
    order, correlation = assigned(first, rotation)
    sign = np.where(correlation < 0, -1.0, 1.0)
    weight = np.where(np.abs(correlation) < CHANGED, 0.0, _rows(one))
    return _Matched(rotation[:, order] * sign, average[:, order] * sign, order, sign, np.abs(correlation), weight)


def assigned(first: Floats, other: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return which column of C' (K0, K1) is which of C, so that the sum of |cosine| is largest, and the cosines.

    In a whitened space these are the correlations of the outputs. Raises MissingExtraError without SciPy.
    """
    with optional():
        from scipy.optimize import linear_sum_assignment
    lengths = np.multiply.outer(np.linalg.norm(first, axis=0), np.linalg.norm(other, axis=0))
    cosines = (first.T @ other) / np.maximum(lengths, 1e-30)
    order = np.asarray(linear_sum_assignment(-np.abs(cosines))[1])
    return order, np.clip(cosines[np.arange(len(order)), order], -1, 1)


def _rule(whitener: StreamingWhitener, rules: list[Tree], found: list[_Matched], weights: Floats) -> Tree:
    """Return the statistics of all learners' outputs, each as that of the component it belongs to."""

    def mean(values: list[Floats]) -> Floats:
        parts = zip(values, found, weights, strict=True)
        return np.asarray(sum(weight * np.asarray(value, np.float64)[..., one.order] for value, one, weight in parts))

    first = rules[0]
    tuning = {
        "beta": np.exp(mean([np.log(rule["tuning"]["beta"]) for rule in rules])),
        "bias": mean([rule["tuning"]["bias"] * _unordered(one) for rule, one in zip(rules, found, strict=True)]),
        "n": sum(rule["tuning"]["n"] for rule in rules),
    }
    # Second moments of whitened rows are the same in every whitening, but for its turn: the identity.
    by_unit = [key for key in running(first) if key != "second_moment"]
    return {**first, "tuning": tuning, **{key: mean([rule[key] for rule in rules]) for key in by_unit}}


def _unordered(one: _Matched) -> Floats:
    """Return the signs of a learner's components in its own order."""
    signs = np.ones(len(one.order))
    signs[one.order] = one.sign
    return signs
