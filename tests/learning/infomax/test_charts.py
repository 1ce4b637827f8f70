"""Charts against their naive twins, and against what theory says of false alarms and delays."""

import numpy as np
import pytest
import reference

from stream_infomax.learning.infomax import signal_kernels
from stream_infomax.learning.infomax.charts import CALM, CAUTION, FIRST_CALM, Charts, threshold

RNG = np.random.default_rng(0)


def siegmund(shift, h):
    """Mean blocks until a one-sided CUSUM with k = 1/2 passes h (Siegmund 1985)."""
    drift, barrier = shift - 0.5, h + 1.166
    return (np.exp(-2 * drift * barrier) - 1 + 2 * drift * barrier) / (2 * drift**2)


def blocks_until_alarm(shift, h, seed):
    charts = Charts((False,), 1.0)
    charts.threshold = h
    charts._charts[0, :2] = 0, 1  # mean and deviation are known
    values = np.random.default_rng(seed).standard_normal((20_000, 1)) + shift
    return next(i + 1 for i, value in enumerate(values) if charts.add(value))


@pytest.mark.parametrize(("shift", "h"), [(0, 3), (1, 5), (2, 5), (3, 5)])
def test_runs_are_as_long_as_theory_says(shift, h):
    runs = [blocks_until_alarm(shift, h, seed) for seed in range(300)]
    assert np.mean(runs) == pytest.approx(siegmund(shift, h), rel=0.2)


def test_the_threshold_gives_the_blocks_between_false_alarms():
    for blocks in (1e3, 1e5, 1e7):
        assert siegmund(0, threshold(blocks, 1)) == pytest.approx(blocks, rel=0.15)
    assert threshold(1e5, 8) == pytest.approx(threshold(8e5, 1))


def test_signals_of_a_block_are_those_of_the_naive_twin():
    y = RNG.laplace(size=(13, 7)).astype(np.float32)
    lengths, sign = RNG.uniform(0.1, 200, 13).astype(np.float32), np.float32([1, -1, 1, 1, -1, 1, 1])
    power, values = RNG.uniform(0.5, 2, 7).astype(np.float32), np.zeros(3)
    expected, moved = reference.block_signals(y, lengths, sign, 0.25, power)
    signal_kernels.block_signals(y, lengths, sign, 0.25, power, values)
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    np.testing.assert_allclose(power, moved, rtol=1e-5)


def test_rows_of_nothing_and_of_infinite_length_have_signals():
    y = np.zeros((4, 3), np.float32)
    values, power = np.zeros(3), np.ones(3, np.float32)
    lengths = np.float32([0, np.inf, 1, 1])
    signal_kernels.block_signals(y, lengths, np.ones(3, np.float32), 0.25, power, values)
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(power, 1)


def test_charts_and_batches_are_those_of_the_naive_twins():
    values = RNG.normal((0, 0.4), 1, (300, 2))
    charts, sums, batches = np.zeros((2, 8)), np.zeros((2, 2)), np.zeros((2, 6, 5))
    charts[:, 1], batches[:, :, 2] = 1, np.nan
    up, down = reference.cusum(values[:, 0], 0, 1), reference.cusum(-values[:, 0], 0, 1)
    other = reference.cusum(values[:, 1], 0, 1)
    for i, row in enumerate(values):
        highest = signal_kernels.follow_charts(row, np.array([True, False]), charts, sums, batches)
        assert highest == pytest.approx(max(up[i], down[i], other[i]))
    kept = np.clip(values, -5, 5)
    np.testing.assert_allclose(sums, np.stack([kept.sum(0), [300, 300]], axis=1))
    for scale in range(4):
        for s in range(2):
            np.testing.assert_allclose(batches[s, scale, 3:], reference.neighbours(kept[:, s], 4**scale))


def test_a_stream_that_wanders_may_wander_and_one_that_does_not_may_not():
    white = RNG.standard_normal(20_000)
    wandering = white + np.repeat(RNG.standard_normal(200), 100)
    for values, deviation in ((white, (0.9, 1.4)), (wandering, (4, 12))):
        charts = Charts((True,), 1e5)
        alarms = sum(charts.add(np.array([value])) is not None for value in values[:2000])
        charts = Charts((True,), 1e5)
        for value in values:
            if charts.add(np.array([value])):
                charts.clear()
        assert deviation[0] < charts.deviations()[0] < deviation[1]
    assert alarms == 0 or wandering is values


def test_an_alarm_says_what_was_before_and_what_is_since():
    charts = Charts((True, False), 1e5)
    for _ in range(FIRST_CALM + CALM):
        assert charts.add(RNG.standard_normal(2)) is None
        assert 0 <= charts.nearness < 1
    assert charts.ready
    blocks = 0
    alarm = None
    while alarm is None:
        assert charts.nearness < 1
        alarm = charts.add(RNG.normal((-3, 0), 1))
        blocks += 1
    assert alarm.signal == 0
    assert charts.nearness > 1
    assert alarm.since == pytest.approx(-3, abs=1.5)
    assert alarm.blocks <= blocks <= 15
    charts.clear((1,))
    assert (charts.knows(0), charts.knows(1)) == (True, False)
    charts.clear()
    assert not charts.ready
    assert charts.nearness == 0


def test_the_first_reference_is_taken_early_and_with_caution():
    charts = Charts((True, False), 1e5)
    deviations = []
    for i in range(FIRST_CALM + CALM):
        assert charts.ready == (i >= FIRST_CALM)
        charts.add(RNG.standard_normal(2))
        deviations.append(charts.deviation(0))
    assert deviations[FIRST_CALM] == pytest.approx(CAUTION, rel=0.5)
    assert deviations[-1] == pytest.approx(1, rel=0.5)


def test_a_state_goes_on_with_the_same_bits():
    charts, again = Charts((True, False), 1e3), Charts((True, False), 1e3)
    values = RNG.standard_normal((900, 2))
    values[700:] += 1
    for value in values[:450]:
        charts.add(value)
    again.restore(charts.state())
    assert [charts.add(value) for value in values[450:]] == [again.add(value) for value in values[450:]]
    np.testing.assert_array_equal(charts._charts, again._charts)
