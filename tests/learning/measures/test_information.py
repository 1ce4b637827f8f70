"""The measures agree with closed forms and with naive versions; the running ones with the exact ones."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from stream_infomax.learning.infomax.neurons import density, minus_log_density
from stream_infomax.learning.measures import information
from stream_infomax.learning.measures.information import (
    RunningEntropy,
    RunningInformation,
    amari_distance,
    coefficient_entropy,
    conditional_entropy,
    excess_kurtosis,
    output_entropies,
    transmitted_information,
)

GAUSS_BITS = 0.5 * math.log2(2 * math.pi * math.e)
LAPLACE_BITS = math.log2(2 * math.e / math.sqrt(2))


def laplace(rows, width, seed=0):
    return np.random.default_rng(seed).laplace(scale=1 / math.sqrt(2), size=(rows, width))


def rotation(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


def overcomplete(n_rank, n_components, seed=0):
    u, _, vt = np.linalg.svd(np.random.default_rng(seed).standard_normal((n_rank, n_components)), full_matrices=False)
    return u @ vt


# --- naive twins ---------------------------------------------------------------------------------------------


def naive_kernel_entropy(y):
    middle = np.sort(y)[len(y) // 2]
    width = np.median(np.abs(y - middle)) / 0.6745 * (4 / (3 * len(y))) ** 0.2
    step = width / 4
    cells = np.rint((y - middle) / step)
    bits = 0.0
    for cell in range(int(cells.min()) - 20, int(cells.max()) + 21):
        distance = np.abs(cells - cell)
        weights = np.exp(-((distance * step / width) ** 2) / 2) * (distance <= 20)
        p = weights.sum() / len(y) / (width * math.sqrt(2 * math.pi))
        bits -= step * p * math.log2(p) if p > 0 else 0
    return bits


def naive_log_det(C, y, n_neurons, slope):
    G = n_neurons / len(C) * C @ np.diag(density(y, slope) ** 2) @ C.T + np.eye(len(C))
    return np.linalg.slogdet(G)[1]


# --- coefficient entropy -------------------------------------------------------------------------------------


def test_entropy_of_known_densities():
    rng = np.random.default_rng(1)
    assert coefficient_entropy(rng.standard_normal((50_000, 3))) == pytest.approx(GAUSS_BITS, abs=0.02)
    assert coefficient_entropy(laplace(50_000, 3)) == pytest.approx(LAPLACE_BITS, abs=0.03)


def test_entropy_equals_the_kernel_density_written_out():
    y = laplace(400, 2, seed=3) ** 3
    expected = [naive_kernel_entropy(column) for column in y.T]
    np.testing.assert_allclose(output_entropies(y), expected, rtol=1e-4)


def test_entropy_moves_with_the_logarithm_of_the_scale():
    Y = laplace(2000, 4)
    assert coefficient_entropy(8 * Y) == pytest.approx(coefficient_entropy(Y) + 3)
    assert coefficient_entropy(8 * Y, filters=8 * np.eye(4)) == pytest.approx(coefficient_entropy(Y))


def test_far_outliers_cost_neither_memory_nor_much_entropy():
    Y = laplace(5000, 1)
    spoilt = Y.copy()
    spoilt[0] = 1e9
    assert coefficient_entropy(spoilt) == pytest.approx(coefficient_entropy(Y), abs=0.02)


def test_entropy_of_silence_and_of_mostly_silence():
    Y = np.zeros((100, 2))
    Y[:10, 1] = np.arange(10)
    entropies = output_entropies(Y)
    assert entropies[0] == -math.inf
    assert math.isfinite(entropies[1])


@pytest.mark.parametrize("Y", [np.zeros(5), np.zeros((1, 3)), np.full((4, 2), np.nan)])
def test_entropy_refuses_what_is_no_finite_matrix(Y):
    with pytest.raises(ValueError, match="Y"):
        coefficient_entropy(Y)


# --- conditional entropy and transmitted information ---------------------------------------------------------


@pytest.mark.parametrize(("C", "n_components"), [(rotation(5), 5), (overcomplete(5, 9), 9)])
def test_conditional_entropy_is_equation_3_105(C, n_components):
    Y = math.sqrt(n_components / 5) * laplace(30, 5) @ C
    log_dets = [naive_log_det(C, y, 1e6, information.SLOPE) for y in Y]
    expected = -0.5 * np.mean(np.array(log_dets) - 5 * math.log(2 * math.pi * math.e))
    assert conditional_entropy(C, Y) == pytest.approx(expected, rel=1e-9)
    bits = 0.5 * np.mean(log_dets) / math.log(2)
    assert transmitted_information(C, Y) == pytest.approx(bits, rel=1e-9)
    assert transmitted_information(C, Y, input_entropy=3.0) == pytest.approx(bits + 3.0 - 5 * GAUSS_BITS, rel=1e-9)


def test_conditional_entropy_of_many_neurons_is_the_objective_plus_a_constant():
    C, Y = rotation(6), laplace(500, 6)
    n_neurons = 1e16
    objective = minus_log_density(Y, information.SLOPE).sum(axis=1).mean()
    constant = 3 * math.log(2 * math.pi * math.e) - 3 * math.log(n_neurons / 6)
    assert conditional_entropy(C, Y, n_neurons) == pytest.approx(objective + constant, abs=1e-3)


def test_independent_outputs_transmit_more_than_mixed_ones():
    sources, R = np.sign(laplace(2000, 8)) * laplace(2000, 8, seed=1) ** 2, rotation(8)
    assert transmitted_information(np.eye(8), sources) > transmitted_information(R, sources @ R) + 1


def test_conditional_entropy_names_a_mismatch():
    with pytest.raises(ValueError, match="3 outputs and C 4 columns"):
        conditional_entropy(np.eye(4), np.ones((2, 3)))


# --- Amari distance and kurtosis ----------------------------------------------------------------------------


def test_amari_distance_is_blind_to_order_and_scale():
    rng = np.random.default_rng(0)
    P = rng.standard_normal((6, 6))
    shuffled = np.diag([3, -2, 1e-3, 5, 7, -11]) @ np.eye(6)[rng.permutation(6)]
    assert amari_distance(shuffled) == pytest.approx(0, abs=1e-12)
    assert amari_distance(np.ones((6, 6))) == pytest.approx(5)
    assert amari_distance(P) == pytest.approx(amari_distance(P[::-1, [3, 1, 0, 2, 5, 4]]))
    assert amari_distance(P) == pytest.approx(amari_distance(P.T))


def test_amari_distance_of_two_by_two():
    # Rows: 1 + 0.25 and 1 + 0.04; columns the same sums: mean excess (0.25 + 0.04 + 0.04 + 0.25) / 4.
    P = np.array([[1.0, 0.5], [0.2, 1.0]])
    assert amari_distance(P) == pytest.approx((0.25 + 0.04 + 0.04 + 0.25) / 4)


@pytest.mark.parametrize("P", [np.ones((2, 3)), np.array([[1.0, 1.0], [0.0, 0.0]])])
def test_amari_distance_refuses_what_cannot_be_inverted(P):
    with pytest.raises(ValueError, match="P"):
        amari_distance(P)


def test_excess_kurtosis_of_two_points_and_of_a_constant():
    Y = np.stack([np.tile([-1.0, 1.0], 50), np.ones(100)], axis=1)
    kurtosis = excess_kurtosis(Y)
    assert kurtosis[0] == pytest.approx(-2)
    assert math.isnan(kurtosis[1])
    assert excess_kurtosis(laplace(200_000, 1))[0] == pytest.approx(3, abs=0.3)


# --- running versions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sample", [lambda rng, s: rng.standard_normal(s), lambda rng, s: rng.laplace(scale=0.7, size=s)]
)
def test_running_entropy_is_near_the_exact_one(sample):
    Y = sample(np.random.default_rng(5), (20_000, 8))
    running = RunningEntropy(window=20_000).partial_fit(Y)
    assert running.value == pytest.approx(coefficient_entropy(Y), abs=0.02)


def test_running_entropy_forgets_what_lies_two_windows_back():
    Y = laplace(4000, 2)
    running = RunningEntropy(window=1000).partial_fit(16 * Y).partial_fit(Y[:2000])
    assert running.value == pytest.approx(RunningEntropy(window=2000).partial_fit(Y[1000:2000]).value)


@pytest.mark.parametrize("frame", [1, 7, 256])
def test_running_values_do_not_depend_on_how_rows_were_cut(frame):
    C = overcomplete(3, 4)
    Y = (laplace(700, 3) @ C).astype(np.float32)
    Y[99] = np.nan
    entropy, info = RunningEntropy(window=300).partial_fit(Y), RunningInformation(window=300)
    info.partial_fit(Y, C)
    cut_entropy, cut_info = RunningEntropy(window=300), RunningInformation(window=300)
    for start in range(0, len(Y), frame):
        cut_entropy.partial_fit(Y[start : start + frame])
        cut_info.partial_fit(Y[start : start + frame], C)
    np.testing.assert_array_equal(cut_entropy.values, entropy.values)
    assert (cut_info.objective, cut_info.information) == (info.objective, info.information)


def test_running_information_equals_the_exact_one():
    C, Y = rotation(5), laplace(200, 5).astype(np.float32)
    running = RunningInformation()
    frame = running.partial_fit(Y, C)
    assert frame == pytest.approx(transmitted_information(C, Y), rel=1e-6)
    assert running.information == pytest.approx(frame)
    assert running.objective == pytest.approx(minus_log_density(Y, information.SLOPE).sum(axis=1).mean(), rel=1e-5)


def test_running_information_measures_every_64th_row_of_an_overcomplete_basis():
    C = overcomplete(3, 5)
    Y = (laplace(200, 3) @ C).astype(np.float32)
    running = RunningInformation()
    running.partial_fit(Y[:10], C)
    assert math.isnan(running.partial_fit(Y[10:64], C))
    running.partial_fit(Y[64:], C)
    assert running.information == pytest.approx(transmitted_information(C, Y[::64]), rel=1e-6)


def test_running_versions_go_on_where_their_state_was_saved():
    C, Y = rotation(4), laplace(900, 4).astype(np.float32)
    for whole, half, fresh, more in (
        (RunningEntropy(400), RunningEntropy(400), RunningEntropy(), ()),
        (RunningInformation(1e5, 400), RunningInformation(1e5, 400), RunningInformation(), (C,)),
    ):
        whole.partial_fit(Y, *more)
        half.partial_fit(Y[:500], *more)
        fresh.restore(half.state())
        fresh.partial_fit(Y[500:], *more)
        expected, state = whole.state(), fresh.state()
        assert expected.keys() == state.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(state[key], value)


def test_running_versions_before_the_first_row_and_after_a_change_of_width():
    assert math.isnan(RunningEntropy().value)
    assert math.isnan(RunningInformation().objective)
    assert math.isnan(RunningEntropy().partial_fit(np.full((3, 2), np.nan)).value)
    with pytest.raises(ValueError, match="2 outputs were counted before, got 3"):
        RunningEntropy().partial_fit(np.zeros((1, 2))).partial_fit(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="window must be at least 1 row, got 0"):
        RunningEntropy(window=0)
    with pytest.raises(ValueError, match="window must be at least 1 row, got -1"):
        RunningInformation(window=-1)


def test_kernels_run_as_plain_python_too():
    tests = "histogram_kernel or information_kernel or do_not_depend"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", tests],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("kind", [RunningEntropy, RunningInformation])
@pytest.mark.parametrize("window", [-5, 3])
def test_a_window_that_cannot_be_is_refused(kind, window):
    made = kind()
    made.partial_fit(np.zeros((3, 2)), *([np.eye(2)] if kind is RunningInformation else []))
    with pytest.raises(ValueError, match=f"window: {window}; accepted are more than the 3 rows"):
        kind().restore({**made.state(), "window": window})
