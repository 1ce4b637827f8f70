"""What comes late: its moments are exact, its filters are discounted, and what does not belong there is refused."""

from dataclasses import replace

import numpy as np
import pytest
import reference
from helpers.mixtures import amari, mixed_sources

from stream_infomax import OnlineInfomax
from stream_infomax.learning.infomax import late, merging
from stream_infomax.learning.infomax.exchange import MergeError
from stream_infomax.learning.infomax.triangle import packed

K = 6
ROWS, MIXING = mixed_sources(12_000, K)
KINDS = {
    "complete": {},
    "overcomplete": {"n_components": 9, "overcomplete": True},
    "with a half-life": {"half_life": 5000.0},
}


def begun(learners=3, **settings):
    base = OnlineInfomax(**settings).partial_fit(ROWS[:600]).share(learners)
    return base, [OnlineInfomax(**settings).take(base) for _ in range(learners)]


def deltas_of(shards, first, n=500):
    for i, shard in enumerate(shards):
        shard.partial_fit(ROWS[first + i * n : first + (i + 1) * n])
    return [shard.delta(f"shard {i}") for i, shard in enumerate(shards)]


def off(one, other):
    return np.abs(np.asarray(one, np.float64) - other).max() / np.abs(other).max()


@pytest.mark.parametrize("kind", KINDS)
def test_moments_that_come_late_are_those_that_come_in_time(kind):
    base, shards = begun(**KINDS[kind])
    first, second, third = deltas_of(shards, 600)
    in_time = merging.whitener_of(OnlineInfomax.merge(base, [first, second, third]))
    after = OnlineInfomax.merge(base, [first, second])
    merged = OnlineInfomax.merge(after, [], late=[(base, third)])
    then = merging.whitener_of(merged)
    assert merged.number == 2
    assert merged.rows == base.rows + first.rows + second.rows + third.rows
    if kind == "with a half-life":  # what is late counts as much less as others have come meanwhile
        age, decay = (0.5 ** (n / 5000) for n in (first.rows + second.rows, third.rows))
        assert then.weight == pytest.approx(decay * after.whitening["weight"] + age * third.weight, rel=1e-12)
        return
    assert then.weight == in_time.weight
    assert off(then.covariance(), in_time.covariance()) < 1e-12
    assert off(then.reference, in_time.reference) < 1e-12


def test_moments_are_moved_to_where_the_mean_is_by_now():
    base, shards = begun()
    deltas = deltas_of(shards, 600)
    after = OnlineInfomax.merge(base, deltas[:2])
    rows = (ROWS[5000:6000] + 3 * ROWS.std(axis=0)) * base.scale
    points = [one.whitening["reference"] * base.scale for one in (base, after)]
    (weight, total, products), (_, total_now, products_now) = (reference.moments(rows, point) for point in points)
    assert off(total, total_now) > 1e-3
    given = replace(deltas[2], weight=float(weight), sum=total, scatter=packed(products))
    moved = late.moved(given, base, after)
    assert moved.weight == weight
    assert off(moved.sum, total_now) < 1e-12
    assert off(moved.scatter, packed(products_now)) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_filters_count_half_a_round_later_and_a_quarter_after_two(kind):
    base, shards = begun(**KINDS[kind])
    *now, third = deltas_of(shards, 600)
    news = [OnlineInfomax.merge(base, now)]
    for shard in shards[:2]:
        shard.take(news[0])
    news.append(OnlineInfomax.merge(news[0], deltas_of(shards[:2], 3000)))
    before = merging.whitener_of(base)
    for n, new in enumerate(news, 1):
        moved = late.moved(third, base, new)
        here = merging.whitener_of(new)
        key = merging.learnt_of(new.rule)
        mine = third.means["learnt"].astype(np.float64)
        if key == "rotation":  # in one whitening and in the other, the filters are the same
            mine = here.dewhiten.T @ before.whiten @ mine
            np.testing.assert_allclose(here.whiten @ mine, before.whiten @ third.means["learnt"], atol=1e-3)
        np.testing.assert_allclose(
            moved.means["learnt"], (1 - 0.5**n) * new.rule[key] + 0.5**n * mine, rtol=1e-5, atol=1e-6
        )
        assert moved.means["log_reach"] == pytest.approx(
            (1 - 0.5**n) * np.log(new.rule["reach"]["length"]) + 0.5**n * third.means["log_reach"]
        )
        np.testing.assert_allclose(moved.behind, third.behind)


def test_one_that_was_away_for_long_pulls_nobody_back():
    base, shards = begun()
    *_, away = deltas_of(shards, 600)
    new, learners = base, shards[:2]
    for number in range(8):
        for one in learners:
            one.take(new)
        new = OnlineInfomax.merge(new, deltas_of(learners, 2100 + 1000 * number))
    merged = OnlineInfomax.merge(new, [], late=[(base, away)])
    error = [amari(OnlineInfomax().take(one).components_ @ MIXING) for one in (base, new, merged)]
    assert error[0] > 3 * error[1]
    assert error[2] < 1.1 * error[1]


def test_what_does_not_belong_is_refused_by_name():
    base, shards = begun()
    first, second, third = deltas_of(shards, 600)
    after = OnlineInfomax.merge(base, [first, second])
    other, _ = begun(half_life=5000.0)
    for old, delta, words in (
        (base, replace(third, base="0" * 32), "delta shard 2: began with base 0000"),
        (after, third, "delta shard 2: began with base"),
        (other, replace(third, base=other.digest), "delta shard 2: began with round 0; accepted are rounds before 1"),
        (base, replace(third, sum=third.sum * np.nan), "delta shard 2: sum has 6 numbers that are not finite"),
    ):
        with pytest.raises(MergeError, match=words):
            OnlineInfomax.merge(after, [], late=[(old, delta)])
    with pytest.raises(MergeError, match="began with round 0; accepted are rounds before 0"):
        OnlineInfomax.merge(base, [first], late=[(base, third)])
    with pytest.raises(MergeError, match="delta shard 2: there twice"):
        OnlineInfomax.merge(after, [], late=[(base, third), (base, third)])
