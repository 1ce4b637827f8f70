"""Late: what was learnt in a round that was merged without it, for the merge of a later round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stream_infomax.learning.infomax.alignment import Aligned, Part, aligned
from stream_infomax.learning.infomax.exchange import Delta, MergeError, Shared
from stream_infomax.learning.infomax.merging import learnt_of, must_belong, rotation_of, running, whitener_of
from stream_infomax.learning.infomax.triangle import packed, unpacked
from stream_infomax.learning.infomax.whitening import StreamingWhitener


def discount(rounds: int) -> float:
    """Return what the filters of a delta count for that comes so many rounds late; its moments count in full."""
    return float(0.5**rounds)


def moved(delta: Delta, old: Shared, new: Shared) -> Delta:
    """Return a delta that began with `old` as if it had begun with `new`, a later round of the same learners.

    With x counted from another mean, d further on, its moments are

        Σ (x + d) = s + w d        Σ (x + d)(x + d)ᵀ = S + s dᵀ + d sᵀ + w d dᵀ

    Of its filters and statistics the share ½ⁿ counts after n rounds, and what all have by now makes up the rest: rows
    that are late pull nobody back to where they began.

    Raises
    ------
    MergeError
        Where it did not begin with `old`, or `new` is no later round of the same.
    """
    must_belong(delta, old)
    before, now = whitener_of(old), whitener_of(new)
    same = old.half_life == new.half_life and old.names == new.names and np.array_equal(before.scale, now.scale)
    if not (same and old.number < new.number and old.rows <= new.rows):
        raise MergeError(
            f"delta {delta.name}: began with round {old.number}; accepted are rounds before {new.number} of the same"
        )
    # What has come since makes its rows older.
    age = 1.0 if new.half_life is None else float(0.5 ** ((new.rows - old.rows) / new.half_life))
    d = (before.reference - now.reference) * now.scale
    cross = np.multiply.outer(delta.sum + delta.weight / 2 * d, d)
    found = _between(delta, before, new, now, discount(new.number - old.number))
    return replace(
        delta,
        base=new.digest,
        number=new.number,
        weight=age * delta.weight,
        sum=age * (delta.sum + delta.weight * d),
        scatter=packed(age * (unpacked(delta.scatter) + cross + cross.T)),
        behind=found.behind,
        means=found.means,
    )


def _between(delta: Delta, before: StreamingWhitener, new: Shared, now: StreamingWhitener, share: float) -> Aligned:
    """Return the means of a delta and of what all have by now, of which a share is the delta's."""
    rule = new.rule
    means = dict(delta.means)
    if "filters" not in rule:  # algorithm 2 learns C of the whitening that it began with
        turn = now.dewhiten.T @ before.whiten
        means |= {key: turn @ means[key] for key in ("learnt", "average")}
    of_all = {
        "learnt": rule[learnt_of(rule)],
        "average": rule["average"],
        **{key: np.asarray(rule[key]) for key in running(rule)},
        "log_beta": np.log(rule["tuning"]["beta"]),
        "bias": rule["tuning"]["bias"],
        "log_reach": np.array(np.log(rule["reach"]["length"])),
    }
    parts = [
        Part(by * delta.rows, by * delta.behind, rotation_of(now, rule, one["learnt"]), one)
        for by, one in ((1 - share, of_all), (share, means))
    ]
    return aligned(parts)
