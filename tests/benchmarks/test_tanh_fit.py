"""The coefficients of the kernels' tanh are those that the fit gives."""

import numpy as np
import pytest
import tanh_fit

from stream_infomax.learning.infomax import kernels


def test_the_kernel_has_the_coefficients_of_the_fit():
    fit = tanh_fit.minimax()
    assert fit.error < 1e-8
    assert kernels.TANH_END == tanh_fit.END
    P = [kernels.P0, kernels.P1, kernels.P2, kernels.P3, kernels.P4]
    Q = [kernels.Q0, kernels.Q1, kernels.Q2, kernels.Q3, kernels.Q4]
    np.testing.assert_allclose(np.array(P, float) / kernels.Q0, fit.P, rtol=1e-5)
    np.testing.assert_allclose(np.array(Q, float) / kernels.Q0, fit.Q, rtol=1e-5)


def test_the_kernel_is_as_good_as_it_says():
    error, largest = tanh_fit.errors(tanh_fit.as_compiled)
    assert error < 3e-7
    assert largest <= 1


def test_a_function_that_is_off_is_noticed():
    def off(values, out):
        out[:] = np.tanh(values) * np.float32(1.01)

    assert tanh_fit.errors(off)[0] == pytest.approx(0.01, rel=1e-3)
