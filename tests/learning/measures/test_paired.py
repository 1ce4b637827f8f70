"""paired(): equal to what scipy and a plain loop say."""

import numpy as np
import pytest
from helpers.extras import extra

extra("scipy")

from scipy import stats  # noqa: E402

from stream_infomax.learning.measures.paired import paired  # noqa: E402


def test_groups_of_one_size_give_the_paired_t_interval():
    rng = np.random.default_rng(0)
    groups = [f"speaker {number % 6}" for number in range(120)]
    one, other = rng.random(120) < 0.8, rng.random(120) < 0.6
    means = [np.array([side[np.array(groups) == name].mean() for name in sorted(set(groups))]) for side in (one, other)]
    low, high = stats.ttest_rel(*means).confidence_interval(0.95)
    assert paired(one, other, groups) == pytest.approx((one.mean() - other.mean(), low, high))


def test_groups_of_other_sizes_count_with_their_size():
    groups, one, other = ["a"] * 3 + ["b"] + ["c"] * 2, np.array([1, 1, 0, 1, 1, 0]), np.array([0, 1, 0, 0, 1, 1])
    difference = one.mean() - other.mean()
    total = 0.0
    for name, size in (("a", 3), ("b", 1), ("c", 2)):
        gained = sum(x - y for x, y, group in zip(one, other, groups, strict=True) if group == name)
        total += (gained - size * difference) ** 2
    half = stats.t.ppf(0.975, 2) * np.sqrt(3 / 2 * total) / 6
    assert paired(one, other, groups) == pytest.approx((difference, difference - half, difference + half))


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(8), 20).astype(str)
    held = 0
    for _ in range(400):
        shared = rng.standard_normal((8, 1)) * 0.1
        one = (rng.random((8, 20)) < 0.7 + shared).ravel()
        other = (rng.random((8, 20)) < 0.6).ravel()
        found = paired(one, other, list(groups))
        held += found.low <= 0.1 <= found.high
    assert 0.91 <= held / 400 <= 0.98


def test_what_scores_alike_differs_by_nothing_and_one_group_says_nothing_of_others():
    same = np.array([True, False, True])
    assert paired(same, same, ["a", "b", "b"]) == (0, 0, 0)
    alone = paired(same, ~same, ["a", "a", "a"])
    assert alone.difference == pytest.approx(1 / 3)
    assert np.isnan([alone.low, alone.high]).all()
