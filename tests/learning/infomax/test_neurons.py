"""Tuning functions agree with their derivatives, and outputs are what they are called."""

import math

import numpy as np
import pytest

from stream_infomax.learning.infomax import neurons


@pytest.mark.parametrize(("beta", "bias"), [(1.0, 0.0), (1.81, 0.0), (0.3, 0.7), (4.0, -1.0)])
@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        (neurons.gain, neurons.density),
        (neurons.minus_log_density, neurons.score),
        (neurons.score, neurons.score_slope),
    ],
)
def test_derivatives(function, derivative, beta, bias):
    assert neurons.derivative_error(lambda y: function(y, beta, bias), lambda y: derivative(y, beta, bias)) < 1e-7


def test_a_wrong_derivative_is_found():
    assert neurons.derivative_error(np.sin, lambda y: -np.cos(y)) > 1


def test_density_integrates_to_one_and_start_beta_gives_unit_variance():
    y = np.linspace(-40, 40, 200_001)
    density = neurons.density(y, neurons.start_beta(1, 1))
    assert np.trapezoid(density, y) == pytest.approx(1)
    assert np.trapezoid(density * y**2, y) == pytest.approx(1, rel=1e-6)


def test_no_overflow():
    far = np.array([-1e4, 1e4])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(neurons.gain(far)).all()
        np.testing.assert_allclose(neurons.minus_log_density(far), 1e4)


def test_outputs():
    y = np.array([[-2.0, 0.5]], np.float32)
    ones, zeros = np.ones(2, np.float32), np.zeros(2, np.float32)
    made = {name: neurons.publish(y, name, 2.0, ones, zeros) for name in neurons.OUTPUTS}
    np.testing.assert_array_equal(made["poisson"], made["rate"])  # before spikes are drawn
    np.testing.assert_array_equal(made["potential"], y)
    np.testing.assert_array_equal(made["halves"], [[0, 0.5, 2, 0]])
    np.testing.assert_allclose(made["log"], np.log([[1.1, 0.35]]), rtol=1e-6)
    np.testing.assert_allclose(made["rate"], (1 / (1 + np.exp([[1.0, -0.25]]))) ** 2 / 4, rtol=1e-6)
    assert {name: array.shape[1] for name, array in made.items()} == {name: neurons.width(name, 2) for name in made}
    assert all(array.dtype == np.float32 for array in made.values())


def test_spike_counts_are_poisson():
    rate = np.tile(np.array([0.0, 0.01, 0.1, 0.25], np.float32), (200_000, 1))
    counts = neurons.spike_counts(rate, 3, 0).astype(float)
    for mean, column in zip(rate[0].astype(float), counts.T, strict=True):
        expected = [math.exp(-mean) * mean**k / math.factorial(k) for k in range(5)]
        found = np.bincount(column.astype(int), minlength=5)[:5] / len(column)
        np.testing.assert_allclose(found, expected, atol=4 * math.sqrt(0.25 / len(column)) * math.sqrt(mean + 1e-9))
        assert column.var() == pytest.approx(mean, rel=0.05)
    assert abs(np.corrcoef(counts[:, 1:].T)[0, 1]) < 0.01
    assert abs(np.corrcoef(counts[1:, 3], counts[:-1, 3])[0, 1]) < 0.01


@pytest.mark.parametrize("units", [1, 4, 7])
def test_a_spike_depends_on_seed_and_number_of_the_row_alone(units):
    rate = np.random.default_rng(0).uniform(0, 0.25, size=(50, units)).astype(np.float32)
    whole = neurons.spike_counts(rate, 2**40, 10**9)
    for at in (1, 13, 49):
        np.testing.assert_array_equal(neurons.spike_counts(rate[at:], 2**40, 10**9 + at), whole[at:])
    assert whole.any()
    assert not np.array_equal(neurons.spike_counts(rate, 1, 10**9), whole)
    nothing = rate.copy()
    nothing[3] = np.nan
    np.testing.assert_array_equal(np.delete(neurons.spike_counts(nothing, 2**40, 10**9), 3, 0), np.delete(whole, 3, 0))
