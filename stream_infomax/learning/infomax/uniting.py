"""Uniting: one start from learners that have learnt without one; their components are matched first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.alignment import Part, aligned
from stream_infomax.learning.infomax.exchange import MergeError, Shared, added_counts, must_be
from stream_infomax.learning.infomax.matrices import nearest_rotation
from stream_infomax.learning.infomax.merging import agreed, learnt_of, placed, running, whitener_of, with_means
from stream_infomax.learning.infomax.triangle import unpacked
from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.settings.printable import printable

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


def unite(shares: Mapping[str, Shared]) -> United:
    """Return what learners can go on from that had no common start; see `OnlineInfomax.unite`."""
    if not shares:
        raise MergeError("shares: none; accepted is at least one")
    names = sorted(shares, key=lambda name: (-_rows(shares[name]), name))
    first = shares[names[0]]
    for name in names:
        _must_match(f"shared of {printable(name)}", shares[name], first)
    whitener = whitener_of(first)
    _pool(whitener, [shares[name] for name in names])
    found = aligned([_part(whitener, shares[name]) for name in names])
    rule = with_means(first.rule, found.means)
    rule["tuning"]["n"] = sum(shares[name].rule["tuning"]["n"] for name in names)
    rule |= placed(whitener, rule, nearest_rotation(found.means["learnt"].astype(np.float32)), found.means["average"])
    shared = replace(
        first,
        number=0,
        learners=len(names),
        agreement=agreed(found.means["learnt"]),
        rows=max(float(found.behind.mean()) - first.first, 0.0),
        counts=added_counts([shares[name].counts for name in names]),
        whitening=whitener.compact(),
        rule=rule,
        way=np.zeros_like(first.way),
        rotation=nearest_rotation(found.means["average"].astype(np.float32)),
    )
    return United(shared, dict(zip(names, found.cosines, strict=True)))


def _rows(shared: Shared) -> float:
    return float(shared.rows + shared.first)


def _must_match(name: str, one: Shared, first: Shared) -> None:
    must_be(name, "half_life", one.half_life, first.half_life)
    must_be(name, "names of columns", one.names, first.names)
    for what, key in (("features and dimensions", "whiten"), ("products", "scatter")):
        must_be(name, what, np.shape(one.whitening[key]), np.shape(first.whitening[key]))
    must_be(name, "statistics", sorted(one.rule), sorted(first.rule))
    must_be(name, "components", np.shape(one.rule["average"]), np.shape(first.rule["average"]))
    one.check(name)


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


def _part(whitener: StreamingWhitener, one: Shared) -> Part:
    """Return what a learner brings, its C and their average in a whitening of all."""
    rule, unit = one.rule, (one.scale / whitener.scale)[:, None]
    there = np.eye(len(unit)) if "filters" in rule else one.whitening["whiten"]
    turn = whitener.dewhiten.T @ (unit * there)
    learnt, average = (turn @ rule[key] for key in (learnt_of(rule), "average"))
    means = {
        "learnt": learnt,
        "average": average,
        **{key: rule[key] for key in running(rule)},
        "log_beta": np.log(rule["tuning"]["beta"]),
        "bias": rule["tuning"]["bias"],
        "log_reach": np.log(rule["reach"]["length"]),
    }
    return Part(_rows(one), np.full(learnt.shape[1], _rows(one)), learnt, means)
