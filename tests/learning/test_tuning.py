"""Tuning functions agree with their derivatives, and outputs are what they are called."""

import numpy as np
import pytest

from stream_infomax.learning import tuning


@pytest.mark.parametrize(("beta", "bias"), [(1.0, 0.0), (1.81, 0.0), (0.3, 0.7), (4.0, -1.0)])
@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        (tuning.gain, tuning.density),
        (tuning.minus_log_density, tuning.score),
        (tuning.score, tuning.score_slope),
    ],
)
def test_derivatives(function, derivative, beta, bias):
    assert tuning.derivative_error(lambda y: function(y, beta, bias), lambda y: derivative(y, beta, bias)) < 1e-7


def test_a_wrong_derivative_is_found():
    assert tuning.derivative_error(np.sin, lambda y: -np.cos(y)) > 1


def test_density_integrates_to_one_and_start_beta_gives_unit_variance():
    y = np.linspace(-40, 40, 200_001)
    density = tuning.density(y, tuning.start_beta(1, 1))
    assert np.trapezoid(density, y) == pytest.approx(1)
    assert np.trapezoid(density * y**2, y) == pytest.approx(1, rel=1e-6)


def test_no_overflow():
    far = np.array([-1e4, 1e4])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(tuning.gain(far)).all()
        np.testing.assert_allclose(tuning.minus_log_density(far), 1e4)


def test_outputs():
    y = np.array([[-2.0, 0.5]], np.float32)
    ones, zeros = np.ones(2, np.float32), np.zeros(2, np.float32)
    made = {name: tuning.publish(y, name, 2.0, ones, zeros) for name in tuning.OUTPUTS}
    np.testing.assert_array_equal(made["potential"], y)
    np.testing.assert_array_equal(made["halves"], [[0, 0.5, 2, 0]])
    np.testing.assert_allclose(made["log"], np.log([[1.1, 0.35]]), rtol=1e-6)
    np.testing.assert_allclose(made["rate"], (1 / (1 + np.exp([[1.0, -0.25]]))) ** 2 / 4, rtol=1e-6)
    assert {name: array.shape[1] for name, array in made.items()} == {name: tuning.width(name, 2) for name in made}
    assert all(array.dtype == np.float32 for array in made.values())
