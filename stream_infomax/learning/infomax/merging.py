"""Merging: from what several learners have learnt in a round to what all of them go on from (docs/merging.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.alignment import Part, aligned
from stream_infomax.learning.infomax.exchange import Delta, MergeError, Shared, added_counts, must_be
from stream_infomax.learning.infomax.matrices import nearest_rotation
from stream_infomax.learning.infomax.overcomplete import STATISTICS_ROWS
from stream_infomax.learning.infomax.triangle import unpacked
from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.settings.printable import printable
from stream_infomax.state.file import Tree

Floats = NDArray[np.floating[Any]]

# A mean of M learners goes M^0.3 times as far as they, but no more than twice as far.
LONGER, LONGEST = 0.3, 2.0
# More learners than so many gain momentum, the share 1 - ENOUGH / M, no more than half.
ENOUGH, MOMENTUM = 8.0, 0.5
# What it goes further than they, at most, in the root mean square over components; of 1 each.
FURTHEST = 0.4


def merge(base: Shared, deltas: Sequence[Delta], learners: int | None = None) -> Shared:
    """Return what all learners go on from after a round; see `OnlineInfomax.merge`."""
    if learners is not None and learners < 1:
        raise MergeError(f"learners = {learners}; accepted is at least 1")
    whitener = whitener_of(base)
    total = joined(base, deltas, whitener)
    counts = added_counts([base.counts, total.counts])
    with_rows = sum(rows > 0 for rows in total.parts.values())
    after: dict[str, Any] = {"number": base.number + 1, "learners": learners or max(1, with_rows), "counts": counts}
    if total.rows == 0:
        return replace(base, **after, agreement=1.0)
    decay = 1.0 if base.half_life is None else 0.5 ** (total.rows / base.half_life)
    whitener.weight = decay * whitener.weight + total.weight
    whitener.sum = decay * whitener.sum + total.sum
    whitener.scatter = decay * whitener.scatter + unpacked(total.scatter)
    whitener.renew()
    parts = (base.rule[learnt_of(base.rule)], total.means["learnt"], total.means["average"])
    before, mean, average = (rotation_of(whitener, base.rule, one) for one in parts)
    led = lead(before, mean, base.way, *manner(base.learners, is_complete="filters" in base.rule))
    after["rotation"] = nearest_rotation(average)
    rule = with_means(base.rule, total.means) | placed(whitener, base.rule, led.rotation, average)
    rule["tuning"]["n"] += total.tuned
    if "statistics_rows" in rule:
        rule["statistics_rows"] = min(rule["statistics_rows"] + total.rows, STATISTICS_ROWS)
    return replace(
        base,
        **after,
        agreement=led.agreement,
        rows=base.rows + total.rows,
        whitening=whitener.compact(),
        rule=rule,
        way=led.way,
    )


def join(base: Shared, deltas: Sequence[Delta]) -> Delta:
    """Return several deltas of a round as one; see `OnlineInfomax.join`."""
    return joined(base, deltas, whitener_of(base))


def joined(base: Shared, deltas: Sequence[Delta], whitener: StreamingWhitener) -> Delta:
    """Return several deltas of a round as one, with the whitening that the round began with."""
    if not deltas:
        raise MergeError("deltas: none; accepted is at least one")
    parts: dict[str, int] = {}
    for one in deltas:
        must_belong(one, base)
        if twice := parts.keys() & one.parts.keys():
            raise MergeError(f"delta {printable(min(twice))}: there twice; accepted is each learner once a round")
        parts |= one.parts
    ordered = sorted(deltas, key=lambda one: sorted(one.parts))
    rotations = [rotation_of(whitener, base.rule, one.means["learnt"]) for one in ordered]
    found = aligned([Part(one.rows, one.behind, C, one.means) for one, C in zip(ordered, rotations, strict=True)])
    return Delta(
        parts=dict(sorted(parts.items())),
        base=base.digest,
        number=base.number,
        weight=sum(one.weight for one in ordered),
        sum=_added([one.sum for one in ordered]),
        scatter=_added([one.scatter for one in ordered]),
        behind=found.behind,
        means=found.means,
        tuned=sum(one.tuned for one in ordered),
        counts=added_counts([one.counts for one in ordered]),
    )


class Led(NamedTuple):
    """Where a round has led to: C (K0, K1), the way there, and how alike the learners have turned."""

    rotation: Floats
    way: Floats
    agreement: float


def lead(before: Floats, mean: Floats, way: Floats, factor: float, momentum: float) -> Led:
    """Return the C (K0, K1) to go on from.

        P = C̄ - C₀ + m P        C = polar(C̄ + Q),  Q = (f - 1)(C̄ - C₀) + m P

    Q is no longer than 0.4 in the root mean square of its columns: where learners have gone far, they lead no further.

    Parameters
    ----------
    before
        C₀, where the round began, in the present whitening.
    mean
        C̄, the mean of what the learners have come to.
    way
        P of the rounds before.
    factor
        f, by which the step is longer than what the learners moved by.
    momentum
        m.
    """
    step = mean - before
    way = step + momentum * way
    further = (factor - 1) * step + momentum * way
    length = float(np.linalg.norm(further)) / math.sqrt(further.shape[1])
    if length > FURTHEST:
        further *= FURTHEST / length
    return Led(nearest_rotation((mean + further).astype(np.float32)), way, agreed(mean))


def manner(learners: int, is_complete: bool) -> tuple[float, float]:
    """Return by how much the mean of so many learners steps further than they do, and its momentum.

    Algorithm 2 is the better the nearer it stays to the mean (docs/tried.md).
    """
    if not is_complete:
        return 1.0, 0.0
    return min(LONGEST, learners**LONGER), min(MOMENTUM, max(0.0, 1 - ENOUGH / learners))


def agreed(mean: Floats) -> float:
    """Return the root mean square of the singular values of a mean C (K0, K1): 1 where all are the same."""
    return min(1.0, float(np.linalg.norm(mean)) / math.sqrt(len(mean)))


def renewed(whitener: StreamingWhitener, rule: Tree, dewhiten: Floats) -> dict[str, Any]:
    """Return whitening, renewed, rule and rotation of Shared, of a rule that stood on Σ V (K, K0) until now."""
    learnt, average = (
        dewhiten.T @ rule[key] if "filters" in rule else rule[key] for key in (learnt_of(rule), "average")
    )
    whitener.renew()
    now = placed(whitener, rule, nearest_rotation(learnt.astype(np.float32)), average)
    reach = {**rule["reach"], "n_shortened": 0}
    return {
        "whitening": whitener.compact(),
        "rule": {**rule, **now, "reach": reach},
        "rotation": nearest_rotation(average.astype(np.float32)),
    }


def whitener_of(shared: Shared) -> StreamingWhitener:
    """Return the whitening of what is shared; raises MergeError where that is not sound."""
    shared.check("shared")
    whitener = StreamingWhitener(shared.origin, shared.scale)
    whitener.expand(shared.whitening)
    return whitener


def must_belong(one: Delta, base: Shared) -> None:
    """Raise MergeError where a delta is not sound, or not of this base and its sizes."""
    name = f"delta {one.name}"
    if (one.number, one.base) != (base.number, base.digest):
        raise MergeError(
            f"{name}: began with base {printable(str(one.base))} of round {one.number}; accepted is base {base.digest} "
            f"of round {base.number}: what was merged once, or began elsewhere, does not add to it"
        )
    beta = base.rule["tuning"]["beta"]
    must_be(name, "the shape of sum", np.shape(one.sum), base.origin.shape)
    must_be(name, "the shape of scatter", np.shape(one.scatter), base.whitening["scatter"].shape)
    must_be(name, "the shape of behind", np.shape(one.behind), beta.shape)
    shapes = {key: np.shape(base.rule[key]) for key in ("average", *running(base.rule))}
    shapes |= {"learnt": shapes["average"], "log_beta": beta.shape, "bias": beta.shape, "log_reach": ()}
    must_be(name, "its means", _shapes(one.means), _shapes({key: np.empty(shape) for key, shape in shapes.items()}))
    one.check(name)


def rotation_of(whitener: StreamingWhitener, rule: Tree, learnt: Floats) -> Floats:
    """Return C of what is learnt: of V C (K, K0), or of C itself; float32, as learners have it."""
    learnt = learnt.astype(np.float32)
    return np.asarray(whitener.dewhiten.astype(np.float32).T @ learnt if "filters" in rule else learnt)


def placed(whitener: StreamingWhitener, rule: Tree, rotation: Floats, average: Floats) -> Tree:
    """Return C and its average as a rule keeps them."""
    if "filters" not in rule:
        return {"rotation": rotation.astype(np.float32), "average": average.astype(np.float32)}
    whiten = whitener.whiten.astype(np.float32)
    return {"filters": whiten @ rotation, "average": whiten @ average.astype(np.float32), "drift": 0.0}


def with_means(rule: Tree, means: dict[str, Floats]) -> Tree:
    """Return the state of a rule with the statistics that are means over learners."""
    return {
        **rule,
        **{key: means[key] for key in running(rule)},
        "tuning": {"beta": np.exp(means["log_beta"]), "bias": means["bias"], "n": rule["tuning"]["n"]},
        "reach": {"length": float(np.exp(means["log_reach"])), "n_shortened": 0},
    }


def learnt_of(rule: Tree) -> str:
    """Return the name of what a rule learns."""
    return "filters" if "filters" in rule else "rotation"


def running(rule: Tree) -> tuple[str, ...]:
    """Return the names of the statistics of a rule that are means over rows."""
    return ("means",) if "filters" in rule else ("density", "linear", "second_moment")


def _shapes(means: dict[str, Floats]) -> dict[str, tuple[int, ...]]:
    return {key: np.shape(mean) for key, mean in sorted(means.items())}


def _added(arrays: list[Floats]) -> Floats:
    """Return the sum of arrays, in float64 and in this order."""
    total = np.zeros(np.shape(arrays[0]))
    for array in arrays:
        total += array
    return total
