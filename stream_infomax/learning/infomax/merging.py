"""Merging: from what several learners have learnt in a round to what all of them go on from (docs/merging.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_infomax.learning.infomax.exchange import Delta, MergeError, Shared, about, added_counts, must_be
from stream_infomax.learning.infomax.matrices import nearest_rotation
from stream_infomax.learning.infomax.overcomplete import STATISTICS_ROWS
from stream_infomax.learning.infomax.triangle import unpacked
from stream_infomax.learning.infomax.whitening import StreamingWhitener
from stream_infomax.state.file import Tree

Floats = NDArray[np.floating[Any]]

# What the way of the rounds before counts in a step, and the longest step in units of what the learners moved by.
MOMENTUM = 0.5
# So many learners need no longer step than their own: what each of them learns alone is as long as it can be.
ENOUGH = 3.0
LONGEST = 2.0


def merge(base: Shared, deltas: Sequence[Delta], learners: int | None = None) -> Shared:
    """Return what all learners go on from after a round; see `OnlineInfomax.merge`."""
    base.check("base")
    total = Delta.joined(list(deltas))
    if learners is None:
        learners = max(1, sum(rows > 0 for rows in total.parts.values()))
    elif learners < 1:
        raise MergeError(f"learners = {learners}; accepted is at least 1")
    with about("base"):
        must_belong(total, base)
        counts = added_counts([base.counts, total.counts])
        if total.rows == 0:
            return replace(base, number=base.number + 1, learners=learners, agreement=1.0, counts=counts)
        whitener = whitener_of(base)
        add(whitener, total, base.half_life)
        before, present = base.rule, _rotations(whitener, base.rule, total)
        led = lead(present.base, present.learnt, base.way.astype(np.float64), longer(base))
        rule = {
            **before,
            **{key: total.means[key] for key in running(before)},
            "tuning": {
                "beta": np.exp(total.means["log_beta"]),
                "bias": total.means["bias"],
                "n": before["tuning"]["n"] + total.tuned,
            },
            "reach": {"length": float(np.exp(total.means["log_reach"])), "n_shortened": 0},
            **placed(whitener, before, led.rotation, present.average),
        }
        if "statistics_rows" in before:
            rule["statistics_rows"] = min(before["statistics_rows"] + total.rows, STATISTICS_ROWS)
    return replace(
        base,
        number=base.number + 1,
        learners=learners,
        agreement=led.agreement,
        rows=base.rows + total.rows,
        counts=counts,
        whitening=whitener.compact(),
        rule=rule,
        way=led.way.astype(np.float32),
    )


class Led(NamedTuple):
    """Where a round has led to: C (K0, K1), the way there, and the mean singular value of the learners' mean C."""

    rotation: Floats
    way: Floats
    agreement: float


def lead(before: Floats, mean: Floats, way: Floats, factor: float) -> Led:
    """Return the C (K0, K1) to go on from.

        P = C̄ - C₀ + m P        C = polar(C̄ + (f - 1)(C̄ - C₀) + m P),  m = 1/2

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
    """
    step = mean - before
    way = step + MOMENTUM * way
    to = mean + (factor - 1) * step + MOMENTUM * way
    return Led(nearest_rotation(to.astype(np.float32)), way, agreed(mean))


def agreed(mean: Floats) -> float:
    """Return the mean singular value of a mean C (K0, K1): 1 where all that it is a mean of are the same."""
    return min(1.0, float(np.vdot(nearest_rotation(mean.astype(np.float32)), mean)) / len(mean))


def longer(base: Shared) -> float:
    return 1.0


def add(whitener: StreamingWhitener, total: Delta, half_life: float | None) -> None:
    """Let a whitening have the moments of all learners' rows, counted from where it is, and renew it."""
    decay = 1.0 if half_life is None else 0.5 ** (total.rows / half_life)
    whitener.weight = decay * whitener.weight + total.weight
    whitener.sum = decay * whitener.sum + total.sum
    whitener.scatter = decay * whitener.scatter + unpacked(total.scatter)
    whitener.renew()


def renewed(whitener: StreamingWhitener, rule: Tree, dewhiten: Floats) -> dict[str, Tree]:
    """Return the states of a whitening, renewed, and of a rule that stood on Σ V (K, K0) until now."""
    whitener.renew()
    learnt, average = (_rotation(dewhiten, rule, rule[key]) for key in (_learnt(rule), "average"))
    now = placed(whitener, rule, nearest_rotation(learnt.astype(np.float32)), average)
    reach = {**rule["reach"], "n_shortened": 0}
    return {"whitening": whitener.compact(), "rule": {**rule, **now, "reach": reach}}


def whitener_of(shared: Shared) -> StreamingWhitener:
    """Return the whitening of what is shared."""
    whitener = StreamingWhitener(shared.origin, shared.scale)
    whitener.expand(shared.whitening)
    return whitener


def must_belong(total: Delta, base: Shared) -> None:
    """Raise MergeError where deltas are not of this base and its sizes."""
    name = f"delta {total.name}"
    if (total.number, total.base) != (base.number, base.digest):
        when = "another" if total.number == base.number else f"round {total.number}, which is over or not yet there"
        raise MergeError(
            f"{name}: began with base {total.base} of round {total.number}; accepted is base {base.digest} of round "
            f"{base.number} ({when}: what was merged once, or began elsewhere, does not add to it)"
        )
    must_be(name, "the shape of sum", total.sum.shape, base.origin.shape)
    must_be(name, "the shape of scatter", total.scatter.shape, base.whitening["scatter"].shape)
    shapes = {"learnt": np.shape(base.rule[_learnt(base.rule)]), "average": np.shape(base.rule["average"])}
    shapes |= {key: np.shape(base.rule[key]) for key in running(base.rule)}
    shapes |= {"log_beta": np.shape(base.rule["tuning"]["beta"]), "bias": np.shape(base.rule["tuning"]["bias"])}
    shapes |= {"log_reach": ()}
    must_be(
        name,
        "its means",
        {key: np.shape(mean) for key, mean in sorted(total.means.items())},
        dict(sorted(shapes.items())),
    )


class _Rotations(NamedTuple):
    base: Floats
    learnt: Floats
    average: Floats


def _rotations(whitener: StreamingWhitener, rule: Tree, total: Delta) -> _Rotations:
    """Return C where the round began, the learners' mean C and the mean of their averages, in a new whitening."""
    parts = (rule[_learnt(rule)], total.means["learnt"], total.means["average"])
    return _Rotations(*(_rotation(whitener.dewhiten, rule, one) for one in parts))


def _rotation(dewhiten: Floats, rule: Tree, learnt: Floats) -> Floats:
    """Return C of what is learnt: of V C (K, K0), or of C itself; float64."""
    learnt = learnt.astype(np.float64)
    return np.asarray(dewhiten.T @ learnt if "filters" in rule else learnt)


def placed(whitener: StreamingWhitener, rule: Tree, rotation: Floats, average: Floats) -> Tree:
    """Return C and its average as a rule keeps them."""
    if "filters" not in rule:
        return {"rotation": rotation.astype(np.float32), "average": average.astype(np.float32)}
    placed = {"filters": whitener.whiten @ rotation, "average": whitener.whiten @ average}
    return {name: one.astype(np.float32) for name, one in placed.items()} | {"drift": 0.0}


def _learnt(rule: Tree) -> str:
    return "filters" if "filters" in rule else "rotation"


def running(rule: Tree) -> tuple[str, ...]:
    return ("means",) if "filters" in rule else ("density", "linear", "second_moment")
